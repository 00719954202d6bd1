"""The tasks of a pipeline's IR and how values flow between them, as far as reading a run's outputs needs
it.

The path of a task in a run has the index of the iteration after the name of a loop (``loop/0/train``); in the
IR it has none (``loop/train``). What takes a path here takes one of a run, and so one of the IR only where no
loop is around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_kfp_runtime.client.values import typed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Outputs by task path (``train``, nested ``outer/inner``) and name.
Outputs: TypeAlias = dict[str, dict[str, Any]]

#: The path of the pipeline itself.
ROOT = ""


@dataclass(frozen=True)
class Source:
    """An output of a task."""

    path: str
    output: str


@dataclass(frozen=True)
class Task:
    """A task of the pipeline, or with the path ``""`` the pipeline itself.

    :param spec: its ``PipelineTaskSpec``.
    :param component: its ``ComponentSpec``.
    """

    path: str
    spec: Mapping[str, Any]
    component: Mapping[str, Any]

    @property
    def dag(self) -> Mapping[str, Any] | None:
        """The tasks inside, ``None`` for one that runs a container."""
        return self.component.get("dag")

    @property
    def is_loop(self) -> bool:
        """Whether it stands for a number of iterations that only the run knows."""
        return "parameterIterator" in self.spec or "artifactIterator" in self.spec

    @property
    def is_conditional(self) -> bool:
        """Whether a condition decides if it is run."""
        return "condition" in self.spec.get("triggerPolicy", {})

    @property
    def parameter_types(self) -> dict[str, str]:
        """The types of its output parameters, such as ``NUMBER_INTEGER``, by name."""
        declared = self.component.get("outputDefinitions", {}).get("parameters", {})
        return {name: spec.get("parameterType", "STRING") for name, spec in declared.items()}

    @property
    def artifact_types(self) -> dict[str, str]:
        """The types of its output artifacts, such as ``system.Model``, by name."""
        declared = self.component.get("outputDefinitions", {}).get("artifacts", {})
        return {
            name: spec.get("artifactType", {}).get("schemaTitle", "system.Artifact")
            for name, spec in declared.items()
        }

    def input_source(self, name: str) -> Mapping[str, Any]:
        """Return where the input ``name`` comes from, as the IR says it."""
        inputs = self.spec.get("inputs", {})
        found: Mapping[str, Any] = {
            **inputs.get("artifacts", {}).get(name, {}),
            **inputs.get("parameters", {}).get(name, {}),
        }
        return found

    def output_sources(self) -> Iterator[tuple[str, list[Source]]]:
        """For a DAG, yield each output and the outputs of its tasks that it may come from, in order.

        The paths are those inside the DAG.
        """
        outputs = (self.dag or {}).get("outputs", {})
        for name, spec in outputs.get("parameters", {}).items():
            one = spec.get("valueFromParameter")
            selectors = [one] if one else spec.get("valueFromOneof", {}).get("parameterSelectors", [])
            yield name, [_inside(selector, "outputParameterKey") for selector in selectors]
        for name, spec in outputs.get("artifacts", {}).items():
            yield (
                name,
                [_inside(selector, "outputArtifactKey") for selector in spec.get("artifactSelectors", [])],
            )


def _inside(selector: Mapping[str, Any], key: str) -> Source:
    return Source(selector.get("producerSubtask", ""), selector.get(key, ""))


@dataclass(frozen=True)
class Graph:
    """A pipeline's tasks by path; each comes before those inside it."""

    tasks: Mapping[str, Task] = field(default_factory=dict)

    @classmethod
    def of(cls, pipeline_spec: Mapping[str, Any]) -> Graph:
        """Read an IR, alone or with its platform spec beside it (``{"pipeline_spec": ..., "platform_spec":
        ...}``).
        """
        spec = pipeline_spec.get("pipeline_spec", pipeline_spec)
        components = spec.get("components", {})
        tasks: dict[str, Task] = {}

        def add(task: Task, around: tuple[str, ...]) -> None:
            tasks[task.path] = task
            for name, inner in (task.dag or {}).get("tasks", {}).items():
                component = inner.get("componentRef", {}).get("name", "")
                # A component inside itself cannot run; it would never end here either.
                if component not in around:
                    found = Task(join(task.path, name), inner, components.get(component, {}))
                    add(found, (*around, component))

        add(Task(ROOT, {}, spec.get("root", {})), ())
        return cls(tasks)

    @property
    def pipeline_outputs(self) -> list[str]:
        """The names of the pipeline's own outputs."""
        return [name for name, _ in self.tasks[ROOT].output_sources()]

    @property
    def declared(self) -> dict[str, tuple[str, ...]]:
        """The names of the outputs of each task, by its path in the IR."""
        return {
            path: (*task.parameter_types, *task.artifact_types) for path, task in self.tasks.items() if path
        }

    @property
    def certain(self) -> list[str]:
        """The paths of the tasks with a container that every run which succeeds has run.

        A task in a branch or a loop is none of them, nor one that depends on a branch or a loop.
        """

        def inside(around: Task) -> Iterator[str]:
            dag: dict[str, Any] = (around.dag or {}).get("tasks", {})
            found = {name: self.tasks.get(join(around.path, name)) for name in dag}
            uncertain = {
                name for name, task in found.items() if task is None or task.is_conditional or task.is_loop
            }
            # Along the edges, until no further task follows.
            while followers := {
                name
                for name in dag.keys() - uncertain
                if not uncertain.isdisjoint(dag[name].get("dependentTasks", ()))
            }:
                uncertain |= followers
            for name, task in found.items():
                if task is not None and name not in uncertain:
                    yield from [task.path] if task.dag is None else inside(task)

        return list(inside(self.tasks[ROOT])) if ROOT in self.tasks else []

    def task(self, path: str) -> Task | None:
        """Return the task that a path of a run names; an iteration (``loop/0``) is that of its loop."""
        return self.tasks.get(self._in_the_ir(path)[0])

    def source(self, path: str, input_name: str) -> Source | None:
        """Return the task output that an input gets its value from; ``None`` if it is no task's output."""
        task = self.task(path)
        if task is None or path == ROOT:
            return None
        given = task.input_source(input_name)
        if "parameterExpressionSelector" in given:
            return None
        around = parent(parent(path)) if self._is_iteration(path) else parent(path)
        for kind, key in (
            ("taskOutputParameter", "outputParameterKey"),
            ("taskOutputArtifact", "outputArtifactKey"),
        ):
            if kind in given:
                producer = given[kind].get("producerTask", "")
                return Source(join(around, producer), given[kind].get(key, ""))
        outer = given.get("componentInputParameter") or given.get("componentInputArtifact")
        return self.source(around, outer) if outer else None

    def put(self, outputs: Outputs, source: Source, value: Any) -> None:
        """Record an output, and for a DAG's or a loop's also the outputs inside that it comes from."""
        outputs.setdefault(source.path, {})[source.output] = value
        for inner, part in self.parts(source, value):
            self.put(outputs, inner, part)

    def parts(self, source: Source, value: Any) -> Iterator[tuple[Source, Any]]:
        """Yield the outputs inside a DAG or a loop that one of its outputs is made of, with their values.

        One-of is left out, since it does not tell which, and so is a list of lists that KFP has made flat.
        """
        task = self.task(source.path)
        sources = dict(task.output_sources()) if task else {}
        inside = sources.get(source.output, [])
        if task is None or len(inside) != 1:
            return
        if not task.is_loop or self._is_iteration(source.path):
            yield Source(join(source.path, inside[0].path), inside[0].output), value
        elif isinstance(value, list) and not self._is_gathered(task, inside[0]):
            for index, part in enumerate(value):
                yield Source(join(source.path, str(index)), source.output), part

    def resolve(self, outputs: Outputs, iterations: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Add to ``outputs`` those of the DAGs and loops, and return the outputs of the pipeline.

        :param iterations: how many iterations each loop has had, by its path.
        """
        if ROOT in self.tasks:
            self._resolve_dag(ROOT, self.tasks[ROOT], outputs, iterations or {})
        return outputs.pop(ROOT, {})

    def typed(self, path: str, output: str, value: Any) -> Any:
        """Return the value of a task's output parameter in its declared type; anything else as it is.

        What an iteration hands on has no type: the one that is declared is that of the loop.
        """
        task = self.task(path)
        if task is None or self._is_iteration(path):
            return value
        return typed(task.parameter_types.get(output, ""), value)

    def _resolve_dag(self, path: str, task: Task, outputs: Outputs, iterations: Mapping[str, int]) -> None:
        for name in (task.dag or {}).get("tasks", {}):
            inner = self.tasks.get(join(task.path, name))
            if inner is not None and inner.dag is not None:
                resolve = self._resolve_loop if inner.is_loop else self._resolve_dag
                resolve(join(path, name), inner, outputs, iterations)
        for name, sources in task.output_sources():
            for source in reversed(sources):
                found = outputs.get(join(path, source.path), {})
                if source.output in found:
                    outputs.setdefault(path, {})[name] = found[source.output]

    def _resolve_loop(self, path: str, task: Task, outputs: Outputs, iterations: Mapping[str, int]) -> None:
        if path not in iterations:
            return
        each = [join(path, str(index)) for index in range(iterations[path])]
        for iteration in each:
            self._resolve_dag(iteration, task, outputs, iterations)
        for name, sources in task.output_sources():
            values = [outputs[one][name] for one in each if name in outputs.get(one, {})]
            if len(values) == len(each):
                flat = any(self._is_gathered(task, source) for source in sources)
                items = [item for value in values for item in value] if flat else values
                outputs.setdefault(path, {})[name] = items

    def _is_gathered(self, task: Task, source: Source) -> bool:
        """Whether an output inside a DAG is the list that a loop has gathered (KFP makes one flat list)."""
        inner = self.tasks.get(join(task.path, source.path))
        if inner is None:
            return False
        return inner.is_loop or any(
            self._is_gathered(inner, deeper)
            for name, sources in inner.output_sources()
            if name == source.output
            for deeper in sources
        )

    def _is_iteration(self, path: str) -> bool:
        return self._in_the_ir(path)[1]

    def _in_the_ir(self, path: str) -> tuple[str, bool]:
        """Return a path of a run as it is in the IR, and whether it is that of an iteration."""
        found = ROOT
        after_loop = False
        for name in path.split("/") if path else ():
            if after_loop and name.isdecimal():
                after_loop = False
                is_iteration = True
                continue
            is_iteration = False
            found = join(found, name)
            task = self.tasks.get(found)
            after_loop = task is not None and task.is_loop
        return found, bool(path) and is_iteration


def join(path: str, name: str) -> str:
    """Return the path of the task ``name`` inside the one at ``path``."""
    return f"{path}/{name}" if path else name


def parent(path: str) -> str:
    """Return the path of the DAG around a task."""
    return path.rpartition("/")[0]
