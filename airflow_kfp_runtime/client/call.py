"""A call of a server described as data, and flows of several calls; nothing here does any input or output.

:class:`~airflow_kfp_runtime.client.http.KfpClient` and its asynchronous twin perform what is described here,
so that each call and each flow is written once for both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

from airflow_kfp_runtime.errors import ServerError

T = TypeVar("T")


class Service(Enum):
    """Which of the two base URLs of the settings a call goes to."""

    API = "KFP's API"
    METADATA = "ML Metadata"


class Form(str, Enum):
    """What the body of a successful answer is."""

    JSON = "JSON object"
    ROWS = "JSON object with many rows"
    TEXT = "text"
    GRPC_WEB = "gRPC-web message"


@dataclass(frozen=True)
class Upload:
    """A file of a multipart request, in the field ``uploadfile`` that KFP reads.

    :param filename: its extension tells KFP the format (``.yaml``).
    """

    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request and how its answer is read.

    :param method: the HTTP method.
    :param path: the path below the base URL, already percent-encoded.
    :param parse: makes the result from the body: a JSON object, a text (of JSON as well, where there are
        many rows) or a protobuf message's bytes, by ``form``. It raises ``ValueError`` where the body is not
        KFP's.
    :param query: query parameters, not yet encoded.
    :param json: a JSON body.
    :param upload: a file to send as multipart.
    :param content: a gRPC-web message to send.
    :param service: the base URL that ``path`` is below.
    :param form: what a successful answer's body must be.
    :param limit: bytes of an answer that are read at most: beyond it a text loses its beginning, anything
        else is an error.
    :param repeatable: whether the call may come twice: a read, or a change that the server makes once, such
        as a name that is taken then.
    """

    method: str
    path: str
    parse: Callable[[Any], T] = field(repr=False)
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = field(default=None, repr=False)
    upload: Upload | None = None
    content: bytes | None = field(default=None, repr=False)
    service: Service = Service.API
    form: Form = Form.JSON
    limit: int = 64 * 1024 * 1024
    repeatable: bool = True

    @property
    def label(self) -> str:
        """Method and path without the query, as messages name the call."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True)
class Wait:
    """An instruction of a flow: go on after this time.

    :param seconds: how long.
    """

    seconds: float


def path_segment(value: str) -> str:
    """Return an id or a name percent-encoded as one segment of a path.

    :raises ValueError: for an empty one, which would name the collection instead of one of its members.
    """
    if not value or value in (".", ".."):
        raise ValueError(f"{value!r} is not an id or a name that the server can look up.")
    return quote(value, safe="")


#: Several calls that lead to one result: a generator that yields calls and waits, is sent each call's result
#: (or thrown the :class:`~airflow_kfp_runtime.errors.ServerError` it ended in), and returns the result.
Flow: TypeAlias = Generator[Call[Any] | Wait, Any, T]


def next_instruction(flow: Flow[Any], answer: Any = None) -> Call[Any] | Wait:
    """Return what a flow wants to be performed next.

    :param answer: what its last instruction has led to: a result, or the ServerError that is thrown into it.
    :raises StopIteration: the flow has ended; with its result.
    """
    return flow.throw(answer) if isinstance(answer, ServerError) else flow.send(answer)
