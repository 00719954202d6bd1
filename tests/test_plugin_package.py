"""A plugin from outside: installed from a wheel, found by its entry points, used in a pipeline that runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.embedded_engine import running_server
from tests.environments import PROJECT, uv

PACKAGE = Path(__file__).parent / "plugin_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package installed from its wheel, as it would be beside this one."""
    folder = tmp_path_factory.mktemp("plugin")
    subprocess.run(
        [uv(), "build", "--wheel", "--quiet", "--out-dir", str(folder), str(PACKAGE)], check=True, timeout=300
    )
    [wheel] = folder.glob("*.whl")
    site = folder / "site"
    subprocess.run(
        [uv(), "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)],
        check=True,
        timeout=300,
    )
    return site


def run(installed, *line, **environment):
    return subprocess.run(
        [sys.executable, *line],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(PROJECT)]), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_its_kind_and_its_scheme_make_a_pipeline_that_runs(installed, tmp_path):
    done = run(installed, str(PACKAGE / "greet.py"), XDG_CACHE_HOME=str(tmp_path / "cache"))
    again = run(installed, str(PACKAGE / "greet.py"), XDG_CACHE_HOME=str(tmp_path / "other cache"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == again.stdout

    # The server knows nothing of the plugin: what it gets is a pipeline of KFP.
    with running_server(tmp_path / "data") as server:
        ended = server.run(yaml.safe_load(done.stdout), {"name": 'Ann "$HOME"; exit 1'})

        assert ended.state == "SUCCEEDED", server.log(ended, "hello")
        written = server.tasks(ended)["shout"].outputs["parameters"]
        assert written == {"Output": 'HELLO ANN "$HOME"; EXIT 1!'}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("p.new_function('f', kind='shell')", "function 'f', script: is missing"),
        ("p.new_function('f', kind='shell', scrpt='')", "Allowed: script"),
        ("p.new_function('f', kind='shel', script='')", "'shel' is not a kind of function. Allowed: "),
        ("step('shell', action='job', script='')", "'job' is not an action of kind 'shell'. Allowed: run"),
        ("source('installed://nosuch/f.py')", "there is no installed package 'nosuch'"),
        ("source('installed://acme_kfp/gone.py')", "has no file or folder 'gone.py'. Allowed: installed://"),
        ("source('installed://acme_kfp/../site.py')", "has no file or folder '../site.py'"),
        ("source('instaled://acme_kfp/flows')", "'instaled' is not the scheme of a source. Allowed: "),
        (
            "source('installed://acme_kfp/flows', fetch='pod')",
            "a pod cannot fetch 'installed://acme_kfp/flows'",
        ),
    ],
)
def test_what_is_wrong_is_told_as_it_is_for_built_in_kinds_and_schemes(installed, tmp_path, code, message):
    script = (
        "from airflow_kfp_runtime.compiler import compile_steps\n"
        "from airflow_kfp_runtime.project import Project\n"
        "p = Project('acme')\n"
        "def step(kind, action=None, **fields):\n"
        "    p.new_function('f', kind=kind, **fields)\n"
        "    compile_steps([{'name': 's', 'function': 'f', 'action': action}], name='p', project=p)\n"
        "def source(location, **fields):\n"
        "    step('python', source=location, handler='greeting:shout', **fields)\n"
    )

    done = run(installed, "-c", script + code, XDG_CACHE_HOME=str(tmp_path))

    assert done.returncode == 1
    assert message in done.stderr.splitlines()[-1]


def test_the_page_on_plugins_shows_the_files_that_are_tested():
    page = (PROJECT / "docs" / "plugins.md").read_text(encoding="utf-8")

    shown = dict(re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))

    assert shown == {
        name: (PACKAGE / name).read_text(encoding="utf-8")
        for name in (
            "pyproject.toml",
            "acme_kfp/shell.py",
            "acme_kfp/installed.py",
            "acme_kfp/flows/greeting.py",
            "greet.py",
        )
    }
