"""The settings of a task in one form, whatever form they were written in.

Each field says, beside its type, what KFP gets from it (:class:`Compiled`): the table in ``docs/settings.md``
is made from that. ``None`` means that nothing was said, so that a lower level's setting counts; an empty
value means "none at all".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping  # noqa: TC003 -- pydantic reads one of them
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from airflow_kfp_runtime.project.settings import syntax
from airflow_kfp_runtime.project.settings.environment import (
    ConfigMapKey,
    EnvironmentSource,
    FieldPath,
    SecretKey,
)
from airflow_kfp_runtime.project.settings.fields import (
    AccessMode,
    Compiled,
    EnvironmentName,
    Key,
    LabelValue,
    ObjectName,
    Quantity,
    RunTimeValue,
    Settings,
)
from airflow_kfp_runtime.project.settings.resources import Accelerator, Resources
from airflow_kfp_runtime.project.settings.scheduling import (
    NodeAffinityTerm,
    NodeSelectorRequirement,
    Toleration,
)
from airflow_kfp_runtime.project.settings.volumes import (
    ConfigMapVolume,
    DataSource,
    EmptyDir,
    EphemeralVolume,
    ExistingClaim,
    NewClaim,
    SecretVolume,
    Volume,
    problem_of_volumes,
)

if TYPE_CHECKING:
    from airflow_kfp_runtime.dsl.references import Reference

__all__ = [
    "Accelerator",
    "Compiled",
    "ConfigMapKey",
    "ConfigMapVolume",
    "DataSource",
    "EmptyDir",
    "EnvironmentSource",
    "EphemeralVolume",
    "ExistingClaim",
    "FieldPath",
    "Inexpressible",
    "NewClaim",
    "NodeAffinityTerm",
    "NodeSelectorRequirement",
    "Resources",
    "Retries",
    "RunTimeValue",
    "SecretKey",
    "SecretVolume",
    "SecurityContext",
    "Settings",
    "TaskSettings",
    "Toleration",
    "Volume",
    "Workspace",
]


class Retries(Settings):
    """How often a failed task starts again.

    :param count: further attempts; 0 is none.
    :param backoff: seconds before the first of them; ``None`` is KFP's default, 0.
    :param factor: by which each further wait is longer; ``None`` is KFP's default, 2.
    :param longest: seconds that a wait takes at most; ``None`` is KFP's default, an hour.
    """

    count: Annotated[int, Field(ge=0)]
    backoff: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    longest: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class SecurityContext(Settings):
    """As whom the container's process runs.

    :param run_as_user: its user id.
    :param run_as_group: its group id.
    :param run_as_non_root: refuse to start as user 0.
    """

    run_as_user: Annotated[int, Field(ge=0)] | None = None
    run_as_group: Annotated[int, Field(ge=0)] | None = None
    run_as_non_root: bool | None = None

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.run_as_non_root and self.run_as_user == 0:
            raise ValueError("runs as user 0, which run_as_non_root refuses")
        return self


class Workspace(Settings):
    """A volume that KFP makes for the run and shows to its tasks; for the whole pipeline alone.

    :param size: bytes (``10Gi``).
    :param access_modes: empty is the server's default.
    :param storage_class: its name; ``None`` is the server's default.
    """

    size: Quantity
    access_modes: tuple[AccessMode, ...] = ()
    storage_class: ObjectName | None = None


class Inexpressible(Settings):
    """A setting that KFP has no place for; the compiler raises an error for it, or warns where it is told to.

    :param setting: where it was written (``volumes[1].spec.host_path``).
    :param reason: why KFP cannot express it, as a sentence.
    :param instead: what to do, as a sentence.
    :param value: what was written, where it is a text: some kinds of function can pass it on.
    """

    setting: str
    reason: str
    instead: str
    value: str | None = None


class TaskSettings(Settings):
    """What one task gets, in the only form that the rest of the package knows.

    :param image: the container's image, in place of the function's.
    :param image_pull_policy: when the node pulls it.
    :param image_pull_secrets: names of secrets with the registry's credentials; each may be a run-time value.
    :param labels: the pod's labels.
    :param annotations: the pod's annotations.
    :param node_selector: labels that the node has; or one run-time value for all (a JSON object).
    :param tolerations: taints that the pod tolerates; each may be a run-time value that is one toleration
        (a JSON object) or several (a list).
    :param node_affinity: conditions on the node; each may be a run-time value that is a whole Kubernetes
        NodeAffinity (a JSON object).
    :param resources: cpu and memory.
    :param accelerator: GPUs and the like.
    :param envs: environment variables by name: values, keys of secrets and config maps, fields of the pod.
    :param volumes: what is mounted where.
    :param timeout: seconds that the pod may run.
    :param retries: how often a failed task starts again.
    :param caching: whether KFP may take the outputs of an earlier, equal task.
    :param security_context: as whom the process runs.
    :param workspace: a volume of the run; in a pipeline's settings for all steps alone.
    :param profile: the name of a set of settings of the administrator; merging replaces it by that set.
    :param inexpressible: what was written and KFP cannot express.
    """

    image: Annotated[
        Annotated[str, AfterValidator(syntax.image)] | None,
        Compiled("container.image", forms=("image: ghcr.io/team/train:1.4",)),
    ] = None
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None,
        Compiled("imagePullPolicy", "2.1", ("image_pull_policy: IfNotPresent",)),
    ] = None
    image_pull_secrets: Annotated[
        tuple[ObjectName | RunTimeValue, ...] | None,
        Compiled(
            "imagePullSecret",
            "2.1",
            ("image_pull_secrets: [registry]", "imagePullSecrets: [{name: registry}]"),
        ),
    ] = None
    labels: Annotated[
        Mapping[Key, LabelValue], Compiled("podMetadata.labels", "2.1", ("labels: {team: vision}",))
    ] = Field(default_factory=dict)
    annotations: Annotated[
        Mapping[Key, str],
        Compiled("podMetadata.annotations", "2.1", ("annotations: {example.org/owner: Ann and Bob}",)),
    ] = Field(default_factory=dict)
    node_selector: Annotated[
        Mapping[Key, LabelValue] | RunTimeValue | None,
        Compiled(
            "nodeSelector",
            forms=("node_selector: {disktype: ssd}", "node_selector: [{key: disktype, value: ssd}]"),
        ),
    ] = None
    tolerations: Annotated[
        tuple[Toleration | RunTimeValue, ...] | None,
        Compiled("tolerations", "2.1", ("tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]",)),
    ] = None
    node_affinity: Annotated[
        tuple[NodeAffinityTerm | RunTimeValue, ...] | None,
        Compiled(
            "nodeAffinity",
            "2.14",
            (
                (
                    "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: "
                    "{nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: In, values: [a]}]}]}}}"
                ),
                "node_affinity: [{match_expressions: [{key: zone, operator: In, values: [a]}], weight: 10}]",
            ),
        ),
    ] = None
    resources: Annotated[
        Resources | None,
        Compiled(
            "container.resources",
            forms=(
                "resources: {cpu: 500m, mem: 2Gi}",
                'resources: {cpu: {requests: "12", limits: "16"}, mem: {requests: 64Gi}}',
                "resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}",
                "resources: {cpu_request: 1, memory_limit: 2Gi}",
            ),
        ),
    ] = None
    accelerator: Annotated[
        Accelerator | None,
        Compiled(
            "container.resources.accelerator",
            forms=(
                "accelerator: {type: nvidia.com/gpu, count: 2}",
                'resources: {gpu: "2"}',
                "resources: {limits: {amd.com/gpu: 1}}",
            ),
        ),
    ] = None
    envs: Annotated[
        Mapping[EnvironmentName, EnvironmentSource],
        Compiled(
            "container.env, secretAsEnv, configMapAsEnv and fieldPathAsEnv (the last two since 2.1)",
            forms=(
                "envs: [{name: LEVEL, value: debug}]",
                "env: {LEVEL: debug}",
                "env_vars: [{name: TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}]",
                "secrets: [API_KEY]",
                "secrets: [{name: hub, keys: {token: HUB_TOKEN}, optional: true}]",
                "config_maps: [{name: tuning, keys: [EPOCHS]}]",
                "field_paths: {POD: metadata.name}",
            ),
        ),
    ] = Field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    timeout: Annotated[
        Annotated[int, Field(ge=1)] | None, Compiled("activeDeadlineSeconds", "2.1", ("timeout: 3600",))
    ] = None
    retries: Annotated[
        Retries | None,
        Compiled(
            "task.retryPolicy",
            forms=("retries: 3", "retries: {count: 3, backoff: 30, factor: 2, longest: 600}"),
        ),
    ] = None
    caching: Annotated[bool | None, Compiled("task.cachingOptions", forms=("caching: false",))] = None
    security_context: Annotated[
        SecurityContext | None,
        Compiled(
            "securityContext",
            "2.16",
            ("security_context: {runAsUser: 1000, runAsGroup: 100, runAsNonRoot: true}",),
        ),
    ] = None
    workspace: Annotated[
        Workspace | None,
        Compiled(
            "pipelineConfig.workspace of the platform spec",
            "2.15",
            ("workspace: {size: 10Gi, storage_class: fast, access_modes: [ReadWriteMany]}",),
        ),
    ] = None
    profile: Annotated[
        Annotated[str, Field(min_length=1)] | None,
        Compiled("the settings of the set of that name", forms=("profile: 1xa100",)),
    ] = None
    inexpressible: tuple[Inexpressible, ...] = ()

    @model_validator(mode="after")
    def _volumes_fit_together(self) -> Self:
        problem = problem_of_volumes(self.volumes)
        if problem:
            raise ValueError(problem[1])
        return self

    @classmethod
    def read(
        cls,
        written: Mapping[str, Any],
        *,
        step: str | None = None,
        place: str = "",
        references: Callable[[Mapping[str, Any]], Reference] | None = None,
        whole_pipeline: bool = False,
    ) -> TaskSettings:
        """Return the settings from any of the forms that users write.

        :param written: settings by name: DigitalHub's, Kubernetes' or KubernetesPodOperator's, snake_case or
            camelCase.
        :param step: the step whose they are, for the message of an error.
        :param place: what comes before a setting's name in such a message (``settings.``).
        :param references: makes the run-time value of ``{"argument": "cpu"}`` or ``{"from": "step.output"}``;
            without it only :class:`PipelineArgument` and :class:`StepOutput` are run-time values.
        :param whole_pipeline: whether they are for all steps, so that they may have a workspace.
        :raises SettingError: with the step, the place, the value, and what is allowed.

        Example::

            TaskSettings.read({"resources": {"cpu": "500m", "mem": "1Gi"}, "timeout": 600}, step="train")
        """
        from airflow_kfp_runtime.project.settings.forms import read_settings

        return read_settings(
            written, step=step, place=place, references=references, whole_pipeline=whole_pipeline
        )

    def to_mapping(self) -> dict[str, Any]:
        """Return the settings as a mapping that :meth:`read` reads into equal ones.

        What was not said is left out, and so is what KFP cannot express. Run-time values stay what they are.
        """
        from airflow_kfp_runtime.project.settings.written import as_mapping

        return as_mapping(self)
