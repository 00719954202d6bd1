"""Archives that nobody vouches for: what is extracted, and what is refused."""

from __future__ import annotations

import io
import stat
import struct
import warnings
import zipfile

import pytest

from airflow_kfp_runtime.sources import Limits
from tests.source_opening import Opening, zip_of

MEBIBYTE = 1024 * 1024


@pytest.fixture
def opening(tmp_path, monkeypatch):
    made = Opening(tmp_path, monkeypatch)
    yield made
    assert made.left() == []


def special(name: str, kind: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system = 3
    entry.external_attr = (kind | 0o644) << 16
    return entry


def packed(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive in which a name may stand more than once."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name, content in entries:
            archive.writestr(name, content, method)
    return file.getvalue()


def with_flag(content: bytes, flag: int) -> bytes:
    """Set a flag of the one entry, in its own header and in the list."""
    changed = bytearray(content)
    changed[6] |= flag
    changed[content.index(b"PK\x01\x02") + 8] |= flag
    return bytes(changed)


def with_sizes(content: bytes, *, packed_size: int | None = None, size: int | None = None) -> bytes:
    """Have the list say other sizes of the one entry than it has."""
    changed = bytearray(content)
    entry = content.index(b"PK\x01\x02")
    if packed_size is not None:
        struct.pack_into("<L", changed, entry + 20, packed_size)
    if size is not None:
        struct.pack_into("<L", changed, entry + 24, size)
    return bytes(changed)


def overlapping(count: int, size: int) -> bytes:
    """An archive whose entries all have the same packed bytes, as the bombs of 2019 do."""
    whole = packed(("a", bytes(size)))
    start, end = whole.index(b"PK\x01\x02"), whole.index(b"PK\x05\x06")
    listed = b"".join(
        whole[start : start + 46] + name + whole[start + 47 : end]
        for name in (bytes([ord("0") + index]) for index in range(count))
    )
    end_record = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(listed), start, 0)
    return whole[:start] + listed + end_record


def test_files_are_extracted_with_their_folders(opening):
    (opening.folder / "etl.zip").write_bytes(zip_of({"flows/": "", "flows/etl.py": "1", "README": "2"}))

    assert opening("etl.zip") == {"README": "2", "flows/etl.py": "1"}


@pytest.mark.parametrize(
    ("files", "extracted"),
    [
        ({"etl-1.2/": "", "etl-1.2/etl.py": "1"}, {"etl.py": "1"}),
        ({"flows/etl.py": "1"}, {"flows/etl.py": "1"}),
        ({"etl-1.2/etl.py": "1", "other.py": "2"}, {"etl-1.2/etl.py": "1", "other.py": "2"}),
        ({"etl-1.2/etl.py": "1", "__MACOSX/etl-1.2/._etl.py": "?"}, {"etl.py": "1"}),
    ],
    ids=["of GitHub", "package", "beside a file", "of macOS"],
)
def test_one_folder_around_all_that_is_no_package_is_left_out(opening, files, extracted):
    (opening.folder / "etl.zip").write_bytes(zip_of(files))

    assert opening("etl.zip") == extracted


def test_a_small_file_may_be_packed_as_well_as_it_can(opening):
    (opening.folder / "etl.zip").write_bytes(zip_of({"spaces.py": " " * 60_000}))

    assert opening("etl.zip") == {"spaces.py": " " * 60_000}


REFUSED = [
    pytest.param(b"", "cannot be read as zip", id="empty"),
    pytest.param(b"def pipeline(): pass", "cannot be read as zip: File is not a zip file", id="no archive"),
    pytest.param(packed(("a.py", b"x" * 100))[:-30], "cannot be read as zip", id="cut off"),
    pytest.param(
        packed(("a.py", b"pass"), method=zipfile.ZIP_STORED).replace(b"pass", b"fail", 1),
        "Bad CRC-32",
        id="damaged",
    ),
    pytest.param(packed(), "holds no file", id="nothing in it"),
    pytest.param(zip_of({"flows/": ""}), "holds no file", id="folders only"),
    pytest.param(with_flag(packed(("a.py", b"1")), 1), "encrypted; pack it without", id="encrypted"),
    pytest.param(packed(("a.py", b"1"), method=zipfile.ZIP_LZMA), "not packed by deflate", id="lzma"),
    pytest.param(packed(("a.py", b"1"), method=zipfile.ZIP_BZIP2), "not packed by deflate", id="bzip2"),
    pytest.param(packed(("../a.py", b"1")), "the path '../a.py'; paths are relative", id="dots"),
    pytest.param(packed(("flows/../../a.py", b"1")), "stay in their folder", id="dots inside"),
    pytest.param(packed(("/etc/a.py", b"1")), "the path '/etc/a.py'", id="absolute"),
    pytest.param(packed(("C:/a.py", b"1")), "the path 'C:/a.py'", id="drive"),
    pytest.param(packed(("..\\a.py", b"1")), "with '/'", id="backslash"),
    pytest.param(packed(("a\n.py", b"1")), r"the path 'a\n.py'", id="line end"),
    pytest.param(packed(("a/" * 60 + "a.py", b"1")), "the path 'a/a/a", id="deep"),
    pytest.param(packed((f"{'a' * 300}.py", b"1")), "cannot be written: File name too long", id="long"),
    pytest.param(packed((special("a.py", stat.S_IFLNK), b"/etc/passwd")), "the link 'a.py'", id="link"),
    pytest.param(packed((special("a.py", stat.S_IFCHR), b"")), "neither a file nor a folder", id="device"),
    pytest.param(packed((special("a.py", stat.S_IFIFO), b"")), "neither a file nor a folder", id="pipe"),
    pytest.param(packed(("a.py", b"1"), ("a.py", b"2")), "has 'a.py' twice", id="twice"),
    pytest.param(packed(("a.py", b"1"), ("./a.py", b"2")), "has 'a.py' twice", id="twice by another name"),
    pytest.param(packed(("a", b"1"), ("a/b.py", b"2")), "as a file and a folder", id="file and folder"),
    pytest.param(
        packed(*((f"{number}.py", b"") for number in range(101))),
        "has 101 entries; the limit is 100",
        id="many",
    ),
    pytest.param(
        packed(*((f"{number}/{number}/a.py", b"") for number in range(40))),
        "more than 100 files and folders",
        id="many folders",
    ),
    pytest.param(
        packed(*((f"{'a' * 200}{number}.py", b"") for number in range(500))),
        "its list of files has",
        id="long list",
    ),
    pytest.param(packed(("a.py", bytes(8 * MEBIBYTE))), "more than 50 times as large", id="bomb by ratio"),
    pytest.param(
        packed(*((f"{number}.bin", b"x" * 400_000) for number in range(3)), method=zipfile.ZIP_STORED),
        "more than 1048576 bytes together",
        id="bomb by total",
    ),
    pytest.param(
        with_sizes(packed(("a.py", bytes(MEBIBYTE))), size=10), "cannot be read as zip", id="says it is small"
    ),
    pytest.param(
        with_sizes(packed(("a.py", bytes(8 * MEBIBYTE))), packed_size=8 * MEBIBYTE),
        "cannot be read as zip",
        id="says it is packed badly",
    ),
    pytest.param(overlapping(9, 60_000), "cannot be read as zip", id="entries that overlap"),
    pytest.param(b"#" * (3 * MEBIBYTE), "more than the 2097152 bytes", id="too large"),
]


@pytest.mark.parametrize(("content", "message"), REFUSED)
def test_a_bad_archive_is_refused_and_leaves_nothing(opening, content, message):
    opening.limits = Limits(download=2 * MEBIBYTE, extracted=MEBIBYTE, files=100, ratio=50)
    (opening.folder / "etl.zip").write_bytes(content)

    said = opening.refused("etl.zip")

    assert said.startswith("code_src: ")
    assert message in said
    assert {path.name for path in opening.folder.iterdir()} == {"etl.zip", "temporary"}
