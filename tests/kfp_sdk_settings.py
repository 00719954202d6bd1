"""Runs in an environment with the kfp SDK and kfp-kubernetes: what the two compile for given settings.

Answers each line of standard input with a line of standard output, until the input ends::

    {"compile": SETTINGS, "workspace": WORKSPACE}  ->  {"pipeline_spec": ..., "platform_spec": ...}
    {"parse": KubernetesExecutorConfig}            ->  the same, through the official protobuf and back

The settings are the fields of this package's model as JSON; ``{"argument": name}`` and ``{"output": name}``
are values known only at run time. The pipeline has the step ``make`` with three outputs, and ``work``, which
has the settings.
"""

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import yaml
from google.protobuf import json_format
from kfp import compiler, dsl, kubernetes
from kfp.kubernetes import kubernetes_executor_config_pb2

IMAGE = "registry.example.org/python:3.12"


def make() -> NamedTuple("Made", [("name", str), ("table", dict), ("items", list)]):
    return ("a", {}, [])


def work(text: str) -> str:
    return text


MAKE, WORK = (dsl.component(function, base_image=IMAGE) for function in (make, work))


class Work:
    """The task that is given settings, one method for each of them."""

    def __init__(self, task, find):
        self.task = task
        self.find = find

    def image(self, image):
        self.task.set_container_image(image)

    def image_pull_policy(self, policy):
        kubernetes.set_image_pull_policy(self.task, policy)

    def image_pull_secrets(self, names):
        kubernetes.set_image_pull_secrets(self.task, [self.find(name) for name in names])

    def labels(self, labels):
        for key, value in labels.items():
            kubernetes.add_pod_label(self.task, key, value)

    def annotations(self, annotations):
        for key, value in annotations.items():
            kubernetes.add_pod_annotation(self.task, key, value)

    def node_selector(self, labels):
        if is_reference(labels):
            kubernetes.add_node_selector_json(self.task, self.find(labels))
        else:
            for key, value in labels.items():
                kubernetes.add_node_selector(self.task, key, value)

    def tolerations(self, tolerations):
        for toleration in tolerations:
            if is_reference(toleration):
                kubernetes.add_toleration_json(self.task, self.find(toleration))
            else:
                kubernetes.add_toleration(self.task, **toleration)

    def node_affinity(self, terms):
        for term in terms:
            if is_reference(term):
                kubernetes.add_node_affinity_json(self.task, self.find(term))
            else:
                kubernetes.add_node_affinity(self.task, **term)

    def resources(self, resources):
        for field, value in resources.items():
            getattr(self.task, f"set_{field}")(self.known(value))

    def accelerator(self, accelerator):
        if accelerator["count"] != 0:
            self.task.set_accelerator_type(self.known(accelerator["type"]))
            self.task.set_accelerator_limit(self.known(accelerator["count"]))

    def known(self, value):
        """Return a resource's value; SDK 2.17 forgets it as an input of an exit handler around the task."""
        if is_reference(value):
            self.task.register_pipeline_channels([self.find(value)])
        return self.find(value)

    def envs(self, envs):
        for name, value in envs.items():
            if isinstance(value, str):
                self.task.set_env_variable(name, value)
            elif "path" in value:
                kubernetes.use_field_path_as_env(self.task, name, value["path"])
        self.keys("secret", kubernetes.use_secret_as_env, envs)
        self.keys("config_map", kubernetes.use_config_map_as_env, envs)

    def keys(self, kind, use, envs):
        chosen = [(name, env) for name, env in envs.items() if isinstance(env, dict) and kind in env]
        entries = {}
        for name, env in chosen:
            entries.setdefault((json.dumps(env[kind]), env["optional"]), {})[env["key"]] = name
        for (written, optional), keys in entries.items():
            use(self.task, self.find(json.loads(written)), keys, optional)

    def volumes(self, volumes, claims):
        for volume in volumes:
            path = volume["mount_path"]
            match volume["kind"]:
                case "existing_claim":
                    sub_path = volume.get("sub_path", "")
                    kubernetes.mount_pvc(self.task, self.find(volume["claim"]), path, sub_path)
                case "new_claim":
                    kubernetes.mount_pvc(self.task, claims[volume["name"]].outputs["name"], path)
                case "empty_dir":
                    kubernetes.empty_dir_mount(
                        self.task, volume["name"], path, volume.get("medium"), volume.get("size_limit")
                    )
                case "ephemeral":
                    kubernetes.add_ephemeral_volume(
                        self.task,
                        volume["name"],
                        path,
                        volume["access_modes"],
                        volume["size"],
                        volume.get("storage_class"),
                        volume["labels"],
                        volume["annotations"],
                    )
                case "secret":
                    name = self.find(volume["secret"])
                    kubernetes.use_secret_as_volume(self.task, name, path, volume["optional"])
                case "config_map":
                    name = self.find(volume["config_map"])
                    kubernetes.use_config_map_as_volume(self.task, name, path, volume["optional"])

    def timeout(self, seconds):
        kubernetes.set_timeout(self.task, seconds)

    def retries(self, retries):
        if retries["count"]:
            backoff, longest = retries.get("backoff"), retries.get("longest")
            self.task.set_retry(
                retries["count"],
                None if backoff is None else f"{backoff:.0f}s",
                retries.get("factor"),
                None if longest is None else f"{longest:.0f}s",
            )

    def caching(self, enabled):
        self.task.set_caching_options(enabled)

    def security_context(self, context):
        kubernetes.set_security_context(self.task, **context)


