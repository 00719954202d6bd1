"""The outputs of a finished run, by the best of three readers that the server offers.

After KFP 2.17 the tasks API has them; before, ML Metadata does, over gRPC-web; where only the REST API can
be reached, the last workflow manifest has most of them. The run's IR resolves the outputs of nested
pipelines and of the pipeline itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.call import Wait
from airflow_kfp_runtime.client.found_outputs import FoundOutputs
from airflow_kfp_runtime.client.graph import Graph
from airflow_kfp_runtime.client.lagging import PAUSES, lagging_tasks, read_until
from airflow_kfp_runtime.client.manifest_outputs import read_manifest_outputs
from airflow_kfp_runtime.client.metadata import read_metadata_outputs
from airflow_kfp_runtime.client.models import RunState
from airflow_kfp_runtime.client.tasks_api import read_task_outputs
from airflow_kfp_runtime.errors import NotFoundError, ServerError, ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.graph import Outputs
    from airflow_kfp_runtime.client.models import PipelineVersion, Run

T = TypeVar("T")

#: What an unknown path or method answers, through KFP's gateway, a proxy or an older server.
_NOT_OFFERED = (404, 405, 501)

#: Seconds before a service is asked again after it could not answer.
_RETRY_DELAYS = (1.0, 2.0)


class OutputReader(str, Enum):
    """Where outputs were read from."""

    TASKS_API = "tasks API"
    METADATA = "ML Metadata"
    MANIFEST = "workflow manifest"


@dataclass(frozen=True)
class RunOutputs:
    """The outputs of a run.

    :param tasks: by task path (``train``, nested ``outer/inner``, in an iteration ``loop/0/train``) and
        output name: a parameter's value, or an artifact as ``{"uri", "name", "type", "metadata"}``. A task
        without outputs is left out.
    :param pipeline: the pipeline's own outputs by name.
    :param unread: a sentence for each output that exists but could not be read.
    :param reader: where they come from.
    :param passed_over: why the better readers could not be used, a sentence each.
    :param iterations: how many iterations each loop has had, by its path; a loop that never started is left
        out.
    :param declared: the names of the outputs that the IR declares for each task, by its path in the IR.
    :param lagging: the tasks of a run that has succeeded whose rows the server has not brought up to date.
    """

    tasks: Mapping[str, Mapping[str, Any]]
    pipeline: Mapping[str, Any]
    unread: tuple[str, ...] = ()
    reader: OutputReader = OutputReader.TASKS_API
    passed_over: tuple[str, ...] = ()
    iterations: Mapping[str, int] = field(default_factory=dict)
    declared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lagging: tuple[str, ...] = ()


def read_settled_outputs(run_id: str) -> Flow[RunOutputs]:
    """Read the outputs of a run that has succeeded, again for some seconds if the server lags behind.

    :return: as :func:`read_outputs`; where the server has not caught up, ``unread`` says that too.
    :raises ServerError: as :func:`read_outputs`.
    """

    def read() -> Flow[RunOutputs]:
        return (yield from read_outputs((yield calls.get_run(run_id))))

    outputs = yield from read_until(lambda outputs: not outputs.lagging, read)
    if not outputs.lagging:
        return outputs
    sentence = (
        f"The outputs may be incomplete: {sum(PAUSES):g} s after the run had succeeded, the server still "
        f"showed as running, or without outputs: {', '.join(map(repr, outputs.lagging))}."
    )
    return replace(outputs, unread=(*outputs.unread, sentence))


def read_outputs(run: Run) -> Flow[RunOutputs]:
    """Read the outputs of a run that has ended.

    :param run: the run, as :func:`~airflow_kfp_runtime.client.calls.get_run` gives it.
    :return: the outputs; what could not be read is said in ``unread`` and is no error.
    :raises ServerUnavailableError: the API cannot be reached; or ML Metadata cannot, where the other readers
        lack outputs that it may have.
    :raises ServerError: the API refuses.
    """
    graph = yield from _patiently(lambda: _graph(run))
    found: FoundOutputs
    try:
        found = yield from _patiently(lambda: read_task_outputs(run.run_id))
    except ServerError as error:
        if error.status not in _NOT_OFFERED:
            raise
        passed_over: tuple[str, ...] = (_sentence(OutputReader.TASKS_API, error),)
    else:
        return _result(OutputReader.TASKS_API, run, graph, found)
    try:
        found = yield from _patiently(lambda: read_metadata_outputs(run.run_id))
    except ServerError as error:
        passed_over += (_sentence(OutputReader.METADATA, error),)
        outage = error if isinstance(error, ServerUnavailableError) else None
    else:
        return replace(_result(OutputReader.METADATA, run, graph, found), passed_over=passed_over)
    try:
        found = yield from _patiently(lambda: read_manifest_outputs(run.run_id, graph))
    except ServerUnavailableError:
        raise
    except ServerError as error:
        found = FoundOutputs(
            {}, unread=(f"No outputs could be read: {_sentence(OutputReader.MANIFEST, error)}",)
        )
    if outage and found.unread:
        # What an outage hides is no result yet: whoever asks again later gets it.
        raise ServerUnavailableError(
            f"the outputs of run {run.run_id} are not lost, but not all can be read now: ML Metadata cannot "
            f"be reached ({outage}). {found.unread[0]}"
        )
    return replace(_result(OutputReader.MANIFEST, run, graph, found), passed_over=passed_over)


def _graph(run: Run) -> Flow[Graph | None]:
    """Get the run's IR: it is in the run only where it was submitted inline."""
    if run.pipeline_spec:
        return Graph.of(run.pipeline_spec)
    reference = run.pipeline_version_reference
    if reference is None or not reference.pipeline_version_id:
        return None
    try:
        version: PipelineVersion = yield calls.get_pipeline_version(
            reference.pipeline_id, reference.pipeline_version_id
        )
    except NotFoundError:
        return None
    return Graph.of(version.pipeline_spec) if version.pipeline_spec else None


