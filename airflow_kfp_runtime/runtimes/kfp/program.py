"""The program that compiles what kfp's decorators make; it runs where kfp is, with Python's library alone.

This file is read as a text and given to an interpreter in which this package need not be installed (Python
>= 3.9, which kfp 2 needs). In process, :func:`compiled` is called as it is, so that both give the same IR.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

#: The most of a traceback that a message holds.
_LONGEST = 4000


class NotCompiledError(Exception):
    """Why something cannot be compiled.

    :param problem: as a clause.
    :param allowed: what would be right.
    """

    def __init__(self, problem: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.allowed = allowed


def compiled(handler: object) -> dict[str, Any]:
    """Return the IR of a component or pipeline as ``{"pipeline_spec": ..., "platform_spec": ...}``.

    :param handler: what kfp's ``@dsl.component``, ``@dsl.container_component`` or ``@dsl.pipeline`` made, or
        ``kfp.components.load_component_from_...``.
    :raises NotCompiledError: it is none of these.
    """
    spec: Any = getattr(handler, "pipeline_spec", None)
    if getattr(getattr(spec, "DESCRIPTOR", None), "name", None) != "PipelineSpec":
        raise NotCompiledError(
            f"{getattr(handler, '__name__', handler)!r:.200} is nothing that kfp compiles: it is a "
            f"{type(handler).__name__}",
            ("what @dsl.component, @dsl.container_component or @dsl.pipeline of kfp decorates",),
        )
    from google.protobuf import json_format

    platform = json_format.MessageToDict(handler.platform_spec)  # type: ignore[attr-defined]
    return {"pipeline_spec": json_format.MessageToDict(spec), "platform_spec": platform or None}


def has_kfp() -> bool:
    """Whether this Python has the SDK; ``kfp-pipeline-spec`` alone brings a folder ``kfp`` too."""
    found = importlib.util.find_spec("kfp")
    return found is not None and found.origin is not None


def main() -> None:
    """Answer the request whose path is the first argument, on the file descriptor that is the second.

    The request has the ``file`` of a module, its ``name``, the ``folders`` to import from, the ``function``,
    the path ``stack`` for :mod:`faulthandler`, ``timeout`` (seconds) and ``memory`` (bytes). The answer is
    that of :func:`compiled`, or ``{"error": {"problem": ..., "allowed": [...]}}``.
    """
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers = int(sys.argv[2])
    os.set_inheritable(answers, False)
    _limit(request["memory"], request["timeout"])
    stack = Path(request["stack"]).open("w", encoding="utf-8")  # noqa: SIM115 -- open to the end, for signals
    faulthandler.register(signal.SIGUSR1, stack, all_threads=False)
    try:
        answer = _answer(request)
    except NotCompiledError as error:
        answer = {"error": {"problem": str(error), "allowed": list(error.allowed)}}
    except BaseException as error:  # noqa: BLE001 -- the user's code may raise anything, SystemExit as well
        answer = {"error": {"problem": _explanation(error, request), "allowed": []}}
    with os.fdopen(answers, "wb") as pipe:
        pipe.write(json.dumps(answer).encode())
    # Whatever the user's code has left running does not matter any more.
    os._exit(0)


def _limit(memory: int, timeout: float) -> None:
    """Bound this process, even where the one that started it is gone."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (bound, hard))
    signal.alarm(int(timeout) + 10)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    if not has_kfp():
        raise NotCompiledError(f"{sys.executable} has no kfp: install it there")
    sys.path[:] = [*request["folders"], *(entry for entry in sys.path if entry)]
    module = _imported(request["name"], Path(request["file"]))
    function = request["function"]
    if not hasattr(module, function):
        own = (name for name, value in vars(module).items() if hasattr(value, "component_spec"))
        allowed = tuple(sorted(own)) or ("none: it has no component",)
        raise NotCompiledError(f"the source has no {function!r}", allowed)
    return compiled(getattr(module, function))


def _imported(name: str, file: Path) -> Any:
    package = name.rpartition(".")[0]
    if package:
        importlib.import_module(package)
    within = [str(file.parent)] if file.stem == "__init__" else None
    spec = importlib.util.spec_from_file_location(name, file, submodule_search_locations=within)
    if spec is None or spec.loader is None:
        raise NotCompiledError(f"{file.name!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # Functions whose source kfp takes are found through their module's name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _explanation(error: BaseException, request: dict[str, Any]) -> str:
    """Return what was raised and the user's lines that led to it."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if any(Path(frame.filename).is_relative_to(folder) for folder in request["folders"])
    ]
    raised = "".join(traceback.format_exception_only(type(error), error)).strip()
    lines = "".join(traceback.format_list(frames)).replace(request["folders"][0] + os.sep, "")
    return f"{raised}\n{lines}".strip()[-_LONGEST:]


if __name__ == "__main__":
    main()
