"""The exceptions of this package: one small tree, each of whose messages says what to do next.

- :class:`DefinitionError` and its children: what the user wrote cannot become a run. Raised before
  anything is sent; a retry without a change cannot help.
- :class:`RunError` and its children: a run that was submitted has not succeeded.
- :class:`ServerError` and its children: the server refused, could not answer, or could not be reached;
  ``transient`` tells whether asking again can help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How many of the names that would be right a message lists.
_MOST_LISTED = 12


class KfpRuntimeError(Exception):
    """What every exception of this package is."""

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle without calling ``__init__``, whose keyword arguments ``Exception`` would forget."""
        return (_restored, (type(self), self.args, self.__dict__))


def _restored(
    kind: type[KfpRuntimeError], arguments: tuple[object, ...], state: dict[str, object]
) -> KfpRuntimeError:
    error = kind.__new__(kind)
    error.args = arguments
    error.__dict__.update(state)
    return error


class DefinitionError(KfpRuntimeError, ValueError):
    """A pipeline, or a part of one, that cannot be submitted as it is written.

    :param problem: what is wrong, as a clause (``is not an output of step 'download'``).
    :param step: the step's name, where one is concerned.
    :param field: the field of the step, function or setting (``inputs['di']``).
    :param allowed: what would be right: the known names or the accepted forms. The message lists the first
        ones; of many names, :func:`nearest` brings those first that were probably meant.
    """

    def __init__(
        self, problem: str, *, step: str | None = None, field: str | None = None, allowed: Iterable[str] = ()
    ) -> None:
        self.problem = problem
        self.step = step
        self.field = field
        self.allowed = tuple(allowed)
        place = ", ".join(part for part in (f"step {step!r}" if step else "", field or "") if part)
        message = f"{place}: {problem}" if place else problem
        if self.allowed:
            message = f"{message}. Allowed: {_listed(self.allowed)}"
        super().__init__(message)


def nearest(wrong: str, names: Iterable[str]) -> list[str]:
    """Return the names that a message should list for a wrong one.

    :param wrong: what was written.
    :param names: what would be right.
    :return: all names where they fit into a message; of more, those that are close to the wrong one, if any.
    """
    known = list(names)
    if len(known) <= _MOST_LISTED:
        return known
    from difflib import get_close_matches

    return get_close_matches(wrong, known) or known


def _listed(names: Sequence[str]) -> str:
    first = ", ".join(names[:_MOST_LISTED])
    return first if len(names) <= _MOST_LISTED else f"{first} and {len(names) - _MOST_LISTED} more"


class StepError(DefinitionError):
    """A step is wrong: a misspelt parameter, an unknown output, a cycle."""


class FunctionError(DefinitionError):
    """A function or its kind is wrong: an unknown kind, a field it lacks, an annotation it cannot have."""


class SourceError(DefinitionError):
    """The source of a function or workflow cannot be read or does not hold the handler."""


class SettingError(DefinitionError):
    """A Kubernetes setting is wrong or cannot be expressed in KFP."""


class ArgumentError(DefinitionError):
    """The arguments of a run do not fit the pipeline: missing, unknown, or of another type."""


class RunError(KfpRuntimeError):
    """A run that was submitted has not succeeded.

    :param message: what happened, the failed steps, and what to do about it.
    :param run_id: the run on the server.
    """

    def __init__(self, message: str, *, run_id: str) -> None:
        super().__init__(message)
        self.run_id = run_id


class RunFailedError(RunError):
    """The run ended in a state other than success."""


class RunCanceledError(RunError):
    """The run was terminated, by this package or by someone else."""


class RunTimeoutError(RunError):
    """The run had not ended at its deadline, or nothing in it had changed for too long."""


class ServerError(KfpRuntimeError):
    """The server refused a call or could not be reached.

    :param message: the server's own words, or what the connection failed with; never a header or a token.
    :param call: method and path, without the query.
    :param status: the HTTP status, or ``None`` where there was no answer.
    :param code: the gRPC code of the answer's body, or ``None``.
    :param details: further lines that the server gave.
    :param retry_after: seconds after which the server wants to be asked again, or ``None``.
    """

    #: Whether the same call may succeed later without anybody changing anything.
    transient = False

    def __init__(
        self,
        message: str,
        *,
        call: str = "",
        status: int | None = None,
        code: int | None = None,
        details: Sequence[str] = (),
        retry_after: float | None = None,
    ) -> None:
        self.message = message
        self.call = call
        self.status = status
        self.code = code
        self.details = tuple(details)
        self.retry_after = retry_after
        answer = f" answered {status}" if status is not None else ""
        super().__init__(f"{call}{answer}: {message}" if call else message)


class NotFoundError(ServerError):
    """404: no such run, pipeline, version or experiment, or it was deleted."""


class ConflictError(ServerError):
    """409: the name is taken, or the run is not in a state for this call."""


class InvalidRequestError(ServerError):
    """400: the server does not accept the request as it is."""


class AuthenticationError(ServerError):
    """401, or a login page where an answer should be: credentials are missing, wrong or expired."""


class PermissionDeniedError(ServerError):
    """403: these credentials may not do this."""


class ServerUnavailableError(ServerError):
    """No connection, a time-out, 429, 502, 503, 504: try again later."""

    transient = True


class UnexpectedResponseError(ServerError):
    """An answer that is not KFP's: a proxy's page, malformed JSON, another service at this address."""

    transient = True
