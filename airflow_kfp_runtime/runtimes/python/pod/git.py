"""Fetches one commit of a git repository, with the git program of the image."""
# ruff: noqa: PTH118

from __future__ import annotations

import os
import shutil
import subprocess

from airflow_kfp_runtime.runtimes.python.pod.checking import Bounds, fail

#: Gives git the password from its environment: it stands in no argument and no file.
HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$STEP_USERNAME" "$STEP_PASSWORD"; }; f'
)


def credentials() -> tuple[str, str]:
    """Return user and password from the environment, as DigitalHub's runtime takes them."""
    token = os.environ.get("GIT_TOKEN", "")
    if token.startswith(("github_pat_", "glpat")):
        return "oauth2", token
    if token:
        return token, "x-oauth-basic"
    return os.environ.get("GIT_USERNAME", ""), os.environ.get("GIT_PASSWORD", "")


def repository(address: dict[str, str], folder: str, bounds: Bounds) -> str:
    """Put one commit of a repository into a folder and return the folder of the source in it.

    :param address: ``url``; ``origin``, its server, which alone gets the password; ``commit``;
        ``inside``, what is wanted of it; ``folder``, which of its folders that is in or is.
    """
    if shutil.which("git") is None:
        fail("the image lacks the git program. Use an image that has it, or fetch='compiler'.")
    url, commit = address["url"], address["commit"]
    user, password = credentials()
    environment = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "https:http:ssh:git",
        "STEP_USERNAME": user,
        "STEP_PASSWORD": password,
    }
    # Links are as the compiler has found them: none leads out of the source.
    settings = ["-c", "credential.helper=", "-c", "core.symlinks=true"]
    if password and address["origin"].startswith("https:"):
        settings += ["-c", f"credential.{address['origin']}.helper={HELPER}"]

    def git(*arguments: str) -> str:
        """Run git and return what it complains of; nothing where it succeeded."""
        line = ["git", "-C", folder, *settings, *arguments]
        try:
            done = subprocess.run(
                line,
                env=environment,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=bounds.left(),
                check=False,
            )
        except subprocess.TimeoutExpired:
            fail(f"{url} takes more than {bounds.seconds:g} seconds.")
        message = done.stderr.decode("utf-8", "replace").strip()
        return (message or f"exit status {done.returncode}") if done.returncode else ""

    git("init", "--quiet")
    if git("fetch", "--quiet", "--depth=1", url, commit):
        # A server may give out nothing but the tips of its branches and tags.
        problem = git("fetch", "--quiet", url, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        if problem:
            fail(
                f"{url}: {problem}\nThe pod's environment has the credentials: give the step the `secrets` "
                "GIT_TOKEN, or GIT_USERNAME and GIT_PASSWORD."
            )
    # Of the commit nothing but the source: how large that is was checked when the step was compiled.
    problem = git("--literal-pathspecs", "checkout", "--quiet", commit, "--", address["inside"] or ".")
    if problem:
        fail(f"commit {commit} of {url}: {problem}")
    shutil.rmtree(os.path.join(folder, ".git"))
    return os.path.join(folder, *address["folder"].split("/")) if address["folder"] else folder
