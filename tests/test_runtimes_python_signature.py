"""Interfaces read from source text: the same as kfp's, and clear errors for what KFP has no type for."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from airflow_kfp_runtime.dsl.types import ArtifactType, ParameterType
from airflow_kfp_runtime.errors import FunctionError
from airflow_kfp_runtime.plugins import function_kind
from airflow_kfp_runtime.runtimes.component import ComponentRequest
from airflow_kfp_runtime.runtimes.python.annotations import Direction
from airflow_kfp_runtime.runtimes.python.signature import ReturnForm, read_signature
from airflow_kfp_runtime.runtimes.python.source import FunctionSource
from tests.environments import KFP_SDK, environment

IMPORTS = """
import typing
import kfp
from kfp import dsl
from kfp.dsl import *
from typing import *
"""

#: Functions that kfp compiles as well; each is compared with what it makes of them.
FUNCTIONS = """
def plain(a: str, b: int, c: float, d: bool, e: list, f: dict) -> str: ...
def generic(a: List[int], b: typing.Dict[str, int], c: list[str], d: dict[str, List[int]]) -> List[str]: ...
def defaults(a: str = "x", b: int = 3, c: float = 2.5, d: bool = True): ...
def lists_and_dicts(e: list = [1, "a"], f: dict = {"k": [1]}): ...
def empties(a: str = "", b: int = 0, c: float = -1.5, d: bool = False, e: list = [], f: dict = {}): ...
def optional(a: Optional[str] = None, b: Optional[int] = 4, c: Optional[dict] = None, d: int = None): ...
def optional_without_default(a: Optional[str], b: Union[int, None]) -> int: ...
def artifacts(a: Input[Dataset], b: dsl.Input[dsl.Model], c: kfp.dsl.Input[kfp.dsl.Artifact], d: Metrics): ...
def outputs(a: Output[Dataset], b: dsl.Output[Model], c: Output[Metrics], d: Output[HTML], n: int = 1): ...
def more(a: Output[ClassificationMetrics], b: Output[Markdown], c: Input[Artifact]): ...
def optional_artifact(a: Optional[Input[Dataset]] = None, b: Input[Model] = None): ...
def paths(a: InputPath("Dataset"), b: OutputPath(str), c: OutputPath("Model")): ...
def more_paths(d: OutputPath(int), e: InputPath(), f: OutputPath()): ...
def named() -> NamedTuple("O", [("a", int), ("b", Dict[str, int])]): ...
def named_by_keyword() -> typing.NamedTuple("O", a=float, b=List[int]): ...
def nothing(a: int) -> None: ...
class Result(NamedTuple):
    score: float
    tags: List[str]
def by_class(a: int) -> Result: ...
def keyword_only(a: int, *, b: str = "x", c: Input[Dataset]) -> bool: ...
"""

NAMES = [node.name for node in ast.parse(FUNCTIONS).body if isinstance(node, ast.FunctionDef)]

ORACLE = """
import functions, json, sys
from google.protobuf.json_format import MessageToDict
from kfp import dsl

made = {}
for name in sys.argv[1:]:
    root = dsl.component(getattr(functions, name), base_image="python:3.12").pipeline_spec.root
    made[name] = [MessageToDict(root.input_definitions), MessageToDict(root.output_definitions)]
