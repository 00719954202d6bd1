"""Logins to git servers: what is sent to whom, and that no secret is seen anywhere else."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import threading
import time
import traceback
from pathlib import Path

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.credentials import GitCredentials
from airflow_kfp_runtime.sources.git_address import GitAddress
from airflow_kfp_runtime.sources.git_environment import redaction_of
from airflow_kfp_runtime.sources.git_errors import explained
from tests.git_fetching import fetching, files
from tests.git_server import GIT_ENVIRONMENT, Authority, GitHttpServer, Repository, SshServer, ssh_key

SECRET = "marked-3c9f $(id) \"'\\secret"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "repositories").mkdir()
    repository = Repository.create(tmp_path / "repositories" / "etl.git")
    repository.commit({"flow.py": "x"})
    return repository


@pytest.fixture
def serve(repository, authority):
    """Start servers of the repository; they are stopped at the end."""
    servers = []

    def start(**options: object) -> GitHttpServer:
        servers.append(GitHttpServer(repository.bare.parent, **{"authority": authority, **options}))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def fetch(tmp_path, monkeypatch, authority):
    made = fetching(tmp_path, monkeypatch)
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.certificate))
    yield made
    assert not made.left_files()
    assert not made.left_processes()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys that a server accepts, the second with a passphrase, and one that it does not."""
    folder = tmp_path_factory.mktemp("keys")
    ssh_key(folder / "plain")
    ssh_key(folder / "locked", passphrase=SECRET)
    ssh_key(folder / "other")
    return folder


@pytest.fixture(scope="module")
def sshd(tmp_path_factory, keys):
    server = SshServer(tmp_path_factory.mktemp("sshd"), keys / "plain", keys / "locked")
    yield server
    server.stop()


