"""Apache Airflow provider for Kubeflow Pipelines: DigitalHub-style steps become a pipeline run."""

__version__ = "0.1.0"
