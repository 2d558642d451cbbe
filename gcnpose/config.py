"""What an experiment file may say: a frozen dataclass per section; the loader reports all faults.

A new setting is one field here: its type, default, check and docstring; the loader needs no change.
The checks run where a file or a dictionary is read, not where a dataclass is constructed.
"""

from __future__ import annotations

import copy
import difflib
import math
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from itertools import combinations, pairwise
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from gcnpose.errors import InputError
from gcnpose.resources import resource_folder

Operator = Literal["subtraction", "inner", "cross"]


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


def distinct() -> dict[str, Any]:
    return check("at least one entry and none twice", lambda entries: 0 < len(entries) == len(set(entries)))


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes to the training windows."""

    flip: float = field(default=0.5, metadata=check("0 to 1", lambda value: 0 <= value <= 1))
    """Probability of a horizontal flip."""
    bone_scale: float = field(default=0.0, metadata=from_zero_below_one())
    """Standard deviation of a random factor on each bone's length, the same left and right."""
    body_scale: float = field(default=0.0, metadata=from_zero_below_one())
    """Half range of a uniform factor on the whole body: 0.1 means 0.9 to 1.1."""
    tempo: float = field(default=0.0, metadata=from_zero_below_one())
    """Half range of a uniform playback speed: 0.3 means 0.7 to 1.3."""


@dataclass(frozen=True)
class DataConfig:
    """The motion, who of it is for what, and how it becomes windows."""

    path: str | None = field(default=None, metadata=not_empty())
    """Motion file or folder; None: the embedded synthetic motion."""
    takes: int = field(default=2, metadata=at_least(1))
    """Takes of every action by a training subject, of the embedded motion only."""
    fps: float | None = field(default=None, metadata=above(0))
    """Frames per second to work at; None: the file's own."""
    train_subjects: tuple[str, ...] | None = field(default=None, metadata=distinct())
    """Subjects to train on; None: the file's own split."""
    validation_subjects: tuple[str, ...] | None = field(default=None, metadata=distinct())
    """Subjects that choose the best checkpoint; None: the file's own split."""
    test_subjects: tuple[str, ...] | None = field(default=None, metadata=distinct())
    """Subjects scored once at the end; None: the file's own split."""
    rig: Literal["h36m", "virtual"] = "h36m"
    """Cameras for motion without its own: Human3.6M's of S1, or four drawn ones."""
    window: int = field(default=96, metadata=at_least(1))
    """Frames per window."""
    step: int = field(default=5, metadata=at_least(1))
    """Frames between the starts of two training windows."""
    views: Literal["fixed", "turned", "drawn"] = "fixed"
    """fixed: the rig's, one yaw per sequence; turned: a new yaw per window; drawn: a new camera too."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Random changes to the training windows."""


@dataclass(frozen=True)
class ModelConfig:
    """The network; the defaults are the paper's Figure 4."""

    channels: tuple[int, ...] = field(
        default=(16, 32, 64, 128, 256),
        metadata=check("widths of at least 1", lambda widths: min(widths, default=0) >= 1),
    )
    """The base width, then one width per pair of down- and upsampling."""
    down_up_pairs: int | None = field(default=None, metadata=at_least(0))
    """How many steps between the widths halve and double the frames; None: all."""
    spatial_graph: bool = True
    """Whether joints exchange features along the bones."""
    merge: bool = True
    """Whether the merging stage joins the scales of the upsampling stage."""
    temporal_kernel: int = field(
        default=5, metadata=check("an odd number of at least 1", lambda size: size >= 1 and size % 2 == 1)
    )
    """Frames that a temporal convolution sees."""
    dropout: float = field(default=0.5, metadata=from_zero_below_one())
    """Probability that a feature is dropped in training."""
    upsampling: Literal["repeat", "linear"] = "repeat"
    """How frames are added: each repeated, or interpolated between neighbours."""
    aggregation: Literal["auto", "scatter", "native", "dense"] = "auto"
    """How messages are summed; all give the same result, auto takes the fastest."""
    input_channels: Literal[2, 3] = 2
    """2: x and y of a keypoint; 3: its score too."""


@dataclass(frozen=True)
class LossConfig:
    """The motion loss (Eq. 1-6); the defaults are the paper's."""

    operators: tuple[Operator, ...] = field(default=("cross",), metadata=distinct())
    """Pairwise motion encodings, concatenated."""
    intervals: tuple[int, ...] = field(
        default=(8, 12, 16, 24),
        metadata=check(
            "at least one interval, each at least 1 and none twice",
            lambda values: min(values, default=0) >= 1 and len(values) == len(set(values)),
        ),
    )
    """Frames between the two poses that are encoded, one per scale."""
    distance: Literal["l1", "l2"] = "l1"
    """Distance between predicted and true encoding."""
    weight: float = field(default=1.0, metadata=at_least(0))
    """Weight of the motion loss, lambda of Eq. 6; 0: no motion loss."""


