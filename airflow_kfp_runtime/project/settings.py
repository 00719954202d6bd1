"""The Kubernetes settings that a step may carry."""

from __future__ import annotations

#: The names of the settings, in DigitalHub's spelling where it has one.
SETTINGS = (
    "node_selector",
    "volumes",
    "resources",
    "affinity",
    "tolerations",
    "envs",
    "env",
    "secrets",
    "profile",
    "runtime_class",
    "priority_class",
    "schedule",
    "image_pull_policy",
    "image_pull_secrets",
    "labels",
    "annotations",
    "timeout",
    "retries",
    "caching",
    "image",
    "accelerator",
    "security_context",
)
