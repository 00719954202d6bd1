"""What the tests of malformed settings share: the references, the shapes, and what a refusal has to say."""

from __future__ import annotations

import pytest

from airflow_kfp_runtime.dsl.references import PipelineArgument
from airflow_kfp_runtime.errors import SettingError
from airflow_kfp_runtime.project import TaskSettings

ARGUMENT = PipelineArgument("given")
LONG = "a" * 64


def volume(volume_type, spec=None, **more):
    """Return one volume as DigitalHub has it, as the only setting."""
    given = {"volume_type": volume_type, "name": "v", "mount_path": "/v", "spec": spec or {}, **more}
    return {"volumes": [{name: part for name, part in given.items() if part is not ...}]}


def kubernetes(source, mount=None, **more):
    """Return one volume as Kubernetes has it, with its mount."""
    return {
        "volumes": [{"name": "v", **source}],
        "volume_mounts": [{"name": "v", "mount_path": "/v"} if mount is None else mount],
        **more,
    }


def claim(**spec):
    """Return a volume with a claim."""
    return volume("persistent_volume_claim", spec)


def required(*terms):
    """Return a node affinity with required terms."""
    return {
        "affinity": {
            "node_affinity": {
                "required_during_scheduling_ignored_during_execution": {"node_selector_terms": list(terms)}
            }
        }
    }


def preferred(*terms):
    """Return a node affinity with preferences."""
    return {"node_affinity": {"preferredDuringSchedulingIgnoredDuringExecution": list(terms)}}


def condition(**parts):
    """Return a term with one condition."""
    return {"match_expressions": [{"key": "zone", "operator": "In", "values": ["a"]} | parts]}


def each_of(malformed):
    """Parametrize a test with settings, the place that is wrong, and a word that the message has."""
    return pytest.mark.parametrize(
        ("written", "place", "word"), malformed, ids=[f"{place}-{word}" for _, place, word in malformed]
    )


def check_refusal(written, place, word):
    """Check that settings are refused with the step, the place and the reason."""
    with pytest.raises(SettingError) as refused:
        TaskSettings.read(written, step="train")

    assert refused.value.step == "train"
    assert refused.value.field == place
    assert word in str(refused.value)
    assert "\n" not in str(refused.value)
