"""The operator that runs a pipeline on Kubeflow Pipelines."""

from __future__ import annotations

import time
from collections.abc import Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.configuration import conf
from airflow.sdk import BaseOperator
from airflow.sdk.definitions.template import literal  # Airflow 3.0 has it only there.

from airflow_kfp_runtime.hooks.kfp import KfpHook
from airflow_kfp_runtime.links.kfp import KfpRunLink
from airflow_kfp_runtime.operators.checks import check_one_given, check_policy, check_types, seconds_above_0
from airflow_kfp_runtime.operators.deadline import earliest, of_run, of_try
from airflow_kfp_runtime.operators.exceptions import (
    AirflowNotFoundException,
    AirflowRuntimeError,
    AirflowTaskTimeout,
)
from airflow_kfp_runtime.operators.identity import TaskIdentity
from airflow_kfp_runtime.operators.intent import Intents
from airflow_kfp_runtime.operators.killing import OwnRun
from airflow_kfp_runtime.operators.record import check_is_own, record_run
from airflow_kfp_runtime.operators.waiting import renewed, wait_for
from airflow_kfp_runtime.triggers.events import read_event
from airflow_kfp_runtime.triggers.kfp import KfpRunTrigger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from pathlib import Path
    from typing import Literal

    import jinja2
    from airflow.sdk import Context
    from airflow.sdk.types import RuntimeTaskInstanceProtocol

    from airflow_kfp_runtime.client.generations import Intent
    from airflow_kfp_runtime.client.models import RunState
    from airflow_kfp_runtime.client.watch import Ending, Policy
    from airflow_kfp_runtime.operators.definition import Made
    from airflow_kfp_runtime.operators.submission import Submission
    from airflow_kfp_runtime.project import Project, Workflow

_SETTINGS_POLICIES = ("error", "warn")
_RETRY_POLICIES = ("new", "resume")
_CHANGE_POLICIES = ("new", "attach", "fail")
_TIMEOUT_POLICIES = ("terminate", "leave")


