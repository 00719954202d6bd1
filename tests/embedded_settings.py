"""What the tests of settings in the embedded engine share: platform specs, and what stands for a cluster."""

from __future__ import annotations

from tests.embedded_engine import pipeline, step


def platform_spec(executors, **members):
    """The platform spec of a pipeline made by hand.

    :param executors: the settings of each task, by its path with dashes.
    :param members: what else it has for the platform.
    """
    labelled = {f"exec-{name}": settings for name, settings in executors.items()}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": labelled}} | members}}


def constant(value):
    """A parameter form with a constant."""
    return {"runtimeValue": {"constant": value}}


def put(folder, name, **keys):
    """Make a secret or a config map.

    :param folder: ``secrets`` or ``config-maps`` in a data directory.
    """
    for key, value in keys.items():
        file = folder / name / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(value.encode() if isinstance(value, str) else value)


def as_env(name, keys, kind="secret", **members):
    """An entry of ``secretAsEnv`` or ``configMapAsEnv``.

    :param keys: ``{key: variable}``.
    """
    key = {"secret": "secretKey", "configMap": "configMapKey"}[kind]
    pairs = [{key: name, "envVar": variable} for name, variable in keys.items()]
    return {f"{kind}NameParameter": constant(name), "keyToEnv": pairs} | members


def warm(server):
    """Have the environment of all tasks made, which counts for a deadline, as pulling an image does."""
    server.run(pipeline({"first": step()}))


def run_one(server, script, settings, **members):
    """Run a pipeline of one step."""
    return server.run(
        pipeline({"one": step(script, **members)}), platform_spec=platform_spec({"one": settings})
    )


def failure(server, run, path="one"):
    """The first line of a task's error."""
    assert run.state == "FAILED"
    return server.tasks(run)[path].error.splitlines()[0]
