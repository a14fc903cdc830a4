"""Values as bytes: what is written comes back, and no bytes do harm."""

from __future__ import annotations

import contextlib
import datetime
import http
import itertools
import marshal
import math
from collections import Counter, OrderedDict, deque
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.sandbox import wire

ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.binary()
)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner)
        | st.sets(st.integers())
        | st.frozensets(st.text())
    ),
)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_plain_values_come_back(value: Any) -> None:
    back = wire.decode(wire.encode(value))
    assert back == value
    assert type(back) is type(value)


@settings(max_examples=40, deadline=None)
@given(st.integers(min_value=-(10**3000), max_value=10**3000))
def test_long_numbers_come_back(value: int) -> None:
    assert wire.decode(wire.encode(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        range(1, 9, 2),
        deque([1, "a"]),
        Fraction(1, 3),
        Decimal("1.50"),
        bytearray(b"x"),
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 1, 2, 3),
        datetime.timedelta(days=1, microseconds=7),
        {"a": [Fraction(1, 2)]},
        Counter("aab"),
        OrderedDict(b=1, a=2),
        {"k": 1}.keys(),
        ("\0", None),
        ("\0unknown", 1),
    ],
)
def test_values_of_the_standard_library_come_back(value: Any) -> None:
    assert wire.decode(wire.encode(value)) == value


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


class Pair(NamedTuple):
    left: int
    right: str


def test_values_of_subclasses_are_what_their_base_holds() -> None:
    class Loud(str):
        def __str__(self) -> str:
            return "loud"

    class Empty(list[int]):
        def __iter__(self) -> Any:
            return iter(())

    back = wire.decode(
        wire.encode([Liar(3), Loud("x"), Empty([1]), Pair(1, "b"), http.HTTPStatus.OK])
    )
    assert back == [3, "x", [1], (1, "b"), 200]
    assert [type(value) for value in back] == [int, str, list, tuple, int]


def test_iterators_and_views_come_back_as_such() -> None:
    back = wire.decode(wire.encode([map(abs, [-1]), {1: 2}.values(), {1: 2}.items()]))
    assert [1] != back[0] != 1 and list(back[0]) == [1] and list(back[0]) == []
    assert len(back[1]) == 1 and list(back[1]) == [2] and back[1] != [2]
    assert back[2] == {(1, 2)}
    keys = wire.decode(wire.encode(dict.fromkeys(["b", "a", "zz", "c"]).keys()))
    assert list(keys) == ["b", "a", "zz", "c"] and keys == {"a", "b", "c", "zz"}
    endless = wire.decode(wire.encode(itertools.count()))
    assert list(itertools.islice(endless, 3)) == [0, 1, 2]


def test_unknown_types_are_opaque_and_no_test_can_look_at_them() -> None:
    for value in (object(), lambda: 1, type):
        data = wire.encode([value])
        assert wire.is_opaque(data)
        (back,) = wire.decode(data)
        for look in (bool, len, iter, lambda v: v == 3, lambda v: v != 3, lambda v: 3 in v):
            with pytest.raises(TypeError, match="no plain data"):
                look(back)
    assert math.isnan(wire.decode(wire.encode(float("nan"))))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    with contextlib.suppress(wire.WireError):
        wire.decode(data)


@settings(max_examples=40, deadline=None)
@given(VALUES, st.data())
def test_damaged_bytes_are_a_value_or_an_error(value: Any, choose: st.DataObject) -> None:
    data = bytearray(wire.encode(value))
    place = choose.draw(st.integers(0, len(data) - 1))
    data[place] = choose.draw(st.integers(0, 255))
    with contextlib.suppress(wire.WireError):
        wire.decode(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[\xff\xff\xff\x7f",
        b"(\xff\xff\xff\xff",
        b"u\xff\xff\xff\x7fx",
        b"l\x00\x00\x00\x80",
        b"{NN",
        b"<\x01\x00\x00\x00[\x00\x00\x00\x00",
        marshal.dumps(compile("1", "x", "eval"), 2),
        marshal.dumps(("\0range",), 2),
        marshal.dumps(("\0Decimal", "x"), 2),
        marshal.dumps(("\0Fraction", (1, 0)), 2),
        marshal.dumps(("\0date", (0, 0, 0)), 2),
        marshal.dumps(("\0Fraction", ["1e99999999"]), 2),  # a day of arithmetic
        marshal.dumps(("\0Fraction", ("1e99999999", 1)), 2),
        marshal.dumps(("\0bytearray", 3 * 10**9), 2),
        marshal.dumps(("\0items", [1]), 2),
        marshal.dumps(("\0keys", [[1]]), 2),
        b"[\x01\x00\x00\x00" * 5000 + b"N",
        b"NN",
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(data)


def test_values_nested_too_deep_are_refused() -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(ValueError, match="deep"):
        wire.encode(value)
