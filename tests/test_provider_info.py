"""The provider's metadata is what Airflow expects, and every name in it exists."""

from __future__ import annotations

import json
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files

import jsonschema
import pytest

from airflow_kfp_runtime.provider_info import get_provider_info

INFO = get_provider_info()


def resolve(path: str) -> object:
    module, name = path.rsplit(".", 1)
    return getattr(import_module(module), name)


def test_it_is_valid_against_the_schema_of_airflow():
    schema = json.loads((files("airflow") / "provider_info.schema.json").read_text())

    jsonschema.validate(INFO, schema)


def test_the_entry_point_leads_to_it():
    found = [
        entry
        for entry in entry_points(group="apache_airflow_provider")
        if entry.value.startswith("airflow_kfp_runtime.")
    ]

    assert [entry.load()() for entry in found] == [INFO]


def test_every_class_that_it_names_exists():
    names = [
        *INFO["extra-links"],
        *(entry["hook-class-name"] for entry in INFO["connection-types"]),
        *(entry["class-name"] for entry in INFO["task-decorators"]),
    ]

    assert all(callable(resolve(name)) for name in names)


@pytest.mark.parametrize("kind", ["operators", "hooks", "triggers"])
def test_every_module_that_it_names_exists(kind):
    for entry in INFO[kind]:
        for module in entry["python-modules"]:
            import_module(module)


def test_airflow_shows_the_section_of_its_configuration():
    from airflow.providers_manager import ProvidersManager

    assert dict(ProvidersManager().provider_configs)["airflow-kfp-runtime"].keys() == {"kfp"}
    profiles = INFO["config"]["kfp"]["options"]["profiles"]
    assert json.loads(profiles["example"]).keys() == {"1xa100"}


def test_airflow_finds_the_connection_type_the_link_and_the_decorator(airflow_database):
    from airflow.providers_manager import ProvidersManager

    manager = ProvidersManager()

    assert manager.hooks["kfp"].hook_name == "Kubeflow Pipelines"
    assert "airflow_kfp_runtime.links.kfp.KfpRunLink" in manager.extra_links_class_names
    assert "kfp_pipeline" in {name for name, _ in manager.taskflow_decorators.items()}
