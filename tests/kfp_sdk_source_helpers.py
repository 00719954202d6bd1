"""What the module beside imports."""

IMAGE = "python:3.12-slim"
