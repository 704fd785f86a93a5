"""Attacks on the places where files are kept: links, pipes, devices' names, capitals, names that are too long [A12, A25]."""

from __future__ import annotations

import os
import sys
import threading
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crm_core import CRMError, Invalid, NotFound
from crm_core.ports import DirectoryFiles, Files, MemoryFiles
from crm_core.ports.files import scope
from tests.attacks.raid import CANARY
from tests.figures import figure

posix = pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
KEYS = [
    "", ".", "..", "/", "//", "a//b", "/etc/passwd", "a/../../b", "a/./b", ".hidden", "a/.hidden", "a\\b", "..\\a", "C:", "C:a", "a:b",
    "a\x00b",
    "a\nb", "a b", "a%2e%2e", "~/a", "a*", "a?", "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/a", "\N{FULLWIDTH SOLIDUS}etc", "a\ud800",
    "é",
    "con", "CON", "nul.txt", "a/aux", "COM1", "lpt9.log", "a.", "a/b.", "x" * 201, "/".join(["x" * 99] * 10), None, 5, b"a", ["a"],
]  # fmt: skip


@pytest.mark.parametrize("make", [DirectoryFiles, lambda path: MemoryFiles()], ids=["directory", "memory"])
def test_a12_no_key_is_a_path(tmp_path: Path, make: Callable[[Path], Files]) -> None:
    files = make(tmp_path / "files").scoped("main", "acme")
    files.put("a", b"")
    before = sorted(tmp_path.rglob("*"))
    verbs: list[Callable[[Any], Any]] = [lambda key: files.put(key, b"x"), files.get, files.delete]
    for key in KEYS:
        for verb in verbs:
            with pytest.raises(Invalid) as e:
                verb(key)
            assert e.value.code == "bad_file_key", key
    assert sorted(tmp_path.rglob("*")) == before
    figure("S7 files", database="any", cases=len(KEYS) * len(verbs), result="all refused", bar="100 %")


@posix
def test_a12_no_link_in_the_directory_is_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text(CANARY)
    files = DirectoryFiles(tmp_path / "files").scoped("main", "acme")
    files.put("dir/a", b"mine")
    place = tmp_path / "files" / "main" / "acme"
    (place / "link").symlink_to(outside / "secret")
    (place / "away").symlink_to(outside, target_is_directory=True)
    (tmp_path / "files" / "other").symlink_to(tmp_path / "files" / "main", target_is_directory=True)
    os.mkfifo(place / "pipe")
    for key in ("link", "away/secret", "pipe", "dir", "dir/a/b"):
        with pytest.raises(NotFound):
            files.get(key)
    with pytest.raises(CRMError):
        files.put("away/new", b"x")
    with pytest.raises(CRMError):
        DirectoryFiles(tmp_path / "files").scoped("other", "acme").put("dir/a", b"theirs")
    with pytest.raises(CRMError):
        files.delete("away/secret")
    assert list(files.keys()) == ["dir/a"]
    files.put("link", b"new")  # takes the link's place
    assert (files.get("link"), files.get("dir/a")) == (b"new", b"mine")
    assert {p.name: p.read_text() for p in outside.iterdir()} == {"secret": CANARY}


@posix
def test_a12_a_link_that_comes_between_a_look_and_its_use_is_not_followed(tmp_path: Path) -> None:
    files, outside = DirectoryFiles(tmp_path / "files"), tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text(CANARY)
    files.put("dir/a", b"mine")
    place, aside, stop = tmp_path / "files" / "dir", tmp_path / "aside", threading.Event()

    def swap() -> None:
        while not stop.is_set():
            place.rename(aside)
            place.symlink_to(outside, target_is_directory=True)
            place.unlink()
            aside.rename(place)

    thread = threading.Thread(target=swap)
    thread.start()
    seen: set[bytes] = set()
    try:
        for _ in range(2_000):
            try:
                seen.add(files.get("dir/a"))
            except CRMError:
                continue
    finally:
        stop.set()
        thread.join()
    assert seen <= {b"mine"}  # on a busy machine each look may come too late
    assert files.get("dir/a") == b"mine"


def test_a25_no_two_tenants_share_a_folder_on_any_system() -> None:
    """On some, capitals and small letters, and forms of one letter, name one folder; long names have no room."""
    tenants = [
        "acme",
        "Acme",
        "ACME",
        "acme.",
        "acme ",
        "a/b",
        "a=2fb",
        "con",
        "CON",
        "é",
        "e\u0301",
        "İ",
        "i",
        "ß",
        "ss",
        "人" * 63,
        "人" * 62 + "亻",
        "..",
    ]
    folders = [scope(tenant, "p") for tenant in tenants]
    assert len({unicodedata.normalize("NFC", folder).casefold() for folder in folders}) == len(tenants)
    assert all(len(part.encode()) <= 255 for folder in folders for part in folder.split("/"))
    assert all(folder.count("/") == 2 and not folder.startswith((".", "con/")) for folder in folders)


def test_a12_a_long_name_of_a_tenant_has_room_for_its_files(tmp_path: Path) -> None:
    files = DirectoryFiles(tmp_path).scoped("人" * 63, "acme.plugin")
    files.put("x" * 200, b"1")
    assert (files.get("x" * 200), list(files.keys())) == (b"1", ["x" * 200])
