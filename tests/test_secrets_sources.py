"""The secrets with which sources are fetched, and those of a platform, are seen by their servers alone.

Searched are exceptions, everything that is logged at DEBUG, the arguments of all processes, the cache and
temporary files while programs run, the pipeline, and what a handler's process can see.
"""

from __future__ import annotations

import json
import logging
import os
import time
from types import SimpleNamespace

import pytest

from airflow_kfp_runtime.compiler import compile_steps
from airflow_kfp_runtime.errors import DefinitionError, SourceError
from airflow_kfp_runtime.hooks.digitalhub import DigitalHubHook
from airflow_kfp_runtime.hooks.sources import ConnectionCredentials
from airflow_kfp_runtime.project import Project
from airflow_kfp_runtime.sources import Limits
from tests.git_fetching import MARK, fetching, files
from tests.git_server import Authority, GitHttpServer, Repository, SshServer, ssh_key
from tests.http_server import HttpServer
from tests.kubernetes_api import running_kubernetes_api
from tests.secret_marks import Arguments, Mark, Search, environments_of_children, everything_logged
from tests.source_opening import Opening
from tests.test_sources_handlers import found as found_by_handler


@pytest.fixture
def secret():
    return Mark("secret")


@pytest.fixture
def search(secret, capfd):
    """Search what is shown to it, and all that is logged and printed and all arguments of processes."""
    search = Search(secret)
    with everything_logged() as records, Arguments() as arguments:
        yield search
    search.look("the log", *(f"{name} {line}" for name, line in records.lines))
    search.look("what was printed", *capfd.readouterr())
    search.look("the arguments of a process", *arguments.seen)
    assert arguments.seen
    assert search.found == []


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    repository = Repository.create(tmp_path_factory.mktemp("repositories") / "etl.git")
    repository.commit({"flow.py": "x"})
    return repository


@pytest.fixture
def fetch(tmp_path, monkeypatch, search, authority):
    made = fetching(tmp_path, monkeypatch)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.certificate))
    yield made
    search.look_at_files(made.folder / "cache", made.temporary)


def git_connection(monkeypatch, **fields):
    """The credentials of a connection of type ``git``."""
    monkeypatch.setenv("AIRFLOW_CONN_REPOSITORIES", json.dumps({"conn_type": "git", **fields}))
    credentials = ConnectionCredentials("repositories").git
    assert credentials is not None
    return {name: getattr(credentials, name) for name in credentials.__dataclass_fields__}


class Watch:
    """Looks at everything that there is while git waits for the server's answer."""

    def __init__(self, search, folder):
        self.search = search
        self.folder = folder
        self.commands = []

    def look(self):
        # Long enough for the arguments of all processes to be looked at in between.
        time.sleep(0.15)
        self.commands += [
            command for command, environment in environments_of_children() if MARK.encode() in environment
        ]
        self.search.look_at_files(self.folder)


@pytest.mark.parametrize("login", ["user and password", "token"])
@pytest.mark.parametrize("fault", ["none", "refused", "repeated", "redirected", "unreachable", "untrusted"])
def test_a_login_to_a_git_server_is_seen_by_it_alone(
    fault, login, secret, search, fetch, repository, authority, monkeypatch
):
    user = {"login": "ann"} if login == "user and password" else {}
    right = f"ann:{secret.value}" if user else f"{secret.value}:x-oauth-basic"
    options = {
        "none": {"login": right},
        "refused": {"login": "ann:another"},
        "repeated": {"login": right, "repeat": True},
        "redirected": {"redirect": f"https://ann:{secret.core}@localhost:9"},
        "unreachable": {},
        "untrusted": {},
    }[fault]
    server = GitHttpServer(repository.bare.parent, authority=authority, **options)
    watch = Watch(search, fetch.temporary)
    server.observe = watch.look
    if fault == "unreachable":
        server.stop()
    if fault == "untrusted":
        monkeypatch.delenv("GIT_SSL_CAINFO")
    credentials = git_connection(monkeypatch, password=secret.value, **user)
    try:
        if fault == "none":
            assert files(fetch(server.url("etl.git"), **credentials)) == {"flow.py": "x"}
            assert server.requests[-1].login == right
        else:
            with pytest.raises(SourceError) as refused:
                fetch(server.url("etl.git"), **credentials)
            search.look_at_error("an error", refused.value)
        if fault in ("none", "refused", "repeated"):
            assert any("git" in command for command in watch.commands)
    finally:
        if fault != "unreachable":
            server.stop()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    passphrase = Mark("passphrase")
    ssh_key(folder / "locked", passphrase=passphrase.value)
    server = SshServer(folder / "sshd", folder / "locked")
    yield SimpleNamespace(text=(folder / "locked").read_text(), passphrase=passphrase, server=server)
    server.stop()


