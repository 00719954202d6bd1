"""An Airflow of the tests' own: a home that is thrown away, a database, and DAGs run in this process.

``tests/conftest.py`` imports this module before anything imports Airflow, which reads its home once.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy
import pytest

HOME = Path(tempfile.mkdtemp(prefix="airflow-home-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
(HOME / "dags").mkdir()
# Nothing else: processes that tests start inherit this, and set a home of their own.
os.environ |= {"AIRFLOW_HOME": str(HOME), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}


@dataclass
class DagResult:
    """What a DAG run left behind.

    :param states: the state of each task instance, by task id, mapped ones as ``task[0]``.
    :param errors: the exception that each failed task instance ended in, by the same names.
    """

    dag_id: str
    run_id: str
    states: dict[str, str]
    errors: dict[str, BaseException] = field(default_factory=dict)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """The value of an XCom; ``None`` if there is none."""
        from airflow.models.xcom import XComModel
        from airflow.utils.session import create_session
        from sqlalchemy import select

        query = select(XComModel).where(
            XComModel.dag_id == self.dag_id,
            XComModel.run_id == self.run_id,
            XComModel.task_id == task_id,
            XComModel.key == key,
            XComModel.map_index == map_index,
        )
        with create_session() as session:
            row = session.scalars(query).one_or_none()
            return None if row is None else XComModel.deserialize_value(row)


@pytest.fixture
def kfp_client(kfp_server, monkeypatch):
    """A client of the embedded server, to which the connection ``kfp_default`` leads as well."""
    from airflow_kfp_runtime.client import ClientSettings, KfpClient

    monkeypatch.setenv("AIRFLOW_CONN_KFP_DEFAULT", json.dumps({"conn_type": "kfp", "host": kfp_server.url}))
    with KfpClient(ClientSettings(kfp_server.url)) as client:
        yield client


@pytest.fixture(scope="session")
def airflow_database():
    """Airflow's database, migrated once."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture
def run_dag(airflow_database):
    """Run a DAG to its end in this process, triggers inline: ``run_dag(dag)`` gives a :class:`DagResult`."""
    return _run_dag


def _run_dag(dag: Any, conf: dict[str, Any] | None = None) -> DagResult:
    from airflow.sdk.execution_time.task_runner import get_listener_manager

    _store(dag)
    failures = _Failures()
    get_listener_manager().add_listener(failures)
    try:
        run = dag.test(run_conf=conf)
    finally:
        get_listener_manager().pm.unregister(failures)
    states = {_name(ti): str(ti.state) for ti in run.get_task_instances()}
    return DagResult(dag.dag_id, run.run_id, states, failures.errors)


class _Failures:
    """Keeps the exceptions of failed task instances; dag.test() of Airflow 3.0 calls no failure callbacks."""

    def __init__(self) -> None:
        self.errors: dict[str, BaseException] = {}

    @pluggy.HookimplMarker("airflow")
    def on_task_instance_failed(self, task_instance: Any, error: BaseException) -> None:
        self.errors[_name(task_instance)] = error


def _store(dag: Any) -> None:
    """Write the DAG to the database, as the DAG processor does."""
    try:
        from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    except ImportError:  # Airflow 3.0
        from airflow.models.dagbag import DagBag

        def sync_bag_to_db(bag, bundle_name, bundle_version):
            bag.sync_to_db(bundle_name, bundle_version)

    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()
    # What reading the DAG from a file would set; Airflow 3.0 cannot store it without.
    dag.relative_fileloc = dag.fileloc
    bag = DagBag(dag_folder=os.devnull)
    bag.dags[dag.dag_id] = dag
    sync_bag_to_db(bag, "dags-folder", None)


def _name(ti: Any) -> str:
    return ti.task_id if ti.map_index < 0 else f"{ti.task_id}[{ti.map_index}]"
