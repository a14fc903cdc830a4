"""What a sketch is: shingles, permutations, bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: 16 bits of a hash choose the bin of a ``fast`` sketch.
MOST_PERMUTATIONS = 1 << 16

Unit = Literal["word", "char", "token"]


@dataclass(frozen=True)
class SketchParams:
    """Every choice that decides a band hash. Default: the paper's setting (2.1.1).

    ``ngram`` tokens of ``unit`` make a shingle (:mod:`~assets.refinecode.minhash.tokens` says what
    a token is); a signature has ``permutations`` values, of which ``bands`` x ``rows`` are used.
    ``seed`` draws the permutations (1 is datasketch's). Raises ``ValueError`` for what cannot be.
    """

    permutations: int = 2048
    bands: int = 16
    rows: int = 128
    ngram: int = 5
    unit: Unit = "word"
    sketch: Literal["fast", "exact"] = "fast"
    seed: int = 1

    def __post_init__(self) -> None:
        for name in ("permutations", "bands", "rows", "ngram"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        if self.permutations > MOST_PERMUTATIONS:
            raise ValueError(
                f"permutations: expected {MOST_PERMUTATIONS} or fewer, found {self.permutations}"
            )
        if self.bands * self.rows > self.permutations:
            raise ValueError(
                f"bands x rows: {self.bands} x {self.rows} values are more than the "
                f"{self.permutations} permutations; take fewer bands or rows"
            )
        for name, choices in (("unit", ("word", "char", "token")), ("sketch", ("fast", "exact"))):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name}: expected one of {', '.join(choices)}, found {getattr(self, name)!r}"
                )