@pytest.mark.parametrize("fault", ["none", "wrong passphrase", "unknown host", "no key", "no repository"])
def test_a_key_and_its_passphrase_are_seen_by_nobody(fault, keys, search, fetch, repository, monkeypatch):
    body = keys.text.splitlines()[2]
    search.add(keys.passphrase, **{"line of the key": body})
    extra = {
        "private_key": "no key" if fault == "no key" else keys.text,
        "private_key_passphrase": f"{keys.passphrase.value}{'x' * (fault == 'wrong passphrase')}",
        "known_hosts": "" if fault == "unknown host" else keys.server.known_hosts,
    }
    if fault == "unknown host":
        extra["known_hosts"] = "other.example ssh-ed25519 AAAA"
    credentials = git_connection(monkeypatch, extra=extra)
    url = keys.server.url(
        repository.bare.with_name("other.git") if fault == "no repository" else repository.bare
    )

    if fault == "none":
        assert files(fetch(url, **credentials)) == {"flow.py": "x"}
    else:
        with pytest.raises(SourceError) as refused:
            fetch(url, **credentials)
        search.look_at_error("an error", refused.value)


@pytest.fixture
def store():
    server = HttpServer()
    yield server
    server.stop()


@pytest.mark.parametrize("fault", ["none", "refused", "repeated", "redirected", "unreachable"])
def test_the_keys_of_an_object_store_are_seen_by_nobody(fault, secret, search, store, tmp_path, monkeypatch):
    token = Mark("session token")
    search.add(token)

    def answer(handler):
        said = f"{handler.path} {handler.headers}".replace("\n", " ")
        code = f"<Error><Code>{token.core}</Code><Region>{token.core}</Region>{said}</Error>".encode()
        match fault:
            case "none":
                handler.send(200, {"Content-Length": "1", "X-Said": said}, b"x")
            case "refused":
                handler.send(403, {"Content-Length": "0"})
            case "repeated":
                handler.send(403, {"Content-Length": str(len(code)), "X-Said": said}, code)
            case "redirected":
                target = f"ftp://{handler.headers['Host']}{handler.path}"
                handler.send(307, {"Location": target, "Content-Length": "0"})

    store.answers["/flows/etl.py"] = answer
    fields = {
        "conn_type": "aws",
        "login": "AKIATESTS",
        "password": secret.value,
        "extra": {
            "aws_session_token": token.core,
            "endpoint_url": "http://127.0.0.1:9" if fault == "unreachable" else f"http://{store.address}",
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_STORE", json.dumps(fields))
    opening = Opening(tmp_path, monkeypatch, Limits(timeout=20, connect_timeout=5))
    opening.credentials = ConnectionCredentials(None, "store")

    if fault == "none":
        assert opening("s3://flows/etl.py") == {"etl.py": "x"}
    else:
        with pytest.raises(SourceError) as refused:
            opening("s3://flows/etl.py")
        search.look_at_error("an error", refused.value)
    assert store.requests or fault == "unreachable"
    search.look_at_files(tmp_path)


def compiled(**function):
    project = Project("secrets")
    project.new_function("f", kind="python", handler="f", **function)
    return compile_steps([{"name": "s", "function": "f"}], name="n", project=project).to_yaml()


@pytest.mark.parametrize(
    "location",
    [
        "https://ann:{secret}@127.0.0.1:9/etl.py",
        "https://ann:pass/{secret}@127.0.0.1:9/etl.py",
        "zip+https://{secret}@127.0.0.1:9/etl.zip",
        "git+https://ann:{secret}@127.0.0.1:9/etl.git#v1:flow.py",
        "git+https://{secret}@127.0.0.1:9/etl.git#v1:flow.py",
        "git+ssh://ann:{secret}@127.0.0.1:9/etl.git#v1:flow.py",
        "git+https://127.0.0.1:9/etl.git?token={secret}#v1:flow.py",
        "s3://key:{secret}@bucket/etl.py",
        "ftp://ann:{secret}@127.0.0.1/etl.py",
    ],
)
@pytest.mark.parametrize("fetch_by", ["worker", "pod"])
def test_a_login_in_an_address_is_refused_without_being_shown(location, fetch_by, secret, search):
    with pytest.raises(DefinitionError) as refused:
        compiled(source=location.format(secret=secret.core), fetch=fetch_by)
    search.look_at_error("an error", refused.value)


@pytest.mark.parametrize(
    "requirement",
    [
        "etl @ https://ann:{secret}@example.org/etl.whl",
        "etl @ git+https://{secret}@example.org/etl.git",
        "etl @ git+ssh://ann:{secret}@example.org/etl.git",
        "https://{secret}@example.org/etl.whl",
    ],
)
def test_a_login_in_a_requirement_is_refused_without_being_shown(requirement, secret, search):
    written = requirement.format(secret=secret.core)
    with pytest.raises(DefinitionError, match="holds a user or a password") as refused:
        compiled(code="def f(): pass", requirements=[written])
    search.look_at_error("an error", refused.value)


def test_a_requirement_by_ssh_has_a_user_and_no_secret():
    requirement = "etl @ git+ssh://git@example.org/etl.git"

    assert requirement in compiled(code="def f(): pass", requirements=[requirement])


@pytest.mark.parametrize("fault", ["none", "changed", "refused", "foreign", "unreachable"])
def test_the_credentials_of_a_platform_are_seen_by_kubernetes_alone(fault, secret, search, monkeypatch):
    refresh = Mark("refresh token")
    search.add(refresh)
    with running_kubernetes_api() as kubernetes:
        monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", kubernetes.connection(namespace="team"))
        extra = {"kubernetes_conn_id": "cluster", "refresh_token": refresh.value}
        fields = {"conn_type": "digitalhub", "host": "https://core.example", "password": secret.value}
        monkeypatch.setenv("AIRFLOW_CONN_DIGITALHUB_DEFAULT", json.dumps({**fields, "extra": extra}))
        kubernetes.refuses = fault == "refused"
        if fault == "foreign":
            kubernetes.secrets["digitalhub"] = {"metadata": {"name": "digitalhub"}, "data": {}}
        if fault == "unreachable":
            kubernetes.server_port = 9
            monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", kubernetes.connection(namespace="team"))
        if fault == "changed":
            DigitalHubHook().write_secrets(["digitalhub"])
            kubernetes.secrets["digitalhub"]["data"]["DHCORE_ISSUER"] = "b2xk"
        if fault in ("none", "changed"):
            DigitalHubHook().write_secrets(["digitalhub"])
            assert kubernetes.values("digitalhub")["DHCORE_ACCESS_TOKEN"] == secret.value
        else:
            with pytest.raises(DefinitionError) as refused:
                DigitalHubHook().write_secrets(["digitalhub"])
            search.look_at_error("an error", refused.value)


def test_a_handler_sees_no_secret_of_the_task(secret, search, monkeypatch):
    for name in ("AIRFLOW_CONN_KFP_DEFAULT", "GIT_TOKEN", "GIT_PASSWORD", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, secret.value)
    code = (
        "from airflow_kfp_runtime.dsl import pipeline_context\n"
        "def handler():\n"
        "    import os\n"
        "    with pipeline_context() as pc:\n"
        "        pc.step(name='show', function='f', inputs={'found': dict(os.environ)})\n"
    )

    seen = found_by_handler(code)

    assert "PATH" in seen
    search.look("the environment of a handler", seen)


def test_what_is_shown_on_purpose_is_found(secret, tmp_path):
    """The search finds a secret in each place in which the tests look."""
    with everything_logged() as records, Arguments() as arguments:
        logging.getLogger("httpcore.http11").debug("sent %s", secret.value)
        pid = os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", "sleep 1", secret.value)
        os.waitpid(pid, 0)
    (tmp_path / "config").write_text(secret.value)
    try:
        try:
            raise ValueError(secret.value)
        except ValueError:
            raise SourceError("hidden") from None
    except SourceError as error:
        behind = error
    attribute = SourceError("shown")
    attribute.headers = {"authorization": [secret.value.encode()]}

    for place, look in {
        "log": lambda search: search.look("", *(line for _, line in records.lines)),
        "arguments": lambda search: search.look("", *arguments.seen),
        "files": lambda search: search.look_at_files(tmp_path),
        "context": lambda search: search.look_at_error("", behind),
        "attribute": lambda search: search.look_at_error("", attribute),
    }.items():
        search = Search(secret)
        look(search)
        assert search.found, place
