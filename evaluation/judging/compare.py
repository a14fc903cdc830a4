"""When a returned value counts as the expected one.

The default is Python's `==` on plain data. A tolerance follows EvalPlus: where `==` does not hold,
types must be equal and numbers close (relative 1e-7 as numpy.testing, absolute `atol`); floats get
1e-6 without being asked. An oracle replaces `==` for tasks with several right answers. Everything
here runs in the judge, on data whose size is bounded; nothing of it is executed or imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RELATIVE = 1e-7
FLOAT_ABSOLUTE = 1e-6


@dataclass(frozen=True)
class Compare:
    """How to compare: atol, the absolute tolerance (None: `==` alone); oracle, a name of ORACLES.

    atol 0 still compares floats, and sequences of nothing but floats, within 1e-6.
    """

    atol: float | None = None
    oracle: str = ""

    def __post_init__(self) -> None:
        if self.oracle and self.oracle not in ORACLES:
            raise ValueError(f"oracle {self.oracle!r}: expected one of {', '.join(ORACLES)}")

    @property
    def same_is_right(self) -> bool:
        """Whether an answer with the very bytes of the expected one needs no further look."""
        return self.oracle != "root_of_polynomial"


def holds(compare: Compare, value: Any, expected: Any, arguments: Any = ()) -> bool:
    """Whether a returned value is right. Values that cannot be compared are wrong."""
    try:
        if compare.oracle == "root_of_polynomial":
            return _root_of_polynomial(value, expected, arguments, compare.atol or 0.0)
        if compare.oracle:
            equal = bool(ORACLES[compare.oracle](value, expected, arguments, compare.atol or 0.0))
        else:
            equal = bool(value == expected)
        if equal or compare.atol is None:
            return equal
        atol = compare.atol or (FLOAT_ABSOLUTE if _all_floats(expected) else 0.0)
        return atol > 0 and type(value) is type(expected) and close(value, expected, atol)
    except (TypeError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return False


def close(value: Any, expected: Any, atol: float) -> bool:
    """Numbers within atol + 1e-7 * |expected|, sequences of them item by item; else TypeError."""
    if isinstance(expected, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(expected):
            return False
        return all(close(one, other, atol) for one, other in zip(value, expected, strict=True))
    if isinstance(expected, complex) or isinstance(value, complex):
        return abs(complex(value) - complex(expected)) <= atol + RELATIVE * abs(expected)
    if not isinstance(value, int | float) or not isinstance(expected, int | float):
        raise TypeError("not numbers")
    if math.isinf(value) or math.isinf(expected):
        return value == expected
    return abs(value - expected) <= atol + RELATIVE * abs(expected)


def _all_floats(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(item, float) for item in value)
    return isinstance(value, float)


def _root_of_polynomial(value: Any, expected: Any, arguments: Any, atol: float) -> bool:
    (coefficients,) = arguments
    at = sum(factor * math.pow(value, power) for power, factor in enumerate(coefficients))
    return abs(at) <= atol


def _pyramid_surface(value: Any, expected: Any, arguments: Any, atol: float) -> bool:
    """Mbpp/581 leaves open which height is meant: of the pyramid, or of its sides."""
    if value == expected:
        return True
    base, height = arguments
    slant = math.sqrt((base / 2) ** 2 + height**2)
    return abs(value - round(base**2 + 2 * base * slant)) <= atol


def _digit_distance(value: Any, expected: Any, arguments: Any, atol: float) -> bool:
    """Mbpp/558 leaves open whether digits are compared from the left or from the right."""
    if value == expected:
        return True
    one, other = (str(number) for number in arguments)
    width = max(len(one), len(other))
    pairs = zip(one.zfill(width), other.zfill(width), strict=True)
    return bool(value == sum(abs(int(a) - int(b)) for a, b in pairs))


def _is_some(value: Any, expected: Any, arguments: Any, atol: float) -> bool:
    """Expected is whether there is a value; a bool stands for itself."""
    told = value if isinstance(value, bool) else value is not None
    return bool(told == expected)


def _as_json(value: Any, expected: Any, arguments: Any, atol: float) -> bool:
    return bool(_json_like(value) == _json_like(expected))


def _json_like(value: Any) -> Any:
    """As JSON would hold it: tuples are lists, keys are text."""
    if isinstance(value, list | tuple):
        return [_json_like(item) for item in value]
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else repr(key): _json_like(item)
            for key, item in value.items()
        }
    return value


def _printed(value: Any, expected: Any, arguments: Any, atol: float) -> bool:
    """Lines of words: the same words, or else equal numbers."""
    from decimal import Decimal

    return len(value) == len(expected) and all(
        line == wanted or [*map(Decimal, line)] == [*map(Decimal, wanted)]
        for line, wanted in zip(value, expected, strict=True)
    )


ORACLES: dict[str, Callable[[Any, Any, Any, float], bool]] = {
    "anything": lambda value, expected, arguments, atol: True,
    "zero_too": lambda value, expected, arguments, atol: value == expected or value == 0,
    "same_set": lambda value, expected, arguments, atol: set(value) == set(expected),
    "as_json": _as_json,
    "is_some": _is_some,
    "printed": _printed,
    "pyramid_surface": _pyramid_surface,
    "digit_distance": _digit_distance,
    "root_of_polynomial": _root_of_polynomial,
}
