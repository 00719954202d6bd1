"""A server that speaks the Kubeflow Pipelines API and runs pipelines as processes on this machine."""
