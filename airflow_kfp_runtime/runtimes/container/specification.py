"""What a function of kind ``container`` is written as."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from airflow_kfp_runtime.runtimes.container.command_line import has_mention
from airflow_kfp_runtime.runtimes.interface import TYPE_NAMES, value_type


class ContainerFunction(BaseModel):
    """What a function of kind ``container`` is made of.

    :param image: the image.
    :param command: the program and its first arguments, or the program alone as a text. KFP starts the
        program itself and does not know the image's ``ENTRYPOINT``, so there must be one.
    :param args: further arguments, after those of ``command``. In both, a value takes its reference's place
        as it is: a script of ``sh -c`` should get it as an argument, ``["sh", "-c", 'sort "$1" > "$2"',
        "sh", "$(inputs.table)", "$(outputs.sorted)"]``, since the shell reads what stands in its text.
    :param env: environment variables: a mapping, or DigitalHub's list of ``{"name": ..., "value": ...}``.
    :param inputs: type name by input name (``{"url": "str", "di": "Dataset"}``); an input that is not
        among them takes the type of what is connected.
    :param outputs: type name by output name, in the function's own terms; an output that is not among them
        is an ``Artifact`` where the step has it in ``outputs``, a ``str`` where it has it in ``values``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str = Field(min_length=1)
    command: tuple[str | dict[str, str], ...] = Field(default=(), validate_default=True)
    args: tuple[str | dict[str, str], ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    inputs: dict[str, str] = Field(default_factory=dict)
    outputs: dict[str, str] = Field(default_factory=dict)

    @field_validator("command", mode="before")
    @classmethod
    def _program_alone(cls, command: Any) -> Any:
        return (command,) if isinstance(command, str) and command else command

    @field_validator("command")
    @classmethod
    def _begins_with_a_program(cls, command: tuple[object, ...]) -> tuple[object, ...]:
        if not command:
            raise ValueError(
                "is empty: KFP starts the program itself and does not know the image's ENTRYPOINT; "
                "name the program"
            )
        return command

    @field_validator("env", mode="before")
    @classmethod
    def _named_values(cls, env: Any) -> Any:
        if isinstance(env, list) and all(
            isinstance(entry, dict) and entry.keys() == {"name", "value"} for entry in env
        ):
            return {entry["name"]: entry["value"] for entry in env}
        return env

    @field_validator("env")
    @classmethod
    def _no_references(cls, env: dict[str, str]) -> dict[str, str]:
        for name, value in env.items():
            if has_mention(value):
                raise ValueError(
                    f"{name}={value!r}: KFP fills in inputs and outputs in command and args only; "
                    "pass it there, for instance through `env NAME=$(inputs.x) program`"
                )
        return env

    @field_validator("inputs", "outputs")
    @classmethod
    def _known_types(cls, declared: dict[str, str]) -> dict[str, str]:
        for name, written in declared.items():
            if value_type(written) is None:
                raise ValueError(f"{name!r}: {written!r} is not a type. Allowed: {', '.join(TYPE_NAMES)}")
        return declared