def _patiently(read: Callable[[], Flow[T]]) -> Flow[T]:
    """Read again where the service could not answer: the run is done, and its outputs are worth the wait."""
    for delay in _RETRY_DELAYS:
        try:
            return (yield from read())
        except ServerUnavailableError:  # noqa: PERF203  a repetition is what the loop is for
            yield Wait(delay)
    return (yield from read())


def _result(reader: OutputReader, run: Run, graph: Graph | None, found: FoundOutputs) -> RunOutputs:
    if graph is None:
        sentence = (
            "The outputs of the pipeline and of nested pipelines: the server does not hold the run's IR."
        )
        unread = (*found.unread, sentence)
        return RunOutputs(
            _sorted(found.outputs),
            {},
            unread,
            reader,
            iterations=found.iterations,
            lagging=lagging_tasks(run, None, found.outputs, found.going_on),
        )
    typed = {
        path: {name: graph.typed(path, name, value) for name, value in named.items()}
        for path, named in found.outputs.items()
    }
    pipeline = graph.resolve(typed, found.iterations)
    missing = tuple(
        f"Output {name!r} of the pipeline: no output that it comes from was read."
        for name in graph.pipeline_outputs
        if name not in pipeline and run.state is RunState.SUCCEEDED
    )
    return RunOutputs(
        tasks=_sorted(typed),
        pipeline=pipeline,
        unread=found.unread + missing,
        reader=reader,
        iterations=found.iterations,
        declared=graph.declared,
        lagging=lagging_tasks(run, graph if found.is_complete else None, typed, found.going_on),
    )


def _sorted(outputs: Outputs) -> Outputs:
    return {path: dict(sorted(outputs[path].items())) for path in sorted(outputs) if outputs[path]}


def _sentence(reader: OutputReader, error: ServerError) -> str:
    return f"The {reader.value} was not used: {error}"
