"""Files: the contract on a directory and on a real S3 server, and what a directory must not do."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from minio import Minio
from moto.server import ThreadedMotoServer

from crm_core import Invalid, NotFound, Unavailable
from crm_core.ports import DirectoryFiles, Files, MemoryFiles, S3Files
from crm_core.testing.ports import check_files


@pytest.fixture(scope="module")
def bucket() -> Iterator[Minio]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = Minio(f"{host}:{port}", access_key="test", secret_key="testtest", secure=False)
    client.make_bucket("crm")
    yield client
    server.stop()


def test_a_directory_keeps_the_contract(tmp_path: Path) -> None:
    check_files(lambda: DirectoryFiles(tmp_path / "files"))


def test_memory_keeps_the_contract() -> None:
    files = MemoryFiles()
    check_files(lambda: files)


def test_a_bucket_keeps_the_contract(bucket: Minio) -> None:
    check_files(lambda: S3Files(bucket, "crm"))


def test_a_bucket_or_server_that_is_gone_is_unavailable(bucket: Minio) -> None:
    with pytest.raises(Unavailable) as caught:
        S3Files(bucket, "no-such-bucket").put("a", b"")
    assert (caught.value.code, caught.value.params["reason"]) == ("port_failed", "NoSuchBucket")


def test_no_key_leaves_its_place(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    files = DirectoryFiles(tmp_path / "files").scoped("../..", "acme.x")
    files.put("a", b"1")
    assert (tmp_path / "files").is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["files", "secret"] or sorted(p.name for p in tmp_path.iterdir()) == ["files", "secret"]
    for key in ("../secret", "..", "a/../../secret", str(tmp_path / "secret")):
        with pytest.raises(Invalid):
            files.get(key)


def test_tenants_whose_names_look_alike_do_not_share_files(tmp_path: Path) -> None:
    top = DirectoryFiles(tmp_path)
    for tenant in ("a/b", "a=2fb", "a_b", "ä", "Ä"):
        top.scoped(tenant, "p").put("k", tenant.encode())
    assert [top.scoped(t, "p").get("k").decode() for t in ("a/b", "a=2fb", "a_b", "ä", "Ä")] == ["a/b", "a=2fb", "a_b", "ä", "Ä"]


def test_who_reads_while_it_is_written_gets_the_old_bytes_or_the_new_ones(tmp_path: Path) -> None:
    files: Files = DirectoryFiles(tmp_path)
    texts = [bytes([n]) * 50_000 for n in range(8)]
    files.put("k", texts[0])
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(files.get("k"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        for text in texts:
            files.put("k", text)
    stop.set()
    reader.join()
    assert seen <= set(texts)
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="a disk that is full is asked of Linux")
def test_a_place_that_cannot_be_written_is_unavailable_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("a file where the folder should be")
    files = DirectoryFiles(tmp_path / "files")
    with pytest.raises(Unavailable):
        files.put("a/b", b"1")
    with pytest.raises((NotFound, Unavailable)):
        files.get("a/b")
