"""The Kubernetes settings of a task, as far as one machine can honour them.

:mod:`.read` resolves what the platform spec says of a task's executor to a :class:`~.model.PodSettings`.
:mod:`.cluster` is what that stands on: secrets, config maps and claims (:mod:`.keys`, :mod:`.claims`) as
folders of the data directory, and the paths at which tasks see them (:mod:`.paths`). :mod:`.claim_tasks`
makes and deletes claims.
"""
