"""What a function of kind ``python`` is made of."""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003 -- pydantic evaluates the annotations
from pathlib import Path
from typing import Any, ClassVar, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airflow_kfp_runtime.runtimes.source_fields import source_fields

#: The image of a function that names none.
DEFAULT_IMAGE = "python:3.12-slim"

#: The schemes of addresses that a pod can fetch from.
FETCHED_BY_PODS = (
    *("http", "https", "zip+http", "zip+https"),
    *("git+https", "git+http", "git+ssh", "git"),
    *("s3", "s3a", "s3n", "zip+s3", "zip+s3a", "zip+s3n"),
)
_ADDRESS = re.compile(rf"({'|'.join(re.escape(scheme) for scheme in FETCHED_BY_PODS)})://", re.IGNORECASE)

#: In an address, a user other than that of ssh, or a password.
_LOGIN = re.compile(r"(?<!ssh)://[^/?#\s]*@|://[^/?#\s]*:[^/?#\s]*@", re.IGNORECASE)

#: The oldest Python that the executor runs on.
OLDEST_PYTHON = (3, 8)


class PythonFunction(BaseModel):
    """A Python function: where its source is, and the image that runs it.

    Its source is ``handler`` as a callable, or ``code``, ``base64`` or ``source`` with ``handler`` as the
    function's name; of several the first counts. DigitalHub's form ``source={"source": "file.py", "handler":
    "f"}`` (also with ``code`` or ``base64``) and its ``code_src`` mean the same. A function that kfp's
    ``@dsl.component`` decorates is taken as it is; what the decorator says is given here, as ``image`` and
    ``requirements``.

    :param handler: the function itself, whose own text travels without the module around it, so that it
        imports what it needs in its body; or its name in the source, ``train``, ``module:train`` or
        ``package.module:train``, where ``package.module`` is ``package/module.py`` in the source.
    :param code: the module's text.
    :param base64: the module's text, base64-encoded.
    :param source: a local ``.py`` or ``.zip`` file or folder, or an address such as
        ``git+https://git.example.org/team/etl.git#v1.2`` (``docs/sources.md``). It is read when a step is
        compiled, not while a DAG is parsed. Of one file its text travels; of a folder, an archive or a
        repository all of it, compressed, without names that begin with a dot, compiled files and the
        top folders ``tests``, ``test`` and ``docs``. KFP takes 128 KiB with a step.
    :param fetch: ``compiler``, or ``pod``, where an address is fetched anew by each step: its pod needs the
        network; for git the program ``git`` and for S3 ``boto3`` in the image; and the credentials in its
        environment, which the step's setting ``secrets`` gives it (``GIT_TOKEN``, or ``GIT_USERNAME`` and
        ``GIT_PASSWORD``; ``AWS_ACCESS_KEY_ID``, ...). It gets the commit or the content that was there when
        the pipeline was compiled, or fails. The address is part of the pipeline: it must hold no secret.
    :param image: the image, with Python >= 3.8 as ``python3`` in it; also ``base_image``.
    :param python_version: used where no image is given: ``3.11``, or DigitalHub's ``PYTHON3_11``.
    :param requirements: packages that pip installs before each run of a step, as PEP 508 has them
        (``pandas>=2``; an address or file as ``name @ https://...``). Better is an image that has
        them: the step then starts at once and needs no package index.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What is read as well as the fields, for errors.
    OTHER_SPELLINGS: ClassVar[tuple[str, ...]] = ("base_image", "code_src", "python_version")

    handler: Callable[..., Any] | str
    code: str | None = None
    base64: str | None = None
    source: str | None = None
    fetch: Literal["compiler", "pod"] = "compiler"
    image: str = Field(default=DEFAULT_IMAGE, min_length=1)
    requirements: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _digitalhub_forms(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        fields = source_fields(given, aliases={"code_src": "source", "base_image": "image"})
        version = fields.pop("python_version", None)
        if version is not None:
            fields.setdefault("image", f"python:{_version(version)}-slim")
        return fields

    @field_validator("source", mode="before")
    @classmethod
    def _path_as_text(cls, source: Any) -> Any:
        if isinstance(source, Path):
            return str(source)
        if source == "":
            raise ValueError("is empty. Allowed: a path, an address such as git+https://host/repository")
        return source

    @field_validator("requirements")
    @classmethod
    def _packages(cls, requirements: tuple[str, ...]) -> tuple[str, ...]:
        for requirement in requirements:
            check_requirement(requirement)
        return requirements

    @model_validator(mode="after")
    def _one_source(self) -> PythonFunction:
        sources = [name for name in ("code", "base64", "source") if getattr(self, name) is not None]
        if callable(self.handler) and sources:
            raise ValueError(
                f"handler is a callable, so {sources[0]} is one source too many; give one of them"
            )
        if isinstance(self.handler, str) and not sources:
            raise ValueError(f"handler {self.handler!r} needs one of code, base64 and source; there is none")
        if self.fetch == "pod" and sources != ["source"]:
            raise ValueError("fetch='pod' needs an address as `source`, and no other source")
        if self.fetch == "pod" and not _ADDRESS.match(self.source or ""):
            raise ValueError(
                f"fetch='pod': a pod cannot fetch {_without_login(self.source or '')!r}. Allowed: "
                f"{', '.join(f'{scheme}://' for scheme in FETCHED_BY_PODS)}"
            )
        return self


def check_requirement(written: str) -> None:
    """Raise a ``ValueError`` for what pip would not take as a package to install (PEP 508) or has a login."""
    if _LOGIN.search(written):
        raise ValueError(
            "an address holds a user or a password, which would be seen in the pipeline and in process "
            "lists; give them to pip by the step's environment, from a Kubernetes secret (PIP_INDEX_URL, ...)"
        )
    try:
        Requirement(written)
    except InvalidRequirement:
        raise ValueError(
            f"{written!r} is not a requirement such as 'pandas>=2' or 'name @ https://...' (PEP 508); "
            "options of pip belong into the step's environment (PIP_INDEX_URL, ...) or the image's pip.conf"
        ) from None


def _without_login(address: str) -> str:
    return re.sub(r"//.*@", "//***@", address)


def _version(written: object) -> str:
    match = re.fullmatch(r"(?:PYTHON)?(\d+)[._](\d+)", str(written))
    if match is None or (int(match[1]), int(match[2])) < OLDEST_PYTHON:
        raise ValueError(
            f"python_version: {written!r} is not a version. Allowed: 3.8 or later, as 3.11 or PYTHON3_11"
        )
    return f"{match[1]}.{match[2]}"
