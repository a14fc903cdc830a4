"""Read release archives (tar.gz, zip) in memory, within limits, whatever is inside.

Members come out one at a time as bytes; what may not come out (a link, a path that leaves the
archive, a bomb) comes out as a refusal with its reason. Nothing is written to disk, nothing is
executed, nothing raises: a torn archive yields what could be read and then its refusal.
The tar headers are walked here because ``tarfile`` reads header payloads of any declared length.
"""

from __future__ import annotations

import gzip
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO, Protocol


class Reason(StrEnum):
    """Why a member, or the rest of an archive, was refused."""

    TOO_LARGE = "too_large"
    PATH_TRAVERSAL = "path_traversal"
    ABSOLUTE_PATH = "absolute_path"
    BAD_NAME = "bad_name"
    DUPLICATE_PATH = "duplicate_path"
    LINK = "link"
    SPECIAL_FILE = "special_file"
    NOT_UTF8 = "not_utf8"
    BINARY = "binary"
    UNREADABLE_MEMBER = "unreadable_member"
    ARCHIVE_TOO_LARGE = "archive_too_large"
    TOO_MANY_MEMBERS = "too_many_members"
    COMPRESSION_BOMB = "compression_bomb"
    UNREADABLE_ARCHIVE = "unreadable_archive"


@dataclass(frozen=True)
class Limits:
    """What one archive may hold. A bomb is an archive (or zip member) that is larger than
    ``bomb_floor_bytes`` unpacked and more than ``bomb_ratio`` times its packed size."""

    archive_bytes: int = 256_000_000
    member_bytes: int = 16_000_000
    members: int = 100_000
    bomb_ratio: int = 100
    bomb_floor_bytes: int = 10_000_000


@dataclass(frozen=True)
class Member:
    """One regular file: its path below the archive's top folder, and its bytes."""

    path: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class Refused:
    """One member that was not taken, or (path = the archive's name) the rest of the archive.

    ``size`` is the declared size in bytes, 0 where unknown.
    """

    path: str
    reason: Reason
    detail: str
    size: int = 0


Item = Member | Refused

_BLOCK = 512
_CHUNK = 1 << 20
_MAX_TAR_HEADER_BYTES = 1 << 16
_MAX_PATH_BYTES = 1024
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"^[A-Za-z]:")


def read(archive: Path, limits: Limits, name: str | None = None) -> Iterator[Item]:
    """Members and refusals of the archive, in its order, without the common top folder.

    ``name`` is what refusals of the archive as a whole are called (default: its file name).
    Raises ``OSError`` only when the archive's file itself cannot be opened.
    """
    name = archive.name if name is None else name
    with open(archive, "rb") as handle:
        magic = handle.read(4)
        handle.seek(0)
        try:
            if magic[:2] == b"\x1f\x8b":
                yield from _tar_members(handle, archive.stat().st_size, limits)
            elif magic[:2] == b"PK":
                yield from _zip_members(handle, limits)
            else:
                raise _Stop(
                    Reason.UNREADABLE_ARCHIVE,
                    f"expected a gzipped tar or a zip, found a file that starts with {magic!r}",
                )
        except _Stop as stop:
            yield Refused(name, stop.reason, stop.detail, stop.size)


def safe_path(raw: str) -> str | Refused:
    """A relative path with single slashes, or why the name cannot be one."""
    shown = _printable(raw)
    if raw.startswith(("/", "\\")) or _DRIVE.match(raw):
        return Refused(shown, Reason.ABSOLUTE_PATH, "expected a path below the archive's root")
    parts = [part for part in raw.split("/") if part not in ("", ".")]
    if ".." in parts or ".." in raw.split("\\"):
        return Refused(shown, Reason.PATH_TRAVERSAL, "the path holds '..'")
    path = "/".join(parts)
    try:
        length = len(path.encode("utf-8"))
    except UnicodeEncodeError:
        return Refused(shown, Reason.BAD_NAME, "the name is not UTF-8")
    if not parts or length > _MAX_PATH_BYTES or _CONTROL.search(path):
        return Refused(
            shown, Reason.BAD_NAME,
            f"expected 1 to {_MAX_PATH_BYTES} bytes without control characters, found {length}",
        )  # fmt: skip
    return path


