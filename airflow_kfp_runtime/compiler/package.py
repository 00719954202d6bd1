"""The result of compiling: what the client uploads or submits."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.compiler.arguments import checked_arguments
from airflow_kfp_runtime.dsl.json_values import plain
from airflow_kfp_runtime.errors import SourceError

if TYPE_CHECKING:
    import yaml

_POINTLESS = re.compile(r"[\[:,]-?\d+e")
_TEXT_OR_POINTLESS = re.compile(r'"(?:[^"\\]|\\.)*"|((?<![\d.])-?\d+e[-+]\d+)')
_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

#: Texts that a KFP server's YAML parser (go-yaml) takes for numbers or booleans, and PyYAML does not:
#: ``1e3``, ``0o17``, ``y``.
_MISTAKABLE = re.compile(r"[-+.]*\d.*|[yYnN]")


@dataclass(frozen=True)
class PipelinePackage:
    """A compiled pipeline: KFP's IR as plain data.

    :param name: the pipeline's name as KFP has it (``pipelineInfo.name``).
    :param pipeline_spec: the IR, a ``PipelineSpec`` as JSON (KFP 2.17, ``pipeline_spec.proto``).
    :param platform_spec: the Kubernetes part, a ``PlatformSpec`` as JSON, or ``None``.
    :param step_names: the user's name of each step by the path of its KFP task (``train``; nested
        ``exit-handler-1/train``); empty for a package that was loaded.
    :param warnings: what the run will not have as it was written, a sentence for each.
    """

    name: str
    pipeline_spec: Mapping[str, Any]
    platform_spec: Mapping[str, Any] | None = None
    step_names: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @classmethod
    def load(cls, source: str | Path | Mapping[str, Any]) -> PipelinePackage:
        """Return a package that was compiled before, by this package or by the kfp SDK.

        :param source: a mapping (the IR, or ``{"pipeline_spec": ..., "platform_spec": ...}``), a path, or the
            text of a YAML or JSON file: the IR and, as a second document, the platform spec.
        :raises SourceError: it cannot be read or holds no IR of KFP v2.
        """
        match source:
            case Mapping():
                documents = [source.get("pipeline_spec", source), source.get("platform_spec")]
                where = "pipeline"
            case Path():
                documents, where = _documents(_text(source), str(source)), str(source)
            case str() if "\n" in source or source.lstrip().startswith("{"):
                documents, where = _documents(source, "pipeline"), "pipeline"
            case _:
                documents, where = _documents(_text(Path(source)), source), source
        if len(documents) > 2:
            raise SourceError(
                f"holds {len(documents)} YAML documents", field=where, allowed=["the IR", "a platform spec"]
            )
        spec, platform = (_as_json(document, where) for document in (*documents, None, None)[:2])
        _check_is_ir(spec, where)
        if platform is not None and not (isinstance(platform, dict) and "platforms" in platform):
            raise SourceError("has a second document that is not a platform spec", field=where)
        return cls(name=spec["pipelineInfo"]["name"], pipeline_spec=spec, platform_spec=platform)

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of what runs, in hex; the version of the compiler does not count."""
        spec = {key: value for key, value in self.pipeline_spec.items() if key != "sdkVersion"}
        return hashlib.sha256(_canonical([spec, self.platform_spec]).encode()).hexdigest()

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The pipeline's parameters by name, each as the IR declares it."""
        return declared_parameters(self.pipeline_spec)

    def check_arguments(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a run with the types that the pipeline declares.

        :param arguments: by parameter name; a text is read as the declared type.
        :raises ArgumentError: one is missing, unknown or of another type.
        """
        return checked_arguments(self.parameters, arguments)

    def to_json(self) -> str:
        """Return the package as one line of JSON for each document, which a KFP server reads as YAML."""
        documents = [self.pipeline_spec] + ([self.platform_spec] if self.platform_spec else [])
        return "\n---\n".join(_canonical(document) for document in documents) + "\n"

    def to_yaml(self) -> str:
        """Return the YAML file that a KFP dashboard imports: the same bytes for the same package."""
        import yaml

        documents = [self.pipeline_spec] + ([self.platform_spec] if self.platform_spec else [])
        return yaml.dump_all(documents, Dumper=_dumper(), sort_keys=True, allow_unicode=True, width=10_000)


def declared_parameters(pipeline_spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the parameters that an IR declares, by name."""
    definitions = pipeline_spec.get("root", {}).get("inputDefinitions", {})
    declared: Mapping[str, Any] = definitions.get("parameters", {})
    return declared


def _canonical(value: object) -> str:
    """Return JSON that is YAML as well, on one line.

    YAML takes some characters that JSON allows in a text for line breaks or refuses them; and it does not
    put together the two halves in which JSON would escape a character beyond the basic plane. A number with
    an exponent needs a point in YAML 1.1: PyYAML reads ``1e-05`` as a text.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if _POINTLESS.search(text):
        text = _TEXT_OR_POINTLESS.sub(
            lambda match: match[0].replace("e", ".0e") if match[1] else match[0], text
        )
    return _NOT_YAML.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


@cache
def _dumper() -> type[yaml.SafeDumper]:
    """Return a dumper that writes texts of several lines as such: programs stay readable in the dashboard."""
    import yaml

    class Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
        """Its representers are its own: those of PyYAML's dumper are shared by the whole process."""

        def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
            """Write an object wherever it occurs: whether two equal ones are one must not show."""
            return True

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        style = "|" if "\n" in text else "'" if _MISTAKABLE.fullmatch(text) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)

    Dumper.add_representer(str, represent_text)
    return Dumper


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"cannot be read: {error}", field=str(path)) from None


def _documents(text: str, where: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except ValueError:
        pass
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return [document for document in yaml.load_all(text, Loader=loader) if document is not None]
    except yaml.YAMLError as error:
        raise SourceError(f"is not YAML: {error}", field=where) from None


def _as_json(document: object, where: str) -> Any:
    try:
        return plain(document)
    except ValueError as error:
        raise SourceError(f"is not JSON: {error}", field=where) from None


def _check_is_ir(spec: object, where: str) -> None:
    if isinstance(spec, Mapping) and spec.get("kind") in {"Workflow", "PipelineRun"}:
        raise SourceError("is a pipeline of KFP v1: compile it with KFP v2", field=where)
    if not isinstance(spec, Mapping) or not {"pipelineInfo", "root"} <= set(spec):
        raise SourceError(
            "is not a compiled KFP v2 pipeline: it has no 'pipelineInfo' and 'root'", field=where
        )
    information = spec["pipelineInfo"]
    name = information.get("name") if isinstance(information, Mapping) else None
    if not isinstance(name, str) or not name:
        raise SourceError("has no 'pipelineInfo.name'", field=where)