class Watch:
    """Looks at all processes' arguments and at the temporary files, again and again."""

    def __init__(self, fetch) -> None:
        self.commands: set[str] = set()
        self.contents: set[bytes] = set()
        self._fetch = fetch
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on)

    def look(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                self.commands.add((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        for folder, _, names in os.walk(self._fetch.temporary):
            for name in names:
                with contextlib.suppress(OSError):
                    self.contents.add(Path(folder, name).read_bytes())

    def _go_on(self) -> None:
        while not self._ended.is_set():
            self.look()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def test_a_password_is_seen_by_the_server_alone(serve, fetch, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(login=f"ann:{SECRET}")

    with Watch(fetch) as watch:
        server.observe = watch.look
        fetched = fetch(server.url("etl.git"), username="ann", password=SECRET)

    assert files(fetched) == {"flow.py": "x"}
    assert server.requests[-1].login == f"ann:{SECRET}"
    assert any("git-remote-https" in command or "remote-https" in command for command in watch.commands)
    assert any(b"[core]" in content for content in watch.contents)
    seen = [*watch.commands, *(content.decode(errors="replace") for content in watch.contents), caplog.text]
    kept = [path.read_bytes().decode(errors="replace") for path in fetch.folder.rglob("*") if path.is_file()]
    assert not [text for text in (*seen, *kept) if "marked-3c9f" in text]


def test_a_login_that_is_refused_is_not_repeated(serve, fetch, caplog):
    caplog.set_level(logging.DEBUG)
    server = serve(login="ann:another")

    with pytest.raises(SourceError, match="refuses the login; check the login of git_conn_id") as refused:
        fetch(server.url("etl.git"), username="ann", password=SECRET)

    shown = "".join(traceback.format_exception(refused.value)) + repr(vars(refused.value))
    assert "marked-3c9f" not in shown + caplog.text
    assert "wants a login" in fetch.refused(server.url("etl.git"))


@pytest.mark.parametrize(
    ("variables", "login"),
    [
        ({"GIT_TOKEN": "ghp_abc"}, "ghp_abc:x-oauth-basic"),
        ({"GIT_TOKEN": "github_pat_abc"}, "oauth2:github_pat_abc"),
        ({"GIT_TOKEN": "glpat-abc"}, "oauth2:glpat-abc"),
        ({"GIT_USERNAME": "ann", "GIT_PASSWORD": "word"}, "ann:word"),
        ({"GIT_TOKEN": "ghp_abc", "GIT_USERNAME": "ann", "GIT_PASSWORD": "word"}, "ghp_abc:x-oauth-basic"),
    ],
)
def test_the_environment_logs_in_as_digitalhub_does(serve, fetch, monkeypatch, variables, login):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert files(fetch(serve(login=login).url("etl.git"))) == {"flow.py": "x"}


def test_credentials_that_are_given_win_over_the_environment(serve, fetch, monkeypatch):
    monkeypatch.setenv("GIT_TOKEN", "ghp_abc")
    server = serve(login="oauth2:glpat-abc")

    assert files(fetch(server.url("etl.git"), password="glpat-abc")) == {"flow.py": "x"}
    assert {request.login for request in server.requests} == {None, "oauth2:glpat-abc"}


def test_a_server_that_does_not_ask_gets_no_password(serve, fetch):
    server = serve()
    fetch(server.url("etl.git"), username="ann", password=SECRET)

    assert {request.login for request in server.requests} == {None}


def test_a_redirect_to_another_server_does_not_take_the_password_along(serve, fetch):
    other = serve(login=f"ann:{SECRET}")
    server = serve(redirect=f"https://localhost:{other.port}")

    assert "wants a login" in fetch.refused(server.url("etl.git"), username="ann", password=SECRET)
    assert other.requests
    assert {request.login for request in (*server.requests, *other.requests)} == {None}


def test_credentials_of_one_server_are_not_sent_to_another(serve, fetch):
    server = serve(login=f"ann:{SECRET}")
    url = server.url("etl.git")

    message = fetch.refused(url, username="ann", password=SECRET, host="git.example.org")
    assert f"its server is {server.address}, but the credentials are for git.example.org" in message
    assert not server.requests
    other_port = f"127.0.0.1:{server.port + 1}"
    assert f"are for {other_port}" in fetch.refused(url, password=SECRET, host=other_port)
    for host in (server.address, "127.0.0.1"):
        assert files(fetch(url, username="ann", password=SECRET, host=host)) == {"flow.py": "x"}


def test_over_plain_http_only_a_password_that_was_given_is_sent(serve, fetch, monkeypatch):
    server = serve(authority=None, login="ann:word")
    monkeypatch.setenv("GIT_USERNAME", "ann")
    monkeypatch.setenv("GIT_PASSWORD", "word")

    assert "wants a login" in fetch.refused(server.url("etl.git"))
    assert files(fetch(server.url("etl.git"), username="ann", password="word")) == {"flow.py": "x"}


@pytest.mark.parametrize("text", ["a\nhost=evil.example", "a\r", "a\0"])
def test_a_password_cannot_add_a_line_to_what_git_is_told(fetch, text):
    for credentials in ({"username": text, "password": "b"}, {"username": "b", "password": text}):
        message = fetch.refused("git+https://127.0.0.1:1/etl.git", **credentials)
        assert "holds a line break" in message
        assert text not in message


def test_a_key_opens_a_repository_over_ssh(fetch, repository, sshd, keys):
    with Watch(fetch) as watch:
        fetched = fetch(
            sshd.url(repository.bare, "#main"),
            # As a form sends it: with other line ends, and without the last one.
            private_key=(keys / "plain").read_text().replace("\n", "\r\n").rstrip(),
            known_hosts=sshd.known_hosts,
        )

    assert files(fetched) == {"flow.py": "x"}
    secret = (keys / "plain").read_text().splitlines()[1]
    assert not [command for command in watch.commands if secret in command]


def test_a_key_with_a_passphrase_is_opened(fetch, repository, sshd, keys, caplog):
    caplog.set_level(logging.DEBUG)
    with Watch(fetch) as watch:
        fetched = fetch(
            sshd.url(repository.bare),
            private_key=(keys / "locked").read_text(),
            private_key_passphrase=SECRET,
            known_hosts=sshd.known_hosts,
        )

    assert files(fetched) == {"flow.py": "x"}
    seen = [*watch.commands, *(content.decode(errors="replace") for content in watch.contents), caplog.text]
    assert not [text for text in seen if "marked-3c9f" in text]


def test_without_a_key_the_agent_of_the_user_is_asked(fetch, repository, sshd, keys, tmp_path, monkeypatch):
    socket = tmp_path / "agent"
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL, env=GIT_ENVIRONMENT
    )
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    added = ["ssh-add", "-q", str(keys / "plain")]
    deadline = time.monotonic() + 20
    try:
        while subprocess.run(added).returncode and time.monotonic() < deadline:
            time.sleep(0.05)
        url = sshd.url(repository.bare)

        assert files(fetch(url, known_hosts=sshd.known_hosts)) == {"flow.py": "x"}
        # A key that is given is the only one that is tried.
        other = (keys / "other").read_text()
        refused = fetch.refused(url, known_hosts=sshd.known_hosts, private_key=other)
        assert "does not accept the key" in refused
    finally:
        agent.terminate()
        agent.wait()


def test_files_of_a_key_are_for_their_owner_only(fetch, repository, sshd, keys, monkeypatch):
    modes = {}

    def removed(path, *arguments, **options):
        for file in Path(path).iterdir():
            modes[file.name] = oct(file.stat().st_mode & 0o777)
        return remove(path, *arguments, **options)

    remove = shutil.rmtree
    monkeypatch.setattr("tempfile.TemporaryDirectory.cleanup", lambda self: removed(self.name))
    fetch(
        sshd.url(repository.bare),
        private_key=(keys / "locked").read_text(),
        private_key_passphrase=SECRET,
        known_hosts=sshd.known_hosts,
    )

    assert modes["key"] == modes["known_hosts"] == "0o600"
    assert modes["passphrase"] == "0o700"


def test_keys_and_hosts_that_do_not_fit_are_refused(fetch, repository, sshd, keys):
    url = sshd.url(repository.bare)
    plain, locked = (keys / "plain").read_text(), (keys / "locked").read_text()
    stranger = f"[127.0.0.1]:{sshd.port} {(keys / 'other.pub').read_text()}"

    for credentials, message in [
        ({"private_key": plain, "known_hosts": ""}, "is not among the known hosts"),
        ({"private_key": plain, "known_hosts": stranger}, "shows another host key"),
        ({"private_key": (keys / "other").read_text()}, "does not accept the key for user"),
        ({"private_key": locked}, "does not accept the key for user"),
        ({"private_key": locked, "private_key_passphrase": "wrong"}, "does not accept the key for user"),
        ({"private_key": "no key"}, "the private key cannot be read"),
    ]:
        found = fetch.refused(url, **{"known_hosts": sshd.known_hosts, **credentials})
        assert message in found
        assert "wrong" not in found

    known = {"private_key": plain, "known_hosts": sshd.known_hosts}
    assert "has no repository" in fetch.refused(sshd.url(repository.bare.with_name("other.git")), **known)
    assert "cannot be reached" in fetch.refused("git+ssh://git@127.0.0.1:1/etl.git", **known)


def test_checking_the_host_can_be_switched_off(fetch, repository, sshd, keys):
    fetched = fetch(
        sshd.url(repository.bare), private_key=(keys / "plain").read_text(), strict_host_key_checking=False
    )

    assert files(fetched) == {"flow.py": "x"}


def test_a_server_cannot_have_a_password_shown_by_repeating_it(serve, fetch):
    server = serve(login=f"ann:{SECRET}", repeat=True)

    message = fetch.refused(server.url("etl.git"), username="ann", password=SECRET)

    assert "refuses the login" in message
    assert "remote: ann:*** may not read" in message


def test_secrets_that_a_server_repeats_are_removed_from_its_words(fetch, serve):
    # Git shows what the server says, and a server may say what it was sent.

    credentials = GitCredentials(
        password=SECRET, private_key="-----BEGIN\nabcdef\n", private_key_passphrase="p w"
    )
    said = redaction_of(credentials).text(f"remote: {SECRET} is not valid, nor is 'p w' of abcdef\x1b[31m")
    address = GitAddress.parse("git+https://git.example.org/etl", field="code_src")

    assert explained(said, address) == (
        "git cannot fetch from git.example.org: remote: *** is not valid, nor is '***' of *** [31m"
    )
    assert SECRET not in repr(credentials)