class _Stop(Exception):
    """The rest of the archive cannot, or must not, be read."""

    def __init__(self, reason: Reason, detail: str, size: int = 0) -> None:
        super().__init__(detail)
        self.reason, self.detail, self.size = reason, detail, size


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Unpacked:
    """Forward-only reader of unpacked bytes that stops at the limits, in small memory."""

    def __init__(self, stream: _Readable, packed_bytes: int, limits: Limits) -> None:
        self._stream, self._packed, self._limits = stream, packed_bytes, limits
        self.seen = 0

    def read(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only at the end of the stream."""
        self._spend(size)
        try:
            data = self._stream.read(size)
            self.seen -= size - len(data)
            return data
        except (EOFError, OSError, zlib.error) as error:
            raise _Stop(
                Reason.UNREADABLE_ARCHIVE,
                f"damaged after {self.seen - size} unpacked bytes: {error}",
            ) from error

    def skip(self, size: int) -> None:
        while size > 0:
            step = min(size, _CHUNK)
            if len(self.read(step)) < step:
                raise _Stop(Reason.UNREADABLE_ARCHIVE, f"ends within a member ({size} bytes short)")
            size -= step

    def _spend(self, size: int) -> None:
        self.seen += size
        ratio, floor = self._limits.bomb_ratio, self._limits.bomb_floor_bytes
        if self.seen > max(floor, ratio * self._packed):
            raise _Stop(
                Reason.COMPRESSION_BOMB,
                f"more than {max(floor, ratio * self._packed)} bytes out of {self._packed} packed",
                self.seen,
            )
        if self.seen > self._limits.archive_bytes:
            raise _Stop(
                Reason.ARCHIVE_TOO_LARGE,
                f"more than max_archive_bytes={self._limits.archive_bytes} unpacked",
                self.seen,
            )


class _Names:
    """Paths as they leave the archive: top folder cut, each path once, members counted."""

    def __init__(self, limits: Limits, top: str | None = None) -> None:
        self._limits, self._top = limits, top
        self._seen: set[str] = set()
        self._count = 0

    def count(self) -> None:
        self._count += 1
        if self._count > self._limits.members:
            raise _Stop(
                Reason.TOO_MANY_MEMBERS, f"more than max_members={self._limits.members} members"
            )

    def take(self, raw: str, size: int) -> str | Refused:
        """The final path, or the refusal of the name. The first member's folder is the top."""
        path = safe_path(raw)
        if isinstance(path, Refused):
            return Refused(path.path, path.reason, path.detail, size)
        top, slash, rest = path.partition("/")
        if self._top is None:
            self._top = top if slash else ""
        if slash and top == self._top:
            path = rest
        if path in self._seen:
            return Refused(path, Reason.DUPLICATE_PATH, "an earlier member has the same path", size)
        self._seen.add(path)
        return path


def _tar_members(handle: BinaryIO, packed_bytes: int, limits: Limits) -> Iterator[Item]:
    # no further buffer: filling one would lose, with a torn end, the members before it
    source = _Unpacked(gzip.GzipFile(fileobj=handle), packed_bytes, limits)
    names = _Names(limits)
    extended: dict[str, str] = {}  # what pax and GNU headers say about the next member
    while (block := source.read(_BLOCK)) and block.count(0) != _BLOCK:
        info = _tar_header(block)
        if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE,
                         tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):  # fmt: skip
            names.count()
            payload = _tar_payload(source, info.size)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                extended["path"] = payload.split(b"\0")[0].decode("utf-8", "surrogateescape")
            elif info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                extended |= _pax(payload)
            continue
        if info.type == tarfile.GNUTYPE_SPARSE:
            more = block[482]
            while more:
                more = source.read(_BLOCK)[504:505] == b"\x01"
        path = extended.get("path", info.name)
        size = _pax_size(extended.get("size"), info.size)
        sparse = info.type == tarfile.GNUTYPE_SPARSE or any("sparse" in k for k in extended)
        extended = {}
        if info.isdir():
            continue
        names.count()
        final = names.take(path, size)
        if isinstance(final, str):
            final = _tar_refusal(info, final, size, sparse, limits) or final
        if isinstance(final, Refused):
            yield final
            # links and devices have no body, whatever size their header claims
            source.skip(0 if info.issym() or info.islnk() or info.isdev() else _padded(size))
            continue
        data = source.read(size)
        if len(data) < size:
            raise _Stop(Reason.UNREADABLE_ARCHIVE, f"ends within {_printable(path)!r}")
        source.skip(_padded(size) - size)
        yield Member(final, data)
    while source.read(_BLOCK):  # to the end: only there does gzip check what it has unpacked
        pass


def _tar_header(block: bytes) -> tarfile.TarInfo:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError, struct.error) as error:
        raise _Stop(
            Reason.UNREADABLE_ARCHIVE, f"no tar header where one must be: {error}"
        ) from error
    if info.size < 0:
        raise _Stop(Reason.UNREADABLE_ARCHIVE, f"a header declares {info.size} bytes")
    return info


def _tar_payload(source: _Unpacked, size: int) -> bytes:
    if size > _MAX_TAR_HEADER_BYTES:
        raise _Stop(
            Reason.UNREADABLE_ARCHIVE,
            f"an extended header of {size} bytes, expected at most {_MAX_TAR_HEADER_BYTES}",
            size,
        )
    return source.read(_padded(size))[:size]


