"""Secrets that can be told from any other text, and the search for them wherever they must not be."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import threading
import traceback
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

#: How deep the search goes into what an exception refers to.
_DEPTH = 6


@dataclass(frozen=True)
class Mark:
    """A secret, with characters that URLs, JSON and HTML write in another way.

    :param kind: what it is, for messages.
    """

    kind: str
    core: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def value(self) -> str:
        return f"m:{self.core}/+&<='"

    def forms(self) -> Iterator[bytes]:
        """How it is known again: either half of it, also in base64, wherever it stands in what is encoded."""
        for half in (self.core[:16], self.core[16:]):
            yield half.encode()
            yield half.encode().hex().encode()
            for before in range(3):
                encoded = base64.b64encode(bytes(before) + half.encode())
                yield encoded[-(-before * 8 // 6) : (before + len(half)) * 8 // 6].lower()


class Search:
    """Looks for marks in all that it is shown.

    :param marks: the secrets.
    """

    def __init__(self, *marks: Mark) -> None:
        self._forms = {form: mark.kind for mark in marks for form in mark.forms()}
        self.found: list[str] = []

    def add(self, *marks: Mark, **texts: str) -> None:
        """Look for more marks, and for other secrets as they are."""
        self._forms |= {form: mark.kind for mark in marks for form in mark.forms()}
        self._forms |= {text.lower().encode(): kind for kind, text in texts.items()}

    def look(self, place: str, *things: object) -> None:
        """Look into texts, bytes and whatever has a representation."""
        for thing in things:
            content = thing if isinstance(thing, bytes) else str(thing).encode(errors="replace")
            low = content.lower()
            for form, kind in self._forms.items():
                at = low.find(form)
                if at >= 0:
                    near = content[max(0, at - 200) : at + 100].decode(errors="replace")
                    self.found.append(f"{kind} in {place}: ...{near}...")

    def look_at_error(self, place: str, error: BaseException) -> None:
        """Look into an exception, those behind it, also hidden ones, and all that they refer to."""
        for one in _chain(error):
            self.look(f"{place}, {type(one).__name__}", str(one), repr(one), *traceback.format_exception(one))
            self.look(f"what {place}, {type(one).__name__}, refers to", *_referred(one, _DEPTH))

    def look_at_files(self, *places: Path, but: Iterable[str] = ()) -> int:
        """Look into files and all files of folders, byte by byte, and return how many they were.

        :param but: names of files that hold the secrets by right.
        """
        files = [
            file
            for place in places
            for file in ([place] if place.is_file() else place.rglob("*"))
            if file.name not in but and file.is_file()
        ]
        for file in files:
            # Processes may remove theirs meanwhile.
            with contextlib.suppress(FileNotFoundError):
                self.look(str(file), file.name, file.read_bytes())
        return len(files)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        if error.__context__ is not error.__cause__:
            yield from _chain(error.__context__)


def _referred(thing: object, depth: int) -> Iterator[object]:
    if depth < 0:
        return
    match thing:
        case str() | bytes():
            yield thing
        case dict():
            yield from _referred([*thing, *thing.values()], depth)
        case list() | tuple() | set() | frozenset():
            for entry in thing:
                yield from _referred(entry, depth - 1)
        case BaseException():
            yield from _referred([thing.args, vars(thing)], depth - 1)
        case _ if hasattr(thing, "__dict__"):
            yield repr(thing)
            yield from _referred(list(vars(thing).values()), depth - 1)


class Records(logging.Handler):
    """Keeps every line that is logged, with its stack trace."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[tuple[str, str]] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.name, self.format(record)))


@contextlib.contextmanager
def everything_logged() -> Iterator[Records]:
    """Keep what all libraries log, at DEBUG."""
    root, records = logging.getLogger(), Records()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(records)
    try:
        yield records
    finally:
        root.removeHandler(records)
        root.setLevel(level)


class Arguments:
    """Looks at the arguments of all processes of this machine, again and again, while the block lasts."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def look(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                self.seen.add((process / "cmdline").read_bytes().replace(b"\0", b" "))

    def _go_on(self) -> None:
        while not self._ended.wait(0.1):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.look()


def environments_of_children() -> Iterator[tuple[str, bytes]]:
    """Return command line and environment of each process below this one."""
    parents: dict[int, tuple[int, str, bytes]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError):
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parents[int(process.name)] = (parent, command, (process / "environ").read_bytes())
    for pid, (parent, command, environment) in parents.items():
        above = parent
        while above in parents and above != os.getpid():
            above = parents[above][0]
        if above == os.getpid() and pid != above:
            yield command, environment
