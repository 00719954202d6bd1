"""Sources that the pod fetches itself from an object store."""

import re
import zipfile
from io import BytesIO

import boto3
import pytest

from airflow_kfp_runtime.sources import Cache, Credentials, S3Credentials, Sources
from demo.processes import Process, wait_for
from tests.environments import environment
from tests.python_steps import Step

TREE = {
    "etl/__init__.py": "",
    "etl/steps.py": "from etl.other import add\ndef f(n: int) -> int:\n    return add(n)\n",
    "etl/other.py": "def add(n):\n    return n + 1\n",
}


@pytest.fixture(scope="module")
def object_store(tmp_path_factory):
    """An S3 server, and a Python that has boto3."""
    python = environment("moto", ("moto[server]>=5",))
    log = tmp_path_factory.mktemp("moto") / "log"
    script = (
        "from moto.server import ThreadedMotoServer\nimport time\n"
        "server = ThreadedMotoServer('127.0.0.1', 0)\nserver.start()\n"
        "print('PORT', server.get_host_and_port()[1], flush=True)\ntime.sleep(600)\n"
    )
    process = Process("moto", [str(python), "-c", script], log=log, environment={"PATH": "/usr/bin:/bin"})
    try:
        port = wait_for(
            "moto",
            lambda: re.search(r"PORT (\d+)", log.read_text()),
            seconds=60,
            processes=[process],
        )[1]
        yield str(python), f"http://127.0.0.1:{port}"
    finally:
        process.stop()


def test_an_object_store_is_read_with_the_boto3_of_the_image(object_store, tmp_path):
    python, endpoint = object_store
    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_DEFAULT_REGION": "us-east-1"}
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="s3cret",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="code")
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in TREE.items():
            archive.writestr(name, text)
    client.put_object(Bucket="code", Key="v1/etl.zip", Body=content.getvalue())
    credentials = Credentials(s3=S3Credentials("key", "s3cret", endpoint_url=endpoint, region="us-east-1"))
    sources = Sources(cache=Cache(tmp_path / "c", 2**20), credentials=credentials)

    function = {"handler": "etl.steps:f", "source": "zip+s3://code//v1/etl.zip", "fetch": "pod"}
    compiled = Step(tmp_path, function, inputs={"n": 1}, sources=sources)

    pod = {**keys, "AWS_ENDPOINT_URL": endpoint}
    assert compiled.output(python=python, options=["-I"], environment=pod)["parameterValues"] == {"Output": 2}
    assert "the image lacks boto3, which reads from S3." in compiled.failure()
    client.delete_object(Bucket="code", Key="v1/etl.zip")
    told = compiled.failure(python=python, options=["-I"], environment=pod)
    assert "s3://code/v1/etl.zip: " in told
    assert "s3cret" not in told + compiled.component.implementation.args[-1]
