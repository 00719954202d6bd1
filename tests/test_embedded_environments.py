"""What a task installs is found in its command line; its variables are few and lead nowhere else."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from airflow_kfp_runtime.embedded.engine.artifacts import WorkingPlace
from airflow_kfp_runtime.embedded.engine.environments import Environments, Installs, PackagesError

SDK = """
if ! [ -x "$(command -v pip)" ]; then
    python3 -m ensurepip || python3 -m ensurepip --user || apt-get install python3-pip
fi

PIP_DISABLE_PIP_VERSION_CHECK=1 python3 -m pip install --quiet 'six==1.16.0'  &&  python3 -m pip install \
 --quiet 'kfp==2.17.0' '--no-deps' 'typing-extensions>=3.7.4,<5; python_version<"3.9"' && "$0" "$@"
"""


def test_the_installs_of_an_sdk_component_are_found():
    assert Installs.of(["sh", "-c", SDK, "sh", "-ec", "python3 -m main", "source"]) == Installs(
        beforehand=(
            ("--quiet", "six==1.16.0"),
            ("--quiet", "kfp==2.17.0", "--no-deps", 'typing-extensions>=3.7.4,<5; python_version<"3.9"'),
        )
    )


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        (["python3", "-m", "pip", "install", "a"], ("a",)),
        (["/usr/bin/pip3", "install", "a>=1", "b"], ("a>=1", "b")),
        (["bash", "-exc", "pip install a # not b; c"], ("a", "#", "not", "b")),
        (["sh", "-c", "pip install \\\n  a\npython3 x.py"], ("a",)),
        (["sh", "-c", "(X=1 exec python3.11 -m pip install a)"], ("a",)),
    ],
)
def test_other_ways_to_install_are_found(line, arguments):
    assert Installs.of(line).beforehand == (arguments,)


@pytest.mark.parametrize(
    "script",
    [
        "pip install -r requirements.txt",
        "pip install $NAME",
        "pip install .",
        "cat <<EOF\nit's\nEOF\npip install a",
    ],
)
def test_what_only_the_task_can_install_is_left_to_it(script):
    installs = Installs.of(["sh", "-c", script])

    assert installs
    assert installs.by_itself == (script,)
    assert installs.beforehand == ()


@pytest.mark.parametrize(
    "line", [["python3", "-c", "# pip install a"], ["echo", "pip install a"], ["sh", "-c", "pip list"], []]
)
def test_other_lines_install_nothing(line):
    assert not Installs.of(line)


class Recorder:
    """Keeps what is run; runs it for real, or but for the environment itself answers with a status."""

    def __init__(self, status=None):
        self.status = status
        self.commands = []

    def __call__(self, arguments):
        self.commands.append(list(arguments))
        if self.status is not None and "venv" not in arguments:
            return self.status
        return subprocess.run(arguments, capture_output=True, timeout=100).returncode


def test_a_bare_environment_is_made_once_and_is_not_the_servers(tmp_path):
    run = Recorder()
    environments = Environments(tmp_path)

    programs = environments.ready(Installs(), {}, run)
    again = environments.ready(Installs(), {"PIP_INDEX_URL": "x"}, run)

    assert programs == again
    assert len(run.commands) == 1
    code = "import sys; print(sys.prefix)"
    prefix = subprocess.check_output([programs / "python3", "-c", code], text=True).strip()
    assert Path(prefix) == programs.parent != Path(sys.prefix)
    assert subprocess.run([programs / "python3", "-c", "import pip"], capture_output=True).returncode


def test_threads_that_need_the_same_environment_wait_for_the_one_that_makes_it(tmp_path):
    run = Recorder()
    threads = [
        threading.Thread(target=Environments(tmp_path).ready, args=(Installs(), {}, run)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(run.commands) == 1


def test_an_environment_that_could_not_be_made_is_tried_again(tmp_path):
    environments = Environments(tmp_path)

    with pytest.raises(PackagesError, match="venv"):
        environments.ready(Installs(), {}, lambda _: 1)

    assert (environments.ready(Installs(), {}, Recorder()) / "python3").exists()


def test_a_failing_install_is_an_error_with_its_status(tmp_path):
    commands = []

    def run(arguments):
        commands.append(arguments)
        return 4 if "install" in arguments else 0

    with pytest.raises(PackagesError, match="exit status 4"):
        Environments(tmp_path).ready(Installs(beforehand=(("a",),)), {}, run)

    assert commands[-1][1:] == ["-m", "pip", "install", "a"]


def test_environments_differ_by_what_is_asked_for(tmp_path):
    environments, run = Environments(tmp_path), Recorder(status=0)
    asked = [(("a",),), (("a",), ("b",)), (("b",),)]

    folders = {environments.ready(Installs(beforehand=each), {}, run) for each in asked}
    folders.add(environments.ready(Installs(beforehand=asked[0]), {"PIP_INDEX_URL": "x"}, run))

    assert len(folders) == 4


def test_variables_of_the_server_are_not_passed_but_for_a_few(tmp_path):
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").touch()
    server = {
        "PATH": f"{venv}/bin:/usr/bin",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AIRFLOW_HOME": "/x",
        "TZ": "UTC",
        "https_proxy": "http://proxy",
        "PIP_INDEX_URL": "https://mirror",
        "PIP_TARGET": "/elsewhere",
        "HOME": str(tmp_path),
    }
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").touch()

    variables = Environments(tmp_path).variables(Path("/env/bin"), WorkingPlace(Path("/task")), server)

    assert variables["PATH"] == "/env/bin:/usr/bin"
    assert (variables["TZ"], variables["https_proxy"]) == ("UTC", "http://proxy")
    assert variables["PIP_INDEX_URL"] == "https://mirror"
    assert variables["PIP_CONFIG_FILE"] == str(tmp_path / ".config" / "pip" / "pip.conf")
    assert (variables["HOME"], variables["TMPDIR"]) == ("/task/home", "/task/tmp")
    assert variables["PIP_REQUIRE_VIRTUALENV"] == "1"
    assert variables["PIP_CACHE_DIR"] == str(tmp_path / ".cache" / "pip")
    assert not {"AWS_SECRET_ACCESS_KEY", "AIRFLOW_HOME", "PIP_TARGET"} & variables.keys()


def test_pip_keeps_its_cache_with_the_environments_where_the_user_has_none(tmp_path):
    variables = Environments(tmp_path / "environments").variables(
        None, WorkingPlace(tmp_path), {"HOME": str(tmp_path / "missing")}
    )

    assert variables["PIP_CACHE_DIR"] == str(tmp_path / "environments" / "pip-cache")
