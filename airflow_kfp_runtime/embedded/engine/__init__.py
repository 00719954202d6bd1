"""The execution engine of the embedded server: runs of pipelines, whose steps are processes of this machine.

:mod:`.engine` drives all runs from one thread; :mod:`.execution` takes one run through its graph
(:mod:`.graph`, :mod:`.resolve`); :mod:`.step` runs one attempt of a step (:mod:`.environments`,
:mod:`.process`). What becomes of them is written to :mod:`~airflow_kfp_runtime.embedded.state`.
"""

from __future__ import annotations

from airflow_kfp_runtime.embedded.engine.check import UnsupportedPipelineError
from airflow_kfp_runtime.embedded.engine.engine import Engine

__all__ = ["Engine", "UnsupportedPipelineError"]
