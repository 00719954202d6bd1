"""A kind of function and a scheme of sources for airflow-kfp-runtime."""
