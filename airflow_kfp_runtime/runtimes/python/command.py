"""The command line of a Python step: the executor, and what brings the function's source, both as text."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.runtimes.component import Container
from airflow_kfp_runtime.runtimes.python.archive import unpacking_program
from airflow_kfp_runtime.runtimes.travelling import json_argument, travelling_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_kfp_runtime.runtimes.python.text import FunctionSource

#: Bytes of a step's container as JSON. KFP's driver gets it as one argument, ``--container`` (KFP 2.17,
#: ``argocompiler/container.go``), and Linux takes at most 128 KiB in one, its final NUL included
#: (``MAX_ARG_STRLEN``), so that splitting what travels over several arguments of the step would not help.
LARGEST_CONTAINER = 128 * 1024 - 1


def container(
    image: str, requirements: Sequence[str], source: FunctionSource, interface: Mapping[str, Any]
) -> Container:
    """Return the container that calls the function.

    A text that is too large for it travels compressed.

    :raises SourceError: the source is too large even so.
    """

    def made(text: str, file: str) -> Container:
        return Container(
            image=image,
            command=(*_installation(requirements), "python3", "-c", executor_text()),
            args=(
                *("--executor-input", "{{$}}"),
                *("--interface", json_argument(interface)),
                *("--file", file),
                *_as_argument(text),
            ),
        )

    # Under the name that `python3 -c` gives to the executor, so that tracebacks begin with the user's lines.
    hidden = "<string>"
    plain = made(source.program, hidden) if source.program else made(source.text, source.file)
    if _size(plain) <= LARGEST_CONTAINER:
        return plain
    packed = plain
    if not source.program:
        file = source.file if source.file.endswith(".py") else f"{source.function}.py"
        program = unpacking_program({file: source.text.encode()}, file, source.function)
        packed = made(program, hidden)
    if _size(packed) > LARGEST_CONTAINER:
        raise SourceError(
            f"the source makes the step {_size(packed)} bytes large even compressed, and KFP takes at most "
            f"{LARGEST_CONTAINER}; put the code into an image and keep here the function that imports it, or "
            "let the pod fetch it from an address: fetch='pod'",
            field="source",
        )
    return packed


def executor_text() -> str:
    """Return the executor as it travels."""
    return travelling_text(Path(__file__).with_name("executor.py"))


def _size(made: Container) -> int:
    """Return the bytes of a container as the server writes it: Go's JSON escapes ``<``, ``>`` and ``&``."""
    written = json.dumps(
        {"image": made.image, "command": made.command, "args": made.args},
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return len(written.encode(errors="replace")) + 5 * len(re.findall("[<>&]", written))


def _as_argument(text: str) -> tuple[str, str]:
    """Return the option that carries a source, and its value.

    One with double braces, which f-strings and templates have, travels as JSON in which they are escaped.
    """
    return ("--source-json", json_argument(text)) if "{{" in text else ("--source", text)


def _installation(requirements: Sequence[str]) -> tuple[str, ...]:
    """Return what installs the requirements before the rest of the command."""
    if not requirements:
        return ()
    packages = shlex.join(requirements)
    advice = (
        f"Cannot install the function's requirements ({', '.join(requirements)}): see pip's message above. "
        "Where the cluster reaches no package index, give the function an image that has them."
    )
    pip = "python3 -m pip install --quiet --disable-pip-version-check --no-input"
    return ("sh", "-c", f'{pip} -- {packages} && exec "$0" "$@"\necho {shlex.quote(advice)} >&2\nexit 1\n')
