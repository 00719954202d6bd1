"""A workflow that ships with the package, and the Python function of one of its steps."""

from airflow_kfp_runtime.dsl import pipeline_context


def greeting(name: str = "world"):
    """Greet somebody, in the shell and in Python."""
    with pipeline_context() as pc:
        hello = pc.step(name="hello", function="hello", inputs={"name": name}, values=["text"])
        shout = pc.step(name="shout", function="shout", inputs={"text": hello.outputs["text"]})
    return {"greeting": shout.outputs["Output"]}


def shout(text: str) -> str:
    """Say it louder."""
    return text.upper() + "!"
