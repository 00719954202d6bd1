"""DigitalHub's tutorial on dbt: one query, and the query on another's result."""

from digitalhub_runtime_kfp.dsl import pipeline_context


def transform(employees):
    with pipeline_context() as pc:
        pc.step(
            name="transform",
            function="function-dbt",
            action="transform",
            inputs={"employees": employees},
            outputs={"output_table": "department-50"},
        )


def chained(employees):
    with pipeline_context() as pc:
        s1 = pc.step(
            name="transform-60",
            function="function-dbt-60",
            action="transform",
            inputs={"employees": employees},
            outputs={"output_table": "e60"},
        )
        pc.step(
            name="transform-60-it",
            function="function-dbt-it",
            action="transform",
            inputs={"employees": s1.outputs["e60"]},
            outputs={"output_table": "e60-it"},
        )
