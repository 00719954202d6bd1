"""Sources that are texts in the definition itself, written to a file so that they are like all others."""

from __future__ import annotations

import base64
import binascii
import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources.disk import private_folder, temporary_files_explained
from airflow_kfp_runtime.sources.scheme import Fetched

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_text(text: str, *, name: str = "workflow") -> Iterator[Fetched]:
    """Yield a text as the one file of a private folder, which is removed at the end of the block.

    :param text: the module.
    :param name: of the file, without ``.py``.
    :raises SourceError: there is no place for it.
    """
    # A text from YAML or JSON may hold halves of a pair, which no file can: Python then names the place.
    content = text.encode(errors="surrogatepass")
    with private_folder(field="code") as folder:
        with temporary_files_explained(field="code"):
            (Path(folder) / f"{name}.py").write_bytes(content)
        yield Fetched(Path(folder), f"{name}.py", hashlib.sha256(content).hexdigest())


def decoded(encoded: str, *, field: str = "base64") -> str:
    """Return the text that a ``base64`` field holds.

    :param encoded: with or without line ends.
    :param field: what the user calls it, for errors.
    :raises SourceError: it is no base64, or not of UTF-8 text.
    """
    try:
        return base64.b64decode("".join(encoded.split()), validate=True).decode("utf-8-sig")
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"is not base64 of UTF-8 text: {error}", field=field) from error
