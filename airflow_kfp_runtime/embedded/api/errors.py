"""The errors that the API answers with: gRPC codes, their HTTP statuses, and the gateway's JSON body.

KFP 2.17 wraps an error once per layer, so that ``message`` is a chain of clauses that ends in the cause, and
repeats the cause alone in ``details``; clients read either.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any


class Code(IntEnum):
    """The gRPC codes that the KFP API uses."""

    INVALID_ARGUMENT = 3
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    FAILED_PRECONDITION = 9
    ABORTED = 10
    UNIMPLEMENTED = 12
    INTERNAL = 13


#: As grpc-gateway maps them.
HTTP_STATUS = {
    Code.INVALID_ARGUMENT: 400,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
}

#: What the server writes before the cause, by code.
_KINDS = {
    Code.INVALID_ARGUMENT: "Invalid input error",
    Code.NOT_FOUND: "ResourceNotFoundError",
    Code.ALREADY_EXISTS: "Already exist error",
    Code.FAILED_PRECONDITION: "FailedPreconditionError",
    Code.ABORTED: "BadRequestError",
    Code.UNIMPLEMENTED: "UnimplementedError",
    Code.INTERNAL: "InternalServerError",
}


class ApiError(Exception):
    """A call that is refused.

    :param code: the gRPC code.
    :param cause: what is wrong.
    :param context: what the server was about to do, outermost first.
    """

    def __init__(self, code: Code, cause: str, *context: str) -> None:
        self.code = code
        self.cause = cause
        self.context = context
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The whole chain of clauses."""
        return ": ".join([*self.context, f"{_KINDS[self.code]}: {self.cause}"])

    @property
    def external(self) -> str:
        """The cause as the server tells it to strangers: an internal one only as such."""
        return "Internal Server Error" if self.code is Code.INTERNAL else self.cause

    @property
    def status(self) -> int:
        """The HTTP status."""
        return HTTP_STATUS[self.code]

    def body(self) -> dict[str, Any]:
        """The JSON body, as grpc-gateway 2 writes a ``google.rpc.Status``."""
        detail = {
            "@type": "type.googleapis.com/google.rpc.Status",
            "code": self.code,
            "message": self.external,
        }
        return {"code": self.code, "message": self.message, "details": [detail]}


def invalid(cause: str, *context: str) -> ApiError:
    """400: the request cannot be accepted as it is."""
    return ApiError(Code.INVALID_ARGUMENT, cause, *context)


def not_found(kind: str, name: str, *context: str) -> ApiError:
    """404: there is no such thing (``Run x not found``)."""
    return ApiError(Code.NOT_FOUND, f"{kind} {name} not found", *context)


def internal(cause: str, *context: str) -> ApiError:
    """500: what the server answers for much that is really the client's mistake."""
    return ApiError(Code.INTERNAL, cause, *context)