def _pax(payload: bytes) -> dict[str, str]:
    """The ``length key=value`` records of a pax header; reading stops at the first broken one."""
    found: dict[str, str] = {}
    position = 0
    while (space := payload.find(b" ", position, position + 9)) > 0:
        digits = payload[position:space]
        if not digits.isdigit() or int(digits) <= len(digits) + 1:
            break
        key, _, value = payload[space + 1 : position + int(digits) - 1].partition(b"=")
        found[key.decode("utf-8", "replace")] = value.decode("utf-8", "surrogateescape")
        position += int(digits)
    return found


def _pax_size(declared: str | None, header: int) -> int:
    if declared is None:
        return header
    if not (declared.isascii() and declared.isdigit() and len(declared) < 19):
        raise _Stop(Reason.UNREADABLE_ARCHIVE, f"a pax header declares the size {declared[:40]!r}")
    return int(declared)


def _tar_refusal(
    info: tarfile.TarInfo, path: str, size: int, sparse: bool, limits: Limits
) -> Refused | None:
    if info.issym() or info.islnk():
        return Refused(path, Reason.LINK, f"link to {_printable(info.linkname)}")
    if sparse or not info.isreg():
        kind = "sparse file" if sparse else f"tar type {info.type!r}"
        return Refused(path, Reason.SPECIAL_FILE, kind, size)
    if size > limits.member_bytes:
        return Refused(path, Reason.TOO_LARGE, f"max_member_bytes={limits.member_bytes}", size)
    return None


def _padded(size: int) -> int:
    return -(-size // _BLOCK) * _BLOCK


def _zip_members(handle: BinaryIO, limits: Limits) -> Iterator[Item]:
    _count_zip_entries(handle, limits)
    try:
        package = zipfile.ZipFile(handle)
        entries = [info for info in package.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error, OSError) as error:
        raise _Stop(Reason.UNREADABLE_ARCHIVE, f"no readable zip directory: {error}") from error
    tops = {info.filename.partition("/")[0] if "/" in info.filename else "" for info in entries}
    names = _Names(limits, top=tops.pop() if len(tops) == 1 else "")
    unpacked = 0
    for info in entries:
        names.count()
        final = names.take(info.orig_filename, info.file_size)
        if isinstance(final, str):
            final = _zip_refusal(info, final, limits) or final
        if isinstance(final, Refused):
            yield final
            continue
        unpacked += info.file_size
        if unpacked > limits.archive_bytes:
            raise _Stop(
                Reason.ARCHIVE_TOO_LARGE,
                f"more than max_archive_bytes={limits.archive_bytes} unpacked",
                unpacked,
            )
        try:
            with package.open(info) as member:
                data = member.read(info.file_size)  # never more than was declared and allowed
                if len(data) < info.file_size:
                    raise EOFError(f"{len(data)} of {info.file_size} declared bytes")
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, struct.error,
                NotImplementedError, RuntimeError) as error:  # fmt: skip
            yield Refused(final, Reason.UNREADABLE_MEMBER, str(error)[:200], info.file_size)
            continue
        yield Member(final, data)


def _count_zip_entries(handle: BinaryIO, limits: Limits) -> None:
    """Bound the directory before ``zipfile`` builds an object for each of its entries."""
    signature, count, tail = b"PK\x01\x02", 0, b""
    while chunk := handle.read(_CHUNK):
        count += (tail + chunk).count(signature)
        tail = chunk[-3:]
    handle.seek(0)
    if count > limits.members:
        raise _Stop(Reason.TOO_MANY_MEMBERS, f"{count} entries, max_members={limits.members}")


def _zip_refusal(info: zipfile.ZipInfo, path: str, limits: Limits) -> Refused | None:
    size, packed = info.file_size, info.compress_size
    mode = info.external_attr >> 16
    if stat.S_ISLNK(mode):
        return Refused(path, Reason.LINK, "symbolic link", size)
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return Refused(path, Reason.SPECIAL_FILE, f"mode {mode:o}", size)
    if size > max(limits.bomb_floor_bytes, limits.bomb_ratio * max(packed, 1)):
        return Refused(path, Reason.COMPRESSION_BOMB, f"{size} bytes out of {packed} packed", size)
    if size > limits.member_bytes:
        return Refused(path, Reason.TOO_LARGE, f"max_member_bytes={limits.member_bytes}", size)
    if info.flag_bits & 0x1:
        return Refused(path, Reason.UNREADABLE_MEMBER, "encrypted", size)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return Refused(
            path, Reason.UNREADABLE_MEMBER, f"compression method {info.compress_type}", size
        )
    return None


def _printable(name: str) -> str:
    """A name fit for a table: valid UTF-8, one line, at most 200 characters."""
    text = name[:200].encode("utf-8", "backslashreplace").decode("utf-8")
    return _CONTROL.sub(lambda found: f"\\x{ord(found.group()):02x}", text)
