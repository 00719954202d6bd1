"""Projects in a handler's own module: what the steps need of them leaves its process with the steps."""

import zipfile

import pytest
import yaml

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.errors import FunctionError, StepError
from airflow_kfp_runtime.project import Project, Workflow
from airflow_kfp_runtime.sources import Limits, Sources
from airflow_kfp_runtime.sources.handlers import write_pipeline
from airflow_kfp_runtime.sources.scheme import Fetched

MODULE = """
from pathlib import Path
from airflow_kfp_runtime.dsl import pipeline_context
from airflow_kfp_runtime.project import Project, new_function

def train(n: int) -> int:
    return n + 1

project = Project("own", settings={"labels": {"team": "city"}, "runtime_class": "nvidia"})
project.new_function("train", handler=train, image="trainer:1", settings={"timeout": 5})
project.new_function("beside", handler="main", source="steps/main.py")
project.new_function("given", handler="main:main", source=Path(__file__).parent / "steps")
project.new_function("unused", handler=lambda: 0)
"""


def handler(*steps):
    """Return a module with a handler that has these steps."""
    lines = [f"        pc.step({step})\n" for step in steps]
    return MODULE + "def handler(n: int = 1):\n    with pipeline_context() as pc:\n" + "".join(lines)


def written(code, **options):
    return write_pipeline(code, "handler", name="n", limits=Limits(), **options)


def test_functions_of_the_handlers_own_project_fill_what_another_lacks():
    code = handler(
        "name='a', function='train', inputs={'n': n}",
        "name='b', function='train', inputs={'n': 2}",
        "name='c', function='elsewhere'",
        "name='d', function='store://own/function/python/train'",
    )
    first, second, third, fourth = written(code).completed(Project("dag")).steps

    assert first.function.specification.image == "trainer:1"
    assert first.function.settings.timeout == 5
    assert second.function is first.function
    assert fourth.function is first.function
    assert third.function == "elsewhere"


def test_the_project_that_is_given_wins_over_the_handlers_own():
    project = Project("dag")
    project.new_function("train", kind="container", image="i", command="x")
    made = written(handler("name='a', function='train', inputs={'n': n}"))

    assert made.completed(project).steps[0].function == "train"
    assert [one.name for one in made.projects] == ["own"]
    assert list(made.projects[0].functions) == ["train"]


@pytest.mark.parametrize("entity", ["function", "workflow"])
def test_what_several_own_projects_have_is_refused(entity):
    code = handler(f"name='a', {entity}='train'") + (
        "\nother = Project('other')\n"
        "for one in (project, other):\n"
        "    one.new_function('train', handler=train)\n"
        "    one.new_workflow('train', handler='h', code='pass')\n"
    )

    with pytest.raises(
        StepError, match=rf"step 'a', {entity}: 'train' is in several projects of the handler's"
    ):
        written(code).completed(None)


def test_a_function_that_cannot_leave_the_process_is_refused_with_the_reason():
    with pytest.raises(
        FunctionError, match=r"function 'unused', handler: '<lambda>' is not written with def"
    ):
        written(handler("name='a', function='unused'"))


def test_settings_of_the_only_own_project_count_where_no_other_is_given():
    workflow = Workflow.new(
        "w", handler="handler", code=handler("name='a', function='train', inputs={'n': n}")
    )

    package = compile_handler(workflow, settings_policy="warn")
    executors = package.platform_spec["platforms"]["kubernetes"]["deploymentSpec"]["executors"]

    assert executors["exec-a"]["podMetadata"]["labels"] == {"team": "city"}
    assert "runtime_class is left out" in package.warnings[0]
    assert "team: city" not in compile_handler(workflow, project=Project("dag")).to_yaml()


FILES = {
    "etl.py": handler(
        "name='a', function='beside'",
        "name='b', function='given'",
        "name='c', function=new_function('c', handler='main:main', source='steps')",
        "name='d', workflow='inner', inputs={'n': n}",
        "name='e', workflow='named'",
    )
    + """
def inner(n: int):
    with pipeline_context() as pc:
        step = pc.step(name="train", function="train", inputs={"n": n}, values=["n"])
    return step.outputs["n"]

project.new_workflow("inner", handler=inner)
project.new_workflow("named", handler="last", code_src="other.py")
""",
    "other.py": MODULE
    + "def last():\n    with pipeline_context() as pc: pc.step('last', function='beside')\n",
    "steps/main.py": "def main():\n    from help import N\n",
    "steps/help.py": "N = 'helped'",
}


