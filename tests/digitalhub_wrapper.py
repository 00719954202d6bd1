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
call = {"arguments": arguments, "environment": environment, "time": time.time_ns()}
(here / "calls" / uuid.uuid4().hex).write_text(json.dumps(call))

pairs = list(zip(arguments, arguments[1:]))
names = [value.partition("=")[0] for option, value in pairs if option == "-oe"]
values = [value for option, value in pairs if option == "-ov"]
if "--kwargs" in arguments:
    kwargs = json.loads(arguments[arguments.index("--kwargs") + 1])
    names = list(kwargs.get("outputs", {}))
    function = arguments[arguments.index("--entity") + 1].rpartition("/")[2].partition(":")[0]
else:
    function = dict(pairs).get("--function", dict(pairs).get("--workflow"))
written = {"run_id": "run-1", **{f"value_{name}": "plain" for name in values}}
for name in names:
    written[f"entity_{name}"] = f"store://parking/dataitem/table/{name}:of-{function}"
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
        """Say how it ends (``status``) and what it writes (``files``; ``None`` leaves one out)."""
        (self.folder / "behaviour.json").write_text(json.dumps(behaviour))

    def calls(self) -> list[dict]:
        """What it was called with, in order: ``arguments`` and ``environment``."""
        calls = [json.loads(file.read_text()) for file in (self.folder / "calls").iterdir()]
        return sorted(calls, key=lambda call: call["time"])
