"""Values of untrusted programs as bytes: a closed list of exact types, never pickle.

The runner writes `marshal` (version 2: no references, C speed, refuses anything but exact built-in
types). Nobody trusted ever loads that with marshal, which is not safe for hostile bytes: `decode`
below reads the same few records itself, checks every length and depth, and builds plain objects.
Standard-library values beyond marshal's list travel as a tagged tuple, those of a subclass as the
base type holds them, iterators as what they give. What is unknown is opaque: a test that looks at
it fails.
"""

from __future__ import annotations

import contextlib
import itertools
import marshal
import struct
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from typing import Any

_VERSION = 2
_MAX_DEPTH = 150
_TAG = "\0"
_DIGEST = b"\0sha256"
_OPAQUE = "\0opaque"


class WireError(ValueError):
    """Bytes that are no value in this form."""


class Opaque:
    """A value of a type that cannot travel: what it is like, nobody here can say."""

    def __init__(self, type_name: str) -> None:
        self.type_name = type_name

    def _unknown(self, *_: object) -> Any:
        raise TypeError(f"a value of type {self.type_name} is no plain data")

    __eq__ = __ne__ = __bool__ = __len__ = __iter__ = __contains__ = _unknown
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self.type_name} object>"


def encode(value: Any, *, numbers_of_numpy: bool = False) -> bytes:
    """A value as bytes; equal plain values of equal types mostly give equal bytes.

    numbers_of_numpy: look into every collection for them, which takes time (left to itself, marshal
    writes their raw memory). Raises ValueError for values nested too deep.
    """
    if not numbers_of_numpy:
        with contextlib.suppress(ValueError):
            return marshal.dumps(value, _VERSION)
    return marshal.dumps(_plain(value, 0), _VERSION)


def decode(data: bytes) -> Any:
    """The value of bytes written by an untrusted `encode`, Opaque for a digest; or WireError."""
    if data.startswith(_DIGEST):
        return Opaque("long")
    value, end = _read(memoryview(data), 0, 0)
    if end != len(data):
        raise WireError(f"{len(data) - end} bytes after the value")
    return value


def digest(data: bytes) -> bytes:
    """What stands for a value that is too long to travel: no value itself, it can only be equal."""
    import hashlib

    return _DIGEST + hashlib.sha256(data).digest()


def is_opaque(data: bytes) -> bool:
    """Whether some part of the value could not travel."""
    return _OPAQUE.encode() in data


def _plain(value: Any, depth: int) -> Any:
    kind = type(value)
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    if kind in _ATOMS:
        return value
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](_plain(item, depth + 1) for item in value)
    if kind in _MAPPINGS:
        return {_plain(k, depth + 1): _plain(v, depth + 1) for k, v in value.items()}
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in _TAGGED and _is_original(kind):
        return (_TAG + kind.__qualname__, _plain(_TAGGED[name](value), depth + 1))
    if kind in _VIEWS:
        return (_TAG + _VIEWS[kind], _plain(list(value), depth + 1))
    for base, whole in _BASES.items():
        if issubclass(kind, base):  # its data as the base type holds it, whatever it says of itself
            return _plain(whole(value), depth)
    if hasattr(kind, "__next__"):
        return (_TAG + "iterator", _plain(list(itertools.islice(value, _MOST_ITEMS)), depth + 1))
    if kind.__module__ == "numpy" and hasattr(kind, "dtype") and getattr(value, "ndim", 1) == 0:
        item = value.item()
        if type(item) in _ATOMS:
            return item
    return (_OPAQUE, str(kind.__qualname__)[:80])


_ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})
_SEQUENCES: dict[type, Callable[[Any], Any]] = {
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
}
_MAPPINGS = frozenset({dict, Counter, OrderedDict, defaultdict})
# by name: this module is copied into every program, most of which never import these
_TAGGED: dict[str, Callable[[Any], Any]] = {
    "builtins.range": lambda v: (v.start, v.stop, v.step),
    "collections.deque": list,
    "builtins.bytearray": bytes,
    "fractions.Fraction": lambda v: (v.numerator, v.denominator),
    "decimal.Decimal": str,
    "datetime.date": lambda v: (v.year, v.month, v.day),
    "datetime.datetime": lambda v: v.isoformat(),
    "datetime.time": lambda v: v.isoformat(),
    "datetime.timedelta": lambda v: (v.days, v.seconds, v.microseconds),
}
_VIEWS: dict[type, str] = {
    type({}.keys()): "keys",
    type({}.values()): "values",
    type({}.items()): "items",
}
_BASES: dict[type, Callable[[Any], Any]] = {
    int: int.__pos__,
    float: float.__pos__,
    str: str.__str__,
    bytes: lambda v: bytes.__getitem__(v, slice(None)),
    tuple: lambda v: tuple(tuple.__iter__(v)),
    list: lambda v: list(list.__iter__(v)),
    set: lambda v: set(set.__iter__(v)),
    frozenset: lambda v: frozenset(frozenset.__iter__(v)),
    dict: lambda v: dict(dict.items(v)),
    types.MappingProxyType: dict,
}
_MOST_ITEMS = 100_000  # of an iterator, which may have no end
#: What stands behind a tag; int: a tuple of them.
_PARTS: dict[str, type] = {
    **dict.fromkeys(("range", "Fraction", "date", "timedelta"), int),
    **dict.fromkeys(("Decimal", "datetime", "time"), str),
    **dict.fromkeys(("deque", "keys", "values", "items", "iterator"), list),
    "bytearray": bytes,
}
# any other text that starts with a zero is a text
_REBUILT = frozenset({_OPAQUE, *(_TAG + name for name in _PARTS)})


