"""The cache of sources, shared by processes of which any may be killed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from airflow_kfp_runtime.errors import SourceError
from airflow_kfp_runtime.sources import Cache

#: Processes that share nothing with this one but the folder.
PROCESSES = multiprocessing.get_context("spawn")


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "cache", 10_000)


def writing(text: str):
    return lambda folder: (folder / "file").write_text(text)


def content(folder: Path) -> str:
    return (folder / "file").read_text()


def keys_of(cache: Cache, keys: str) -> str:
    """Those of some keys that the cache has."""
    return "".join(key for key in keys if cache.find(key))


def test_an_entry_is_made_once(cache):
    first = cache.entry("key", writing("first"))
    second = cache.entry("key", writing("second"))

    assert first == second
    assert content(first) == "first"
    assert cache.find("key") == first


def test_keys_of_any_kind_are_told_apart(cache):
    keys = ["", "a", "a/../b", "\ud800", "é" * 1000, "A"]

    for key in keys:
        cache.entry(key, writing(repr(key)))

    assert [content(cache.find(key)) for key in keys] == [repr(key) for key in keys]


def test_asking_a_cache_that_is_not_there_leaves_nothing(cache):
    assert cache.find("key") is None
    assert cache.note("key") is None
    assert not cache.folder.exists()


@pytest.mark.parametrize("error", [SourceError("no"), KeyboardInterrupt(), TimeoutError("of a signal")])
def test_of_an_entry_that_fails_nothing_is_kept(cache, error):
    def make(folder: Path) -> None:
        writing("half")(folder)
        raise error

    with pytest.raises(type(error)):
        cache.entry("key", make)

    assert list(cache.folder.iterdir()) == []
    assert content(cache.entry("key", writing("whole"))) == "whole"


def test_what_was_not_used_for_longest_goes_first(cache):
    for key in "abc":
        cache.entry(key, writing("x" * 3000))
    cache.entry("a", writing("again"))

    cache.entry("d", writing("x" * 3000))

    assert keys_of(cache, "abcd") == "acd"
    assert len(list(cache.folder.iterdir())) == 3 * len(("folder", "size", "lock"))


def test_an_entry_that_is_larger_than_the_cache_stays_until_the_next(cache):
    cache.entry("small", writing("x"))
    cache.entry("large", writing("x" * 20_000))
    assert keys_of(cache, ("small", "large")) == "large"

    cache.entry("small", writing("x"))

    assert keys_of(cache, ("small", "large")) == "small"


def test_what_is_held_is_not_removed_before_the_end(cache):
    with cache.held() as held:
        for key in "ab":
            held.entry(key, writing("x" * 6000))
        cache.entry("c", writing("x" * 6000))
        assert keys_of(cache, "abc") == "abc"

    cache.entry("d", writing("x" * 6000))
    assert keys_of(cache, "abcd") == "d"


def test_notes_are_kept_and_replaced(cache):
    cache.keep_note("address", {"etag": "1"})
    cache.keep_note("address", {"etag": "2"})

    assert cache.note("address") == {"etag": "2"}
    assert cache.note("other") is None


@pytest.mark.parametrize("damaged", [b"", b"{", b"[1]", b"\xff"])
def test_a_damaged_note_is_none(cache, damaged):
    cache.keep_note("address", {"etag": "1"})
    [note] = cache.folder.glob("*.note")
    note.write_bytes(damaged)

    assert cache.note("address") is None


def test_only_so_many_notes_are_kept(cache):
    for number in range(1010):
        cache.keep_note(str(number), {})

    cache.entry("key", writing("x"))

    assert len(list(cache.folder.glob("*.note"))) == 1000


def test_a_folder_that_cannot_be_written_is_named_with_what_to_set(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(SourceError, match="XDG_CACHE_HOME") as refused:
        Cache(tmp_path / "file" / "cache").entry("key", writing("x"))

    assert refused.value.field == str(tmp_path / "file" / "cache")


@pytest.mark.parametrize(
    ("variable", "folder"),
    [("/caches", "/caches"), ("caches", "/home/ann/.cache"), ("", "/home/ann/.cache")],
)
def test_the_default_is_the_cache_of_the_user(monkeypatch, variable, folder):
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    monkeypatch.setenv("HOME", "/home/ann")

    assert Cache.default() == Cache(Path(folder) / "airflow-kfp-runtime" / "sources", 1024**3)


def make_counting(folder: Path, counted: Path, number: int) -> None:
    (folder / "file").write_text("begun")
    with counted.open("a") as file:
        file.write(f"{number}\n")
    (folder / "file").write_text("whole")


def ask(cache: Cache, counted: Path, start, number: int) -> None:
    start.wait()
    for key in range(20):
        with cache.held() as held:
            folder = held.entry(str(key), lambda made: make_counting(made, counted, number))
            if content(folder) != "whole":
                os._exit(1)


def test_parallel_processes_make_each_entry_once(cache, tmp_path):
    start = PROCESSES.Barrier(4)
    counted = tmp_path / "counted"
    processes = [PROCESSES.Process(target=ask, args=(cache, counted, start, n)) for n in range(4)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 4
    assert len(counted.read_text().splitlines()) == 20


def thrash(cache: Cache, start, number: int) -> None:
    start.wait()
    for turn in range(60):
        text = str((turn * (number + 1)) % 7) * 3000
        with cache.held() as held:
            folder = held.entry(text[0], writing(text))
            if content(folder) != text:
                os._exit(1)


def test_parallel_processes_never_lose_what_they_read(cache):
    """Seven entries of which three have room: each process drives out what others have just read."""
    start = PROCESSES.Barrier(4)
    processes = [PROCESSES.Process(target=thrash, args=(cache, start, n)) for n in range(4)]

    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0] * 4
    assert not list(cache.folder.glob("*.making"))


def stop_midway(cache: Cache, ready) -> None:
    def make(folder: Path) -> None:
        (folder / "file").write_text("half")
        ready.set()
        signal.pause()

    cache.entry("key", make)


def test_a_process_that_is_killed_while_it_makes_an_entry_holds_nobody_up(cache):
    ready = PROCESSES.Event()
    process = PROCESSES.Process(target=stop_midway, args=(cache, ready))
    process.start()
    assert ready.wait(60)
    assert list(cache.folder.glob("*.making"))

    process.kill()
    process.join(60)
    cache.entry("other", writing("x"))

    assert not list(cache.folder.glob("*.making"))
    assert content(cache.entry("key", writing("whole"))) == "whole"


def hold(cache: Cache, ready, end) -> None:
    with cache.held() as held:
        folder = held.entry("held", writing("x" * 6000))
        ready.set()
        end.wait()
        if content(folder) != "x" * 6000:
            os._exit(1)


def test_what_another_process_uses_is_not_removed(cache):
    ready, end = PROCESSES.Event(), PROCESSES.Event()
    process = PROCESSES.Process(target=hold, args=(cache, ready, end))
    process.start()
    assert ready.wait(60)

    for key in "ab":
        cache.entry(key, writing("x" * 6000))
    assert keys_of(cache, ("held", "a", "b")) == "heldb"
    end.set()
    process.join(60)

    assert process.exitcode == 0
    cache.entry("a", writing("x" * 6000))
    assert keys_of(cache, ("held", "a", "b")) == "a"


class CacheMachine(RuleBasedStateMachine):
    """Whatever is asked in whatever order: entries are right, and all together not too large."""

    KEYS = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.temporary = tempfile.TemporaryDirectory()
        self.cache = Cache(Path(self.temporary.name) / "cache", 2500)

    @rule(key=KEYS, size=st.integers(0, 1000))
    def entry(self, key: str, size: int) -> None:
        assert content(self.cache.entry(key, writing(key * size))).strip(key) == ""

    @rule(key=KEYS)
    def fail(self, key: str) -> None:
        def make(folder: Path) -> None:
            raise SourceError("no")

        there = self.cache.find(key)
        try:
            assert self.cache.entry(key, make) == there
        except SourceError:
            assert there is None

    @rule(key=KEYS, number=st.integers())
    def note(self, key: str, number: int) -> None:
        self.cache.keep_note(key, {"number": number})
        assert self.cache.note(key) == {"number": number}

    @invariant()
    def is_within_its_size_and_whole(self) -> None:
        names = [path.name for path in self.cache.folder.glob("*")]
        entries = [name for name in names if "." not in name]
        assert sum(len(content(self.cache.folder / name)) for name in entries) <= 2500
        for suffix in ("size", "lock"):
            assert sorted(name for name in names if name.endswith(suffix)) == sorted(
                f"{name}.{suffix}" for name in entries
            )
        assert all(json.loads(note.read_text()) for note in self.cache.folder.glob("*.note"))

    def teardown(self) -> None:
        self.temporary.cleanup()


TestCacheMachine = CacheMachine.TestCase
TestCacheMachine.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
