"""Bounds what the pod fetches itself, and tells whether it is what was there when the step was compiled."""
# ruff: noqa: PTH104, PTH106, PTH112, PTH118, PTH123, PTH208

from __future__ import annotations

import hashlib
import os
import sys
import time
from typing import Any, NoReturn


def fail(problem: str) -> NoReturn:
    """End the step with one line in its log."""
    sys.exit(f"The step's source cannot be fetched: {problem}")


class Bounds:
    """How much may be fetched (bytes, files) and how long it may take (seconds)."""

    def __init__(self, bounds: dict[str, float]) -> None:
        self.download = int(bounds["download"])
        self.extracted = int(bounds["extracted"])
        self.files = int(bounds["files"])
        self.seconds = bounds["seconds"]
        self.end = time.monotonic() + bounds["seconds"]

    def left(self) -> float:
        left = self.end - time.monotonic()
        if left <= 0:
            fail(f"it takes more than {self.seconds:g} seconds.")
        return left

    def content(self, stream: Any) -> bytes:
        """Return what a stream gives, while there is time for it."""
        content = bytearray()
        # What is there by now, where the stream can tell: a server may send a byte at a time.
        read = getattr(stream, "read1", stream.read)
        while True:
            part = read(65536)
            content += part
            self.left()
            if len(content) > self.download:
                fail(f"it has more than {self.download} bytes.")
            if not part:
                return bytes(content)


def digest_of(folder: str, files: list[str] | None = None) -> str:
    """Return the SHA-256 of files of a folder, by default of all, by their paths."""
    if files is None:
        files = [
            os.path.relpath(os.path.join(place, name), folder).replace(os.sep, "/")
            for place, _, names in os.walk(folder)
            for name in names
        ]
    lines = []
    for name in sorted(files):
        with open(os.path.join(folder, name), "rb") as file:
            lines.append(f"{hashlib.sha256(file.read()).hexdigest()} {name}\n")
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def written(content: bytes, folder: str, name: str) -> str:
    """Write the one file of a source into its folder and return the folder."""
    with open(os.path.join(folder, name), "wb") as file:
        file.write(content)
    return folder


def checked(folder: str, digest: str, location: str) -> str:
    """Return the folder, if it holds what it held when the step was compiled."""
    entries = os.listdir(folder)
    inner = os.path.join(folder, *entries[:1])
    if digest_of(folder) != digest:
        # An archive may have one folder around all, which was left out then.
        if len(entries) != 1 or not os.path.isdir(inner) or digest_of(inner) != digest:
            fail(
                f"{location} has changed since the pipeline was compiled. Compile it again, or give an "
                "address whose content stays."
            )
        os.rename(inner, folder + ".inner")
        os.rmdir(folder)
        os.rename(folder + ".inner", folder)
    return folder
