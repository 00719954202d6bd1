"""ML Metadata's messages: their bytes are fixed, so that client, server and the real service agree.

The expected bytes were written by ML Metadata's own generated code from ``metadata_store.proto`` (1.14).
"""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_kfp_runtime.client import metadata_messages as ml
from tests.environments import PROJECT, environment


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            ml.GetContextByTypeAndNameRequest(type_name="system.PipelineRun", context_name="r"),
            b"\n\x12system.PipelineRun\x12\x01r",
        ),
        (ml.GetEventsByExecutionIDsRequest(execution_ids=[1, 300]), b"\x08\x01\x08\xac\x02"),
        (
            ml.GetEventsByExecutionIDsResponse(
                events=[
                    ml.Event(
                        artifact_id=7,
                        execution_id=3,
                        type=ml.EventType.OUTPUT,
                        path=ml.EventPath(steps=[ml.EventPathStep(key="model")]),
                    )
                ]
            ),
            b"\n\x11\x08\x07\x10\x03\x1a\t\n\x07\x12\x05model \x04",
        ),
        (
            ml.GetExecutionsByContextRequest(
                context_id=5, options=ml.ListOperationOptions(max_result_size=100, next_page_token="t")
            ),
            b"\x08\x05\x12\x05\x08d\x1a\x01t",
        ),
        (
            ml.Artifact(
                id=1, type_id=2, uri="s3://x", name="n", type="system.Model", state=ml.ArtifactState.LIVE
            ),
            b"\x08\x01\x10\x02\x1a\x06s3://x0\x02:\x01nB\x0csystem.Model",
        ),
        (
            ml.Execution(
                id=3, last_known_state=ml.ExecutionState.COMPLETE, custom_properties={"n": ml.value(True)}
            ),
            b"\x08\x03\x18\x03*\x07\n\x01n\x12\x020\x01",
        ),
        (ml.Context(id=1, name="r", type="t"), b"\x08\x01\x1a\x01r2\x01t"),
    ],
)
def test_a_message_has_the_bytes_of_the_official_one(message, expected):
    assert message.SerializeToString(deterministic=True) == expected
    assert type(message).FromString(expected) == message


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_a_mapping_survives_as_a_struct(mapping):
    assert ml.content(ml.Value.FromString(ml.value(mapping).SerializeToString())) == mapping


@pytest.mark.parametrize("content", ["text", 3, 2.5, True, {}])
def test_a_property_keeps_its_type(content):
    read = ml.content(ml.value(content))

    assert (read, type(read)) == (content, type(content))


def test_a_value_that_holds_nothing_is_none():
    assert ml.content(ml.Value()) is None


def test_bytes_that_are_no_message_are_refused_as_a_value_error():
    with pytest.raises(ValueError, match="not a Artifact"):
        ml.read(ml.Artifact, b"\x08")


def test_fields_that_are_not_declared_here_pass_through():
    newer = ml.Context(id=1).SerializeToString() + b"\xa2\x06\x01x"

    assert ml.Context.FromString(newer).SerializeToString() == newer


CONTEXT = b"\x08\x01\x1a\x01r2\x01t"
PROGRAM = """
import google.protobuf
from airflow_kfp_runtime.client import metadata_messages as ml
held = {"rows": 3, "list": [1, "a", None, True], "deep": {"x": 0.5}}
execution = ml.Execution(id=3, last_known_state=ml.ExecutionState.COMPLETE)
execution.custom_properties["outputs"].CopyFrom(ml.value(held))
read = ml.Execution.FromString(execution.SerializeToString())
assert ml.content(read.custom_properties["outputs"]) == held
print(google.protobuf.__version__, ml.Context(id=1, name="r", type="t").SerializeToString())
"""


@pytest.mark.parametrize("version", ["4.21.12", "4.25.8", "5.29.5", "7.34.1"])
def test_the_messages_work_with_each_protobuf_from_4_to_7(version):
    python = environment(f"protobuf-{version}", (f"protobuf=={version}",))
    done = subprocess.run(
        [str(python), "-c", PROGRAM], capture_output=True, text=True, env={"PYTHONPATH": str(PROJECT)}
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{version} {CONTEXT!r}\n"
