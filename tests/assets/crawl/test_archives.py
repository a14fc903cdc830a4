"""Hostile archives of every kind: none raises, none escapes, each is refused for its reason."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from assets.crawl.archives import Item, Limits, Member, Reason, Refused, read, safe_path

LIMITS = Limits(archive_bytes=4_000_000, member_bytes=1_000_000, members=50)
Tar = Callable[[list[tuple[str, bytes]]], bytes]


@pytest.fixture
def items(tmp_path: Path) -> Callable[..., list[Item]]:
    def collect(data: bytes, limits: Limits = LIMITS) -> list[Item]:
        archive = tmp_path / "thing-1.0.tar.gz"
        archive.write_bytes(data)
        before = sorted(tmp_path.rglob("*"))
        found = list(read(archive, limits))
        assert sorted(tmp_path.rglob("*")) == before, "reading must not write"
        return found

    return collect


def members(found: list[Item]) -> dict[str, bytes]:
    return {item.path: item.data for item in found if isinstance(item, Member)}


def reasons(found: list[Item]) -> list[tuple[str, str]]:
    return [(item.path, item.reason) for item in found if isinstance(item, Refused)]


def tar_of(*infos: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes], fmt: int) -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=fmt) as package:
        for one in infos:
            info, data = one if isinstance(one, tuple) else (one, b"")
            package.addfile(info, io.BytesIO(data))
    return gzip.compress(plain.getvalue(), 1)


def info_of(name: str, size: int = 0, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info


def zip_of(*files: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in files:
            package.writestr(name, data, compress_type=zipfile.ZIP_DEFLATED)
    return plain.getvalue()


def test_top_folder_is_cut_in_tar_and_zip(items: Callable[..., list[Item]], tar_gz: Tar) -> None:
    files = [("thing-1.0/a.py", b"a"), ("thing-1.0/src/b.c", b"b"), ("thing-1.0/empty", b"")]
    expected = {"a.py": b"a", "src/b.c": b"b", "empty": b""}
    assert members(items(tar_gz(files))) == expected
    assert members(items(tar_gz([("./" + n, d) for n, d in files]))) == expected
    assert members(items(zip_of(*files))) == expected


def test_without_a_common_top_folder_paths_stay(items: Callable[..., list[Item]]) -> None:
    assert set(members(items(zip_of(("a/x.py", b""), ("b/y.py", b""))))) == {"a/x.py", "b/y.py"}


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_tarfile_writes(items: Callable[..., list[Item]], fmt: int) -> None:
    names = ["t/short.py", "t/" + "d" * 70 + "/" + "n" * 80 + ".py"]
    if fmt != tarfile.USTAR_FORMAT:
        names += ["t/" + "x" * 300 + ".py", "t/Ünïcode-" + "ß" * 90 + ".py"]
    data = tar_of(
        info_of("t", kind=tarfile.DIRTYPE),
        *((info_of(name, 600), name.encode()[:10] + b"." * 590) for name in names),
        fmt=fmt,
    )
    found = items(data)
    assert reasons(found) == []
    assert list(members(found)) == [name.removeprefix("t/") for name in names]
    assert all(len(content) == 600 for content in members(found).values())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("t/../../etc/passwd", Reason.PATH_TRAVERSAL),
        ("..", Reason.PATH_TRAVERSAL),
        ("t\\..\\..\\evil.py", Reason.PATH_TRAVERSAL),
        ("/etc/passwd", Reason.ABSOLUTE_PATH),
        ("\\\\server\\share", Reason.ABSOLUTE_PATH),
        ("C:\\Windows\\evil.py", Reason.ABSOLUTE_PATH),
        ("t/line\nbreak.py", Reason.BAD_NAME),
        ("t/\udcff\udcfe.py", Reason.BAD_NAME),
        ("t/" + "long/" * 300 + "x.py", Reason.BAD_NAME),
    ],
)
def test_names_that_lead_elsewhere_are_refused(
    items: Callable[..., list[Item]], name: str, reason: Reason
) -> None:
    bad = tar_of(
        (info_of(name, 4), b"evil"), (info_of("t/ok.py", 2), b"ok"), fmt=tarfile.GNU_FORMAT
    )
    found = items(bad)
    assert [item.reason for item in found if isinstance(item, Refused)] == [reason]
    assert list(members(found).values()) == [b"ok"]
    refused = next(item for item in found if isinstance(item, Refused))
    assert len(refused.path) <= 800 and refused.path.isprintable()
    refused.path.encode("utf-8")


def test_safe_path_normalises() -> None:
    assert safe_path("./a//b/./c.py") == "a/b/c.py"
    assert isinstance(safe_path(""), Refused)
    assert isinstance(safe_path("./"), Refused)


def test_links_and_special_files_are_refused(items: Callable[..., list[Item]]) -> None:
    symlink, hard = info_of("t/s", kind=tarfile.SYMTYPE), info_of("t/h", kind=tarfile.LNKTYPE)
    symlink.linkname, hard.linkname = "/etc/passwd", "t/ok.py"
    found = items(
        tar_of(
            symlink,
            hard,
            info_of("t/fifo", kind=tarfile.FIFOTYPE),
            info_of("t/device", kind=tarfile.CHRTYPE),
            (info_of("t/ok.py", 2), b"ok"),
            fmt=tarfile.GNU_FORMAT,
        )
    )
    assert reasons(found) == [
        ("s", "link"), ("h", "link"), ("fifo", "special_file"), ("device", "special_file"),
    ]  # fmt: skip
    assert members(found) == {"ok.py": b"ok"}


def test_zip_links_and_encrypted_members_are_refused(items: Callable[..., list[Item]]) -> None:
    link = zipfile.ZipInfo("t/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    data = bytearray(zip_of((link, b"/etc/passwd"), ("t/secret", b"x"), ("t/ok", b"ok")))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # set the encrypted flag
        at = -1
        for _ in range(2):
            at = data.find(signature, at + 1)
        data[at + offset] |= 1
    found = items(bytes(data))
    assert reasons(found) == [("link", "link"), ("secret", "unreadable_member")]
    assert members(found) == {"ok": b"ok"}


def test_the_second_of_two_equal_names_is_refused(
    items: Callable[..., list[Item]], tar_gz: Tar
) -> None:
    found = items(tar_gz([("t/a.py", b"first"), ("t/a.py", b"second"), ("t/./a.py", b"third")]))
    assert members(found) == {"a.py": b"first"}
    assert reasons(found) == [("a.py", "duplicate_path")] * 2


def test_large_member_is_skipped_and_the_rest_is_read(
    items: Callable[..., list[Item]], tar_gz: Tar
) -> None:
    big = bytes(range(256)) * 8000
    for data in (
        tar_gz([("t/big", big), ("t/ok", b"ok")]),
        zip_of(("t/big", big), ("t/ok", b"ok")),
    ):
        limits = Limits(4_000_000, 1_000_000, 50, bomb_ratio=100_000)
        found = items(data, limits)
        assert reasons(found) == [("big", "too_large")]
        assert members(found) == {"ok": b"ok"}


def test_archive_and_member_count_limits_keep_what_was_read(
    items: Callable[..., list[Item]], tar_gz: Tar
) -> None:
    many = tar_gz([(f"t/{i}.py", b"x") for i in range(60)])
    found = items(many)
    assert len(members(found)) == 50
    assert reasons(found) == [("thing-1.0.tar.gz", "too_many_members")]
    found = items(zip_of(*((f"t/{i}.py", b"x") for i in range(60))))
    assert (members(found), reasons(found)) == ({}, [("thing-1.0.tar.gz", "too_many_members")])

    wide = [(f"t/{i}", bytes([i]) * 900_000) for i in range(6)]
    limits = Limits(4_000_000, 1_000_000, 50, bomb_ratio=100_000)
    for data in (tar_gz(wide), zip_of(*wide)):
        found = items(data, limits)
        assert len(members(found)) == 4
        assert reasons(found) == [("thing-1.0.tar.gz", "archive_too_large")]


def _tar_bomb(declared: int, real: int) -> bytes:
    header = info_of("t/line.txt", declared).tobuf(tarfile.GNU_FORMAT)
    return gzip.compress(header + bytes(real), 9)


def test_bombs_and_lies_about_size_stop_in_small_memory(items: Callable[..., list[Item]]) -> None:
    zeros = 40_000_000
    limits = Limits(members=50)  # the default sizes: the bomb rule must fire first
    bomb_tar = _tar_bomb(2_000_000_000, zeros)
    bomb_zip = zip_of(("t/zeros.bin", bytes(zeros)), ("t/ok.py", b"ok"))
    long_name = info_of("././@LongLink", 30_000_000, tarfile.GNUTYPE_LONGNAME)
    bomb_name = gzip.compress(long_name.tobuf(tarfile.GNU_FORMAT) + b"n" * 30_000_000, 9)
    tracemalloc.start()
    try:
        found_tar, found_zip, found_name = (
            items(bomb_tar, limits), items(bomb_zip, limits), items(bomb_name, limits),
        )  # fmt: skip
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [reason for _, reason in reasons(found_tar)] == ["too_large", "compression_bomb"]
    assert reasons(found_zip) == [("zeros.bin", "compression_bomb")]
    assert members(found_zip) == {"ok.py": b"ok"}
    assert reasons(found_name) == [("thing-1.0.tar.gz", "unreadable_archive")]
    assert peak < 30_000_000


def test_torn_archive_gives_what_could_be_read(
    items: Callable[..., list[Item]], tar_gz: Tar
) -> None:
    import random

    noise = random.Random(0)
    files = [(f"t/{i}.bin", noise.randbytes(50_000)) for i in range(10)]
    whole = tar_gz(files)
    found = items(whole[: len(whole) // 2])
    assert 3 <= len(members(found)) <= 6
    assert all(data == dict(files)[f"t/{path}"] for path, data in members(found).items())
    assert reasons(found) == [("thing-1.0.tar.gz", "unreadable_archive")]

    flipped = bytearray(whole)
    flipped[len(whole) // 2 : len(whole) // 2 + 2000] = bytes(2000)
    assert reasons(items(bytes(flipped))) == [("thing-1.0.tar.gz", "unreadable_archive")]

    packed = zip_of(*files)
    assert reasons(items(packed[: len(packed) // 2])) == [
        ("thing-1.0.tar.gz", "unreadable_archive")
    ]
    damaged = bytearray(packed)
    damaged[2000:2100] = bytes(100)
    found = items(bytes(damaged))
    assert reasons(found) == [("0.bin", "unreadable_member")]
    assert len(members(found)) == 9


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not an archive",
        b"\x1f\x8b",
        b"\x1f\x8b\x08\x00junkjunkjunk",
        b"PK\x05\x06",
        b"PK\x03\x04" + bytes(100),
        gzip.compress(b"not a tar, but long enough to be a header block" * 30, mtime=0),
        gzip.compress(b"short", mtime=0),
    ],
)
def test_what_is_no_archive_is_one_refusal(items: Callable[..., list[Item]], data: bytes) -> None:
    assert reasons(items(data)) == [("thing-1.0.tar.gz", "unreadable_archive")]


@pytest.mark.parametrize("record", [b"size=-5", b"size=99999999999999999999", b"size=abc"])
def test_pax_header_that_lies_about_size(items: Callable[..., list[Item]], record: bytes) -> None:
    line = b"%d %s\n" % (len(record) + 4, record)
    assert len(line) == len(record) + 4
    data = tar_of(
        (info_of("pax", len(line), tarfile.XHDTYPE), line), (info_of("t/a", 1), b"a"),
        fmt=tarfile.USTAR_FORMAT,
    )  # fmt: skip
    assert reasons(items(data)) == [("thing-1.0.tar.gz", "unreadable_archive")]


def test_every_prefix_and_random_damage_is_survived(
    items: Callable[..., list[Item]], tar_gz: Tar
) -> None:
    import random

    noise = random.Random(1)
    for whole in (
        tar_gz([("t/a.py", b"print()"), ("t/" + "n" * 200, b"x" * 700)]),
        zip_of(("t/a.py", b"print()"), ("t/b.py", b"x" * 700)),
    ):
        for length in range(0, len(whole), 7):
            items(whole[:length])
        for _ in range(300):
            broken = bytearray(whole)
            for _ in range(3):
                broken[noise.randrange(len(broken))] = noise.randrange(256)
            items(bytes(broken))


def test_random_damage_inside_the_tar_headers_is_survived(
    items: Callable[..., list[Item]], tar_gz: Tar
) -> None:
    import random

    noise = random.Random(2)
    plain = gzip.decompress(tar_gz([("t/a.py", b"print()"), ("t/b.py", b"x" * 700)]))
    for _ in range(200):
        broken = bytearray(plain)
        at = noise.randrange(1024)
        broken[at] = noise.randrange(256)
        block = at // 512 * 512  # a valid checksum, so that the damage is really looked at
        broken[block + 148 : block + 156] = b" " * 8
        broken[block + 148 : block + 156] = b"%06o\0 " % sum(broken[block : block + 512])
        items(gzip.compress(bytes(broken), 1))
