"""``@task.kfp_pipeline``: a function that writes steps becomes a task that runs them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.bases.decorator import DecoratedOperator, task_decorator_factory

from airflow_kfp_runtime.errors import DefinitionError
from airflow_kfp_runtime.operators.kfp import KfpPipelineOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from airflow.sdk import Context
    from airflow.sdk.bases.decorator import TaskDecorator


class _KfpPipelineDecoratedOperator(DecoratedOperator, KfpPipelineOperator):
    """The operator behind ``@task.kfp_pipeline``: the call's arguments become the pipeline's."""

    custom_operator_name = "@task.kfp_pipeline"
    template_fields: Sequence[str] = ("op_args", "op_kwargs", *KfpPipelineOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **DecoratedOperator.template_fields_renderers,
        **KfpPipelineOperator.template_fields_renderers,
    }
    shallow_copy_attrs: Sequence[str] = ("python_callable", *KfpPipelineOperator.shallow_copy_attrs)

    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        for name in ("workflow", "steps", "pipeline", "pipeline_version", "arguments"):
            if name in kwargs:
                raise DefinitionError(
                    "cannot be given: the decorated function is the workflow, and the arguments of its call "
                    "are the pipeline's",
                    field=f"@task.kfp_pipeline, {name}",
                )
        super().__init__(
            python_callable=python_callable, kwargs_to_upstream={"workflow": python_callable}, **kwargs
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Run the pipeline with the arguments of the call, which are rendered by now."""
        call = inspect.signature(self.python_callable).bind(*self.op_args, **self.op_kwargs)
        self.arguments = dict(call.arguments)
        return KfpPipelineOperator.execute(self, context)


def kfp_pipeline_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a handler a task, as ``@task.kfp_pipeline`` or ``@task.kfp_pipeline(project=..., ...)``.

    The function is the handler: it opens ``pipeline_context()`` and writes steps. Calling it in a DAG makes
    the task; the arguments of the call, other tasks' outputs among them, become the pipeline's arguments.
    What the task returns is ``{step: {output: value}}``.

    :param python_callable: the handler.
    :param kwargs: parameters of :class:`~airflow_kfp_runtime.operators.kfp.KfpPipelineOperator` but for the
        pipeline and its arguments.

    Example::

        @task.kfp_pipeline(project=project, deferrable=True)
        def training(url: str):
            with pipeline_context() as pc:
                download = pc.step("download", function="downloader", inputs={"url": url})

        training(url=find_url())
    """
    return task_decorator_factory(
        python_callable=python_callable,
        decorated_operator_class=_KfpPipelineDecoratedOperator,
        **kwargs,
    )
