"""What a function of kind ``kfp`` is made of."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from airflow_kfp_runtime.runtimes.python.specification import check_requirement
from airflow_kfp_runtime.runtimes.source_fields import source_fields


class KfpFunction(BaseModel):
    """A component or pipeline that is written with the kfp SDK.

    It is ``handler`` itself, where the SDK is installed beside this package (the extra ``kfp``); or its name
    in a source, which is imported where the SDK is: by ``kfp_python``, by an environment that is made of
    ``kfp_requirements``, or without these by a process of this Python. Of several sources the first counts.

    :param handler: what ``@dsl.component``, ``@dsl.container_component`` or ``@dsl.pipeline`` decorates; or
        its name: ``train``, ``module:train`` or ``package.module:train``.
    :param code: the module's text.
    :param base64: the module's text, base64-encoded.
    :param source: a local ``.py`` or ``.zip`` file or folder, or an address (``docs/sources.md``); DigitalHub
        calls it ``code_src``, and has ``{"source": "file.py", "handler": "train"}`` too.
    :param kfp_python: path of a Python interpreter that has kfp 2.
    :param kfp_requirements: what pip installs into an environment of its own, kfp among it
        (``["kfp==2.14.6"]``). It is made once, kept in the cache of sources, and made anew when it is
        evicted or the requirements change; pin them, for it is not updated.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: What is read as well as the fields, for errors.
    OTHER_SPELLINGS: ClassVar[tuple[str, ...]] = ("code_src",)

    handler: Any
    code: str | None = None
    base64: str | None = None
    source: str | None = Field(default=None, min_length=1)
    kfp_python: str | None = Field(default=None, min_length=1)
    kfp_requirements: tuple[str, ...] | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _digitalhub_forms(cls, given: Any) -> Any:
        return source_fields(given, aliases={"code_src": "source"}) if isinstance(given, dict) else given

    @field_validator("kfp_requirements")
    @classmethod
    def _packages(cls, requirements: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for requirement in requirements or ():
            check_requirement(requirement)
        return requirements

    @model_validator(mode="after")
    def _fits_together(self) -> KfpFunction:
        sources = [name for name in ("code", "base64", "source") if getattr(self, name) is not None]
        elsewhere = [name for name in ("kfp_python", "kfp_requirements") if getattr(self, name) is not None]
        if not isinstance(self.handler, str) and (sources or elsewhere):
            raise ValueError(
                f"handler is an object of this process, so that {(sources + elsewhere)[0]} has no meaning: "
                "give its name in a source, or the object alone"
            )
        if isinstance(self.handler, str) and not sources:
            raise ValueError(f"handler {self.handler!r} needs one of code, base64 and source; there is none")
        if len(elsewhere) > 1:
            raise ValueError("kfp_python and kfp_requirements are both given: give one of them")
        return self
