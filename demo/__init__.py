"""The demo, and what it shares with the tests: a real Airflow and the embedded server as processes."""
