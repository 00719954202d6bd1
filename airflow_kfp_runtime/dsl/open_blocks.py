"""The rules of blocks while a handler writes them: what may stand where."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow_kfp_runtime.dsl.blocks import Branch, Choice, ForEach, OnExit, path_of
from airflow_kfp_runtime.dsl.conditions import condition
from airflow_kfp_runtime.dsl.constants import constant
from airflow_kfp_runtime.dsl.references import Collected, LoopItem, OneOf, Reference, StepOutput
from airflow_kfp_runtime.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_kfp_runtime.dsl.blocks import Block
    from airflow_kfp_runtime.dsl.step import Step


class OpenBlocks:
    """The blocks of one context; ``current`` is the one that steps are added to.

    ``loops`` and ``one_ofs`` are those of the context so far: their numbers count from 1.
    """

    def __init__(self) -> None:
        self.current: Block | None = None
        self.loops: list[ForEach] = []
        self.one_ofs: list[OneOf] = []
        self._members = 0
        self._before: Choice | None = None

    def step_added(self) -> None:
        """Say that a step was added to the current block."""
        self._members += 1
        self._before = None

    @contextmanager
    def when(self, given: object) -> Iterator[None]:
        """Open a block that runs on a condition."""
        choice = Choice(self.current)
        yield from self._branch(choice, Branch(choice, condition(given)))

    @contextmanager
    def otherwise(self, given: object) -> Iterator[None]:
        """Open the next branch of the choice that has just been closed; ``None`` is the last branch.

        :raises StepError: no choice was just closed, or it has its last branch.
        """
        choice = self._before
        if choice is None:
            raise StepError("follows no when(): it belongs directly after one", field="otherwise")
        if choice.is_complete:
            raise StepError(
                "follows otherwise() without a condition, which is the last branch of "
                f"{choice.branches[0]!r}",
                field="otherwise",
            )
        branch = Branch(choice, None if given is None else condition(given))
        yield from self._branch(choice, branch)

    @contextmanager
    def for_each(self, items: object, parallelism: object) -> Iterator[LoopItem]:
        """Open a block that runs for each item."""
        loop = ForEach(
            self.current, checked_items(items), checked_parallelism(parallelism), len(self.loops) + 1
        )
        loop.known_type()
        self.loops.append(loop)
        with self._opened(loop):
            yield LoopItem(loop)

    @contextmanager
    def on_exit(self, step: Step) -> Iterator[None]:
        """Open a block at whose end that step runs.

        :raises StepError: the step ends another block, or is not beside this one.
        """
        if step.ends is not None:
            raise StepError(f"runs at the end of {step.ends!r} already", step=step.name, field="on_exit")
        if step.block is not self.current:
            raise StepError(
                "has to be beside the block that it ends: write the step right before it",
                step=step.name,
                field="on_exit",
            )
        block = OnExit(self.current, step)
        step.ends = block
        with self._opened(block):
            yield

    def one_of(self, outputs: tuple[object, ...]) -> OneOf:
        """Return the output of the branch that ran; the same value for the same outputs.

        :raises StepError: they are not one output of each branch of one choice.
        """
        named: dict[Branch, StepOutput] = {}
        for output in outputs:
            if not isinstance(output, StepOutput):
                raise StepError(f"{output!r} is not an output of a step", field="one_of")
            branch = _branch_of(output)
            if branch in named:
                raise StepError(f"{output!r} and {named[branch]!r} are of one branch", field="one_of")
            named[branch] = output
        if not named:
            raise StepError("has no outputs", field="one_of", allowed=["one output of each branch"])
        choice = next(iter(named)).choice
        for branch, output in named.items():
            if branch.choice is not choice:
                raise StepError(
                    f"{output!r} is in {branch!r}, which does not belong to {choice.branches[0]!r}",
                    field="one_of",
                )
        if not choice.is_complete:
            raise StepError(
                f"{choice.branches[0]!r} has no otherwise() without a condition, so that perhaps none of its "
                "branches runs: add it",
                field="one_of",
            )
        absent = [repr(branch) for branch in choice.branches if branch not in named]
        if absent:
            raise StepError(f"has no output of {', '.join(absent)}", field="one_of")
        ordered = tuple(named[branch] for branch in choice.branches)
        for made in self.one_ofs:
            if list(map(str, made.outputs)) == list(map(str, ordered)):
                return made
        position = 1 + sum(made.choice is choice for made in self.one_ofs)
        self.one_ofs.append(OneOf(choice, ordered, len(self.one_ofs) + 1, position))
        return self.one_ofs[-1]

    def _branch(self, choice: Choice, branch: Branch) -> Iterator[None]:
        choice.branches.append(branch)
        with self._opened(branch):
            yield
        self._before = choice

    @contextmanager
    def _opened(self, block: Block) -> Iterator[None]:
        before = self._members
        self.current, self._before = block, None
        try:
            yield
        finally:
            self.current, self._before = block.around, None
        if self._members == before:
            raise StepError("has no step in it", field=repr(block))


def collected(output: object) -> Collected:
    """Return the list of a step's outputs in all iterations of its loop.

    :raises StepError: it is not an output of a step in a loop.
    """
    if isinstance(output, OneOf):
        raise StepError(
            f"{output!r} cannot be collected: KFP collects the outputs of steps that run in every iteration",
            field="collected",
        )
    if not isinstance(output, StepOutput):
        raise StepError(f"{output!r} is not an output of a step", field="collected")
    if not any(isinstance(block, ForEach) for block in path_of(output.step.block)):
        raise StepError(
            "is in no for_each(): use its output as it is", step=output.step.name, field="collected"
        )
    return Collected(output)


def checked_items(given: object) -> list[Any] | Reference:
    """Return what a loop goes through.

    :raises StepError: it is neither a list of JSON values nor a run-time value that may be one.
    """
    match given:
        case LoopItem():
            raise StepError(
                f"{given!r} cannot be looped over: KFP's server gives a loop no part of another loop's item. "
                "Make a list of all in a step, and loop over that",
                field="for_each",
            )
        case _ if isinstance(given, Reference):
            return given
        case list() | tuple() if given:
            values: list[Any] = constant(list(given), step="", field=f"for_each({given!r:.60})")
            return values
        case _:
            raise StepError(
                f"{given!r:.200} is nothing to loop over",
                field="for_each",
                allowed=["a list with at least one item", "an argument or output that is a list"],
            )


def checked_parallelism(given: object) -> int | None:
    """Return how many iterations run at the same time.

    :raises StepError: it is not a whole number from 1.
    """
    if given is None or (isinstance(given, int) and not isinstance(given, bool) and given >= 1):
        return given
    raise StepError(
        f"{given!r} is not a number of iterations",
        field="for_each, parallelism",
        allowed=["a whole number from 1", "None, for all at the same time"],
    )


def _branch_of(output: StepOutput) -> Branch:
    """Return the branch that has the step of an output, with no loop or further condition between."""
    for block in reversed(path_of(output.step.block)):
        match block:
            case Branch():
                return block
            case ForEach():
                raise StepError(
                    f"is in {block!r}, and so has an output for each item",
                    step=output.step.name,
                    field="one_of",
                )
    raise StepError("is in no when() or otherwise()", step=output.step.name, field="one_of")
