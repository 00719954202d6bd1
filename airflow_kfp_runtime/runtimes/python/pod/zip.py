"""Extracts a zip file that the pod has fetched."""
# ruff: noqa: PTH103, PTH118, PTH120, PTH123

from __future__ import annotations

import io
import os
import stat
import zipfile

from airflow_kfp_runtime.runtimes.python.pod.checking import Bounds, fail


def extracted(content: bytes, folder: str, bounds: Bounds) -> str:
    """Write the files of a zip file into a folder and return it."""
    left = bounds.extracted
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [
                member
                for member in archive.infolist()
                if not member.is_dir() and not member.filename.startswith("__MACOSX/")
            ]
            if len(members) > bounds.files:
                fail(f"it has more than {bounds.files} files.")
            for member in members:
                path = os.path.normpath(os.path.join(folder, member.filename))
                if stat.S_ISLNK(member.external_attr >> 16) or not path.startswith(folder + os.sep):
                    fail(f"its file {member.filename!r} is a link or leads out of the source's folder.")
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with archive.open(member) as source, open(path, "wb") as file:
                    # One byte more than is left tells that it is too large, whatever the header says.
                    left -= file.write(source.read(left + 1))
                bounds.left()
                if left < 0:
                    fail(f"it has more than {bounds.extracted} bytes when it is extracted.")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError) as error:
        fail(f"it is not a zip file that can be extracted: {error}")
    return folder
