"""Git connections: what their fields become for sources, and what is refused."""

from __future__ import annotations

import json

import pytest

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.hooks.sources import ConnectionCredentials
from airflow_kfp_runtime.sources.credentials import GitCredentials

SECRET = "marked-7d21-secret"


@pytest.fixture
def git(monkeypatch):
    """Read a connection of type ``git`` with these fields."""

    def read(**fields: object) -> GitCredentials:
        monkeypatch.setenv("AIRFLOW_CONN_REPOSITORIES", json.dumps({"conn_type": "git", **fields}))
        read = ConnectionCredentials("repositories")
        assert read.s3 is None
        return read.git

    return read


def test_without_connections_the_environment_is_left_to_say_it():
    found = ConnectionCredentials()

    assert (found.git, found.s3) == (None, None)


def test_a_login_for_https_arrives(git):
    read = git(
        host="https://git.example.org/team/etl.git",
        login="ann",
        password=SECRET,
        extra={"ca_certificate": "/certificates/ca.pem", "private_key": "", "ssh_port": ""},
    )

    assert read == GitCredentials(
        username="ann", password=SECRET, ca_certificate="/certificates/ca.pem", host="git.example.org"
    )
    assert SECRET not in repr(read)


def test_a_connection_can_be_a_uri(monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_REPOSITORIES", f"git://:{SECRET}@git.example.org:8443/")

    assert ConnectionCredentials("repositories").git == GitCredentials(
        password=SECRET, host="git.example.org:8443"
    )


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({}, None),
        ({"host": "/srv/repositories/etl.git"}, None),
        ({"host": "~/etl.git"}, None),
        ({"host": "git.example.org"}, "git.example.org"),
        ({"host": "git.example.org:8443/team/etl.git"}, "git.example.org:8443"),
        ({"host": "git.example.org", "port": 8443}, "git.example.org:8443"),
        ({"host": "https://git.example.org:8443/etl", "port": 1}, "git.example.org:8443"),
        ({"host": "https://ann@git.example.org/etl"}, "git.example.org"),
        ({"host": "git@git.example.org:team/etl.git"}, "git.example.org"),
        ({"host": "git+ssh://git@git.example.org:2222/etl"}, "git.example.org:2222"),
    ],
)
def test_the_server_of_the_connection_is_the_only_one_that_gets_its_credentials(git, fields, host):
    assert git(password=SECRET, **fields).host == host


def test_a_key_for_ssh_arrives_as_text(git):
    read = git(
        extra={
            "private_key": SECRET,
            "private_key_passphrase": "the passphrase",
            "known_hosts": "git.example.org ssh-ed25519 AAAA",
            "strict_host_key_checking": "yes",
        }
    )

    assert read == GitCredentials(
        private_key=SECRET,
        private_key_passphrase="the passphrase",
        known_hosts="git.example.org ssh-ed25519 AAAA",
    )
    assert SECRET not in repr(read)
    assert "the passphrase" not in repr(read)


def test_a_key_for_ssh_arrives_from_files(git, tmp_path):
    (tmp_path / "key").write_text("the key\n")
    (tmp_path / "hosts").write_text("the hosts\n")

    read = git(extra={"key_file": str(tmp_path / "key"), "known_hosts_file": str(tmp_path / "hosts")})

    assert (read.private_key, read.known_hosts) == ("the key\n", "the hosts\n")


@pytest.mark.parametrize(
    ("value", "strict"),
    [("yes", True), (True, True), ("", True), ("no", False), ("off", False), (False, False)],
)
def test_checking_of_hosts_is_on_unless_it_is_switched_off(git, value, strict):
    assert git(extra={"strict_host_key_checking": value}).strict_host_key_checking is strict


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"conn_type": "kfp"}, "connection 'repositories': is of type 'kfp', not 'git'"),
        ({"extra": {"branch": "main"}}, "extra: 'branch' is unknown. Allowed: ca_certificate, key_file"),
        ({"extra": {"ssh_port": 2222}}, "ssh_port: is not supported: write the port into the address"),
        ({"extra": {"ssh_config_file": "f"}}, "ssh_config_file: is not supported: no configuration of ssh"),
        ({"extra": {"host_proxy_cmd": "nc"}}, "host_proxy_cmd: is not supported: it would run a program"),
        ({"extra": {"github_app_id": "1"}}, "github_app_id: is not supported: give a token"),
        ({"extra": {"github_installation_id": "1"}}, "github_installation_id: is not supported"),
        ({"extra": {"private_key": SECRET, "key_file": "f"}}, "private_key: there is key_file as well"),
        ({"extra": {"known_hosts": "h", "known_hosts_file": "f"}}, "known_hosts: there is known_hosts_file"),
        ({"extra": {"key_file": "/no/such"}}, "key_file: '/no/such' cannot be read on this machine: No such"),
        ({"extra": {"key_file": "/bin/sh"}}, "key_file: '/bin/sh' cannot be read on this machine: it is no"),
        ({"extra": {"private_key": {"a": SECRET}}}, "private_key: is a dict, not a text"),
        ({"extra": {"strict_host_key_checking": "accept-new"}}, "'accept-new' trusts whatever answers first"),
        ({"extra": {"strict_host_key_checking": "ask"}}, "'ask' trusts whatever answers first"),
        ({"extra": {"strict_host_key_checking": 3}}, "3 is unknown. Allowed: yes, no"),
        ({"host": f"https://ann:{SECRET}@git.example.org/etl"}, "host: holds a password; give it as login"),
        ({"host": "https:///etl"}, "host: names no server"),
    ],
)
def test_what_is_wrong_with_a_git_connection_is_said_without_its_secrets(git, fields, message):
    with pytest.raises(DefinitionError) as refused:
        git(**{"password": SECRET, **fields})

    assert message in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_connection_that_is_missing_is_named():
    from airflow.exceptions import AirflowNotFoundException

    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        _ = ConnectionCredentials(git_conn_id="nowhere").git
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        _ = ConnectionCredentials(aws_conn_id="nowhere").s3


def test_a_connection_that_no_source_needs_is_not_read(git):
    read = ConnectionCredentials("repositories", "nowhere")

    git(login="ann", password=SECRET)

    assert read.git.username == "ann"
