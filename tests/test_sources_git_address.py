"""Addresses of git repositories: what they mean, and which are refused before git sees them."""

from __future__ import annotations

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.git_address import GitAddress

SECRET = "hunter2-secret"


@pytest.mark.parametrize(
    ("location", "url", "ref", "folder"),
    [
        ("git+https://git.example.org/etl.git", "https://git.example.org/etl.git", None, ""),
        ("git+https://git.example.org:8443/a/etl.git/", "https://git.example.org:8443/a/etl.git", None, ""),
        ("GIT+HTTPS://git.example.org/etl", "https://git.example.org/etl", None, ""),
        ("git+https://git.example.org/etl#v1", "https://git.example.org/etl", "v1", ""),
        ("git+https://git.example.org/etl#", "https://git.example.org/etl", None, ""),
        ("git+https://git.example.org/etl#:flows/daily", "https://git.example.org/etl", None, "flows/daily"),
        ("git+https://git.example.org/etl#feature/a:f/", "https://git.example.org/etl", "feature/a", "f"),
        ("git+https://git.example.org/etl#fix#12", "https://git.example.org/etl", "fix#12", ""),
        ("git+https://git.example.org/a%20b/_git/c", "https://git.example.org/a%20b/_git/c", None, ""),
        ("git+http://[::1]:3000/etl", "http://[::1]:3000/etl", None, ""),
        ("git+ssh://git.example.org/etl", "ssh://git@git.example.org/etl", None, ""),
        ("git+ssh://ann@git.example.org:2222/~ann/etl", "ssh://ann@git.example.org:2222/~ann/etl", None, ""),
        ("git://git.example.org/etl", "git://git.example.org/etl", None, ""),
    ],
)
def test_an_address_names_repository_ref_and_folder(location, url, ref, folder):
    address = GitAddress.parse(location, field="code_src")

    assert (address.url, address.ref, address.inside) == (url, ref, folder)


@pytest.mark.parametrize(
    ("location", "problem"),
    [
        (f"git+https://ann:{SECRET}@git.example.org/etl", "holds a user or a password"),
        (f"git+https://ann:{SECRET}/etl", "has no valid host and port"),
        (f"git+https://{SECRET}@git.example.org/etl", "holds a user or a password"),
        (f"git+http://@git.example.org/{SECRET}", "holds a user or a password"),
        (f"git://ann:{SECRET}@git.example.org/etl", "holds a user or a password"),
        (f"git+ssh://git:{SECRET}@git.example.org/etl", "holds a password; SSH logs in by a key"),
        ("git+ssh://-oProxyCommand=touch@git.example.org/etl", "a user that is no plain name"),
        ("git+ssh://-oProxyCommand=touch/etl", "no valid host"),
        ("git+ssh://@git.example.org/etl", "a user that is no plain name"),
        ("git+https://-git.example.org/etl", "no valid host"),
        ("git+https:///etl", "no valid host"),
        ("git+https://git.example.org:0/etl", "no valid host and port"),
        ("git+https://git.example.org:99999/etl", "has no valid host and port"),
        ("git+https://git.example.org:port/etl", "has no valid host and port"),
        ("git+https://[::1/etl", "has no valid host and port"),
        ("git+https://ex ample.org/etl", "a space or a control character"),
        ("git+https://git.example.org/etl\n", "a space or a control character"),
        ("git+https://git.example.org/etl%0ahost=evil.example", "a path with"),
        ("git+https://git.example.org/../etl", "a path with"),
        ("git+https://git.example.org/%2e%2e/etl", "a path with"),
        ("git+https://git.example.org//etl", "a path with"),
        ("git+https://git.example.org/a\\etl", "a path with"),
        ("git+https://git.example.org", "names no repository"),
        ("git+https://git.example.org/#v1", "names no repository"),
        ("git+https://git.example.org/etl?token=" + SECRET, "has a query"),
        ("git+https://git.example.org/etl#--upload-pack=touch", "cannot be the name"),
        ("git+https://git.example.org/etl#a..b", "cannot be the name"),
        ("git+https://git.example.org/etl#main~1", "cannot be the name"),
        ("git+https://git.example.org/etl#main@{1}", "cannot be the name"),
        ("git+https://git.example.org/etl#*", "cannot be the name"),
        ("git+https://git.example.org/etl#main.lock", "cannot be the name"),
        ("git+https://git.example.org/etl#main:../other", "stays in it"),
        ("git+https://git.example.org/etl#main:/etc", "stays in it"),
        ("git+https://git.example.org/etl#main:a//b", "stays in it"),
        ("git+https://git.example.org/etl#main:.git", "stays in it"),
        ("git+https://git.example.org/etl#main:a:b", "':'"),
        ("git+https://git.example.org/etl#main:-a", "begins with '-'"),
        ("git+https:git.example.org/etl", "no address of a git repository"),
        ("git+file:///etc", "no address of a git repository"),
        ("file:///etc", "no address of a git repository"),
        ("ext::sh -c touch% /tmp/x", "a space or a control character"),
        ("ext::touch", "no address of a git repository"),
        ("--upload-pack=touch", "no address of a git repository"),
        ("git@git.example.org:etl.git", "no address of a git repository"),
    ],
)
def test_other_addresses_are_refused_without_repeating_a_secret(location, problem):
    with pytest.raises(SourceError) as refused:
        GitAddress.parse(location, field="code_src")

    assert problem in refused.value.problem
    assert refused.value.field == "code_src"
    assert refused.value.allowed == ("git+https://git.example.org/team/etl.git#v1.2:flows",)
    assert SECRET not in str(refused.value)
