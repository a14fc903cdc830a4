"""HumanEval+ and MBPP+ as EvalPlus 0.3.1 judges them, with every comparison outside the program.

A problem has base and plus inputs. What is expected is what the canonical solution returns, run
once in the sandbox and kept by hash. Facts taken from EvalPlus: the inputs of MBPP that JSON could
not hold (tuples, sets, complex numbers), tolerances, and tasks with several right answers. Unlike
there, a tolerance once taken for a float does not stay for later inputs, and HumanEval/32
(`find_zero`), which its bookkeeping can never pass, is judged as meant.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evaluation.judging.compare import Compare
from evaluation.sandbox import wire
from evaluation.sandbox.jobs import Calls, Pairs
from evaluation.sandbox.outcome import Limits, Outcome, SandboxError

if TYPE_CHECKING:
    from evaluation.sandbox.pool import Sandbox

Dataset = Literal["humaneval", "mbpp"]
_FORMAT = "2"
_TEXT_BYTES = 4096  # a longer text has no tolerance: its digest will do
# EvalPlus gives each input at least a second of the wall clock; here it is processor time. The
# heaviest canonical solutions take several seconds in all.
LIMITS = Limits(
    cpu_seconds=60, input_cpu_seconds=3, memory_bytes=2 * 1024**3, text_bytes=_TEXT_BYTES
)
_LARGE = Limits(
    cpu_seconds=300, input_cpu_seconds=60, memory_bytes=4 * 1024**3, text_bytes=_TEXT_BYTES
)
# single inputs of these take the canonical solution many seconds and hundreds of megabytes
_LARGE_TASKS = ("Mbpp/255",)


@dataclass(frozen=True)
class Problem:
    """One task: arguments of each call, base then plus, and how to compare."""

    task_id: str
    entry_point: str
    canonical: str
    base_inputs: Sequence[Sequence[Any]]
    plus_inputs: Sequence[Sequence[Any]]
    compare: Compare

    @property
    def digest(self) -> str:
        """Address of what the canonical solution returns."""
        facts = [
            _FORMAT,
            self.entry_point,
            self.canonical,
            self.compare.oracle == "is_some",
            repr(self.base_inputs),
            repr(self.plus_inputs),
        ]
        return hashlib.sha256(json.dumps(facts).encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Truth:
    """Expected values in the form of sandbox/wire.py, in the order of the inputs."""

    base: tuple[bytes, ...]
    plus: tuple[bytes, ...]


def problem(row: Mapping[str, Any], dataset: Dataset) -> Problem:
    """A problem from a row of HumanEvalPlus.jsonl or MbppPlus.jsonl in EvalPlus's own format.

    Raises ValueError naming the task and the key that is missing.
    """
    needed = ("task_id", "entry_point", "prompt", "canonical_solution", "base_input", "plus_input")
    for key in (*needed, "atol"):
        if key not in row:
            raise ValueError(
                f"{row.get('task_id', 'a row')}: no {key!r}; expected EvalPlus's format with "
                f"{', '.join(needed)}, atol"
            )
    entry_point = row["entry_point"]
    oracle = _ORACLES[dataset].get(entry_point, "")
    convert = _CONVERSIONS.get(int(row["task_id"].split("/")[-1])) if dataset == "mbpp" else None
    base, plus = (
        [convert(arguments) for arguments in row[key]] if convert else row[key]
        for key in ("base_input", "plus_input")
    )
    return Problem(
        row["task_id"],
        entry_point,
        row["prompt"] + row["canonical_solution"],
        base,
        plus,
        Compare(atol=float(row["atol"]), oracle=oracle),
    )


def ground_truth(
    sandbox: Sandbox, problems: Sequence[Problem], cache: Path | None = None
) -> dict[str, Truth]:
    """What is expected of each problem; canonical solutions not found in `cache` are run.

    Raises SandboxError naming the task when a canonical solution does not answer every input.
    """
    found: dict[str, Truth] = {}
    missing = []
    for item in problems:
        path = cache / f"{item.digest}.truth" if cache else None
        if path is not None and path.exists():
            found[item.task_id] = _load(path, item)
        else:
            missing.append(item)
    jobs = (
        Calls(p.canonical, p.entry_point, [*p.base_inputs, *p.plus_inputs], _LARGE) for p in missing
    )
    for item, outcome in zip(missing, sandbox.map(jobs), strict=True):
        values = tuple(_expected(item, outcome))
        cut = len(item.base_inputs)
        found[item.task_id] = truth = Truth(values[:cut], values[cut:])
        if cache is not None:
            _save(cache / f"{item.digest}.truth", truth)
    return found


def job(
    item: Problem,
    truth: Truth,
    solution: str,
    limits: Limits | None = None,
    *,
    profile: str = "packages",
) -> Pairs:
    """One run of a solution over base and plus inputs; read it with `verdicts`.

    profile: "packages" has numpy, as EvalPlus has; "python" starts faster.
    """
    return Pairs(
        solution,
        item.entry_point,
        [*item.base_inputs, *item.plus_inputs],
        [*truth.base, *truth.plus],
        item.compare,
        encoded=True,
        checkpoint=len(item.base_inputs),
        limits=limits or limits_of(item),
        profile=profile,
    )


def limits_of(item: Problem) -> Limits:
    """What a solution of this problem may use."""
    return _LARGE if item.task_id in _LARGE_TASKS else LIMITS


def verdicts(item: Problem, outcome: Outcome) -> tuple[bool, bool]:
    """Whether a solution of `job` passed the base tests, and base and plus tests together."""
    base = outcome.passed or outcome.tests_passed >= len(item.base_inputs)
    return base, outcome.passed


def jobs(
    item: Problem, truth: Truth, solution: str, limits: Limits | None = None
) -> tuple[Pairs, Pairs]:
    """Two runs of a solution, over base inputs and over plus inputs alone."""
    base, plus = (
        Pairs(
            solution,
            item.entry_point,
            inputs,
            values,
            item.compare,
            encoded=True,
            limits=limits or limits_of(item),
            profile="packages",
        )
        for inputs, values in ((item.base_inputs, truth.base), (item.plus_inputs, truth.plus))
    )
    return base, plus


def _expected(item: Problem, outcome: Outcome) -> Iterable[bytes]:
    for place, output in enumerate(outcome.outputs):
        if output.status != "ok":
            raise SandboxError(
                f"{item.task_id}: the canonical solution gives no value for input {place}: "
                f"{output.status} {output.error} ({outcome.status} {outcome.error})"
            )
        if item.compare.oracle == "is_some":
            yield wire.encode(output.value is not None)
        elif wire.is_opaque(output.data):
            raise SandboxError(
                f"{item.task_id}: the canonical solution returns {output.value!r} for input "
                f"{place}, which is no plain data"
            )
        else:
            yield output.data


def _save(path: Path, truth: Truth) -> None:
    values = [*truth.base, *truth.plus]
    sizes = {"base": len(truth.base), "sizes": [len(value) for value in values]}
    data = json.dumps(sizes).encode() + b"\n" + b"".join(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(zlib.compress(data, 1))
    unfinished.replace(path)


def _load(path: Path, item: Problem) -> Truth:
    try:
        head, _, data = zlib.decompress(path.read_bytes()).partition(b"\n")
        told = json.loads(head)
        values, at = [], 0
        for size in told["sizes"]:
            values.append(data[at : at + size])
            at += size
        cut = told["base"]
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: no expected values ({error}); delete it") from error
    if (cut, len(values) - cut) != (len(item.base_inputs), len(item.plus_inputs)):
        raise ValueError(f"{path}: values of another problem than {item.task_id}; delete it")
    return Truth(tuple(values[:cut]), tuple(values[cut:]))


_ORACLES: dict[Dataset, dict[str, str]] = {
    "humaneval": {"find_zero": "root_of_polynomial"},
    "mbpp": {
        "are_equivalent": "anything",
        "sum_div": "zero_too",
        "surface_Area": "pyramid_surface",
        "digit_distance_nums": "digit_distance",
        **dict.fromkeys(
            (
                "similar_elements",
                "find_char_long",
                "common_in_nested_lists",
                "extract_singly",
                "larg_nnum",
                "intersection_array",
                "find_dissimilar",
                "Diff",
            ),
            "same_set",
        ),
        **dict.fromkeys(("check_str", "text_match_three", "text_starta_endb"), "is_some"),
    },
}

_Convert = Callable[[Any], Any]


def _each(convert: _Convert) -> _Convert:
    return lambda values: [convert(value) for value in values]


def _first(convert: _Convert) -> _Convert:
    return lambda arguments: [convert(arguments[0]), *arguments[1:]]


def _deep_tuple(value: Any) -> Any:
    return tuple(_deep_tuple(item) for item in value) if isinstance(value, list) else value


def _set_or_dict(value: Any) -> Any:
    return set(value) if isinstance(value, list) and value else {}


# by task number: JSON has lists where the task means tuples, sets or complex numbers
_CONVERSIONS: dict[int, _Convert] = {
    **dict.fromkeys(
        (2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424),
        _each(tuple),
    ),
    **dict.fromkeys(
        (429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
        _each(tuple),
    ),
    **dict.fromkeys(
        (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
        _each(_each(tuple)),
    ),
    **dict.fromkeys((75, 413, 444, 753), _first(_each(tuple))),
    **dict.fromkeys((106, 750), lambda arguments: [arguments[0], tuple(arguments[1])]),
    115: lambda arguments: [[_set_or_dict(value) for value in arguments[0]]],
    124: lambda arguments: (float(arguments[0]), complex(arguments[1])),
    **dict.fromkeys((250, 405, 446, 617, 720, 763, 808, 307), _first(tuple)),
    **dict.fromkeys((259, 401, 445), _each(lambda value: tuple(tuple(item) for item in value))),
    278: lambda arguments: [
        tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0])
    ],
    722: _first(lambda value: {key: tuple(item) for key, item in value.items()}),
    252: lambda arguments: [complex(arguments[0])],
    **dict.fromkeys((580, 615, 791), _deep_tuple),
}