print(json.dumps(made))
"""


@pytest.fixture(scope="module")
def kfps_interfaces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kfp")
    (folder / "functions.py").write_text(IMPORTS + FUNCTIONS)
    (folder / "oracle.py").write_text(ORACLE)
    done = subprocess.run(
        [environment("kfp", KFP_SDK), "oracle.py", *NAMES],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def interface(component):
    """A component's interface as KFP's protobuf writes it."""
    inputs = {"parameters": {}, "artifacts": {}}
    outputs = {"parameters": {}, "artifacts": {}}
    for name, declared in component.inputs.items():
        entry = _definition(inputs, name, declared.type)
        if declared.optional:
            entry["isOptional"] = True
        if declared.default is not None:
            entry["defaultValue"] = declared.default
    for name, declared in component.outputs.items():
        _definition(outputs, name, declared)
    return [
        {side: entries for side, entries in definitions.items() if entries}
        for definitions in (inputs, outputs)
    ]


def _definition(definitions, name, declared):
    if isinstance(declared, ArtifactType):
        schema = {"schemaTitle": declared.schema_title, "schemaVersion": declared.schema_version}
        return definitions["artifacts"].setdefault(name, {"artifactType": schema})
    return definitions["parameters"].setdefault(name, {"parameterType": declared.value})


def component_of(name):
    kind = function_kind("python")
    specification = kind.specification.model_validate({"handler": name, "code": IMPORTS + FUNCTIONS})
    signature = read_signature(FunctionSource(FUNCTIONS, name, "functions.py"))
    given = {
        argument: declared.type
        for argument, declared in signature.arguments.items()
        if declared.direction is Direction.INPUT
    }
    return kind.build(ComponentRequest("step", name, specification, "job", given, {}, []))


@pytest.mark.parametrize("name", NAMES)
def test_the_interface_is_what_kfp_makes_of_the_same_function(name, kfps_interfaces):
    assert interface(component_of(name)) == kfps_interfaces[name]


def signature(text, name="f"):
    return read_signature(FunctionSource(text, name, "f.py"))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ("int | None", ParameterType.INTEGER),
        ("'int'", ParameterType.INTEGER),
        ("'Input[Dataset]'", ArtifactType("system.Dataset")),
        ("Input['Dataset']", ArtifactType("system.Dataset")),
        ("Annotated[float, 'unit: m']", ParameterType.DOUBLE),
        ("Optional['dict[str, int]']", ParameterType.STRUCT),
    ],
)
def test_spellings_beyond_kfps_are_understood(annotation, expected):
    assert signature(f"def f(a: {annotation}): ...").arguments["a"].type == expected


def test_a_tuple_returns_several_values_without_names():
    returns = signature("def f() -> tuple[int, 'str']: ...").returns

    assert returns.form is ReturnForm.SEVERAL
    assert returns.types == (ParameterType.INTEGER, ParameterType.STRING)
    assert returns.fields == ()


def test_a_default_that_is_computed_leaves_the_argument_optional():
    argument = signature("def f(a: int = 2 * 3, b=LIMIT): ...").arguments["a"]

    assert not argument.required
    assert argument.default is None


def test_the_last_definition_of_a_name_counts_as_it_does_in_python():
    assert list(signature("def f(a: int): ...\ndef f(b: int): ...").arguments) == ["b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(*args): ...", "argument *args of 'f': a step names every value that it passes"),
        ("def f(**kwargs): ...", "argument **kwargs of 'f': KFP needs to know every input's name"),
        ("def f(a, /): ...", "argument a of 'f': a step passes values by name"),
        ("async def f(): ...", "'f' is written with async def"),
        ("def f(a: set): ...", "argument 'a' of 'f': KFP has no type for set. Allowed: str, int"),
        ("def f(a: int | str): ...", "KFP has no type for int | str"),
        ("def f(a: pd.DataFrame): ...", "KFP has no type for pd.DataFrame"),
        ("def f(a: Input[int]): ...", "int is not a type of artifact. Allowed: Artifact, Classification"),
        ("def f(a: Input[List[int]]): ...", "int is not a type of artifact"),
        ("def f(a: Output[List[Dataset]]): ...", "KFP lets no step write a list of artifacts"),
        ("def f(a: List[Dataset]): ...", "a list of artifacts is annotated as Input[List[Dataset]]"),
        ("def f(a: InputPath(str)): ...", "a str arrives as a value, not as a file"),
        ("def f(a: int = 'x'): ...", "the default 'x' is not of the type that the annotation declares"),
        ("def f(a: int = True): ...", "the default True is not of the type"),
        ("def f(a: Output[Model] = 'x'): ...", "an output has no default"),
        ("def f() -> Dataset: ...", "the return of 'f': Dataset is written, not returned"),
        ("class R: ...\ndef f() -> R: ...", "class 'R': KFP has no type for this class. Allowed: NamedTuple"),
        ("def f(a: 'in t'): ...", "'in t' is not an annotation"),
    ],
)
def test_a_function_that_no_step_can_call_is_refused(text, message):
    with pytest.raises(FunctionError) as caught:
        signature(text)

    assert message in str(caught.value)


def test_every_function_of_the_standard_library_is_read_or_refused_with_a_reason():
    outcomes = set()
    for file in sorted(Path(ast.__file__).parent.glob("[a-d]*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                try:
                    signature(ast.unparse(node), node.name)
                    outcomes.add("read")
                except FunctionError:
                    outcomes.add("refused")

    assert outcomes == {"read", "refused"}