def _is_original(kind: type) -> bool:
    return getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind


def _read(data: memoryview, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise WireError("nested too deep")
    try:
        code = data[at]
        at += 1
        if code in _CONSTANTS:
            return _CONSTANTS[code], at
        if code == _INT:
            return struct.unpack_from("<i", data, at)[0], at + 4
        if code == _FLOAT:
            return struct.unpack_from("<d", data, at)[0], at + 8
        if code == _COMPLEX:
            return complex(*struct.unpack_from("<dd", data, at)), at + 16
        if code == _DICT:
            return _read_dict(data, at, depth)
        (count,) = struct.unpack_from("<i", data, at)
        at += 4
        if code == _LONG:
            return _read_long(data, at, count)
        if code in (_STR, _BYTES):
            if not 0 <= count <= len(data) - at:
                raise WireError("text longer than the message")
            raw = bytes(data[at : at + count])
            return raw.decode("utf-8", "surrogatepass") if code == _STR else raw, at + count
        if code in _COLLECTIONS:
            return _read_collection(data, at, count, code, depth)
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, OverflowError) as error:
        raise WireError(f"malformed value: {error}") from error
    raise WireError(f"unknown record {code}")


def _read_long(data: memoryview, at: int, count: int) -> tuple[int, int]:
    digits = abs(count)
    if digits > (len(data) - at) // 2:
        raise WireError("number longer than the message")
    value = 0
    # from_bytes cannot read digits of 15 bits; join them in ever larger halves
    parts = [digit & 0x7FFF for digit in struct.unpack_from(f"<{digits}H", data, at)]
    width = 15
    while len(parts) > 1:
        if len(parts) % 2:
            parts.append(0)
        parts = [low | high << width for low, high in zip(parts[::2], parts[1::2], strict=True)]
        width *= 2
    if parts:
        value = parts[0]
    return (-value if count < 0 else value), at + 2 * digits


def _read_collection(
    data: memoryview, at: int, count: int, code: int, depth: int
) -> tuple[Any, int]:
    if not 0 <= count <= len(data) - at:  # every item takes a byte at least
        raise WireError("collection longer than the message")
    items = []
    for _ in range(count):
        item, at = _read(data, at, depth + 1)
        items.append(item)
    if code == _TUPLE and items and type(items[0]) is str and items[0] in _REBUILT:
        return _rebuild(items), at
    return _COLLECTIONS[code](items), at


def _read_dict(data: memoryview, at: int, depth: int) -> tuple[dict[Any, Any], int]:
    found: dict[Any, Any] = {}
    while data[at] != _NULL:
        key, at = _read(data, at, depth + 1)
        found[key], at = _read(data, at, depth + 1)
    return found, at + 1


def _rebuild(items: list[Any]) -> Any:
    if items[0] == _OPAQUE:
        return Opaque(str(items[-1]))
    name = items[0].removeprefix(_TAG)
    if len(items) != 2 or not _is_made_of(items[1], _PARTS[name]):
        raise WireError(f"malformed {name}")
    try:
        return _standard_value(name, items[1])
    except (ArithmeticError, ValueError, AttributeError, TypeError) as error:
        raise WireError(f"malformed {name}: {error}") from error


def _is_made_of(parts: Any, kind: type) -> bool:
    """Whether `encode` may have written these parts: constructors take much else, and take long."""
    if kind is int:
        return type(parts) is tuple and all(type(part) is int for part in parts)
    return type(parts) is kind


def _standard_value(name: str, parts: Any) -> Any:
    """The value of a tag, on the trusted side."""
    import datetime
    from decimal import Decimal
    from fractions import Fraction

    if name == "iterator":
        return iter(parts)
    if name == "keys":
        return dict.fromkeys(parts).keys()
    if name == "values":
        return dict(enumerate(parts)).values()
    if name == "items":
        return dict(parts).items()
    if name in ("datetime", "time"):
        return getattr(datetime, name).fromisoformat(parts)
    if name in ("date", "timedelta"):
        return getattr(datetime, name)(*parts)
    if name in ("range", "Fraction"):
        return (range if name == "range" else Fraction)(*parts)
    return {"deque": deque, "bytearray": bytearray, "Decimal": Decimal}[name](parts)


_CONSTANTS: dict[int, Any] = {
    ord("N"): None,
    ord("T"): True,
    ord("F"): False,
    ord("."): ...,
}
_INT, _FLOAT, _COMPLEX, _LONG = ord("i"), ord("g"), ord("y"), ord("l")
_STR, _BYTES, _DICT, _NULL = ord("u"), ord("s"), ord("{"), ord("0")
_TUPLE = ord("(")
_COLLECTIONS: dict[int, Callable[[Any], Any]] = {
    _TUPLE: tuple,
    ord("["): list,
    ord("<"): set,
    ord(">"): frozenset,
}
