"""The built wheel in a deployment that exists already: nothing changes there, and Airflow finds it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from tests.environments import PROJECT, environment, uv

AIRFLOW = ("apache-airflow==3.3.2", "apache-airflow-providers-cncf-kubernetes==10.25.0")

#: The provider, and those of its dependencies that a deployment may lack, with what they need themselves.
MAY_BE_NEW = {"airflow-kfp-runtime", "pluggy", "gitpython", "gitdb", "smmap"}


class Deployment:
    """An environment with Airflow, as it was before the provider was installed and as it is now."""

    def __init__(self, folder):
        self.folder = folder
        self.python = folder / "venv" / "bin" / "python"
        self.freeze = _uv("pip", "freeze", "--python", environment("airflow-3.3.2", AIRFLOW))
        constraints = folder / "constraints.txt"
        constraints.write_text(self.freeze)
        _uv("build", "--wheel", "--out-dir", folder / "dist", PROJECT)
        (self.wheel,) = (folder / "dist").glob("*.whl")
        _uv("venv", "--python", environment("airflow-3.3.2", AIRFLOW), folder / "venv")
        _uv("pip", "install", "--python", self.python, "--requirements", constraints)
        self.before = self._packages()
        _uv("pip", "install", "--python", self.python, "--constraints", constraints, self.wheel)
        self.after = self._packages()

    def airflow(self, *arguments):
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        variables["AIRFLOW_HOME"] = str(self.folder / "home")
        command = [self.python, "-m", "airflow", *arguments, "--output", "json"]
        done = subprocess.run(
            command, env=variables, cwd=self.folder, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _packages(self):
        listed = json.loads(_uv("pip", "list", "--format", "json", "--python", self.python))
        return {package["name"].lower(): package["version"] for package in listed}


def _uv(*arguments):
    done = subprocess.run([uv(), *map(str, arguments)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"uv {arguments[0]} failed:\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    return Deployment(tmp_path_factory.mktemp("deployment"))


def test_installing_the_provider_changes_no_version(deployment):
    assert deployment.before["apache-airflow"] == "3.3.2"
    assert deployment.before.items() <= deployment.after.items()


def test_installing_the_provider_brings_only_what_it_declares_and_airflow_lacks(deployment):
    new = deployment.after.keys() - deployment.before.keys()

    assert "airflow-kfp-runtime" in new
    assert new <= MAY_BE_NEW


def test_the_environment_is_consistent_afterwards(deployment):
    _uv("pip", "check", "--python", deployment.python)


def test_airflow_lists_the_provider(deployment):
    providers = {provider["package_name"]: provider for provider in deployment.airflow("providers", "list")}

    assert providers["airflow-kfp-runtime"]["version"] == deployment.after["airflow-kfp-runtime"]


def test_airflow_offers_its_connection_type_and_can_import_the_hook(deployment):
    hooks = {hook["connection_type"]: hook for hook in deployment.airflow("providers", "hooks")}

    # Where the import fails, Airflow writes that in place of the class.
    assert hooks["kfp"]["class"] == "airflow_kfp_runtime.hooks.kfp.KfpHook"
    assert hooks["kfp"]["conn_id_attribute_name"] == "kfp_conn_id"


def test_the_wheel_holds_the_package_alone_and_no_module_of_airflow(deployment):
    done = subprocess.run(
        [deployment.python, "-m", "zipfile", "--list", deployment.wheel], capture_output=True, text=True
    )
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]

    assert {name.split("/")[0].split("-")[0] for name in names} == {"airflow_kfp_runtime"}
    assert "airflow_kfp_runtime/py.typed" in names
