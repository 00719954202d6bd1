"""All rows of a list call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from airflow_kfp_runtime.client.calls import next_page

if TYPE_CHECKING:
    from airflow_kfp_runtime.client.call import Call, Flow
    from airflow_kfp_runtime.client.models import Page

T = TypeVar("T")


def list_all(call: Call[Page[T]]) -> Flow[list[T]]:
    """Return all rows of a list call, page after page.

    For example::

        client.run(list_all(calls.list_runs(equals("state", "RUNNING"))))
    """
    found: list[T] = []
    page: Page[T] = yield call
    found += page.items
    while page.next_page_token:
        page = yield next_page(call, page.next_page_token)
        found += page.items
    return found
