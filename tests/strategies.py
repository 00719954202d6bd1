"""Random values and pipelines for the laws that the DSL and the compiler keep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.dsl.json_values import LARGEST_INTEGER
from airflow_kfp_runtime.project import Project

#: Every character but halves of a pair.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTEGERS = st.integers(-LARGEST_INTEGER, LARGEST_INTEGER)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def json_values() -> st.SearchStrategy[Any]:
    """Values that KFP can carry, nested a little."""
    return st.recursive(
        st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
        max_leaves=6,
    )


def project() -> Project:
    """A project whose functions take any inputs (``{{$}}``); see :data:`OUTPUTS` for what they give."""
    made = Project("random")
    for name, outputs in (("plain", {"n": "str"}), ("artifact", {"f": "Dataset"})):
        made.new_function(
            name,
            kind="container",
            image="alpine",
            command=["p", "{{$}}", f"$(outputs.{next(iter(outputs))})"],
            outputs=outputs,
        )
    made.new_function(
        "both",
        kind="container",
        image="alpine",
        command=["p", "{{$}}", "$(outputs.n)", "$(outputs.f)"],
        outputs={"n": "float", "f": "Model"},
    )
    return made


OUTPUTS = {"plain": ("n",), "artifact": ("f",), "both": ("n", "f")}


@dataclass(frozen=True)
class Written:
    """A pipeline in the declarative form, with what the Python form needs besides."""

    steps: list[dict[str, Any]]
    outputs: dict[str, dict[str, str]]
    arguments: list[str]

    def handler(self) -> Any:
        """Return the same pipeline as a handler in Python."""

        def write(**given: Any) -> Any:
            made: dict[str, Any] = {}

            def value(written: Any) -> Any:
                match written:
                    case {"from": reference}:
                        producer, _, key = reference.rpartition(".")
                        return made[producer].outputs[key]
                    case {"argument": name}:
                        return given[name]
                    case _:
                        return written

            with pipeline_context() as pc:
                for step in self.steps:
                    fields = {name: part for name, part in step.items() if name != "after"}
                    for side in ("inputs", "parameters"):
                        fields[side] = {key: value(part) for key, part in step[side].items()}
                    made[step["name"]] = pc.step(**fields).after(*(made[name] for name in step["after"]))
            return {name: value(part) for name, part in self.outputs.items()}

        source = f"def pipeline({', '.join(self.arguments)}): return write(**locals())"
        names: dict[str, Any] = {"write": write}
        exec(source, names)
        return names["pipeline"]


@st.composite
def pipelines(draw: st.DrawFn) -> Written:
    """Random acyclic pipelines of one to seven steps; a step refers to earlier ones."""
    arguments: set[str] = set()
    steps: list[dict[str, Any]] = []
    for position in range(draw(st.integers(1, 7))):
        earlier = [(step["name"], key) for step in steps for key in OUTPUTS[step["function"]]]
        value = json_values() | st.sampled_from(["url", "date"]).map(lambda name: {"argument": name})
        if earlier:
            value |= st.sampled_from(earlier).map(lambda pair: {"from": f"{pair[0]}.{pair[1]}"})
        inputs = draw(st.dictionaries(st.sampled_from("abc"), value, max_size=3))
        parameters = draw(st.dictionaries(st.sampled_from("xyz"), value, max_size=2))
        given = [part for part in (inputs | parameters).values() if isinstance(part, dict)]
        arguments |= {part["argument"] for part in given if part.keys() == {"argument"}}
        steps.append(
            {
                "name": draw(st.sampled_from(["step {}", "Step_{}", "s{}"])).format(position),
                "function": draw(st.sampled_from(sorted(OUTPUTS))),
                "inputs": inputs,
                "parameters": parameters,
                "after": draw(
                    st.lists(st.sampled_from([step["name"] for step in steps]), unique=True, max_size=2)
                    if steps
                    else st.just([])
                ),
            }
        )
    ends = [f"{step['name']}.{key}" for step in steps for key in OUTPUTS[step["function"]]]
    outputs = draw(st.dictionaries(st.sampled_from(["first", "second"]), st.sampled_from(ends)))
    return Written(steps, {name: {"from": end} for name, end in outputs.items()}, sorted(arguments))
