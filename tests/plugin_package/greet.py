"""Compiles the package's workflow with its kind and its scheme, and prints the pipeline's YAML."""

from airflow_kfp_runtime.compiler import compile_handler
from airflow_kfp_runtime.project import Project

project = Project("acme")
project.new_function("hello", kind="shell", script='printf "hello %s" "$name" > "$text"')
project.new_function("shout", kind="python", source="installed://acme_kfp/flows", handler="greeting:shout")
workflow = project.new_workflow(
    "greeting", code_src="installed://acme_kfp/flows/greeting.py", handler="greeting"
)

print(compile_handler(workflow).to_yaml())
