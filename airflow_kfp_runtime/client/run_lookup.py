"""Finding a run that may have been submitted: by its id, and by a token in its description.

KFP honours the id that a client asks for since 2.0, yet its API describes ``run_id`` as an output, so a
server may choose another one. A run therefore carries the id that was asked for in its description as well
(``airflow-kfp-runtime:<run id>``), with a fingerprint of what it runs behind it.
"""

from __future__ import annotations

import re
from math import inf
from typing import TYPE_CHECKING

from airflow_kfp_runtime.client import calls
from airflow_kfp_runtime.client.filters import contains
from airflow_kfp_runtime.client.paging import list_all
from airflow_kfp_runtime.client.run_request import TEXT_LIMIT
from airflow_kfp_runtime.errors import InvalidRequestError, NotFoundError, PermissionDeniedError

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.call import Flow
    from airflow_kfp_runtime.client.models import Run
    from airflow_kfp_runtime.client.run_request import RunRequest

_PREFIX = "airflow-kfp-runtime:"
_FINGERPRINT = re.compile(r":([0-9a-f]{8,64})\b")


def described(text: str, run_id: str, fingerprint: str = "") -> str:
    """Return a run's description: a text for people, cut where need be, and the token, always whole.

    :param run_id: the id that is asked for.
    :param fingerprint: of what is run, hexadecimal.
    """
    token = f"{_PREFIX}{run_id}:{fingerprint}" if fingerprint else f"{_PREFIX}{run_id}"
    return f"{text[: TEXT_LIMIT - len(token) - 1]} {token}".lstrip()


def fingerprint_of(run: Run) -> str | None:
    """Return the fingerprint in a run's description; ``None`` for a run that has none."""
    _, token, rest = run.description.partition(_PREFIX)
    found = _FINGERPRINT.search(rest) if token else None
    return found.group(1) if found else None


def find_by_id(run_id: str) -> Flow[Run | None]:
    """Return the run of that id, ``None`` where the server has none."""
    try:
        run: Run = yield calls.get_run(run_id)
    except NotFoundError:
        return None
    return run


def find_by_token(run_id: str, *, namespace: str | None = None) -> Flow[Run | None]:
    """Return the run whose description has the token of an id; the oldest, should there be several.

    Where the server refuses the search (KFP without this filter, or credentials that may not list), nothing
    is found: the id has to do there.

    :param run_id: the id that was asked for.
    :param namespace: needed on a multi-user server; leave it out elsewhere.
    """
    token = f"{_PREFIX}{run_id}"
    search = calls.list_runs(contains("description", token), namespace=namespace)
    try:
        runs = yield from list_all(search)
    except (InvalidRequestError, NotFoundError, PermissionDeniedError):
        return None
    # A server that does not know the filter may pass over it.
    return min((run for run in runs if token in run.description), key=_age, default=None)


def find_submitted(request: RunRequest, *, namespace: str | None = None) -> Flow[Run | None]:
    """Return the run that a request may have made, whichever id the server gave it.

    :param request: searched for by its token only if its description has one.
    """
    run = yield from find_by_id(request.run_id)
    if run is None and f"{_PREFIX}{request.run_id}" in request.description:
        run = yield from find_by_token(request.run_id, namespace=namespace)
    return run


def _age(run: Run) -> tuple[float, str]:
    return (run.created_at.timestamp() if run.created_at else inf, run.run_id)