class KfpPipelineOperator(BaseOperator):
    """Runs a pipeline on Kubeflow Pipelines and hands its outputs on.

    What runs is given as exactly one of ``workflow``, ``steps`` and ``pipeline``. It is compiled, its
    arguments are checked, and the run is submitted with an id that follows from the task instance, so that a
    worker that crashed finds its run again instead of starting a second one. A retry goes on with a run that
    is still running or has succeeded, also if that was while nobody watched. After a run that failed it does
    what ``on_retry`` says, and after one that was terminated it starts a new one. A cleared task starts a new
    run, also after success. The task's log says in one line which run the try goes on with, and why. A retry
    whose pipeline can no longer be made, as its file or its server is gone, goes on with that run too, with a
    warning; the outputs then have the names of KFP's tasks, ``add-rows`` where the step is ``add_rows``.

    XComs: ``return_value`` is ``{step: {output: value}}`` with the step names that the user gave, where an
    artifact is ``{"uri", "name", "type", "metadata"}``; with ``wait_for_completion=False`` it is the same as
    ``kfp_run``. ``kfp_run`` is ``{"run_id", "state", "url"}`` and is there as soon as the run is submitted.

    :param workflow: a handler that writes steps, a :class:`~airflow_kfp_runtime.project.Workflow`, or the
        name of one in the project. (a name is templated)
    :param steps: declarative steps, see :mod:`airflow_kfp_runtime.dsl.declarative`. (templated)
    :param pipeline: a compiled pipeline as a mapping, a YAML text or the path of a ``.yaml``, ``.yml`` or
        ``.json`` file, by this package or by the kfp SDK; or the name of a pipeline on the server. A relative
        path is looked for beside the DAG's file and then in the DAG bundle. (templated, but for a mapping and
        a YAML text)
    :param pipeline_version: the version's name, for a pipeline that is given by name; default: the newest.
        (templated)
    :param project: holds the functions that steps name: a :class:`~airflow_kfp_runtime.project.Project`, or
        where its file is, as ``project.yaml`` (looked for beside the DAG's file and then in the DAG bundle)
        or ``git+https://git.example.org/team/parking.git#v1``; the task reads it then. (its texts are
        templated)
    :param arguments: the pipeline's arguments by name. (templated)
    :param pipeline_name: the pipeline's name on the server; default: the workflow's or compiled pipeline's
        own, else ``<dag>-<task>``. (templated)
    :param run_name: the run's display name, not unique, cut after 255 characters; default:
        ``<dag>.<task> <Airflow run>``. (templated)
    :param experiment: name of the experiment, created if need be; default: the server's own, and ``Default``
        in a connection with a namespace. (templated)
    :param pipeline_root: where artifacts are written, such as ``s3://bucket/path``; default: the server's.
        (templated)
    :param service_account: the run's Kubernetes service account; default: the server's. (templated)
    :param settings: Kubernetes settings of all steps, and under the key ``steps`` those of single ones by
        name or by a pattern such as ``train*``; see :class:`~airflow_kfp_runtime.project.TaskSettings`.
        ``{"argument": "cpu"}`` stands for an argument of the run. What a step or its function says wins over
        them. A template gives text, and a number only where the DAG has ``render_template_as_native_obj``.
        (templated)
    :param settings_policy: what to do about a setting that KFP cannot express, wherever it is written:
        ``error``, or ``warn``, which leaves it out with a warning in the task's log.
    :param register: upload the compiled pipeline as a version named by its content hash, once, and run that;
        ``False`` sends the pipeline along with the run.
    :param collect_outputs: add a last task that consumes all outputs, so that they can be read where only the
        API can be reached; see :func:`~airflow_kfp_runtime.compiler.compile_pipeline`.
    :param enable_caching: whether KFP may take over outputs of earlier, equal tasks; ``None`` keeps what the
        pipeline says.
    :param wait_for_completion: ``False`` ends the task once the run is submitted.
    :param deferrable: wait in the triggerer instead of the worker; no effect without ``wait_for_completion``.
        Default: Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds between two looks at the run, above 0.
    :param timeout: seconds, or a timedelta, from submission to when the task fails (see ``on_timeout``);
        holds while deferred and over crashes; a run that is resumed has it anew. ``None``: no limit.
        Airflow's ``execution_timeout``, from the start of each try, holds while deferred as well; where both
        are given, the one that is over first ends the waiting.
    :param stall_timeout: seconds, or a timedelta, without any change of the run's state or of its tasks',
        after which the task fails, also as ``on_timeout`` says; where a worker or triggerer takes over, they
        are counted anew. Servers after KFP 2.17 show the run's state alone. ``None``: no limit.
    :param on_timeout: what becomes of a run at its ``timeout`` or ``stall_timeout``, or at the task's
        ``execution_timeout``: ``terminate``, after which a retry starts a new one, or ``leave``, after which
        a retry goes on with it and waits as long again.
    :param max_outage: seconds, or a timedelta, for which the server may be out of reach, or refuse the
        connection's credentials, while a run is waited for; the run is left alone when the task fails then,
        and a retry finds it again.
    :param on_retry: what a retry does after a run that failed: ``new`` starts another, ``resume`` lets KFP
        run its failed steps again, so that those that have succeeded are kept. Where the server does not
        resume it, a new run is started, and the log says why.
    :param on_change: what a retry does about a run that is going on or has succeeded, and one to be resumed,
        if pipeline or arguments have changed since it was submitted: ``new`` terminates it where it goes on
        and starts another, ``attach`` goes on with it, ``fail`` fails the task and leaves it as it is, also
        where the pipeline can no longer be made. An argument that differs in each try, such as the present
        time, is a change.
    :param kfp_conn_id: the Airflow connection, of type ``kfp``; default: the project's, else ``kfp_default``.
        (templated)
    :param git_conn_id: the connection, of type ``git``, for sources in git repositories; default: the
        project's, else the environment's ``GIT_TOKEN``, or ``GIT_USERNAME`` and ``GIT_PASSWORD``. (templated)
    :param aws_conn_id: the connection, of type ``aws``, for sources in S3; default: the project's, else the
        environment's. (templated)
    :param digitalhub_conn_id: the connection, of type ``digitalhub``, of the platform whose functions the
        steps run; where it names a Kubernetes connection, it is written into the secret that the steps read
        before the run is sent. Default: the project's, else that secret is left as it is. (templated)

    Errors: :class:`~airflow_kfp_runtime.errors.DefinitionError` before anything is sent;
    :class:`~airflow_kfp_runtime.errors.RunError` where the run did not succeed;
    :class:`~airflow_kfp_runtime.errors.ServerError` where the server refuses or cannot be reached.

    Example::

        KfpPipelineOperator(
            task_id="train",
            workflow=handler,
            project=project,
            arguments={"url": "{{ params.url }}"},
            deferrable=True,
        )
    """

    template_fields: Sequence[str] = (
        "steps",
        "pipeline",
        "pipeline_version",
        "arguments",
        "pipeline_name",
        "run_name",
        "experiment",
        "pipeline_root",
        "service_account",
        "settings",
        "kfp_conn_id",
        "git_conn_id",
        "aws_conn_id",
        "digitalhub_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "steps": "json",
        "arguments": "json",
        "settings": "json",
    }
    # Copying a handler or a project for each task instance is needless, and not each can be copied.
    shallow_copy_attrs: Sequence[str] = ("workflow", "project")
    operator_extra_links = (KfpRunLink(),)
    ui_color = "#e3ecfb"

    def __init__(
        self,
        *,
        workflow: Workflow | Callable[..., Any] | str | None = None,
        steps: Sequence[Mapping[str, Any]] | None = None,
        pipeline: str | Path | Mapping[str, Any] | None = None,
        pipeline_version: str | None = None,
        project: Project | str | Path | None = None,
        arguments: Mapping[str, Any] | None = None,
        pipeline_name: str | None = None,
        run_name: str | None = None,
        experiment: str | None = None,
        pipeline_root: str | None = None,
        service_account: str | None = None,
        settings: Mapping[str, Any] | None = None,
        settings_policy: Literal["error", "warn"] = "error",
        register: bool = True,
        collect_outputs: bool | str = False,
        enable_caching: bool | None = None,
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float = 10.0,
        timeout: float | timedelta | None = None,
        stall_timeout: float | timedelta | None = None,
        on_timeout: Literal["terminate", "leave"] = "terminate",
        max_outage: float | timedelta = 600.0,
        on_retry: Literal["new", "resume"] = "new",
        on_change: Literal["new", "attach", "fail"] = "new",
        kfp_conn_id: str | None = None,
        git_conn_id: str | None = None,
        aws_conn_id: str | None = None,
        digitalhub_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        place = f"task {self.task_id!r}"
        check_one_given(place, workflow=workflow, steps=steps, pipeline=pipeline)
        check_types(
            place, workflow=workflow, project=project, arguments=arguments, steps=steps, deferrable=deferrable
        )
        check_policy(place, "settings_policy", settings_policy, _SETTINGS_POLICIES)
        check_policy(place, "on_timeout", on_timeout, _TIMEOUT_POLICIES)
        check_policy(place, "on_retry", on_retry, _RETRY_POLICIES)
        check_policy(place, "on_change", on_change, _CHANGE_POLICIES)
        self.workflow = workflow
        self.steps = steps
        # The placeholders of KFP's IR, `{{$.inputs...}}`, are not Jinja's.
        is_ir = isinstance(pipeline, Mapping) or (isinstance(pipeline, str) and "\n" in pipeline)
        self.pipeline: Any = literal(pipeline) if is_ir else pipeline
        self.pipeline_version = pipeline_version
        self.project = project
        self.arguments = arguments
        self.pipeline_name = pipeline_name
        self.run_name = run_name
        self.experiment = experiment
        self.pipeline_root = pipeline_root
        self.service_account = service_account
        self.settings = settings
        self.settings_policy = settings_policy
        self.register = register
        self.collect_outputs = collect_outputs
        self.enable_caching = enable_caching
        self.wait_for_completion = wait_for_completion
        self.deferrable = (
            conf.getboolean("operators", "default_deferrable", fallback=False)
            if deferrable is None
            else deferrable
        )
        self.poll_interval = seconds_above_0(place, "poll_interval", poll_interval)
        self.timeout = None if timeout is None else seconds_above_0(place, "timeout", timeout)
        self.stall_timeout = (
            None if stall_timeout is None else seconds_above_0(place, "stall_timeout", stall_timeout)
        )
        self.on_timeout = on_timeout
        self.max_outage = seconds_above_0(place, "max_outage", max_outage)
        self.on_retry = on_retry
        self.on_change = on_change
        self.kfp_conn_id = kfp_conn_id
        self.git_conn_id = git_conn_id
        self.aws_conn_id = aws_conn_id
        self.digitalhub_conn_id = digitalhub_conn_id
        #: The run's address in the UI, once there is one.
        self.run_url: str | None = None
        self._own: OwnRun | None = None

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render a value as Airflow does, and inside objects of the Kubernetes client as well.

        Airflow leaves other objects alone; KubernetesPodOperator renders these, so their users expect it.
        """
        attributes = getattr(type(content), "attribute_map", None)
        if attributes is None:
            return super().render_template(content, context, jinja_env, seen_oids)
        # A copy, since other task instances may have the same object.
        rendered = copy(content)
        for name in attributes:
            value = getattr(content, name)
            if value is not None:
                setattr(rendered, name, self.render_template(value, context, jinja_env, seen_oids))
        return rendered

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the run, or find the one of an earlier try, and wait for it.

        :return: the outputs by step, or the ``kfp_run`` XCom with ``wait_for_completion=False``.
        """
        try:
            return self._execute(context)
        except AirflowTaskTimeout:
            # Airflow calls on_kill next.
            if self._own is not None and self.on_timeout == "leave":
                if self._own.run_id is not None:
                    self.log.warning(
                        "Run %s is left as it is at the execution_timeout, and a retry goes on with it",
                        self._own.run_id,
                    )
                self._own.let_go()
            raise

    def _execute(self, context: Context) -> dict[str, Any]:
        from airflow_kfp_runtime.client.fate import Fate, fate_of
        from airflow_kfp_runtime.operators.submission import submit

        task = context["ti"]
        intents = Intents.of(context)
        intent = intents.read()
        self._own = OwnRun(task, intents)
        if intent is not None:
            # A kill before this try has its run ends that of the earlier one.
            connection = intent.connection or self.kfp_conn_id or KfpHook.default_conn_name
            self._own.expect(intent.known_run_id, KfpHook(connection))
        made = self._made(context)
        hook = self._hook(made, intent)
        with hook.client() as client:
            self._own.hook = hook
            submitted = submit(
                client,
                self._submission(task, made, hook, intents, intent),
                intents,
                self._own,
                max_outage=self.max_outage,
                log=self.log,
            )
            run, step_names = submitted.run, submitted.step_names
            record = self._recorded(task, hook, run.run_id, run.state)
            self.log.info("See %s", self.run_url)
            if not self.wait_for_completion:
                return record
            waits_in_triggerer = self.deferrable and fate_of(run) is Fate.GOING_ON
            policy = self._policy(task, submitted.began_at, is_deferred=waits_in_triggerer)
            if waits_in_triggerer:
                self.defer(
                    trigger=KfpRunTrigger(
                        run.run_id, hook.kfp_conn_id, step_names=step_names, **vars(policy)
                    ),
                    method_name=self.execute_complete.__name__,
                )
            self._own.is_waited_for = True
            ending = wait_for(
                client,
                run.run_id,
                policy,
                step_names,
                self.log.info,
                lambda: KfpHook(hook.kfp_conn_id).client(),
            )
        return self._completed(context, renewed(hook), run.run_id, ending, step_names)

    def execute_complete(self, context: Context, event: object) -> dict[str, Any]:
        """Go on after the deferral: read the outputs, or raise what went wrong.

        :param event: what :class:`~airflow_kfp_runtime.triggers.kfp.KfpRunTrigger` sent.
        """
        sent = read_event(event)
        check_is_own(context["ti"], sent.run_id)
        hook = KfpHook(sent.kfp_conn_id or self.kfp_conn_id or KfpHook.default_conn_name)
        return self._completed(context, hook, sent.run_id, sent.ending, sent.step_names)

    def on_kill(self) -> None:
        """End the run: the task was killed, cleared or marked while a worker waited for it.

        Where Airflow took this worker for dead, and another try goes on with the run, it is left alone.
        """
        if self._own is not None:
            self._own.end(self.log)

    def _made(self, context: Context) -> Made:
        """Return what the task runs, with the compiler's warnings in the log."""
        # What is needed on a worker alone is imported there: a DAG file imports this module at each parse.
        from airflow_kfp_runtime.operators.definition import ConnectionIds, Definition, folders_of, make

        definition = Definition(
            workflow=self.workflow,
            steps=self.steps,
            pipeline=self.pipeline,
            pipeline_version=self.pipeline_version,
            project=self.project,
            arguments=self.arguments,
            pipeline_name=self.pipeline_name,
            default_name=f"{self.dag_id}-{self.task_id}",
            settings=self.settings,
            settings_policy=self.settings_policy,
            enable_caching=self.enable_caching,
            collect_outputs=self.collect_outputs,
            connections=ConnectionIds(
                self.kfp_conn_id, self.git_conn_id, self.aws_conn_id, self.digitalhub_conn_id
            ),
        )
        made = make(
            definition,
            folders_of(context),
            lambda text: self.render_template(text, context),
            is_retry=context["ti"].try_number > 1,
        )
        for sentence in made.warnings:
            self.log.warning(sentence)
        return made

    def _hook(self, made: Made, intent: Intent | None) -> KfpHook:
        """Return the hook of the server that has the task's run, or is to have it.

        :raises Exception: why the pipeline cannot be made, where therefore no connection is known either.
        """
        from airflow_kfp_runtime.operators.pipeline import UnknownPipeline

        kept = intent.connection if intent and isinstance(made.pipeline, UnknownPipeline) else None
        hook = KfpHook(made.connections.kfp or kept or KfpHook.default_conn_name)
        if isinstance(made.pipeline, UnknownPipeline):
            try:
                hook.settings  # noqa: B018 - reads the connection
            except (AirflowNotFoundException, AirflowRuntimeError) as unread:
                # Airflow 3.0 raises the second one, whatever the reason.
                raise made.pipeline.error from unread
        return hook

    def _submission(
        self,
        task: RuntimeTaskInstanceProtocol,
        made: Made,
        hook: KfpHook,
        intents: Intents,
        intent: Intent | None,
    ) -> Submission:
        from airflow_kfp_runtime.client.generations import OnChange, OnRetry, Policies, Search
        from airflow_kfp_runtime.operators.platform_secrets import write_platform_secrets
        from airflow_kfp_runtime.operators.submission import Submission

        identity = TaskIdentity.of(task, hook.kfp_conn_id)
        return Submission(
            search=Search(
                run_id_of=identity.run_id,
                policies=Policies(OnRetry(self.on_retry), OnChange(self.on_change)),
                is_retry=task.try_number > 1,
                keeps_intents=intents.are_kept,
                intent=intent,
                namespace=hook.settings.namespace,
                longest_request=hook.settings.connect_timeout + hook.settings.read_timeout,
                check_place=intents.check_place,
                note=self.log.info,
            ),
            connection=hook.kfp_conn_id,
            pipeline=made.pipeline,
            arguments=self.arguments or {},
            run_name=self.run_name or identity.run_name,
            description=f"Task {task.task_id} of the Airflow DAG {task.dag_id}",
            register=self.register,
            pipeline_name=self.pipeline_name,
            experiment=self.experiment,
            pipeline_root=self.pipeline_root,
            service_account=self.service_account,
            before_sending=lambda: write_platform_secrets(
                made.pipeline, made.connections.digitalhub, hook.settings.namespace, self.log.info
            ),
        )

    def _policy(self, task: RuntimeTaskInstanceProtocol, began_at: float, *, is_deferred: bool) -> Policy:
        """Return how the task waits for its run.

        :param began_at: when the run began or was last resumed, in seconds since the epoch.
        """
        from airflow_kfp_runtime.client.watch import Policy

        deadline = of_run(self.timeout, began_at, time.time(), leaves=self.on_timeout == "leave")
        if is_deferred:
            # Airflow 3.3.2 applies execution_timeout to each leg on a worker, and to no deferral
            # (apache/airflow#69678).
            deadline = earliest(deadline, of_try(self.execution_timeout, task.start_date))
        return Policy(
            poll_interval=self.poll_interval,
            deadline=deadline.at if deadline else None,
            max_outage=self.max_outage,
            stall_timeout=self.stall_timeout,
            limit=deadline.limit if deadline else "",
        )

    def _recorded(
        self, task: RuntimeTaskInstanceProtocol, hook: KfpHook, run_id: str, state: RunState
    ) -> dict[str, Any]:
        """Push the run for the link and for other tasks, and return the ``kfp_run`` XCom."""
        self.run_url = hook.run_url(run_id)
        return record_run(task, run_id, state.value, self.run_url)

    def _completed(
        self,
        context: Context,
        hook: KfpHook,
        run_id: str,
        ending: Ending,
        step_names: Mapping[str, str],
    ) -> dict[str, Any]:
        """Return the outputs of a run that is waited for no longer, or raise why there are none."""
        from airflow_kfp_runtime.operators.outcome import Terms, outcome

        task = context["ti"]
        terms = Terms(
            resumes=self.on_retry == "resume",
            terminates=self.on_timeout == "terminate",
            max_outage=self.max_outage,
            check_place=Intents.of(context).check_place,
        )
        with hook.client() as client:
            url = self._recorded(task, hook, run_id, ending.state)["url"]
            return client.run(outcome(run_id, ending, step_names, url, terms, self.log))
