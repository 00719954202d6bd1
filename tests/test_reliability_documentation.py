"""The promises of docs/reliability.md, each with a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()

NAMED = re.compile(r"`(test_\w+\.py)`|`(test_\w+)`")


def named():
    """Each test that the page names, with its file; a file's name alone stands for all in it."""
    file = ""
    for match in NAMED.finditer(PAGE):
        if match.group(1):
            file = match.group(1)
            yield file, ""
        else:
            yield file, match.group(2)


def test_every_test_that_the_page_names_exists():
    missing = [
        (file, test)
        for file, test in named()
        if not (TESTS / file).is_file()
        or (test and not re.search(rf"^(async )?def {test}\(", (TESTS / file).read_text(), re.MULTILINE))
    ]
    assert missing == []


def test_every_promise_has_a_test():
    headers = PAGE.count("| Promise | Test |")
    tables = re.findall(r"\| Promise \| Test \|\n\|---\|---\|\n((?:\|.*\n)+)", PAGE)
    assert len(tables) == headers >= 6
    rows = [row for table in tables for row in table.splitlines()]
    assert [row for row in rows if "test_" not in row and "| the same |" not in row] == []