def is_reference(value):
    return isinstance(value, dict) and value.keys() in ({"argument"}, {"output"})


def created(volume):
    """Make a claim as the SDK's users do."""
    optional = {
        "storage_class_name": volume.get("storage_class"),
        "volume_name": volume.get("volume_name"),
        "annotations": volume["annotations"] or None,
    }
    source = volume.get("data_source")
    if source:
        optional["data_source"] = {
            name: source[key]
            for name, key in (("apiGroup", "api_group"), ("kind", "kind"), ("name", "name"))
            if key in source
        }
    task = kubernetes.CreatePVC(
        access_modes=volume["access_modes"],
        size=volume["size"],
        pvc_name_suffix=f"-{volume['suffix']}",
        **{name: value for name, value in optional.items() if value is not None},
    )
    return task.set_caching_options(False)


def compiled(settings, workspace):
    """Return both documents for the pipeline with these settings."""
    settings = {name: value for name, value in settings.items() if value not in (None, {}, [])}
    volumes = settings.pop("volumes", [])
    new = [volume for volume in volumes if volume["kind"] == "new_claim"]
    options = {}
    if workspace:
        names = {"access_modes": "accessModes", "storage_class": "storageClassName"}
        patch = {name: workspace[key] for key, name in names.items() if workspace.get(key)}
        claim = dsl.KubernetesWorkspaceConfig(pvcSpecPatch=patch)
        options["pipeline_config"] = dsl.PipelineConfig(
            workspace=dsl.WorkspaceConfig(size=workspace["size"], kubernetes=claim)
        )

    def steps(arguments, claims):
        made = MAKE()

        def find(value):
            if not is_reference(value):
                return value
            return arguments[value["argument"]] if "argument" in value else made.outputs[value["output"]]

        given = Work(WORK(text="t"), find)
        for name, value in settings.items():
            getattr(given, name)(value)
        given.volumes(volumes, claims)

    @dsl.pipeline(name="settings", **options)
    def pipeline(text: str, table: dict, items: list):
        arguments = {"text": text, "table": table, "items": items}
        if not new:
            steps(arguments, {})
            return
        # The SDK lets no exit task take the name that the creating task gives, which is what deletes it.
        delete = kubernetes.DeletePVC(pvc_name="the claim").set_caching_options(False)
        claims = {new[0]["name"]: created(new[0])}
        with dsl.ExitHandler(delete):
            steps(arguments, claims)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline, str(path))
        documents = list(
            yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        )
    return {"pipeline_spec": documents[0], "platform_spec": documents[1] if documents[1:] else None}


def parsed(config):
    message = json_format.ParseDict(config, kubernetes_executor_config_pb2.KubernetesExecutorConfig())
    return json_format.MessageToDict(message)


def main():
    """Answer line by line."""
    warnings.simplefilter("ignore")
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        asked = json.loads(line)
        answer = (
            parsed(asked["parse"]) if "parse" in asked else compiled(asked["compile"], asked["workspace"])
        )
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
