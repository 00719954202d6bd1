"""Random pipelines of nested blocks, in the declarative form, and the same as handlers in Python."""

from __future__ import annotations

import operator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.references import LoopItem

#: What each function gives: the output's name and its type.
OUTPUTS = {
    "text": (("t", "str"),),
    "number": (("n", "float"), ("f", "Model")),
    "table": (("f", "Dataset"), ("l", "list")),
}
_COMPARED = {"str": st.sampled_from(["a", "it's", ""]), "float": st.sampled_from([0.5, -1, 3])}
_COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def project() -> Project:
    """A project whose functions take any inputs."""
    made = Project("blocks")
    for name, outputs in OUTPUTS.items():
        made.new_function(
            name,
            kind="container",
            image="alpine",
            command=["p", "{{$}}", *(f"$(outputs.{key})" for key, _ in outputs)],
            outputs=dict(outputs),
        )
    return made


@dataclass(frozen=True)
class Value:
    """A value that is there for steps at some place: how it is written, its type, and of which step it is."""

    written: dict[str, Any]
    type: str
    output: str | None = None


@dataclass
class Scope:
    """What is there at a place: values from further out, and those that were written here."""

    outer: list[Value]
    own: list[Value] = field(default_factory=list)

    @property
    def values(self) -> list[Value]:
        return self.outer + self.own

    def written(self) -> st.SearchStrategy[Any]:
        constants = st.sampled_from([1, "text", None, [1, {"a": 2}], {"argument": "url"}])
        return (
            constants | st.sampled_from([value.written for value in self.values])
            if self.values
            else constants
        )


class _Writer:
    def __init__(self, draw: st.DrawFn, claims: bool) -> None:
        self.draw = draw
        self.claims = claims
        self.steps = 0
        self.items = 0

    def members(self, scope: Scope, depth: int) -> list[dict[str, Any]]:
        written = []
        for _ in range(self.draw(st.integers(1, 3))):
            kinds = ["step", "step", "when", "for_each", "on_exit"] if depth and self.steps < 14 else ["step"]
            kind = self.draw(st.sampled_from(kinds))
            written += getattr(self, kind)(scope, depth)
        return written

    def step(self, scope: Scope, _depth: int = 0, *, inputs: bool = True) -> list[dict[str, Any]]:
        self.steps += 1
        name = self.draw(st.sampled_from(["step {}", "condition-{}", "for loop {}"])).format(self.steps)
        function = self.draw(st.sampled_from(sorted(OUTPUTS)))
        step: dict[str, Any] = {"name": name, "function": function}
        if inputs:
            step["inputs"] = self.draw(st.dictionaries(st.sampled_from("abc"), scope.written(), max_size=3))
            scope.own += [
                Value({"from": f"{name}.{key}"}, kind, f"{name}.{key}") for key, kind in OUTPUTS[function]
            ]
            if self.claims and self.draw(st.booleans()):
                spec = {"size": "1Gi", "shared": self.draw(st.booleans())}
                step["volumes"] = [
                    {
                        "volume_type": "persistent_volume_claim",
                        "name": f"v{spec['shared']}".lower(),
                        "mount_path": f"/{spec['shared']}",
                        "spec": spec,
                    }
                ]
        return [step]

    def when(self, scope: Scope, depth: int) -> list[dict[str, Any]]:
        branches: list[dict[str, Any]] = []
        inside: list[Scope] = []
        kinds = self.draw(
            st.sampled_from([["when"], ["when", "else"], ["when", "elif", "else"], ["when", "elif"]])
        )
        for kind in kinds:
            key = "when" if kind == "when" else "otherwise"
            inside.append(Scope(scope.values))
            condition = None if kind == "else" else self.condition(scope)
            branches.append({key: condition, "steps": self.members(inside[-1], depth - 1)})
        if kinds[-1] == "else":
            for kind in ("str", "float", "Model"):
                chosen = [
                    next((value.output for value in branch.own if value.type == kind and value.output), None)
                    for branch in inside
                ]
                if all(chosen):
                    scope.own.append(Value({"one_of": chosen}, kind))
        return branches

    def condition(self, scope: Scope, depth: int = 2) -> dict[str, Any]:
        forms = ["compare", "compare", "all", "any", "not"] if depth else ["compare"]
        form = self.draw(st.sampled_from(forms))
        match form:
            case "all" | "any":
                return {form: [self.condition(scope, depth - 1), self.condition(scope, depth - 1)]}
            case "not":
                return {"not": self.condition(scope, depth - 1)}
        compared = [value for value in scope.values if value.type in _COMPARED]
        is_operator = self.draw(st.sampled_from(sorted(_COMPARE)))
        if not compared:
            return {"left": {"argument": "url"}, "is": is_operator, "right": "x"}
        left = self.draw(st.sampled_from(compared))
        rights = _COMPARED[left.type] | st.sampled_from(
            [value.written for value in compared if value.type == left.type]
        )
        return {"left": left.written, "is": is_operator, "right": self.draw(rights)}

    def for_each(self, scope: Scope, depth: int) -> list[dict[str, Any]]:
        self.items += 1
        item = f"item{self.items}"
        lists = [value.written for value in scope.values if value.type == "list"]
        constants: list[Any] = [
            ["a", "b"],
            [1.5, 2],
            [{"k": "x", "n": 0.5}, {"n": 2, "k": "y"}],
            {"argument": "all"},
        ]
        items = self.draw(st.sampled_from([*constants, *lists]))
        here = []
        if isinstance(items, list) and isinstance(items[0], dict):
            here = [Value({"item": f"{item}.k"}, "str"), Value({"item": f"{item}.n"}, "float")]
        elif isinstance(items, list):
            here = [Value({"item": item}, "str" if isinstance(items[0], str) else "float")]
        else:
            here = [Value({"item": item}, "open")]
        inside = Scope([*scope.values, *here])
        block = {"for_each": items, "as": item, "steps": self.members(inside, depth - 1)}
        if self.draw(st.booleans()):
            block["parallelism"] = self.draw(st.integers(1, 3))
        for value in inside.own:
            if value.output is not None:
                collected = "artifacts" if value.type in {"Model", "Dataset"} else "list"
                scope.own.append(Value({"collected": value.output}, collected))
            elif "collected" in value.written:
                scope.own.append(value)
        return [block]

    def on_exit(self, scope: Scope, depth: int) -> list[dict[str, Any]]:
        (last,) = self.step(scope, inputs=False)
        inside = Scope(scope.values)
        block = {"on_exit": last["name"], "steps": self.members(inside, depth - 1)}
        scope.own += inside.own
        return [last, block]


