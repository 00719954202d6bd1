"""The example DAGs, in a real Airflow, on real data that this machine serves."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airflow_kfp_runtime.client import ClientSettings, KfpClient, calls
from airflow_kfp_runtime.compiler import PipelinePackage
from tests.airflow_processes import running_airflow
from tests.git_server import Authority, GitHttpServer, Repository

EXAMPLES = Path(__file__).parent.parent / "example_dags"

#: Three readings in the form in which the city's portal exports them; the first car park is read twice.
PARKING_TABLE = """\
parcheggio;data;posti_liberi;posti_occupati;posti_totali;occupazione;guid;coordinate
VIII Agosto;2024-06-07T10:00:00+00:00;200;425;625;68.0;a;44.5009, 11.3456
Riva Reno;2024-06-07T10:00:00+00:00;100;370;470;78.7;b;44.4996, 11.3385
VIII Agosto;2024-06-07T10:10:00+00:00;195;430;625;68.8;c;44.5009, 11.3456
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with the example's files at the tag ``v1``, and other ones after it."""
    folder = tmp_path_factory.mktemp("git")
    made = Repository.create(folder / "weather.git")
    made.commit({path.name: path.read_text() for path in (EXAMPLES / "git_repository").glob("*.py")})
    made.git("tag", "v1")
    made.git("push", "-q", "origin", "v1")
    made.commit({"seasons.py": "SEASONS = {}"})
    return made


@pytest.fixture(scope="module")
def git(tmp_path_factory, repository):
    """A server of that repository, with a certificate of its own and a login."""
    authority = Authority.create(tmp_path_factory.mktemp("tls"))
    server = GitHttpServer(repository.bare.parent, authority, login="ann:s3cret-of-ann")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def dags(tmp_path_factory):
    """The examples; the one with a mount path has its own, which two servers on a machine could not share."""
    folder = tmp_path_factory.mktemp("examples")
    copied = Path(shutil.copytree(EXAMPLES, folder / "dags", ignore=shutil.ignore_patterns("__pycache__")))
    mounting = copied / "train_on_gpu.py"
    before, after = mounting.read_text().split('"/tmp/airflow-kfp-runtime/digits"')
    mounting.write_text(f"{before}{str(folder / 'digits')!r}{after}")
    return copied


@pytest.fixture(scope="module")
def airflow(tmp_path_factory, kfp_server, git, dags):
    home = tmp_path_factory.mktemp("airflow")
    login = {
        "conn_type": "git",
        "login": "ann",
        "password": "s3cret-of-ann",
        "extra": {"ca_certificate": str(git.authority.certificate)},
    }
    environment = {
        "AIRFLOW_VAR_WEATHER_REPOSITORY": git.url("weather.git"),
        "AIRFLOW__KFP__SOURCE_CACHE": str(home / "sources"),
    }
    with running_airflow(
        home,
        dags,
        kfp_server.url,
        connections={"weather_git": json.dumps(login)},
        environment=environment,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def files():
    """The address of the examples' data."""
    with served(EXAMPLES / "data") as url:
        yield url


@contextmanager
def served(folder):
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def examples():
    return sorted(path.stem for path in EXAMPLES.glob("*.py"))


def test_airflow_reads_every_example(airflow):
    for name in examples():
        airflow.wait(f"DAG {name}", lambda name=name: airflow.client.dag_is_known(name), seconds=60)

    assert airflow.client.import_errors() == {}


def test_the_examples_are_cheap_to_parse():
    program = f"import sys, json, {', '.join(examples())}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=EXAMPLES, capture_output=True, text=True, check=True
    )
    modules = set(json.loads(done.stdout.splitlines()[-1]))

    heavy = {"boto3", "fastapi", "git", "kfp", "kubernetes", "numpy", "pandas", "sklearn", "uvicorn"}
    assert not modules & {*heavy, "airflow_kfp_runtime.embedded", "airflow_kfp_runtime.client.http"}


def test_parking_extracts_the_car_parks(airflow, tmp_path):
    (tmp_path / "parking.csv").write_text(PARKING_TABLE)
    with served(tmp_path) as url:
        run = airflow.trigger("parking", {"url": f"{url}/parking.csv"})
        assert run.end() == "success", run.logs()

    table = run.xcom("run")["extract_parking"]["parkings"]
    assert Path(table["uri"].removeprefix("file://")).read_text().splitlines() == [
        "parcheggio,coordinate,posti_totali",
        'Riva Reno,"44.4996, 11.3385",470',
        'VIII Agosto,"44.5009, 11.3456",625',
    ]
    assert run.xcom("report") == "2 car parks with 1095 spaces"


def test_weather_joins_what_two_parallel_steps_found(airflow, files):
    run = airflow.trigger("weather", {"url": f"{files}/seattle-weather.csv"})

    assert run.end() == "success", run.logs()
    rain = run.xcom("analyse")["rain"]["millimetres"]
    assert sorted(rain) == ["2012", "2013", "2014", "2015"]
    assert run.xcom("report") == "The wettest year was 2014 with 1232.8 mm; 63 days were warm."


def test_training_branches_on_the_accuracy(airflow):
    run = airflow.trigger("train_and_branch", {"trees": 50})

    assert run.end() == "success", run.logs()
    outputs = run.xcom("training")["train"]
    assert 0.9 < outputs["accuracy"] < 1
    assert outputs["metrics"]["metadata"] == {key: outputs[key] for key in ("accuracy", "recall")}
    assert outputs["metrics"]["type"] == "system.Metrics"
    assert run.states() == {
        "training": "success",
        "choose": "success",
        "release": "success",
        "discard": "skipped",
    }
    assert run.xcom("release") == outputs["model"]["uri"]


