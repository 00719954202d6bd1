"""The settings of a task in one form, whatever form they were written in.

Each field says, beside its type, what KFP gets from it (:class:`Compiled`): the table in ``docs/settings.md``
is made from that. ``None`` means that nothing was said, so that a lower level's setting counts; an empty
value means "none at all".
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 -- pydantic reads it
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from airflow_kfp_runtime.project.settings import syntax
from airflow_kfp_runtime.project.settings.fields import (
    AccessMode,
    Compiled,
    DataKey,
    EnvironmentName,
    Key,
    LabelValue,
    ObjectName,
    Quantity,
    RunTimeValue,
    Settings,
)
from airflow_kfp_runtime.project.settings.volumes import Volume  # noqa: TC001 -- pydantic reads it


class Resources(Settings):
    """What a container asks for and may use, each as a quantity or a run-time value.

    :param cpu_request: cores (``500m``, ``2``).
    :param cpu_limit: cores; not below the request.
    :param memory_request: bytes (``64Mi``, ``1.5Gi``).
    :param memory_limit: bytes; not below the request.
    """

    cpu_request: Annotated[
        Quantity | RunTimeValue | None, Compiled("container.resources.resourceCpuRequest")
    ] = None
    cpu_limit: Annotated[Quantity | RunTimeValue | None, Compiled("container.resources.resourceCpuLimit")] = (
        None
    )
    memory_request: Annotated[
        Quantity | RunTimeValue | None, Compiled("container.resources.resourceMemoryRequest")
    ] = None
    memory_limit: Annotated[
        Quantity | RunTimeValue | None, Compiled("container.resources.resourceMemoryLimit")
    ] = None


class Accelerator(Settings):
    """The accelerators of a container: one type, as KFP has it.

    :param type: the resource's name on the node (``nvidia.com/gpu``), or a run-time value.
    :param count: how many, from 1 (``0``: none, against a lower level), or a run-time value.
    """

    type: Annotated[Key | RunTimeValue, Compiled("container.resources.accelerator.resourceType")]
    count: Annotated[
        Annotated[int, Field(ge=0)] | RunTimeValue,
        Compiled("container.resources.accelerator.resourceCount"),
    ] = 1


class Toleration(Settings):
    """A taint of a node that the pod tolerates.

    :param key: the taint's key; ``None`` with ``Exists`` is every taint.
    :param operator: ``Equal`` (to ``value``) or ``Exists``; ``None`` is Kubernetes' default, ``Equal``.
    :param value: the taint's value.
    :param effect: the taint's effect; ``None`` is every one.
    :param toleration_seconds: seconds that the pod stays on the node (with ``NoExecute``);
        ``None`` is for ever.
    """

    key: Key | None = None
    operator: Literal["Equal", "Exists"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class NodeSelectorRequirement(Settings):
    """A condition on a node's label or field.

    :param key: the label's key, or the field's name (``metadata.name``).
    :param operator: how the node's value compares.
    :param values: the values to compare with: none for ``Exists`` and ``DoesNotExist``, one whole number for
        ``Gt`` and ``Lt``, at least one otherwise.
    """

    key: Key
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: tuple[str, ...] = ()


class NodeAffinityTerm(Settings):
    """Conditions that a node fulfils together. Of several required terms one is enough.

    :param match_expressions: conditions on the node's labels.
    :param match_fields: conditions on the node's fields.
    :param weight: 1 to 100 for a preference, by that weight; ``None`` for what is required.
    """

    match_expressions: tuple[NodeSelectorRequirement, ...] = ()
    match_fields: tuple[NodeSelectorRequirement, ...] = ()
    weight: Annotated[int, Field(ge=1, le=100)] | None = None


class SecretKey(Settings):
    """A key of a Kubernetes secret, as an environment variable.

    :param secret: the secret's name, a run-time value, or ``None`` for the secret of the DigitalHub project,
        ``proj-secrets-<project>``. Merged settings hold no ``None``: merging puts the project's name in.
    :param key: the key in the secret's data.
    :param optional: start the pod without it where secret or key is missing.
    """

    secret: ObjectName | RunTimeValue | None
    key: DataKey
    optional: bool = False


class ConfigMapKey(Settings):
    """A key of a Kubernetes config map, as an environment variable.

    :param config_map: the config map's name, or a run-time value.
    :param key: the key in its data.
    :param optional: start the pod without it where config map or key is missing.
    """

    config_map: ObjectName | RunTimeValue
    key: DataKey
    optional: bool = False


class FieldPath(Settings):
    """A field of the pod itself, as an environment variable.

    :param path: ``metadata.name``, ``status.podIP`` and the others of Kubernetes' downward API.
    """

    path: Annotated[str, AfterValidator(syntax.field_path)]


#: Where an environment variable has its value from; a text is the value itself.
EnvironmentSource: TypeAlias = str | SecretKey | ConfigMapKey | FieldPath


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
    """

    setting: str
    reason: str
    instead: str


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

    image: Annotated[Annotated[str, AfterValidator(syntax.image)] | None, Compiled("container.image")] = None
    image_pull_policy: Annotated[
        Literal["Always", "IfNotPresent", "Never"] | None, Compiled("imagePullPolicy", since="2.1")
    ] = None
    image_pull_secrets: Annotated[
        tuple[ObjectName | RunTimeValue, ...] | None, Compiled("imagePullSecret", since="2.1")
    ] = None
    labels: Annotated[Mapping[Key, LabelValue], Compiled("podMetadata.labels", since="2.1")] = Field(
        default_factory=dict
    )
    annotations: Annotated[Mapping[Key, str], Compiled("podMetadata.annotations", since="2.1")] = Field(
        default_factory=dict
    )
    node_selector: Annotated[
        Mapping[Key, LabelValue] | RunTimeValue | None,
        Compiled("nodeSelector.labels or nodeSelector.nodeSelectorJson"),
    ] = None
    tolerations: Annotated[
        tuple[Toleration | RunTimeValue, ...] | None, Compiled("tolerations", since="2.1")
    ] = None
    node_affinity: Annotated[
        tuple[NodeAffinityTerm | RunTimeValue, ...] | None, Compiled("nodeAffinity", since="2.15")
    ] = None
    resources: Resources | None = None
    accelerator: Accelerator | None = None
    envs: Annotated[
        Mapping[EnvironmentName, EnvironmentSource],
        Compiled("container.env, secretAsEnv, configMapAsEnv, fieldPathAsEnv"),
    ] = Field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    timeout: Annotated[Annotated[int, Field(ge=1)] | None, Compiled("activeDeadlineSeconds", since="2.1")] = (
        None
    )
    retries: Annotated[Retries | None, Compiled("task.retryPolicy")] = None
    caching: Annotated[bool | None, Compiled("task.cachingOptions.enableCache")] = None
    security_context: Annotated[SecurityContext | None, Compiled("securityContext", since="2.15")] = None
    workspace: Annotated[
        Workspace | None, Compiled("platforms.kubernetes.pipelineConfig.workspace", since="2.15")
    ] = None
    profile: Annotated[str, Field(min_length=1)] | None = None
    inexpressible: tuple[Inexpressible, ...] = ()
