"""What a function of kind ``digitalhub`` is made of, and which actions the platform's functions have."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

#: The image that DigitalHub's own runtime takes.
DEFAULT_IMAGE = "ghcr.io/scc-digitalhub/digitalhub-sdk-wrapper-kfp/wrapper-kfp:latest"
DEFAULT_SECRET = "digitalhub"  # noqa: S105 -- the name of a Kubernetes secret

#: The actions of each kind of function on the platform, the default first (DigitalHub 0.8 to 0.14).
ACTIONS: dict[str, tuple[str, ...]] = {
    "python": ("job", "serve", "build"),
    "container": ("job", "deploy", "serve", "build"),
    "dbt": ("transform",),
    "sklearnserve": ("serve",),
    "mlflowserve": ("serve",),
    "huggingfaceserve": ("serve",),
    "kubeai-text": ("serve",),
    "kubeai-speech": ("serve",),
    "flower-app": ("train", "build"),
    "flower-client": ("deploy", "build"),
    "flower-server": ("deploy", "build"),
    "kfp": ("pipeline", "build"),
}

_KEY = re.compile(
    r"store://(?P<project>[^/:]+)/(?P<entity>function|workflow)/(?P<kind>[^/:]+)/(?P<name>[^/:]+)(:(?P<id>[^/:]+))?"
)
#: Arguments of the platform's ``run()`` that a step gives.
_OF_THE_STEP = frozenset({"action", "inputs", "outputs", "parameters", "values", "wait"})
_NAME = re.compile(r"[^/:\s]+")


class DigitalHubFunction(BaseModel):
    """A function, or a workflow, that runs on a DigitalHub platform.

    The step's container is DigitalHub's wrapper: it has the platform run the function, waits for the end, and
    hands on the keys of what the run made. A step's ``inputs`` are keys of the platform's entities
    (``store://parking/dataitem/table/dataset:1a2b``), its ``outputs`` too; what ``parameters`` and ``values``
    hold are plain values. All outputs are texts. The first wrappers (``0.9``) have nothing but texts for
    parameters, too: what is none reaches the function as JSON.

    The endpoint and the credentials come from a Kubernetes secret, whose keys are the environment variables
    of DigitalHub's SDK: ``DHCORE_ENDPOINT``, and those of ``DHCORE_USER``, ``DHCORE_PASSWORD``,
    ``DHCORE_ACCESS_TOKEN``, ``DHCORE_PERSONAL_ACCESS_TOKEN``, ``DHCORE_REFRESH_TOKEN``, ``DHCORE_CLIENT_ID``
    and ``DHCORE_ISSUER`` that the platform asks for. In the embedded server they are files of
    ``DIR/secrets/<name>/``.

    A step's settings go to the platform's run (``runtimes/digitalhub/settings.py`` says which); to the
    wrapper's own pod go labels, annotations, image, retries, timeout and caching.

    :param function: its name on the platform, or its key (``store://parking/function/python/train:1a2b``),
        which says all of the next four; by default the name in this project.
    :param function_kind: the platform's kind of function (``python``, ``dbt``, ...); ``kfp`` is a workflow.
    :param project: the project on the platform; by default this project's name.
    :param id: of one version of the function (also ``function_id``); by default the newest.
    :param actions: actions of the kind that a platform has and this package does not know.
    :param arguments: further arguments of the platform's ``run()``.
    :param wrapper: the form of command line that the wrapper's image takes: ``0.13`` (also 0.14), or ``0.9``
        (0.8 to 0.12).
    :param image: the wrapper's image.
    :param command: a Python interpreter of the image and what it runs.
    :param secret: the name of the Kubernetes secret.

    Example::

        project.new_function("downloader", kind="digitalhub", function_kind="python")
        project.new_function("chosen", kind="digitalhub", function="store://parking/function/python/train:1a2b")
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What is read as well as the fields, for errors.
    OTHER_SPELLINGS: ClassVar[tuple[str, ...]] = ("function_id",)

    function: str | None = None
    function_kind: str | None = None
    project: str | None = None
    id: str | None = None
    actions: tuple[str, ...] = ()
    arguments: dict[str, JsonValue] = Field(default_factory=dict)
    wrapper: Literal["0.13", "0.9"] = "0.13"
    image: Annotated[str, Field(min_length=1)] = DEFAULT_IMAGE
    command: Annotated[tuple[str, ...], Field(min_length=2)] = ("python", "step.py")
    secret: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")] = DEFAULT_SECRET

    @model_validator(mode="before")
    @classmethod
    def _key(cls, given: Any) -> Any:
        """Take a key apart; the parts may be given as well where they are the same."""
        if not isinstance(given, dict):
            return given
        fields = dict(given)
        if "function_id" in fields:
            _set(fields, "id", fields.pop("function_id"), "function_id")
        function = fields.get("function")
        if not isinstance(function, str) or "://" not in function:
            return fields
        key = _KEY.fullmatch(function)
        if key is None:
            raise ValueError(
                f"function: {function!r} is not a key. Allowed: "
                "store://<project>/function/<kind>/<name>:<id>, store://<project>/workflow/kfp/<name>:<id>"
            )
        if (key["entity"] == "workflow") != (key["kind"] == "kfp"):
            raise ValueError(f"function: {function!r}: only workflows are of kind kfp, and all are")
        fields["function"] = key["name"]
        for name, part in (("project", "project"), ("function_kind", "kind"), ("id", "id")):
            if key[part] is not None:
                _set(fields, name, key[part], "the key")
        return fields

    @field_validator("function", "function_kind", "project", "id")
    @classmethod
    def _plain_name(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a name: it is empty or has a space, a '/' or a ':'")
        return name

    @field_validator("arguments")
    @classmethod
    def _not_the_steps(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        from airflow_kfp_runtime.project.settings.forms import is_setting

        for name in arguments:
            if name in _OF_THE_STEP:
                raise ValueError(f"{name!r} is the step's to say; give it in pc.step()")
            if is_setting(name):
                raise ValueError(f"{name!r} is a setting; give it in the function's `settings` or the step's")
        return arguments

    @model_validator(mode="after")
    def _has_kind(self) -> DigitalHubFunction:
        if self.function_kind is None:
            raise ValueError(
                "function_kind is missing: it is the kind of the function on the platform. "
                f"Allowed: {', '.join(ACTIONS)}, another kind of your platform"
            )
        return self

    def allowed_actions(self) -> tuple[str, ...]:
        """Return the actions that the function has, the default first; empty where they are not known."""
        return (*ACTIONS.get(self.function_kind or "", ()), *self.actions)


def _set(fields: dict[str, Any], name: str, value: Any, written: str) -> None:
    if fields.get(name, value) != value:
        raise ValueError(f"{written} says {value!r} and {name} says {fields[name]!r}; give one of them")
    fields[name] = value
