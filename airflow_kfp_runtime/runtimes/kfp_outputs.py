"""Other names for the outputs of a Python function of the kfp SDK, whose program writes them by its own.

The SDK's program (``kfp.dsl.executor_main``) finds the outputs in the executor input, which is one of its
arguments, and writes their values into one file, by name. So what starts it here gives it its own names, and
puts the others into the file at the end.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: How the shell starts the program, in components of kfp 2 (``component_factory.py``, kfp 2.17).
_START = re.compile(r"python3 -m (?P<module>kfp\.(?:dsl|components)\.executor_main)\b")

#: What is in it is in single quotes of the shell: it has none.
_PROGRAM = """
import json, runpy, sys
names = NAMES
own = {named: name for name, named in names.items()}
place = sys.argv.index("--executor_input") + 1
given = json.loads(sys.argv[place])
outputs = given.get("outputs", {})
for kind in ("parameters", "artifacts"):
    outputs[kind] = {own.get(key, key): value for key, value in outputs.get(kind, {}).items()}
sys.argv[place] = json.dumps(given)
runpy.run_module("MODULE", run_name="__main__", alter_sys=True)
with open(outputs["outputFile"]) as file:
    written = json.load(file)
for kind in ("parameterValues", "artifacts"):
    if kind in written:
        written[kind] = {names.get(key, key): value for key, value in written[kind].items()}
with open(outputs["outputFile"], "w") as file:
    json.dump(written, file)
"""


def with_output_names(command: Sequence[str], names: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return a command line whose program has other names for its outputs, or ``None`` for another program.

    :param command: of a component of the kfp SDK.
    :param names: the new name of each output by its own.
    """
    program = _PROGRAM.replace("NAMES", json.dumps(dict(names), sort_keys=True)).strip()

    def started(match: re.Match[str]) -> str:
        return f"python3 -c '{program.replace('MODULE', match['module'])}'"

    changed = tuple(
        # The script that starts it, and not the function's own text.
        _START.sub(started, part) if part.startswith("program_path=") else part
        for part in command
    )
    return changed if changed != tuple(command) else None
