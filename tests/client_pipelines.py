"""A pipeline as the kfp SDK compiles it: a step, a nested pipeline with a step, and a report."""

from __future__ import annotations

from typing import Any

PARAMETER, ARTIFACT = "parameters", "artifacts"


def _outputs(parameters: dict[str, str], artifacts: dict[str, str]) -> dict[str, Any]:
    return {
        PARAMETER: {name: {"parameterType": kind} for name, kind in parameters.items()},
        ARTIFACT: {
            name: {"artifactType": {"schemaTitle": kind, "schemaVersion": "0.0.1"}}
            for name, kind in artifacts.items()
        },
    }


def _shell(script: str, *words: str) -> dict[str, Any]:
    """A container that runs a shell script with placeholders as its arguments."""
    return {"container": {"image": "alpine", "command": ["sh", "-e", "-c", script, *words]}}


def _from_task(task: str, output: str, kind: str) -> dict[str, Any]:
    if kind == PARAMETER:
        return {"taskOutputParameter": {"producerTask": task, "outputParameterKey": output}}
    return {"taskOutputArtifact": {"producerTask": task, "outputArtifactKey": output}}


def _task(name: str, component: str, *after: str, **inputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "taskInfo": {"name": name},
        "componentRef": {"name": component},
        "cachingOptions": {},
        **({"dependentTasks": list(after)} if after else {}),
        **({"inputs": inputs} if inputs else {}),
    }


_WRITE = 'mkdir -p "$(dirname "$0")"; printf %s "$1" > "$0"'


def nested_pipeline(name: str, *, collect: bool = False, fail: bool = False) -> dict[str, Any]:
    """Return the IR.

    ``prepare`` puts out ``rows`` (3), ``label`` (which nobody consumes) and the artifact ``data``;
    ``outer/train`` puts out ``accuracy`` (1.0) and ``model``, which are ``outer``'s and the pipeline's as
    well; ``report`` puts out ``text``.

    :param collect: add the last task of ``collect_outputs=True``.
    :param fail: let ``train`` fail.
    """
    rows, label = (
        "{{$.outputs.parameters['rows'].output_file}}",
        "{{$.outputs.parameters['label'].output_file}}",
    )
    accuracy = "{{$.outputs.parameters['accuracy'].output_file}}"
    train = 'echo training on "$2"; echo bad data >&2; exit 3' if fail else _WRITE
    tasks = {
        "prepare": _task("prepare", "comp-prepare"),
        "outer": _task(
            "outer",
            "comp-outer",
            "prepare",
            parameters={"count": _from_task("prepare", "rows", PARAMETER)},
            artifacts={"data": _from_task("prepare", "data", ARTIFACT)},
        ),
        "report": _task(
            "report",
            "comp-report",
            "outer",
            parameters={"accuracy": _from_task("outer", "accuracy", PARAMETER)},
        ),
    }
    components = {
        "comp-prepare": {
            "executorLabel": "exec-prepare",
            "outputDefinitions": _outputs(
                {"rows": "NUMBER_INTEGER", "label": "STRING"}, {"data": "system.Dataset"}
            ),
        },
        "comp-outer": {
            "inputDefinitions": _outputs({"count": "NUMBER_INTEGER"}, {"data": "system.Dataset"}),
            "outputDefinitions": _outputs({"accuracy": "NUMBER_DOUBLE"}, {"model": "system.Model"}),
            "dag": {
                "outputs": {
                    PARAMETER: {
                        "accuracy": {
                            "valueFromParameter": {
                                "producerSubtask": "train",
                                "outputParameterKey": "accuracy",
                            }
                        }
                    },
                    ARTIFACT: {
                        "model": {
                            "artifactSelectors": [{"producerSubtask": "train", "outputArtifactKey": "model"}]
                        }
                    },
                },
                "tasks": {
                    "train": _task(
                        "train",
                        "comp-train",
                        parameters={"rows": {"componentInputParameter": "count"}},
                        artifacts={"data": {"componentInputArtifact": "data"}},
                    )
                },
            },
        },
        "comp-train": {
            "executorLabel": "exec-train",
            "inputDefinitions": _outputs({"rows": "NUMBER_INTEGER"}, {"data": "system.Dataset"}),
            "outputDefinitions": _outputs({"accuracy": "NUMBER_DOUBLE"}, {"model": "system.Model"}),
        },
        "comp-report": {
            "executorLabel": "exec-report",
            "inputDefinitions": _outputs({"accuracy": "NUMBER_DOUBLE"}, {}),
            "outputDefinitions": _outputs({"text": "STRING"}, {}),
        },
    }
    executors = {
        "exec-prepare": _shell(
            f'{_WRITE}; mkdir -p "$(dirname "$2")" "$(dirname "$4")"; '
            'printf %s "$3" > "$2"; echo data > "$4"',
            rows,
            "3",
            label,
            "blue",
            "{{$.outputs.artifacts['data'].path}}",
        ),
        "exec-train": _shell(train, accuracy, "1", "{{$.inputs.parameters['rows']}}"),
        "exec-report": _shell(_WRITE, "{{$.outputs.parameters['text'].output_file}}", "done"),
    }
    if collect:
        parts: dict[str, dict[str, Any]] = {PARAMETER: {}, ARTIFACT: {}}
        for task, component in (
            ("prepare", "comp-prepare"),
            ("outer", "comp-outer"),
            ("report", "comp-report"),
        ):
            for kind, inputs in parts.items():
                for output in components[component]["outputDefinitions"][kind]:
                    inputs[f"{task}--{output}"] = _from_task(task, output, kind)
        tasks["collect-outputs"] = _task(
            "collect-outputs", "comp-collect", "prepare", "outer", "report", **parts
        )
        components["comp-collect"] = {
            "executorLabel": "exec-collect",
            "inputDefinitions": _outputs(
                dict.fromkeys(parts[PARAMETER], "STRING"),
                dict.fromkeys(parts[ARTIFACT], "system.Artifact"),
            ),
        }
        inputs = components["comp-collect"]["inputDefinitions"][PARAMETER]
        inputs["prepare--rows"]["parameterType"] = "NUMBER_INTEGER"
        inputs["outer--accuracy"]["parameterType"] = "NUMBER_DOUBLE"
        executors["exec-collect"] = {"container": {"image": "alpine", "command": ["true"]}}
    return {
        "pipelineInfo": {"name": name},
        "schemaVersion": "2.1.0",
        "sdkVersion": "kfp-2.17.0",
        "components": components,
        "deploymentSpec": {"executors": executors},
        "root": {
            "outputDefinitions": _outputs({"score": "NUMBER_DOUBLE"}, {"model": "system.Model"}),
            "dag": {
                "tasks": tasks,
                "outputs": {
                    PARAMETER: {
                        "score": {
                            "valueFromParameter": {
                                "producerSubtask": "outer",
                                "outputParameterKey": "accuracy",
                            }
                        }
                    },
                    ARTIFACT: {
                        "model": {
                            "artifactSelectors": [{"producerSubtask": "outer", "outputArtifactKey": "model"}]
                        }
                    },
                },
            },
        },
    }
