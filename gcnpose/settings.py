"""Settings in frozen dataclasses: checks of single fields, and a reader that reports all faults at once.

The checks run where a file or a dictionary is read, not where a dataclass is constructed.
"""

from __future__ import annotations

import copy
import math
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gcnpose.errors import InputError, did_you_mean
from gcnpose.files import parse_yaml

T = TypeVar("T")

Fault = tuple[tuple[str, ...], str]  # the keys that take part, the one to report first; what is wrong
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_BEYOND = {int: 10**12, float: math.inf}  # sizes; their products still fit into the integers of PyTorch
_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")  # YAML 1.1 reads 1e-3 as text


def check(expected: str, accepts: Callable[[Any], bool]) -> dict[str, Any]:
    """Field metadata: a value that is neither accepted nor None is reported as "expected <expected>"."""
    return {"check": (expected, accepts)}


def at_least(low: float) -> dict[str, Any]:
    return check(f"at least {low}", lambda value: value >= low)


def above(low: float) -> dict[str, Any]:
    return check(f"above {low}", lambda value: value > low)


def from_zero_below_one() -> dict[str, Any]:
    return check("at least 0 and less than 1", lambda value: 0 <= value < 1)


def not_empty() -> dict[str, Any]:
    return check("text that is not empty", bool)


def file_name() -> dict[str, Any]:
    """What a folder or file can be called anywhere."""
    return check(
        "letters, digits, '.', '_' and '-', beginning with a letter or digit",
        lambda name: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None,
    )


def distinct() -> dict[str, Any]:
    return check("at least one entry and none twice", lambda entries: 0 < len(entries) == len(set(entries)))


def read_settings(
    kind: type[T],
    content: Any,
    source: str,
    overrides: Sequence[str] = (),
    faults: Sequence[str] = (),
    conflicts: Callable[[T], Iterable[Fault]] = lambda _: (),
) -> T:
    """A settings dataclass from the content of a file after putting overrides into it.

    Args:
        kind: The dataclass; nested ones are its sections.
        content: Keys and values; it is not changed.
        source: What to call it in an error.
        overrides: ``key=value`` with a dotted key and a YAML value.
        faults: What was wrong with the file already.
        conflicts: Faults between fields that are each right by themselves.

    Raises:
        InputError: naming ``source`` and every unknown, missing, repeated, mistyped and unusable key at once.
    """
    content = copy.deepcopy(content)
    origins, lines = _override(content, overrides)
    lines = [*(f"{source}: {fault}" for fault in faults), *lines]
    found: list[Fault] = []
    settings: T = _Reader(kind, found).section(kind, content, "")
    wrong = [keys[0] for keys, _ in found]
    for keys, reason in conflicts(settings):
        if not any(overlap(key, other) for key in keys for other in wrong):
            found.append((keys, reason))
    for keys, reason in found:
        origin = next((origins[o] for key in keys for o in origins if overlap(key, o)), source)
        lines.append(": ".join(filter(None, (origin, keys[0], reason))))
    if lines:
        raise InputError(lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} faults:", *lines]))
    return settings


def plain(value: Any) -> Any:
    """Settings in the plain types of YAML and JSON, every field present."""
    if is_dataclass(value):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    return list(value) if isinstance(value, tuple) else value


