"""Writes a source that travelled in the task into a folder."""
# ruff: noqa: PTH103, PTH118, PTH120, PTH123

from __future__ import annotations

import base64
import io
import os
import tarfile
import zlib


def unpacked(archive: str, folder: str) -> str:
    """Write the files of an archive into a folder and return it.

    :param archive: a tar file, compressed by zlib, in base64; see ``archive.py``.
    """
    content = io.BytesIO(zlib.decompress(base64.b64decode(archive)))
    with tarfile.open(fileobj=content, mode="r:") as files:
        for member in files:
            path = os.path.normpath(os.path.join(folder, member.name))
            content_of_file = files.extractfile(member) if member.isreg() else None
            if content_of_file is None or not path.startswith(folder + os.sep):
                raise ValueError(f"{member.name!r} has no place in the step's source.")
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content_of_file.read())
    return folder
