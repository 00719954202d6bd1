"""Stands in for DigitalHub's wrapper image: a ``step.py`` that records how it was started.

As the real one it leaves ``run_id``, ``entity_<the run's output>`` and ``value_<name>`` as files of ``/tmp``,
which here is the temporary folder of its task, so that parallel steps of one machine do not meet.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_STEP = """
import json, os, sys, tempfile, time, uuid
from pathlib import Path

here = Path(__file__).parent
arguments = sys.argv[1:]
environment = {name: value for name, value in os.environ.items() if name.startswith("DHCORE_")}
behaviour = json.loads((here / "behaviour.json").read_text())
pairs = list(zip(arguments, arguments[1:]))
options = dict(pairs)
if "--kwargs" in options:
    kwargs = json.loads(options["--kwargs"])
    action, names, values = kwargs["action"], list(kwargs.get("outputs", {})), []
    _, _, project, _, _, function = options["--entity"].split("/")
    function = function.partition(":")[0]
else:
    action, function = options["--action"], options.get("--function", options.get("--workflow"))
    project = options["--project"]
    names = [value.partition("=")[0] for option, value in pairs if option == "-oe"]
    values = [value for option, value in pairs if option == "-ov"]
job = f"{action} {function}"
call = {"job": job, "arguments": arguments, "environment": environment, "time": time.time_ns()}
record = here / "calls" / uuid.uuid4().hex
record.with_suffix(".new").write_text(json.dumps(call))
record.with_suffix(".new").rename(record.with_suffix(".json"))

together = set(behaviour.get("together", ()))
deadline = time.monotonic() + 30
while job in together and not together <= {
    json.loads(file.read_text())["job"] for file in (here / "calls").glob("*.json")
}:
    if time.monotonic() > deadline:
        sys.exit(f"{job} runs without {together}")
    time.sleep(0.02)

written = {"run_id": "run-1", **{f"value_{name}": "plain" for name in values}}
for name in names:
    written[f"entity_{name}"] = f"store://{project}/dataitem/table/{name}:of-{function}"
written.update(behaviour.get("files", {}))
for name, content in written.items():
    if content is not None:
        Path(tempfile.gettempdir(), name).write_text(content)
print("the run on the platform has ended")
sys.exit(behaviour.get("status", 0))
"""


@dataclass(frozen=True)
class Wrapper:
    """The stub in a folder of its own."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> Wrapper:
        (folder / "calls").mkdir(parents=True)
        (folder / "step.py").write_text(_STEP)
        made = cls(folder)
        made.behave()
        return made

    @property
    def command(self) -> list[str]:
        """What a function takes for its ``command``."""
        return ["python", str(self.folder / "step.py")]

    def behave(self, **behaviour) -> None:
        """Say how it ends (``status``) and what it writes (``files``; ``None`` leaves one out).

        The jobs of ``together`` (``"<action> <function>"``) end well only if all of them run at a time.
        """
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    def calls(self) -> list[dict]:
        """What it was called with, in order: ``job``, ``arguments`` and ``environment``."""
        calls = [json.loads(file.read_text()) for file in (self.folder / "calls").glob("*.json")]
        return sorted(calls, key=lambda call: call["time"])
