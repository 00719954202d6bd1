"""Steps written in Python: ``with pipeline_context() as pc: pc.step(...)``."""

from __future__ import annotations

import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.open_blocks import OpenBlocks, collected
from airflow_kfp_runtime.dsl.step import (
    STEP_PARAMETERS,
    Step,
    checked_mapping,
    output_names,
    read_settings,
    refuse_unknown,
    task_name,
    value_names,
)
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from types import TracebackType

    from typing_extensions import Self

    from airflow_kfp_runtime.dsl.conditions import Condition
    from airflow_kfp_runtime.dsl.references import Collected, LoopItem, OneOf, Reference, StepOutput
    from airflow_kfp_runtime.project.project import Function
    from airflow_kfp_runtime.project.workflow import Workflow

_open_contexts: ContextVar[list[PipelineContext] | None] = ContextVar("open_contexts", default=None)


class PipelineContext:
    """Collects the steps of one pipeline; made by :func:`pipeline_context`."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}
        self.blocks = OpenBlocks()
        opened = _open_contexts.get()
        if opened is not None:
            opened.append(self)

    def __enter__(self) -> Self:
        """Return the context itself, to call ``step`` on."""
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let an exception of the handler through."""

    @property
    def steps(self) -> list[Step]:
        """The steps so far, in the order in which they were written."""
        return list(self._steps.values())

    @property
    def step_names(self) -> list[str]:
        """The names of the steps so far, in the order in which they were written."""
        return [step.name for step in self._steps.values()]

    def find(self, name: str) -> Step | None:
        """Return the step of that name, or ``None`` where there is none."""
        step = self._steps.get(task_name(name))
        return step if step is not None and step.name == name else None

    def step(
        self,
        name: str,
        *,
        function: str | Function | None = None,
        action: str | None = None,
        inputs: Mapping[str, Any] | None = None,
        outputs: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        values: Sequence[str] | None = None,
        workflow: str | Workflow | None = None,
        function_id: str | None = None,
        workflow_id: str | None = None,
        step_outputs: Mapping[str, str] | Sequence[str] | None = None,
        **settings: Any,
    ) -> Step:
        """Add a step.

        Steps with no data between them run in parallel, unless ``.after()`` orders them.

        :param name: unique in the pipeline; the KFP task has it in lower case, with ``-`` for all that KFP
            does not allow.
        :param function: the function to run: its name in the project, or what ``project.new_function``
            returned.
        :param action: what the function does, one of its kind's actions; by default the kind's first, as
            ``job``.
        :param inputs: the function's arguments that are data: outputs of other steps, arguments of the
            pipeline, or JSON values.
        :param outputs: the function's output by its own name, to the name it has in the workflow
            (``{"result": "dataset"}`` gives ``step.outputs["dataset"]``). A ``.`` becomes ``_``.
        :param parameters: the function's further arguments; the same values as in ``inputs`` are allowed.
        :param values: names for the plain values that the function returns: one for each, in their order
            (those of a named tuple have names already). Without any, a single value is ``Output``.
        :param workflow: another workflow, in place of a function: its name in the project, or what
            ``project.new_workflow`` returned. Its pipeline runs as one task; its arguments are ``inputs``,
            and what its handler returns are ``outputs``. If both are given the function is run, as on a
            DigitalHub platform.
        :param function_id: the function's id on a DigitalHub platform.
        :param workflow_id: the id that the workflow has to have.
        :param step_outputs: another spelling of ``outputs``; also a list, of names that stay as they are.
        :param settings: Kubernetes settings for this step, such as ``resources`` or ``node_selector``, in any
            of the forms of ``docs/settings.md``.
        :return: the step; ``step.outputs["dataset"]`` is an output, ``step.after(other)`` orders.
        :raises StepError: with the step, the field, the value, and what is allowed.
        :raises SettingError: likewise, for a setting.

        Example::

            with pipeline_context() as pc:
                download = pc.step(
                    name="download", function="downloader", inputs={"url": url}, outputs={"data": "data"}
                )
                pc.step(name="train", function="train", inputs={"di": download.outputs["data"]})
        """
        self._check_name(name)
        refuse_unknown(settings, STEP_PARAMETERS, step=name)
        if function is None and workflow is None:
            raise StepError("names neither a function nor a workflow", step=name, field="function")
        if inspect.isfunction(function):
            raise StepError(
                "is a plain Python function: add it with "
                f'project.new_function("{function.__name__}", handler={function.__name__})',
                step=name,
                field="function",
            )
        step = Step(
            context=self,
            name=name,
            function=function,
            function_id=function_id,
            workflow=None if function is not None else workflow,
            workflow_id=workflow_id,
            action=action,
            inputs=checked_mapping(inputs, step=name, field="inputs"),
            parameters=checked_mapping(parameters, step=name, field="parameters"),
            output_names=output_names(name, outputs, step_outputs),
            values=value_names(name, values),
            settings=read_settings(settings, step=name),
            block=self.blocks.current,
        )
        twice = sorted(set(step.inputs) & set(step.parameters))
        if twice:
            raise StepError(f"{twice[0]!r} is an input already", step=name, field=f"parameters[{twice[0]!r}]")
        self._steps[step.task_name] = step
        self.blocks.step_added()
        return step

    def when(self, condition: Condition) -> AbstractContextManager[None]:
        """Open a block whose steps run only if a condition holds.

        :param condition: a comparison (``==``, ``!=``, ``<``, ``<=``, ``>``, ``>=``) of an argument, an
            output or a loop's item with another or with a text, number or truth value; also several, joined
            by ``&`` (and), ``|`` (or) and ``~`` (not).
        :return: a context manager, for ``with``.
        :raises StepError: it is not a condition, or the block has no step.

        Example::

            with pc.when(train.outputs["accuracy"] > 0.9):
                pc.step("deploy", function="deploy", inputs={"model": train.outputs["model"]})
            with pc.otherwise():
                pc.step("report", function="report")
        """
        return self.blocks.when(condition)

    def otherwise(self, condition: Condition | None = None) -> AbstractContextManager[None]:
        """Open a block whose steps run if none of the blocks directly before it do.

        :param condition: run only if this holds as well; ``None`` makes this the last of such blocks.
        :return: a context manager, for ``with``.
        :raises StepError: there is no ``when`` directly before it, or the block has no step.
        """
        return self.blocks.otherwise(condition)

    def for_each(
        self, items: Sequence[Any] | Reference, *, parallelism: int | None = None
    ) -> AbstractContextManager[LoopItem]:
        """Open a block whose steps run once for each item of a list.

        :param items: a list of JSON values of one type, or an argument or output that is a list.
        :param parallelism: how many iterations run at the same time; by default all.
        :return: a context manager that gives the item: an input of the block's steps, alone or in a text;
            where items are mappings, ``item["key"]`` is one part.
        :raises StepError: there are no items, they are of different types, or the block has no step.

        Example::

            with pc.for_each(["north", "south"], parallelism=2) as region:
                train = pc.step("train", function="train", inputs={"region": region})
            pc.step("report", function="report", inputs={"scores": pc.collected(train.outputs["score"])})
        """
        return self.blocks.for_each(items, parallelism)

    def on_exit(self, step: Step) -> AbstractContextManager[None]:
        """Open a block at whose end a step runs, however the block's steps have ended.

        :param step: a step written right before. It can take arguments of the pipeline and constants, and no
            outputs: none may be there.
        :return: a context manager, for ``with``.
        :raises StepError: the step is in another block, ends one already, or the block has no step.
        """
        self._check_own(step, "on_exit")
        return self.blocks.on_exit(step)

    def collected(self, output: StepOutput) -> Collected:
        """Return the list of a step's outputs in all iterations of its loop, for use outside of the loop.

        :param output: an output of a step in a ``for_each``.
        :raises StepError: it is not.
        """
        return collected(output)

    def one_of(self, *outputs: StepOutput) -> OneOf:
        """Return the output of the branch that ran, for use outside of the branches.

        :param outputs: one output of each branch, all of the same type; the last branch is an ``otherwise``
            without a condition.
        :raises StepError: they are not of the branches of one ``when``, or a branch has none.
        """
        return self.blocks.one_of(outputs)

    def _check_own(self, step: object, field: str) -> None:
        if not isinstance(step, Step):
            raise StepError(f"{step!r} is not a step", field=field)
        if step.context is not self:
            raise StepError("belongs to another pipeline_context()", step=step.name, field=field)

    def _check_name(self, name: str) -> None:
        if not isinstance(name, str) or not task_name(name):
            raise StepError(f"{name!r} is not a name: it needs a letter or digit", field="name")
        other = self._steps.get(task_name(name))
        if other is None:
            return
        if other.name == name:
            raise StepError("another step has this name already", step=name, field="name")
        raise StepError(
            f"becomes the KFP task {task_name(name)!r}, as step {other.name!r} does: rename one",
            step=name,
            field="name",
        )


def pipeline_context() -> PipelineContext:
    """Open the context in which a handler writes its steps, as DigitalHub's ``pipeline_context()`` does.

    :return: a context manager whose ``step`` adds a step.
    """
    return PipelineContext()
