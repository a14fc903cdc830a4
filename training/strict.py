"""Strict loading of configuration files into frozen dataclasses.

Every key is known, typed and range-checked before any data or device is touched; an error names
the file, the key path, what was expected and what was found. The identity of a config is what
changes a result; where it runs (paths, micro-batches, checkpoint interval) is not part of it.
Paper: none; every hyper-parameter of sections 3 and 4 passes through here.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import textwrap
import types
import typing
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

import yaml

T = TypeVar("T")


class ConfigError(ValueError):
    """A configuration, or the data it points to, cannot be used; the message says what to do."""


class InvalidValue(ValueError):
    """A value that a config dataclass refuses, with the key it belongs to."""

    def __init__(self, key: str, expected: str, found: object) -> None:
        super().__init__(f"{key}: expected {expected}, found {found!r}")
        self.key, self.expected, self.found = key, expected, found


def setting(
    doc: str,
    default: Any = MISSING,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    multiple_of: int | None = None,
    identity: bool = True,
) -> Any:
    """A dataclass field with its description, bounds and whether it is part of the identity."""
    metadata = {
        "doc": doc,
        "minimum": minimum,
        "above": above,
        "maximum": maximum,
        "below": below,
        "multiple_of": multiple_of,
        "identity": identity,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Checked:
    """Range checks from the field metadata, also when a config is built in Python."""

    def __post_init__(self) -> None:
        for item in dataclasses.fields(self):
            _check_bounds(item, getattr(self, item.name))


def load_config(
    kind: type[T],
    file: Path | None,
    overrides: Sequence[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> T:
    """Read a YAML or JSON file (or nothing) into `kind`, then apply `a.b=value` overrides.

    `defaults` are used for keys that neither the file nor an override gives.
    Relative paths mean the working directory. Raises ConfigError.
    """
    tree = {} if file is None else _read_tree(file)
    origin: dict[str, str] = {}
    for override in overrides:
        _apply_override(tree, override, origin)
    for key, value in (defaults or {}).items():
        tree.setdefault(key, value)
    return typing.cast(T, _build(kind, tree, _Where(file or Path("command line"), "", origin)))


def check_inputs(config: object, file: Path | None) -> None:
    """ConfigError for a path of `config`, other than `out`, at which there is nothing."""
    for key, path in _paths(config, ""):
        if not path.exists():
            place = "" if file is None else f"{file}: "
            raise ConfigError(
                f"{place}{key}: expected a file or folder that exists, found nothing at "
                f"{path.absolute()}; relative paths mean the working directory"
            )


def identity(config: object, contents: Mapping[str, str]) -> dict[str, object]:
    """What makes the result: the config without paths and execution, plus content digests."""
    return {"config": _identity_of(config), "contents": dict(sorted(contents.items()))}


def digest(value: object) -> str:
    """sha-256 (hex) of a JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key path and value of each leaf of a tree: `a.b` below mappings, `a[0]` below lists."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from flat(value, f"{prefix}[{number}]")
    else:
        yield prefix, tree


def describe(kind: type) -> str:
    """The keys of a config class with type, default and meaning, for --help."""
    hints = typing.get_type_hints(kind)
    items = dataclasses.fields(kind)
    width = max(len(item.name) for item in items) + 2
    lines: list[str] = []
    for item in items:
        default = "required" if item.default is MISSING else f"default {_show(item.default)}"
        lines.append(f"  {item.name:<{width}}{_type_name(hints[item.name])}, {default}")
        indent = " " * (width + 2)
        doc = item.metadata.get("doc", "")
        lines += textwrap.wrap(doc, 98, initial_indent=indent, subsequent_indent=indent)
        nested = _nested_class(hints[item.name])
        if nested is not None:
            lines.extend("    " + line for line in describe(nested).splitlines())
    return "\n".join(lines)


# ------------------------------------------------------------------------------------- reading


