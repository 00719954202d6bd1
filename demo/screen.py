"""What the demo shows: stages with their time, and tables. Plain lines where there is no terminal."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Screen:
    """Shows what happens, and remembers how long each stage took."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._stages: list[tuple[str, float | None]] = []
        self._started = time.monotonic()

    def say(self, text: str = "", *, style: str | None = None) -> None:
        """Write a line as it is; square brackets in it mean nothing."""
        self._console.print(text, style=style, markup=False)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show that a stage is under way, and how long it took when it has ended well."""
        began = time.monotonic()
        if not self._console.is_terminal:
            self.say(f"{name} ...")
        with self._console.status(name):
            yield
        seconds = time.monotonic() - began
        self.took(name, seconds)
        self.say(f"{name}: {seconds:.1f} s", style="green")

    def took(self, name: str, seconds: float | None) -> None:
        """Remember a stage for :meth:`times`."""
        self._stages.append((name, seconds))

    def outputs(self, outputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Show the outputs of a pipeline, ``{step: {output: value}}``."""
        table = Table(
            title="Outputs of the pipeline, as the next Airflow task got them", title_justify="left"
        )
        for column in ("step", "output", "value"):
            table.add_column(column, overflow="fold")
        for step, values in outputs.items():
            for name, value in values.items():
                table.add_row(step, name, Text(_shown(value)))
        self._console.print(table)

    def times(self) -> None:
        """Show how long each stage took."""
        table = Table(title="Time", title_justify="left")
        table.add_column("stage", overflow="fold")
        table.add_column("seconds", justify="right")
        for name, seconds in self._stages:
            table.add_row(name, "" if seconds is None else f"{seconds:.1f}")
        table.add_section()
        table.add_row("from the first process to the last output", f"{time.monotonic() - self._started:.1f}")
        self._console.print(table)


def _shown(value: Any) -> str:
    match value:
        case {"uri": str(uri), "metadata": metadata}:
            return f"{uri}\n{json.dumps(metadata)}" if metadata else uri
        case float():
            return f"{value:.4f}"
        case _:
            return json.dumps(value)