def test_files_and_workflows_of_an_archive_are_there_until_all_is_compiled(tmp_path):
    with zipfile.ZipFile(tmp_path / "etl.zip", "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    (tmp_path / "etl.py").write_text("raise ValueError('another')")
    workflow = Workflow.new("w", handler="etl:handler", code_src="etl.zip")

    package = compile_handler(workflow, sources=Sources((tmp_path,)), settings_policy="warn")

    assert package.step_names == {
        "a": "a",
        "b": "b",
        "c": "c",
        "d": "d",
        "d/train": "d/train",
        "e": "e",
        "e/last": "e/last",
    }
    text = yaml.safe_dump(package.pipeline_spec)
    assert "trainer:1" in text
    assert str(tmp_path) not in text
    assert "/tmp/" not in text


def test_a_workflow_of_the_own_project_cannot_contain_itself():
    code = handler("name='a', workflow='again'") + (
        "def again():\n    with pipeline_context() as pc: pc.step('b', workflow='again')\n"
        "project.new_workflow('again', handler=again)\n"
    )

    with pytest.raises(
        StepError, match="step 'a/b', workflow: a workflow cannot contain itself: again -> again"
    ):
        compile_handler(Workflow.new("w", handler="handler", code=code), settings_policy="warn")


def test_a_workflow_itself_may_be_a_step_where_it_is_of_a_project():
    code = handler("name='a', workflow=hidden()[0]") + (
        "def inner():\n    with pipeline_context() as pc: pc.step('b', workflow=hidden()[1])\n"
        "def innermost():\n    with pipeline_context() as pc: pc.step('c', function='f')\n"
        "def hidden(made=[]):\n"
        "    if not made:\n"
        "        other = Project('other')\n"
        "        other.new_function('f', kind='container', image='hidden', command='x')\n"
        "        made += [other.new_workflow('inner', handler=inner),\n"
        "                 other.new_workflow('innermost', handler=innermost)]\n"
        "    return made\n"
    )
    project = Project("dag")
    project.new_workflow("inner", handler="another", code="pass")
    package = compile_handler(Workflow.new("w", handler="handler", code=code), project=project)

    assert package.step_names == {"a": "a", "a/b": "a/b", "a/b/c": "a/b/c"}
    assert "image: hidden" in package.to_yaml()


def test_a_workflow_of_no_project_is_refused_as_a_step():
    code = handler("name='a', workflow=Workflow.new('w', handler='h', code='pass')")

    with pytest.raises(StepError, match="step 'a', workflow: is a workflow itself, which cannot leave"):
        written("from airflow_kfp_runtime.project import Workflow\n" + code)


def test_workflows_that_a_fetched_handler_brings_are_confined_as_well(tmp_path):
    foreign = (
        "from airflow_kfp_runtime.dsl import pipeline_context\n"
        "from airflow_kfp_runtime.project import new_function\n"
        "def inner():\n"
        "    with pipeline_context() as pc:\n"
        "        pc.step('b', function=new_function('f', handler='x', source='/etc'))\n"
    )
    in_process = (
        handler("name='a', workflow='inner'") + foreign + "project.new_workflow('inner', handler=inner)"
    )
    later = handler("name='a', workflow='inner'") + (
        f"project.new_workflow('inner', handler='inner', code={foreign!r})"
    )
    expected = "function 'f', source: '/etc' is not a file or folder of the source that was fetched"

    with pytest.raises(FunctionError, match=expected):
        written(in_process, confined=True)
    workflow = written(later, confined=True).completed(None).steps[0].workflow
    with pytest.raises(FunctionError, match=expected):
        workflow.pipeline()


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            "function=new_function('f', handler='x', source='/etc/hostname')",
            "function 'f', source: '/etc/hostname'",
        ),
        ("function=new_function('f', handler='x', source='../up.py')", "function 'f', source: '../up.py'"),
        (
            "function=new_function('f', handler='x', source='no.py')",
            "function 'f', source: 'no.py' is not a file",
        ),
        (
            "function='out'",
            "function 'out', source: '/etc' is not a file or folder of the source that was fetched",
        ),
        ("workflow='out'", "workflow 'out', source: '/etc/passwd.py' is not a file or folder of the source"),
    ],
)
def test_what_was_fetched_does_not_read_other_files_into_a_pipeline(tmp_path, step, expected):
    code = handler(f"name='a', {step}") + (
        "project.new_function('out', handler='x', source='/etc')\n"
        "project.new_workflow('out', handler='x', code_src='/etc/passwd.py')\n"
    )
    (tmp_path / "up.py").write_text("")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/etl.py").write_text(code)

    with pytest.raises(FunctionError) as caught:
        written(Fetched(tmp_path / "tree", "etl.py", "1"), confined=True)
    assert str(caught.value).startswith(expected)