@dataclass(frozen=True)
class TrainConfig:
    """Optimiser and schedule; the defaults are the paper's."""

    epochs: int = field(default=110, metadata=at_least(1))
    """Epochs to train."""
    batch_size: int = field(default=256, metadata=at_least(1))
    """Windows per step."""
    steps_per_epoch: int | None = field(default=None, metadata=at_least(1))
    """Steps that count as an epoch; None: once over all windows."""
    learning_rate: float = field(default=1e-2, metadata=above(0))
    """Adam's learning rate; its peak for one_cycle."""
    schedule: Literal["step", "one_cycle"] = "step"
    """step: times `decay` at each milestone; one_cycle: up, then down to almost nothing."""
    milestones: tuple[int, ...] = field(
        default=(80, 90, 100),
        metadata=check(
            "increasing epochs from 1 on",
            lambda values: all(low < high for low, high in pairwise((0, *values))),
        ),
    )
    """Epochs after which the step schedule decays."""
    decay: float = field(default=0.1, metadata=check("above 0, at most 1", lambda factor: 0 < factor <= 1))
    """Factor on the learning rate at a milestone."""
    warmup_epochs: float = field(default=0.0, metadata=at_least(0))
    """Epochs, or part of one, over which the learning rate rises from 0."""
    weight_decay: float = field(default=1e-5, metadata=at_least(0))
    """Weight decay of the convolution weights."""
    fixed_input_statistics: bool = False
    """Whether the input is normalised by the mean and variance of the data, not of each batch."""
    gradient_clip: float | None = field(default=None, metadata=above(0))
    """Largest norm of the gradient; None: not clipped."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16: autocast of the forward pass."""
    compile: bool = False
    """Whether torch.compile is used."""
    validate_every: int = field(default=1, metadata=at_least(1))
    """Epochs between two validations."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How whole sequences are predicted and scored."""

    step: int = field(default=5, metadata=at_least(1))
    """Frames between the starts of two windows; predictions of a frame are averaged."""
    flip: bool = True
    """Whether the prediction of the mirrored input is averaged in."""
    batch_size: int = field(default=256, metadata=at_least(1))
    """Windows per forward pass."""
    whole_sequence: bool = False
    """Whether one pass over each whole sequence is scored beside the averaged windows."""


@dataclass(frozen=True)
class TrackingConfig:
    """MLflow."""

    enabled: bool = True
    """Whether the run is logged."""
    uri: str | None = field(default=None, metadata=not_empty())
    """Tracking server; None: MLFLOW_TRACKING_URI, or sqlite:///mlflow.db where that is not set."""
    experiment: str = field(default="gcnpose", metadata=not_empty())
    """Experiment that the run belongs to."""
    system_metrics: bool = True
    """Whether processor, memory and GPU use are logged."""
    log_model: bool = False
    """Whether the trained network is logged as a model with signature."""


@dataclass(frozen=True)
class Config:
    """One experiment."""

    name: str = field(
        metadata=check(
            "letters, digits, '.', '_' and '-', beginning with a letter or digit",
            lambda name: re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name) is not None,
        )
    )
    """Name of the experiment and of its run folders."""
    skeleton: str = field(metadata=not_empty())
    """Name or path of the graph file."""
    seed: int = field(default=0, metadata=check("0 to 4294967295", lambda seed: 0 <= seed < 2**32))
    """Seed of everything random."""
    device: str = field(
        default="auto",
        metadata=check(
            "auto, cpu, cuda, cuda:N or mps",
            lambda device: re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?|mps", device) is not None,
        ),
    )
    """Where to compute; auto: a GPU where there is one."""
    output: str = field(default="runs", metadata=not_empty())
    """Folder that the run folders are made in."""
    data: DataConfig = field(default_factory=DataConfig)
    """The motion, who of it is for what, and how it becomes windows."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """The network."""
    loss: LossConfig = field(default_factory=LossConfig)
    """The motion loss."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Optimiser and schedule."""
    evaluation: EvaluationConfig = field(default_factory=EvaluationConfig)
    """How whole sequences are predicted and scored."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow."""


