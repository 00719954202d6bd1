"""Malformed volumes, in the form of DigitalHub and in that of Kubernetes."""

from __future__ import annotations

from kubernetes import client as k8s

from tests.malformed_settings import ARGUMENT, LONG, check_refusal, claim, each_of, kubernetes, volume

MALFORMED = [
    # Volumes.
    ({"volumes": {}}, "volumes", "a list"),
    ({"volumes": ["data"]}, "volumes[0]", "a mapping"),
    ({"volumes": [ARGUMENT]}, "volumes[0]", "while the pipeline runs"),
    (volume("disk"), "volumes[0].volume_type", "not a type of volume"),
    (volume("persistent_volume"), "volumes[0].volume_type", "persistent_volume_claim"),
    (volume(1), "volumes[0].volume_type", "a text"),
    (volume("empty_dir", name=...), "volumes[0]", "has no name"),
    (volume("empty_dir", mount_path=...), "volumes[0]", "has no mount_path"),
    (volume("empty_dir", name="A"), "volumes[0].name", "lower-case"),
    (volume("empty_dir", name="a.b"), "volumes[0].name", "lower-case"),
    (volume("empty_dir", name=LONG), "volumes[0].name", "63"),
    (volume("empty_dir", name=""), "volumes[0].name", "not a name"),
    (volume("empty_dir", name=1), "volumes[0].name", "not a text"),
    (volume("empty_dir", name=ARGUMENT), "volumes[0].name", "while the pipeline runs"),
    (volume("empty_dir", mount_path="data"), "volumes[0].mount_path", "absolute path"),
    (volume("empty_dir", mount_path="./data"), "volumes[0].mount_path", "absolute path"),
    (volume("empty_dir", mount_path="/a/../b"), "volumes[0].mount_path", "'..'"),
    (volume("empty_dir", mount_path="/.."), "volumes[0].mount_path", "'..'"),
    (volume("empty_dir", mount_path="/"), "volumes[0].mount_path", "whole file system"),
    (volume("empty_dir", mount_path="/a:/b"), "volumes[0].mount_path", "cannot have"),
    (volume("empty_dir", mount_path=""), "volumes[0].mount_path", "absolute path"),
    (volume("empty_dir", mount_path=5), "volumes[0].mount_path", "not a text"),
    (volume("empty_dir", path="/x"), "volumes[0].path", "mount_path"),
    (volume("empty_dir", {"size": "1Gi"}), "volumes[0].spec.size", "size_limit"),
    (volume("empty_dir", {"medium": "RAM"}), "volumes[0].spec.medium", "not a medium"),
    (volume("empty_dir", {"size_limit": "1GB"}), "volumes[0].spec.size_limit", "not a quantity"),
    (volume("empty_dir", {"size_limit": "0"}), "volumes[0].spec.size_limit", "more than zero"),
    (volume("empty_dir", ["a"]), "volumes[0].spec", "a mapping"),
    (volume("ephemeral"), "volumes[0]", "has no size"),
    (volume("ephemeral", {"size": "-1Gi"}), "volumes[0].spec.size", "more than zero"),
    (volume("ephemeral", {"size": "1Gi", "access_modes": []}), "volumes[0].spec.access_modes", "empty"),
    (
        volume("ephemeral", {"size": "1Gi", "access_modes": "ReadWriteOnce"}),
        "volumes[0].spec.access_modes",
        "list",
    ),
    (
        volume("ephemeral", {"size": "1Gi", "access_modes": ["RWO"]}),
        "volumes[0].spec.access_modes[0]",
        "'RWO'",
    ),
    (volume("ephemeral", {"size": "1Gi", "labels": {"a": 1}}), "volumes[0].spec.labels.a", "quotes"),
    (volume("secret"), "volumes[0].spec", "has no name"),
    (volume("secret", {"secret_name": "A"}), "volumes[0].spec.secret_name", "lower-case"),
    (volume("secret", {"name": "a", "optional": "no"}), "volumes[0].spec.optional", "true or false"),
    (volume("secret", {"claim_name": "a"}), "volumes[0].spec.claim_name", "unknown"),
    (volume("config_map", {"name": "a.b"}), "volumes[0].spec.name", "63"),
    (volume("config_map", {"secretName": "a"}), "volumes[0].spec.secretName", "unknown"),
    (claim(claim_name="A"), "volumes[0].spec.claim_name", "lower-case"),
    (claim(claim_name=1), "volumes[0].spec.claim_name", "not a text"),
    (claim(claim_name="a", storage_class="fast"), "volumes[0].spec.storage_class", "needs a size"),
    (claim(claim_name="a", shared=False), "volumes[0].spec.shared", "needs a size"),
    (claim(size="10 Gi"), "volumes[0].spec.size", "not a quantity"),
    (claim(size=True), "volumes[0].spec.size", "True"),
    (claim(size=ARGUMENT), "volumes[0].spec.size", "while the pipeline runs"),
    (claim(size="1Gi", claim_name=ARGUMENT), "volumes[0].spec.claim_name", "while the pipeline runs"),
    (claim(size="1Gi", access_modes=["ReadWrite"]), "volumes[0].spec.access_modes[0]", "ReadWriteOnce"),
    (claim(size="1Gi", storage_class="Fast"), "volumes[0].spec.storage_class", "Kubernetes object"),
    (claim(size="1Gi", shared="yes"), "volumes[0].spec.shared", "true or false"),
    (claim(size="1Gi", annotations={"a": 1}), "volumes[0].spec.annotations.a", "quotes"),
    (claim(size="1Gi", data_source={"name": "a"}), "volumes[0].spec.data_source", "has no kind"),
    (claim(size="1Gi", sizes="1Gi"), "volumes[0].spec.sizes", "size"),
    (
        volume("persistent_volume_claim", {"size": "1Gi"}, sub_path="a"),
        "volumes[0].sub_path",
        "has no sub path",
    ),
    (volume("shared_volume", {}, sub_path="/a"), "volumes[0].sub_path", "relative path"),
    (volume("shared_volume", {}, sub_path="../a"), "volumes[0].sub_path", "'..'"),
    (volume("shared_volume", {}, sub_path=""), "volumes[0].sub_path", "relative path"),
    (
        {"volumes": volume("empty_dir")["volumes"] + volume("empty_dir", name="w")["volumes"]},
        "volumes[1]",
        "mount path of volume 'v' already",
    ),
    (
        {
            "volumes": volume("empty_dir")["volumes"]
            + volume("empty_dir", name="w", mount_path="/v/")["volumes"]
        },
        "volumes[1]",
        "mount path of volume 'v' already",
    ),
    (
        {"volumes": volume("empty_dir")["volumes"] + volume("shared_volume", mount_path="/w")["volumes"]},
        "volumes[1]",
        "name of another volume",
    ),
    (
        {
            "volumes": volume("shared_volume", {"claim_name": "same"})["volumes"],
            "secrets": [{"name": "same", "mount_path": "/w"}],
        },
        "secrets[0]",
        "name of another volume",
    ),
    ({"volumes": [{"name": "v", "empty_dir": {}}]}, "volumes[0]", "neither a volume_type nor a mount"),
    ({"volumes": [{"empty_dir": {}}]}, "volumes[0]", "has no name"),
    ({"volume_mounts": [{"name": "v", "mount_path": "/v"}]}, "volume_mounts[0]", "not one of the volumes"),
    (kubernetes({}), "volumes[0]", "exactly one source"),
    (kubernetes({"empty_dir": {}, "secret": {"secret_name": "s"}}), "volumes[0]", "exactly one source"),
    (kubernetes({"emptyDirs": {}}), "volumes[0].emptyDirs", "empty_dir"),
    (kubernetes({"empty_dir": {}}, {"name": "v"}), "volume_mounts[0]", "has no mount_path"),
    (kubernetes({"empty_dir": {}}, {"mount_path": "/v"}), "volume_mounts[0]", "has no name"),
    (
        kubernetes({"empty_dir": {}}, {"name": "v", "mount_path": "v"}),
        "volume_mounts[0].mount_path",
        "absolute",
    ),
    (kubernetes({"empty_dir": {}}, {"name": "w", "mount_path": "/v"}), "volumes[0]", "nor a mount"),
    (kubernetes({"empty_dir": {}}, {"name": "v", "path": "/v"}), "volume_mounts[0].path", "mount_path"),
    (kubernetes({"secret": {"optional": True}}), "volumes[0].secret", "has no name"),
    (kubernetes({"persistent_volume_claim": "mine"}), "volumes[0].persistent_volume_claim", "a mapping"),
    (
        kubernetes({"ephemeral": {"volume_claim_template": {}}}),
        "volumes[0].ephemeral.volume_claim_template",
        "spec",
    ),
    (
        {
            "volumes": [k8s.V1Volume(name="v", empty_dir=k8s.V1EmptyDirVolumeSource(size_limit="big"))],
            "volume_mounts": [k8s.V1VolumeMount(name="v", mount_path="/v")],
        },
        "volumes[0].empty_dir.size_limit",
        "not a quantity",
    ),
]


@each_of(MALFORMED)
def test_a_malformed_volume_is_refused_where_it_is(written, place, word):
    check_refusal(written, place, word)