def flatten(nested: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as one, with dotted keys."""
    flat: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _put(content: dict[str, Any], keys: list[str], value: Any) -> str | None:
    """Puts a value at a nested key in place; gives the part of the key that holds something else, if any."""
    for depth, key in enumerate(keys[:-1], start=1):
        if content.get(key) is None:
            content[key] = {}
        content = content[key]
        if not isinstance(content, dict):
            return ".".join(keys[:depth])
    content[keys[-1]] = value
    return None


def _override(content: Any, overrides: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Puts overrides into the content in place; gives the override behind each key, and a line per fault."""
    origins: dict[str, str] = {}
    lines: list[str] = []
    for override in overrides:
        source = f"override {override!r}"
        key, equals, text = override.partition("=")
        if not equals or not all(key.split(".")):
            lines.append(f"{source}: expected key=value, such as train.epochs=2")
            continue
        try:
            value, repeated = parse_yaml(text, source, f"{key}.")
        except InputError as error:
            lines.append(str(error))
            continue
        lines += [f"{source}: {fault}" for fault in repeated]
        if isinstance(content, dict) and (blocked := _put(content, key.split("."), value)):
            lines.append(f"{source}: {blocked}: is not a section, so {key!r} is no key")
        else:
            origins[key] = source
    return origins, lines


def overlap(key: str, other: str) -> bool:
    """Whether one of two dotted keys is the other, or holds it."""
    return all(a == b for a, b in zip(re.split(r"[.[]", key), re.split(r"[.[]", other), strict=False))


class _Reader:
    """Reads values by their annotated types, and collects what is wrong with them."""

    def __init__(self, whole: Any, faults: list[Fault]) -> None:
        self.whole = whole
        self.faults = faults

    def section(self, kind: Any, content: Any, key: str) -> Any:
        """A dataclass from a mapping. A field with a fault keeps its default (or None), to read on."""
        hints = get_type_hints(kind)
        required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
        values: dict[str, Any] = dict.fromkeys(required)
        if content is None and key and not required:  # a section whose lines are all commented out
            return kind()
        if not isinstance(content, Mapping):
            self.faults.append(((key,), f"expected keys and values, came {reprlib.repr(content)}"))
            return kind(**values)
        prefix = f"{key}." if key else ""
        for name in content:
            if name not in hints:
                hint = self._similar_keys(prefix, str(name), list(hints))
                self.faults.append(((f"{prefix}{name}",), f"unknown key{hint}"))
        self.faults += [
            ((prefix + name,), "missing, it has no default") for name in required if name not in content
        ]
        for item in fields(kind):
            if item.name not in content:
                continue
            before = len(self.faults)
            value = self._value(hints[item.name], content[item.name], prefix + item.name)
            expected, accepts = item.metadata.get("check", ("", lambda _: True))
            if len(self.faults) == before and value is not None and not accepts(value):
                came = reprlib.repr(content[item.name])
                self.faults.append(((prefix + item.name,), f"expected {expected}, came {came}"))
            if len(self.faults) == before or is_dataclass(value):
                values[item.name] = value
        return kind(**values)

    def _value(self, kind: Any, value: Any, key: str) -> Any:
        """A value of the annotated type: section, ``X | None``, ``tuple[X, ...]``, Literal or plain type."""
        origin, options = get_origin(kind), get_args(kind)
        hint = ""
        if is_dataclass(kind):
            return self.section(kind, value, key)
        if origin in (Union, UnionType):
            return None if value is None else self._value(options[0], value, key)
        if origin is tuple:
            if isinstance(value, list):
                return tuple(self._value(options[0], entry, f"{key}[{i}]") for i, entry in enumerate(value))
            expected = "a list such as [a, b]"
        elif origin is Literal:
            if any(type(option) is type(value) and option == value for option in options):
                return value
            expected = "one of " + ", ".join(map(str, options))
            hint = did_you_mean(value, map(str, options))
        else:
            if kind is float and (
                type(value) is int or (isinstance(value, str) and _EXPONENT.fullmatch(value))
            ):
                value = float(str(value))
            if type(value) is kind and (kind not in _BEYOND or abs(value) < _BEYOND[kind]):
                return value
            expected = _EXPECTED[kind]
            if kind is float and isinstance(value, float):
                expected = "a finite number"
            elif kind is int and type(value) is int:
                expected = "a whole number below 10^12"
            elif kind is str and value is not None and not isinstance(value, (dict, list)):
                hint = " (YAML takes it for text only in quotes)"
        self.faults.append(((key,), f"expected {expected}, came {reprlib.repr(value)}{hint}"))
        return None

    def _similar_keys(self, prefix: str, name: str, siblings: list[str]) -> str:
        """The keys that may have been meant: spelled alike in the section, or of the same name in another."""
        if hint := did_you_mean(name, siblings, prefix):
            return hint
        elsewhere = [key for key in _all_keys(self.whole) if key.endswith(f".{name}")]
        return f", did you mean {' or '.join(elsewhere)}?" if elsewhere else ""


def _all_keys(kind: Any, prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        yield prefix + name
        if is_dataclass(hint):
            yield from _all_keys(hint, f"{prefix}{name}.")
