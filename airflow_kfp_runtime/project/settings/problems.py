"""Puts pydantic's errors into the words of this package's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_kfp_runtime.dsl.references import Reference
from airflow_kfp_runtime.project.settings import quantities

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

#: What is wrong with a run-time value where there may be none.
AT_RUN_TIME = "is known only while the pipeline runs, and KFP takes no such value here"

#: What a value should have been, by pydantic's type of error.
WANTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "mapping_type": "a mapping",
    "dict_type": "a mapping",
    "callable_type": "a function",
    "path_type": "a path",
}

#: The key of the bound in the error's context, and the words before it.
_BOUNDS = {
    "greater_than_equal": ("ge", "less than"),
    "greater_than": ("gt", "not more than"),
    "less_than_equal": ("le", "more than"),
}


def problem_of(error: ErrorDetails) -> tuple[str, tuple[str, ...]]:
    """Return pydantic's problem as a clause, and what is allowed instead."""
    given, context = error["input"], error.get("ctx", {})
    if isinstance(given, Reference):
        return AT_RUN_TIME, ()
    match error["type"]:
        case "value_error":
            problem = str(context["error"])
            return problem, quantities.EXAMPLES if problem.endswith("is not a quantity") else ()
        case "literal_error":
            return f"{given!r:.200} is not allowed", (str(context["expected"]),)
        case kind if kind in WANTED:
            return f"is {kind_of(given)}, not {WANTED[kind]}" + _hint(kind, given), ()
        case kind if kind in _BOUNDS:
            key, words = _BOUNDS[kind]
            return f"{given!r} is {words} {context[key]:g}", ()
        case "finite_number":
            return f"{given!r} is not a finite number", ()
        case "too_short" | "string_too_short":
            return "is empty", ()
        case "missing":
            return f"has no {error['loc'][-1]}", ()
        case _:
            return f"{error['msg'][:1].lower()}{error['msg'][1:]}", ()


#: Texts that say a number, or true or false.
_PLAIN = re.compile(r"\s*(?:[+-]?[0-9]+(?:\.[0-9]*)?|true|false)\s*", re.ASCII | re.IGNORECASE)


def _hint(kind: str, given: object) -> str:
    match kind, given:
        case "string_type", bool() | int() | float():
            return ": put it in quotes"
        case "int_type" | "float_type" | "bool_type", str() if _PLAIN.fullmatch(given):
            return (
                ": write it without quotes; a template gives a text unless the DAG has "
                "render_template_as_native_obj=True"
            )
        case _:
            return ""


def kind_of(value: object) -> str:
    """Return what a value is, in a sentence."""
    match value:
        case bool() | int() | float():
            return f"{value!r}"
        case str():
            return f"the text {value!r:.200}"
        case Mapping():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case None:
            return "nothing"
        case _:
            return f"a {type(value).__name__}"
