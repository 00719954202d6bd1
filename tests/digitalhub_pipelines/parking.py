"""DigitalHub's parking pipeline: the car parks of a city, and how full they are by the hour."""

from digitalhub_runtime_kfp.dsl import pipeline_context


def handler(url):
    with pipeline_context() as pc:
        s1_dataset = pc.step(
            name="download",
            function="downloader-funct",
            action="job",
            inputs={"url": url},
            outputs={"dataset": "dataset"},
        )

        pc.step(
            name="extract_parking",
            function="extract-parkings",
            action="job",
            inputs={"di": s1_dataset.outputs["dataset"]},
            outputs={"parkings": "parkings"},
        )

        s3_aggregate = pc.step(
            name="aggregate",
            function="aggregate-parkings",
            action="job",
            inputs={"di": s1_dataset.outputs["dataset"]},
            outputs={"parking_data_aggregated": "parking_data_aggregated"},
        )

        pc.step(
            name="to_db",
            function="to-db",
            action="job",
            inputs={
                "agg_di": s3_aggregate.outputs["parking_data_aggregated"],
                "parkings_di": s1_dataset.outputs["dataset"],
            },
        )
