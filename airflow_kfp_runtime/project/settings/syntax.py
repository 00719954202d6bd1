"""What names, labels, paths and images may look like in Kubernetes.

Each function returns the text as it is, or raises a :class:`ValueError` with the problem as a clause.
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import re

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*", re.ASCII)
_QUALIFIED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?", re.ASCII)
_ENVIRONMENT = re.compile(r"[A-Za-z_.-][A-Za-z0-9_.-]*", re.ASCII)
_DATA_KEY = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
_FIELD_PATH = re.compile(
    r"metadata\.(?:name|namespace|uid)|metadata\.(?:labels|annotations)\['[^']+'\]"
    r"|spec\.(?:nodeName|serviceAccountName)|status\.(?:hostIP|hostIPs|podIP|podIPs)"
)


def volume_name(text: str) -> str:
    """Check a name of at most 63 lower-case letters, digits and ``-`` (a DNS label)."""
    if len(text) > 63 or not _LABEL.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a name: at most 63 lower-case letters, digits and '-', "
            "beginning and ending with a letter or digit"
        )
    return text


def object_name(text: str) -> str:
    """Check the name of a secret, config map, claim or storage class (a DNS subdomain)."""
    if len(text) > 253 or not _SUBDOMAIN.fullmatch(text):
        raise ValueError(
            f"{text!r} is not the name of a Kubernetes object: at most 253 lower-case letters, digits, '-' "
            "and '.', each part beginning and ending with a letter or digit"
        )
    return text


def label_key(text: str) -> str:
    """Check the key of a label, an annotation, a taint or a resource: ``name`` or ``domain/name``."""
    prefix, slash, name = text.rpartition("/")
    if slash and (len(prefix) > 253 or not _SUBDOMAIN.fullmatch(prefix)):
        raise ValueError(f"{text!r} is not a key: {prefix!r} is not a domain in lower case")
    if len(name) > 63 or not _QUALIFIED.fullmatch(name):
        raise ValueError(
            f"{text!r} is not a key: at most 63 letters, digits, '-', '_' and '.' "
            "(after 'domain/', if there is one), beginning and ending with a letter or digit"
        )
    return text


def label_value(text: str) -> str:
    """Check the value of a label: empty, or at most 63 characters like a key's name."""
    if text and (len(text) > 63 or not _QUALIFIED.fullmatch(text)):
        raise ValueError(
            f"{text!r} is not the value of a label: at most 63 letters, digits, '-', '_' and '.', "
            "beginning and ending with a letter or digit"
        )
    return text


def environment_name(text: str) -> str:
    """Check the name of an environment variable."""
    if not _ENVIRONMENT.fullmatch(text) or text in {".", ".."}:
        raise ValueError(
            f"{text!r} is not the name of an environment variable: letters, digits, '_', '-' and '.' "
            "are allowed, not a digit first"
        )
    return text


def data_key(text: str) -> str:
    """Check the key of a secret's or config map's data."""
    if len(text) > 253 or not _DATA_KEY.fullmatch(text) or text in {".", ".."}:
        raise ValueError(
            f"{text!r} is not a key of a secret or config map: letters, digits, '-', '_' and '.' are allowed"
        )
    return text


def mount_path(text: str) -> str:
    """Check the path of a mount in the container: absolute, without ``..`` and ``:``."""
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is not an absolute path")
    if text.strip("/") == "":
        raise ValueError("'/' would hide the whole file system of the container")
    return _without_parents(text)


def sub_path(text: str) -> str:
    """Check a path within a volume: relative, without ``..``."""
    if not text or text.startswith("/"):
        raise ValueError(f"{text!r} is not a relative path within the volume")
    return _without_parents(text)


def _without_parents(text: str) -> str:
    if ".." in text.split("/"):
        raise ValueError(f"{text!r} leaves its place by '..'")
    if ":" in text or "\0" in text:
        raise ValueError(f"{text!r} has a character that a path of a mount cannot have")
    return text


def field_path(text: str) -> str:
    """Check the path of a pod's field that the downward API gives as an environment variable."""
    if not _FIELD_PATH.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a field that Kubernetes gives as an environment variable: metadata.name, "
            "metadata.namespace, metadata.uid, metadata.labels['KEY'], metadata.annotations['KEY'], "
            "spec.nodeName, spec.serviceAccountName, status.hostIP, status.hostIPs, status.podIP, "
            "status.podIPs"
        )
    return text


def image(text: str) -> str:
    """Check the reference of an image: not empty, no white space."""
    if not text or re.search(r"\s", text):
        raise ValueError(f"{text!r} is not the reference of an image")
    return text


def medium(text: str) -> str:
    """Check what an empty dir is made of."""
    if not re.fullmatch(r"Memory|HugePages(-[0-9]+[KMG]i)?", text, re.ASCII):
        raise ValueError(f"{text!r} is not a medium: Memory, HugePages or HugePages-<size> is allowed")
    return text
