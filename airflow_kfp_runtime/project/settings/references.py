"""Run-time values written as data, in the settings of a pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_kfp_runtime.dsl.pipeline import Pipeline
    from airflow_kfp_runtime.dsl.references import Reference
    from airflow_kfp_runtime.project.settings.place import References


def references_of(pipeline: Pipeline) -> References:
    """Return what makes run-time values of ``{"argument": "cpu"}`` and ``{"from": "step.output"}``.

    :param pipeline: whose arguments and steps they are.
    :return: a function that raises a :class:`SettingError` where there is no such argument or step, and a
        :class:`StepError` where the step has no such output.
    """
    arguments = {argument.name: argument for argument in pipeline.arguments}
    steps = {step.name: step for step in pipeline.steps}

    def reference(written: Mapping[str, Any]) -> Reference:
        if "argument" in written:
            name = written["argument"]
            if name not in arguments:
                raise SettingError(
                    f"there is no argument {name!r}",
                    allowed=list(arguments) or ["none: the pipeline has none"],
                )
            return arguments[name]
        # A step's name may hold dots, the name of an output cannot.
        producer, _, key = str(written["from"]).rpartition(".")
        if producer not in steps:
            raise SettingError(f"there is no step {producer!r}", allowed=steps)
        return steps[producer].outputs[key]

    return reference