def test_training_takes_the_other_branch_where_the_accuracy_does_not_do(airflow):
    run = airflow.trigger("train_and_branch", {"trees": 1, "threshold": 1.0})

    assert run.end() == "success", run.logs()
    assert (run.states()["release"], run.states()["discard"]) == ("skipped", "success")


@pytest.fixture
def signing_key(kfp_server):
    """The key of the secret that the embedded server has for the step that signs."""
    folder = kfp_server.data / "secrets" / "model-signing"
    folder.mkdir(parents=True)
    (folder / "key").write_text("a key for tests")
    yield b"a key for tests"
    shutil.rmtree(folder)


def test_training_on_a_gpu_node_has_its_claim_and_its_secret(airflow, kfp_server, signing_key):
    run = airflow.trigger("train_on_gpu", {"rounds": 100})

    assert run.end() == "success", run.logs()
    outputs = run.xcom("training")
    assert outputs.keys() == {"prepare", "train", "sign"}
    assert outputs["train"]["accuracy"] > 0.9
    model = Path(outputs["train"]["model"]["uri"].removeprefix("file://")).read_bytes()
    assert outputs["sign"] == {"signature": hmac.new(signing_key, model, hashlib.sha256).hexdigest()}
    assert [*(kfp_server.data / "claims").iterdir()] == []
    package = submitted_package(kfp_server, run.xcom("training", key="kfp_run")["run_id"])
    settings = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]["exec-train"]
    assert {"pvcMount", "tolerations", "nodeAffinity", "activeDeadlineSeconds"} <= settings.keys()
    container = package.pipeline_spec["deploymentSpec"]["executors"]["exec-train"]["container"]
    assert container["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"


def submitted_package(kfp_server, run_id):
    with KfpClient(ClientSettings(kfp_server.url)) as client:
        reference = client.send(calls.get_run(run_id)).pipeline_version_reference
        version = client.send(
            calls.get_pipeline_version(reference.pipeline_id, reference.pipeline_version_id)
        )
    return PipelinePackage.load(version.pipeline_spec)


def test_the_form_asks_for_what_the_declarative_steps_need(airflow, files):
    values = {"source": "Nuclear Energy", "first_year": 2001, "last_year": 2001}
    run = airflow.trigger("electricity_form", {**values, "url": f"{files}/iowa-electricity.csv"})

    assert run.end() == "success", run.logs()
    assert run.xcom("run")["share"]["share"] == pytest.approx(3853 / (35361 + 3853 + 1437))
    assert run.xcom("report") == "Nuclear Energy: 9.5% of the electricity."


def test_the_form_refuses_what_does_not_fit(airflow):
    airflow.wait("the DAG", lambda: airflow.client.dag_is_known("electricity_form"), seconds=60)

    with pytest.raises(RuntimeError, match="first_year"):
        airflow.client.trigger("electricity_form", {"first_year": 1900})


def test_a_workflow_from_git_is_the_one_of_its_tag(airflow, files):
    run = airflow.trigger("workflow_from_git", {"url": f"{files}/seattle-weather.csv"})

    assert run.end() == "success", run.logs()
    outputs = run.xcom("rain")
    assert outputs.keys() == {"download", "winter", "spring", "summer", "autumn"}
    assert run.xcom("report") == "Most rain falls in winter: 1510.7 mm in four years."
    assert "s3cret-of-ann" not in run.logs()


def test_a_tag_that_there_is_not_is_named_in_the_log_without_the_login(airflow):
    run = airflow.trigger("workflow_from_git", {"tag": "v9"})

    assert run.end() == "failed"
    log = run.log("rain")
    assert "SourceError: workflow 'rain_by_season', code_src: " in log
    assert "'v9'" in log
    assert "s3cret-of-ann" not in log


def test_two_dags_share_a_project(airflow, files, kfp_server):
    url = f"{files}/iowa-electricity.csv"
    share = airflow.trigger("electricity_share", {"url": url, "source": "Nuclear Energy"})
    growth = airflow.trigger("electricity_growth", {"url": url})

    assert share.end() == "success", share.logs()
    assert growth.end() == "success", growth.logs()
    assert share.xcom("share").keys() == {"download", "by_year"}
    assert share.xcom("report") == "The largest share was 11.4%, in 2004."
    assert growth.xcom("growth")["growth"] == {"factor": 15.3}
    for run, task_id in ((share, "share"), (growth, "growth")):
        package = submitted_package(kfp_server, run.xcom(task_id, key="kfp_run")["run_id"])
        [kubernetes] = package.platform_spec["platforms"].values()
        labels = {
            step: settings["podMetadata"]["labels"]["airflow-dag"]
            for step, settings in kubernetes["deploymentSpec"]["executors"].items()
        }
        assert set(labels.values()) == {run.dag_id}
        assert len(labels) == len(run.xcom(task_id))


@pytest.mark.parametrize(
    ("threshold", "report"),
    [
        (0.8, "deploy: deployed with 5 neighbours"),
        (1.0, "explain: not deployed: 93.5% of the points are right, 100.0% are needed"),
    ],
)
def test_the_pipeline_deploys_on_a_condition(airflow, threshold, report):
    run = airflow.trigger("conditional_deployment", {"threshold": threshold})

    assert run.end() == "success", run.logs()
    assert run.xcom("report") == report
    outputs = run.xcom("deployment")
    assert {step for step in ("deploy", "explain") if outputs[step]} == {report.partition(":")[0]}
    assert [result["neighbours"] for result in outputs["evaluate"]["result"]] == [1, 5, 25]
