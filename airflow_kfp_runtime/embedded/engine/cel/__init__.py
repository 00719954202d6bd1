"""The part of CEL, Google's Common Expression Language, that pipelines use.

KFP's driver evaluates the condition of a task and the selector of a loop item's member with cel-go (KFP 2.17,
``backend/src/v2/expression``). What the SDK compiles to is small: comparisons, ``&&``, ``||``, ``!``, the
conversions, ``parseJson``, members and indices. That is what is here; the rest of the language is refused
when an expression is read. The package for the whole language, cel-python, brings a C++ library and a parser
generator into every Airflow deployment that has this provider.
"""

from airflow_kfp_runtime.embedded.engine.cel.evaluation import holds, select
from airflow_kfp_runtime.embedded.engine.cel.syntax import read_condition, read_selector
from airflow_kfp_runtime.embedded.engine.cel.tokens import CelError

__all__ = ["CelError", "holds", "read_condition", "read_selector", "select"]
