"""The kind ``python``: a Python function that runs in a container of its own."""
