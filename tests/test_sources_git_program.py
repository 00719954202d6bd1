"""Running git: its bounds, with aliases that make it run what goes over them."""

from __future__ import annotations

import time

import pytest

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.git_program import GitFailedError, GitProgram
from tests.git_fetching import fetching


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Make a program whose command ``alias`` is a line of shell."""
    made = fetching(tmp_path, monkeypatch)

    def program(
        line: str, *, largest: int = 10_000_000, timeout: float = 30.0, **environment: str
    ) -> GitProgram:
        return GitProgram(
            folder=made.temporary,
            environment=environment,
            configuration={"alias.line": f"!{line}"},
            largest=largest,
            timeout=timeout,
            deadline=time.monotonic() + timeout,
            field="code_src",
        )

    yield program
    assert not made.left_processes()


def test_output_is_returned(program):
    assert program("echo out; echo error >&2").run("line") == "out\n"


def test_its_environment_with_the_password_is_not_shown(program):
    assert "hunter2" not in repr(program("true", PASSWORD="hunter2"))


def test_a_failure_has_the_end_of_what_it_wrote(program):
    with pytest.raises(GitFailedError) as failed:
        program("seq 100000 >&2; echo the end >&2; exit 3").run("line")

    assert failed.value.output.endswith("\n100000\nthe end\n")
    assert len(failed.value.output) <= 16 * 1024


def test_the_environment_is_its_own(program, monkeypatch):
    monkeypatch.setenv("GIT_INDEX_FILE", "inherited")
    monkeypatch.setenv("GIT_DIR", "inherited")
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")

    assert (
        program('echo "$GIT_INDEX_FILE$SSH_ASKPASS_REQUIRE-$GIT_DIR"', GIT_DIR="own").run("line") == "-own\n"
    )


@pytest.mark.parametrize(
    ("line", "bounds", "message"),
    [
        ("sleep 1000 & sleep 1000", {"timeout": 0.3}, "ended after 0.3 seconds"),
        ("trap '' TERM; sleep 1000 & wait", {"timeout": 0.3}, "ended after 0.3 seconds"),
        ("yes > growing", {"largest": 1_000_000}, "takes more than 1000000 bytes"),
        ("head -c 2000000 /dev/zero > grown", {"largest": 1_000_000}, "takes more than 1000000 bytes"),
        ("yes & yes", {}, "more branches, tags or files"),
        ("yes >&2 & yes > growing", {"largest": 1_000_000}, "takes more than 1000000 bytes"),
    ],
)
def test_what_goes_over_a_bound_is_ended_with_all_that_it_started(program, line, bounds, message):
    with pytest.raises(SourceError, match=message):
        program(line, **bounds).run("line")


def test_what_a_command_leaves_running_is_ended(program):
    assert program("(sleep 1000 &) ; echo done").run("line") == "done\n"
