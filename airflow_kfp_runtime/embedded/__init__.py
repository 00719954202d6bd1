"""A server that speaks the Kubeflow Pipelines API and runs pipelines as processes on this machine.

Three packages, whose imports go one way: :mod:`.api` (HTTP) uses :mod:`.engine` (execution), and both use
:mod:`.state` (SQLite). :mod:`.server` puts them together; :mod:`.command` starts it.
"""