class _UniqueKeyLoader(yaml.SafeLoader):
    """SafeLoader that refuses a key written twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                raise yaml.constructor.ConstructorError(
                    None, None, f"expected a name as key, found {key!r}", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def _read_tree(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: config file not found; give an existing --config FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: expected a text file with the config, found: {error}") from None
    try:
        tree = yaml.load(text, Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: expected valid YAML or JSON, found: {error}") from error
    if not isinstance(tree, dict):
        raise ConfigError(f"{file}: expected a mapping of keys, found {type(tree).__name__}")
    return tree


def _apply_override(tree: dict[str, Any], override: str, origin: dict[str, str]) -> None:
    key, separator, text = override.partition("=")
    parts = key.strip().split(".")
    if not separator or not all(parts):
        raise ConfigError(f"--set {override}: expected key=value or a.b=value")
    here: Any = tree
    for part in parts[:-1]:
        here = _descend(here, part, override)
    try:
        value = yaml.safe_load(text) if text.strip() else ""
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: expected a YAML value, found: {error}") from None
    if isinstance(here, list):
        here[_list_index(here, parts[-1], override)] = value
    else:
        here[parts[-1]] = value
    origin[key.strip()] = f"--set {override}"


def _descend(here: Any, part: str, override: str) -> Any:
    if isinstance(here, list):
        return here[_list_index(here, part, override)]
    below = here.get(part)
    if below is None:
        below = here[part] = {}
    if not isinstance(below, dict | list):
        raise ConfigError(f"--set {override}: {part!r} holds {below!r}, which has no keys below it")
    return below


def _list_index(items: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise ConfigError(
            f"--set {override}: expected an index from 0 to {len(items) - 1}, found {part!r}"
        )
    return int(part)


# ------------------------------------------------------------------------------------ checking


@dataclass(frozen=True)
class _Where:
    """Place of a value in the file, for error messages."""

    file: Path
    path: str
    origin: Mapping[str, str]

    def key(self, name: str) -> _Where:
        return _Where(self.file, f"{self.path}.{name}" if self.path else name, self.origin)

    def index(self, number: int) -> _Where:
        return _Where(self.file, f"{self.path}[{number}]", self.origin)

    def error(self, expected: str, found: object) -> ConfigError:
        source = self.origin.get(self.path.replace("[", ".").replace("]", ""))
        place = f"{self.file}, {source}" if source else str(self.file)
        return ConfigError(f"{place}: {self.path or 'top level'}: expected {expected}, {found}")


def _build(kind: Any, tree: object, where: _Where) -> object:
    if not isinstance(tree, dict):
        raise where.error("a mapping of keys", _found(tree))
    fields = {item.name: item for item in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind)
    for key in tree:
        if key not in fields:
            known = ", ".join(sorted(fields))
            near = [name for name in fields if str(key) in name]
            near = near or difflib.get_close_matches(str(key), fields)
            hint = f"; did you mean {' or '.join(near[:3])}?" if near else ""
            raise where.key(str(key)).error(f"one of the known keys ({known})", f"not this{hint}")
    values: dict[str, object] = {}
    for name, item in fields.items():
        if name in tree:
            values[name] = _convert(hints[name], tree[name], where.key(name))
        elif item.default is MISSING:
            raise where.key(name).error(f"{item.metadata.get('doc', 'a value')}", "found nothing")
    try:
        return kind(**values)
    except InvalidValue as error:
        place = where
        for part in error.key.split("."):
            place = place.key(part)
        raise place.error(error.expected, _found(error.found)) from None


def _convert(hint: Any, value: object, where: _Where) -> object:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        (inner,) = [arg for arg in args if arg is not type(None)]
        return _convert(inner, value, where)
    if origin is Literal:
        if value not in args:
            raise where.error("one of " + ", ".join(map(str, args)), _found(value))
        return value
    if origin is tuple:
        return _convert_tuple(args, value, where)
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    return _convert_scalar(hint, value, where)


def _convert_tuple(args: tuple[Any, ...], value: object, where: _Where) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise where.error("a list", _found(value))
    if len(args) == 2 and args[1] is Ellipsis:
        kinds: Sequence[Any] = [args[0]] * len(value)
    else:
        kinds = args
    if len(kinds) != len(value):
        raise where.error(f"a list of {len(kinds)} values", _found(value))
    return tuple(
        _convert(kind, item, where.index(number))
        for number, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _convert_scalar(hint: Any, value: object, where: _Where) -> object:
    if hint is Path:
        if isinstance(value, str) and value:
            return Path(value)
        raise where.error("a path", _found(value))
    if hint is float:
        number = _as_float(value)
        if number is None:
            raise where.error("a number", _found(value))
        return number
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise where.error(_type_name(hint), _found(value))
    return value


def _as_float(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, str):  # YAML 1.1 reads 3e-4 (no point) as text
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, int | float) and math.isfinite(value):
        return float(value)
    return None


def _check_bounds(item: dataclasses.Field[Any], value: object) -> None:
    numbers = value if isinstance(value, tuple) else (value,)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int | float):
            continue
        rules = item.metadata
        tests = (
            ("minimum", "at least", lambda n, b: n >= b),
            ("above", "more than", lambda n, b: n > b),
            ("maximum", "at most", lambda n, b: n <= b),
            ("below", "less than", lambda n, b: n < b),
            ("multiple_of", "a multiple of", lambda n, b: n % b == 0),
        )
        for rule, words, holds in tests:
            bound = rules.get(rule)
            if bound is not None and not holds(number, bound):
                raise InvalidValue(item.name, f"{words} {bound}", value)


def _identity_of(value: object) -> object:
    if dataclasses.is_dataclass(value):
        return {
            item.name: _identity_of(getattr(value, item.name))
            for item in dataclasses.fields(value)
            if item.metadata.get("identity", True)
            and not isinstance(getattr(value, item.name), Path)
        }
    if isinstance(value, tuple):
        return [_identity_of(item) for item in value]
    return value


def _paths(value: object, key: str) -> Iterator[tuple[str, Path]]:
    """Key and value of each path in a config that is read from."""
    if isinstance(value, Path):
        yield key, value
    elif isinstance(value, tuple):
        for number, item in enumerate(value):
            yield from _paths(item, f"{key}[{number}]")
    elif dataclasses.is_dataclass(value):
        for item in dataclasses.fields(value):
            if item.name != "out":
                below = f"{key}.{item.name}" if key else item.name
                yield from _paths(getattr(value, item.name), below)


def _nested_class(hint: Any) -> type | None:
    candidates = [hint, *typing.get_args(hint)]
    return next((item for item in candidates if dataclasses.is_dataclass(item)), None)  # type: ignore[return-value]


def _type_name(hint: Any) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return " | ".join(map(str, args))
    if origin in (Union, types.UnionType):
        return " | ".join(_type_name(arg) for arg in args if arg is not type(None))
    if origin is tuple:
        return "list of " + _type_name(args[0])
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if hint in names:
        return names[hint]
    return "a path" if hint is Path else "a mapping"


def _show(default: object) -> str:
    return "none" if default is None else str(default)


def _found(value: object) -> str:
    return f"found {value!r} ({type(value).__name__})"