def load_config(path_or_name: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The experiment in a YAML file, or the shipped one of that name (``"ugcn"``), with overrides put in.

    Args:
        path_or_name: a path, or a shipped config's name without folder and suffix.
        overrides: ``key=value`` with a dotted key and a YAML value: ``train.epochs=2``,
            ``loss.intervals=[4, 8]``, ``data.path=`` (None).

    Raises:
        InputError: if the file cannot be read; or else naming every unknown, missing, repeated, mistyped and
            unusable key of the file and the overrides at once.
    """
    shipped = {config.stem: config for config in sorted(resource_folder("configs").glob("*.yaml"))}
    path = shipped.get(str(path_or_name), Path(path_or_name))
    try:
        content, lines = _parse(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        hint = _did_you_mean(difflib.get_close_matches(path.stem, shipped))
        raise InputError(f"{path}: no such file{hint}; shipped configs: {', '.join(shipped)}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if content is None:
        raise InputError(f"{path}: is empty, expected at least the keys name and skeleton")
    return _build(content, str(path), overrides, lines)


def config_from_dict(content: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> Config:
    """The experiment in a dictionary as `config_to_dict` gives it, checked like a file.

    Args:
        content: the dictionary; it is not changed.
        source: what to call it in an error.
        overrides: as in `load_config`.

    Raises:
        InputError: naming ``source`` and every fault.
    """
    return _build(copy.deepcopy(content), source, overrides, [])


def config_to_dict(config: Config) -> dict[str, Any]:
    """The experiment in the plain types of YAML and JSON, every field present."""
    content: dict[str, Any] = _plain(config)
    return content


def dump_config(config: Config) -> str:
    """The experiment as the text of a file that `load_config` reads back to an equal one."""
    text: str = yaml.safe_dump(config_to_dict(config), sort_keys=False, allow_unicode=True)
    return text


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _parse(text: str | bytes, source: str, prefix: str = "") -> tuple[Any, list[str]]:
    """The content of a YAML text, and a line for every key given twice (PyYAML silently takes the last)."""
    try:
        content = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date such as 2024-99-99
        raise InputError(f"{source}: is not YAML: {' '.join(str(error).split())}") from error
    return content, [f"{source}: {fault}" for fault in _repeated(node, prefix, set())]


def _repeated(node: yaml.Node | None, prefix: str, visited: set[int]) -> Iterator[str]:
    if not isinstance(node, yaml.MappingNode) or id(node) in visited:  # an anchor may contain itself
        return
    visited.add(id(node))
    seen = set()
    for key, value in node.value:
        if key.value in seen:
            yield f"{prefix}{key.value}: given again in line {key.start_mark.line + 1}"
        seen.add(key.value)
        yield from _repeated(value, f"{prefix}{key.value}.", visited)


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
            value, repeated = _parse(text, source, f"{key}.")
        except InputError as error:
            lines.append(str(error))
            continue
        lines += repeated
        if isinstance(content, dict) and (blocked := _put(content, key.split("."), value)):
            lines.append(f"{source}: {blocked}: is not a section, so {key!r} is no key")
        else:
            origins[key] = source
    return origins, lines


_Fault = tuple[tuple[str, ...], str]  # the keys that take part, the one to report first; what is wrong
_EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_EXPONENT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")  # YAML 1.1 reads 1e-3 as text


def _build(content: Any, source: str, overrides: Sequence[str], lines: Sequence[str]) -> Config:
    """Reads the content after putting the overrides into it; ``lines`` are the faults so far."""
    origins, more_lines = _override(content, overrides)
    lines = [*lines, *more_lines]
    faults: list[_Fault] = []
    config: Config = _read_section(Config, content, "", faults)
    wrong = [keys[0] for keys, _ in faults]
    for keys, reason in _conflicts(config):
        if not any(_overlap(key, other) for key in keys for other in wrong):
            faults.append((keys, reason))
    for keys, reason in faults:
        origin = next((origins[o] for key in keys for o in origins if _overlap(key, o)), source)
        lines.append(": ".join(filter(None, (origin, keys[0], reason))))
    if lines:
        raise InputError(lines[0] if len(lines) == 1 else "\n  ".join([f"{len(lines)} faults:", *lines]))
    return config


def _conflicts(config: Config) -> Iterator[_Fault]:
    """Faults between fields that are each right by themselves."""
    data, loss, train, step = config.data, config.loss, config.train, config.evaluation.step
    if loss.weight > 0 and max(loss.intervals) >= data.window:
        reason = f"expected less than data.window ({data.window}), came {list(loss.intervals)}"
        yield ("loss.intervals", "data.window", "loss.weight"), reason
    if train.warmup_epochs >= train.epochs:
        reason = f"expected less than train.epochs ({train.epochs}), came {train.warmup_epochs:g}"
        yield ("train.warmup_epochs", "train.epochs"), reason
    if step > data.window:
        reason = f"expected at most data.window ({data.window}), so that every frame is scored, came {step}"
        yield ("evaluation.step", "data.window"), reason
    for one, other in combinations(("train_subjects", "validation_subjects", "test_subjects"), 2):
        if shared := set(getattr(data, one) or ()) & set(getattr(data, other) or ()):
            reason = f"expected nobody who is in data.{other} too, came {', '.join(sorted(shared))}"
            yield (f"data.{one}", f"data.{other}"), reason


def _overlap(key: str, other: str) -> bool:
    """Whether one of two dotted keys is the other, or holds it."""
    return all(a == b for a, b in zip(re.split(r"[.[]", key), re.split(r"[.[]", other), strict=False))


def _read_section(kind: Any, content: Any, key: str, faults: list[_Fault]) -> Any:
    """A dataclass from a mapping. A field with a fault keeps its default (or None), to read on."""
    hints = get_type_hints(kind)
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]
    values: dict[str, Any] = dict.fromkeys(required)
    if content is None and key:  # a section whose lines are all commented out
        return kind()
    if not isinstance(content, Mapping):
        faults.append(((key,), f"expected keys and values, came {reprlib.repr(content)}"))
        return kind(**values)
    prefix = f"{key}." if key else ""
    for name in content:
        if name not in hints:
            hint = _similar_keys(prefix, str(name), list(hints))
            faults.append(((f"{prefix}{name}",), f"unknown key{hint}"))
    faults += [((prefix + name,), "missing, it has no default") for name in required if name not in content]
    for item in fields(kind):
        if item.name not in content:
            continue
        before = len(faults)
        value = _read(hints[item.name], content[item.name], prefix + item.name, faults)
        expected, accepts = item.metadata.get("check", ("", lambda _: True))
        if len(faults) == before and value is not None and not accepts(value):
            came = reprlib.repr(content[item.name])
            faults.append(((prefix + item.name,), f"expected {expected}, came {came}"))
        if len(faults) == before or is_dataclass(value):
            values[item.name] = value
    return kind(**values)


def _read(kind: Any, value: Any, key: str, faults: list[_Fault]) -> Any:
    """A value of the annotated type: section, ``X | None``, ``tuple[X, ...]``, Literal or plain type."""
    origin, options = get_origin(kind), get_args(kind)
    hint = ""
    if is_dataclass(kind):
        return _read_section(kind, value, key, faults)
    if origin in (Union, UnionType):
        return None if value is None else _read(options[0], value, key, faults)
    if origin is tuple:
        if isinstance(value, list):
            return tuple(_read(options[0], entry, f"{key}[{i}]", faults) for i, entry in enumerate(value))
        expected = "a list such as [a, b]"
    elif origin is Literal:
        if any(type(option) is type(value) and option == value for option in options):
            return value
        expected = "one of " + ", ".join(map(str, options))
        hint = _did_you_mean(difflib.get_close_matches(str(value).lower(), map(str, options)))
    else:
        if kind is float and (type(value) is int or (isinstance(value, str) and _EXPONENT.fullmatch(value))):
            value = float(str(value))
        if type(value) is kind and (kind is not float or math.isfinite(value)):
            return value
        expected = _EXPECTED[kind]
        if kind is float and isinstance(value, float):
            expected = "a finite number"
        elif kind is str and value is not None and not isinstance(value, (dict, list)):
            hint = " (YAML takes it for text only in quotes)"
    faults.append(((key,), f"expected {expected}, came {reprlib.repr(value)}{hint}"))
    return None


def _similar_keys(prefix: str, name: str, siblings: list[str]) -> str:
    """The keys that may have been meant: spelled alike in the section, or of the same name in another."""
    near = [prefix + sibling for sibling in difflib.get_close_matches(name, siblings, n=1)]
    return _did_you_mean(near or [key for key in _all_keys(Config) if key.endswith(f".{name}")])


def _all_keys(kind: Any, prefix: str = "") -> Iterator[str]:
    for name, hint in get_type_hints(kind).items():
        yield prefix + name
        if is_dataclass(hint):
            yield from _all_keys(hint, f"{prefix}{name}.")


def _did_you_mean(candidates: Sequence[str]) -> str:
    return f", did you mean {' or '.join(candidates)}?" if candidates else ""
