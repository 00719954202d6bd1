"""Components and pipelines written with the kfp SDK, as a team keeps them in a module of its own."""

from typing import NamedTuple

from kfp import dsl
from kfp_sdk_source_helpers import IMAGE


@dsl.component(base_image=IMAGE)
def add(a: int, b: int = 2) -> int:
    return a + b


@dsl.component(base_image=IMAGE)
def weigh(amount: float, table: dsl.Output[dsl.Dataset], note: dsl.OutputPath(str)) -> NamedTuple(
    "Weighed", [("weight", float), ("unit", str)]
):
    with open(table.path, "w") as file:  # noqa: PTH123 - it runs in a step, without further imports
        file.write("a\nb\n")
    with open(note, "w") as file:  # noqa: PTH123
        file.write("noted")
    table.metadata["rows"] = 2
    return amount * 2, "kg"


@dsl.container_component
def write(text: str, lines: int, out: dsl.Output[dsl.Dataset], size: dsl.OutputPath(int)):
    program = (
        'mkdir -p "$(dirname "$1")" "$(dirname "$2")"; yes "$3" | head -n "$4" > "$1"; wc -l < "$1" > "$2"'
    )
    return dsl.ContainerSpec(
        image="alpine:3.20", command=["sh", "-c", program, "sh"], args=[out.path, size, text, lines]
    )


@dsl.pipeline(name="written-twice", description="Writes, and writes again.")
def written_twice(text: str, lines: int = 2) -> int:
    first = write(text=text, lines=lines)
    return write(text="again", lines=first.outputs["size"]).set_caching_options(False).outputs["size"]


@dsl.container_component
def square(number: int, result: dsl.OutputPath(int)):
    program = 'mkdir -p "$(dirname "$1")"; echo $(($2 * $2)) > "$1"'
    return dsl.ContainerSpec(image="alpine:3.20", command=["sh", "-c", program, "sh"], args=[result, number])


@dsl.pipeline(name="branching")
def branching(numbers: list[int], limit: int = 10) -> int:
    with dsl.ParallelFor(numbers, parallelism=2) as number:
        square(number=number)
    first = square(number=limit)
    with dsl.If(first.outputs["result"] > 50):
        large = square(number=2)
    with dsl.Else():
        small = square(number=1)
    return dsl.OneOf(large.outputs["result"], small.outputs["result"])


def undecorated(text: str):
    raise NotImplementedError