@dataclass(frozen=True)
class Written:
    """A pipeline in the declarative form."""

    steps: list[dict[str, Any]]
    outputs: dict[str, dict[str, Any]]

    def handler(self) -> Any:
        """Return the same pipeline as a handler in Python."""

        def write(url, all):
            with pipeline_context() as pc:
                replay = _Replay(pc, {"url": url, "all": all})
                replay.members(self.steps, {})
                return {name: replay.value(value, {}) for name, value in self.outputs.items()}

        return write


@st.composite
def pipelines(draw: st.DrawFn, claims: bool = False) -> Written:
    """Random pipelines of steps in blocks, up to three deep; a step refers to earlier ones."""
    writer = _Writer(draw, claims)
    scope = Scope([])
    steps = writer.members(scope, 3)
    given = [value.written for value in scope.own if value.type != "open"]
    outputs = (
        draw(st.dictionaries(st.sampled_from(["first", "second"]), st.sampled_from(given))) if given else {}
    )
    return Written(steps, outputs)


class _Replay:
    """Writes what the declarative form says with the methods of the context."""

    def __init__(self, context: Any, arguments: dict[str, Any]) -> None:
        self.context = context
        self.arguments = arguments
        self.made: dict[str, Any] = {}

    def members(self, members: list[dict[str, Any]], items: dict[str, LoopItem]) -> None:
        for member in members:
            if "name" in member:
                fields = dict(member)
                fields["inputs"] = {
                    key: self.value(value, items) for key, value in member.get("inputs", {}).items()
                }
                self.made[member["name"]] = self.context.step(**fields)
                continue
            with self.block(member, items) as item:
                inner = {**items, member["as"]: item} if item is not None else items
                self.members(member["steps"], inner)

    def block(self, member: dict[str, Any], items: dict[str, LoopItem]) -> Any:
        match member:
            case {"when": condition}:
                return self.context.when(self.condition(condition, items))
            case {"otherwise": None}:
                return self.context.otherwise()
            case {"otherwise": condition}:
                return self.context.otherwise(self.condition(condition, items))
            case {"for_each": given}:
                return self.context.for_each(self.value(given, items), parallelism=member.get("parallelism"))
            case {"on_exit": name}:
                return self.context.on_exit(self.made[name])
        return nullcontext()

    def condition(self, written: dict[str, Any], items: dict[str, LoopItem]) -> Any:
        match written:
            case {"all": [first, second]}:
                return self.condition(first, items) & self.condition(second, items)
            case {"any": [first, second]}:
                return self.condition(first, items) | self.condition(second, items)
            case {"not": negated}:
                return ~self.condition(negated, items)
        left, right = self.value(written["left"], items), self.value(written["right"], items)
        return _COMPARE[written["is"]](left, right)

    def value(self, written: Any, items: dict[str, LoopItem]) -> Any:
        match written:
            case {"from": reference}:
                return self.output(reference)
            case {"argument": name}:
                return self.arguments[name]
            case {"item": name}:
                item, _, key = name.partition(".")
                return items[item][key] if key else items[item]
            case {"collected": reference}:
                return self.context.collected(self.output(reference))
            case {"one_of": references}:
                return self.context.one_of(*map(self.output, references))
        return written

    def output(self, reference: str) -> Any:
        step, _, key = reference.rpartition(".")
        return self.made[step].outputs[key]
