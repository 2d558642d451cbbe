"""What an experiment file may say: a frozen dataclass per section.

A new setting is one field here: its type, default, check and docstring; the reader needs no change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any, Literal

import yaml

from gcnpose.errors import InputError
from gcnpose.resources import read_shipped, resource_folder
from gcnpose.settings import (
    Fault,
    above,
    at_least,
    check,
    distinct,
    file_name,
    from_zero_below_one,
    not_empty,
    plain,
    read_settings,
)

Operator = Literal["subtraction", "inner", "cross"]
Method = Literal["windows", "whole", "shifts"]
Precision = Literal["auto", "fp32", "bf16"]
RootDepth = Literal["fitted", "ground_truth"]
ProtocolName = Literal["generic", "h36m", "h36m-motionbert", "mpi-inf-3dhp", "humaneva"]


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
class NoiseConfig:
    """A detector's errors on projected 2D; see `gcnpose.data.noise`. Pixels are of an image 1000 wide."""

    scale: float = field(default=0.0, metadata=at_least(0))
    """Factor on the jitter and on both rates; 0: no errors, 1: as large as CPN's on Human3.6M."""
    error_px: float = field(default=6.0, metadata=at_least(0))
    """Mean distance of the jitter, over all joints."""
    joint_errors: tuple[float, ...] | None = field(
        default=None,
        metadata=check(
            "no error below 0 and one above",
            lambda errors: min(errors, default=0) >= 0 and max(errors, default=0) > 0,
        ),
    )
    """Relative jitter of each joint, in the order of the graph; None: rising with the hops from the root."""
    tail: float = field(default=0.6, metadata=check("0 to 2", lambda value: 0 <= value <= 2))
    """Standard deviation of the logarithm of the spread; 0: Gaussian, more: heavier tails."""
    smooth_frames: int = field(default=8, metadata=at_least(1))
    """Frames over which the jitter is a moving average; 1: white noise."""
    swap_rate: float = field(default=0.01, metadata=from_zero_below_one())
    """Share of frames in which a pair of left and right joints is swapped."""
    swap_frames: int = field(default=6, metadata=at_least(1))
    """Shortest span of a swap."""
    missing_rate: float = field(default=0.01, metadata=from_zero_below_one())
    """Share of frames in which a joint is missing: where it was last seen, with score 0."""
    missing_frames: int = field(default=6, metadata=at_least(1))
    """Shortest span of a miss."""
    score_px: float = field(default=50.0, metadata=above(0))
    """Spread at which the score is 1 / e."""


@dataclass(frozen=True)
class KeypointConfig:
    """What the 2D is: detected, projected, or in between."""

    detected: bool | None = None
    """Whether to use the motion's own 2D; None: where it has some. Only fixed views can have it."""
    ground_truth_weight: float = field(default=0.0, metadata=check("0 to 1", lambda value: 0 <= value <= 1))
    """Share w of the projected truth: w * true + (1 - w) * detected, or noisy where noise stands in."""
    noise: NoiseConfig = field(default_factory=NoiseConfig)
    """Errors on the 2D that is projected."""


@dataclass(frozen=True)
class DataConfig:
    """The motion, who of it is for what, and how it becomes windows."""

    path: str | None = field(default=None, metadata=not_empty())
    """Motion file; None: the embedded synthetic motion."""
    takes: int = field(default=2, metadata=at_least(1))
    """Takes of every action by a training subject, of the embedded motion only."""
    fps: float | None = field(default=None, metadata=above(0))
    """Frames per second, where the file does not tell; None: it does."""
    train_subjects: tuple[str, ...] | None = field(default=None, metadata=distinct())
    """Subjects to train on; None: the file's own split."""
    validation_subjects: tuple[str, ...] | None = field(default=None, metadata=distinct())
    """Subjects that choose the best checkpoint; None: the file's own split, or nobody: the last is best."""
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
    keypoints: KeypointConfig = field(default_factory=KeypointConfig)
    """What the 2D is: detected, projected, or in between."""
    keep: Literal["auto", "device", "host", "disk"] = "auto"
    """Where training frames lie: with the network, in RAM or in a file; auto: the first that has room."""


@dataclass(frozen=True)
class SimpleBaselineConfig:
    """SimpleBaseline; the defaults are its paper's."""

    width: int = field(default=1024, metadata=at_least(1))
    """Features of a layer."""
    blocks: int = field(default=2, metadata=at_least(0))
    """Residual blocks of two layers."""


@dataclass(frozen=True)
class VideoPose3DConfig:
    """VideoPose3D; the defaults are its paper's, which see 243 frames."""

    filter_widths: tuple[int, ...] = field(
        default=(3, 3, 3, 3, 3),
        metadata=check(
            "at least one odd number, each at least 1",
            lambda widths: bool(widths) and all(size >= 1 and size % 2 == 1 for size in widths),
        ),
    )
    """Frames that each convolution spans; a frame sees their product."""
    width: int = field(default=1024, metadata=at_least(1))
    """Features of a layer."""


@dataclass(frozen=True)
class AGFormerConfig:
    """AGFormer, a small network after MotionAGFormer."""

    width: int = field(default=64, metadata=at_least(1))
    """Features of a joint and frame."""
    layers: int = field(default=4, metadata=at_least(1))
    """Layers of a stream of attention and one of graph convolution."""
    heads: int = field(default=4, metadata=at_least(1))
    """Attention heads, a divisor of the width."""
    span: int = field(default=24, metadata=at_least(1))
    """Farthest frame that a frame attends to, in one layer."""


@dataclass(frozen=True)
class ModelConfig:
    """The network: dropout and the input's settings are of all, a section of that network, the rest UGCN's.

    UGCN's defaults are the paper's Figure 4.
    """

    name: Literal["ugcn", "simple_baseline", "videopose3d", "agformer"] = "ugcn"
    """Which network."""
    channels: tuple[int, ...] = field(
        default=(16, 32, 64, 128, 256),
        metadata=check("widths of at least 1", lambda widths: min(widths, default=0) >= 1),
    )
    """The base width, then one width per pair of down- and upsampling."""
    down_up_pairs: int | None = field(default=None, metadata=at_least(0))
    """How many steps between the widths halve and double the frames; None: all."""
    spatial_graph: bool = True
    """Whether joints exchange features along the bones."""
    whole_pose: bool = False
    """Whether all joints of a frame are one node, without bones."""
    max_hop: int | None = field(default=None, metadata=at_least(0))
    """Joints farther from the root count as equally far; None: none do; 1: as in ST-GCN's own code."""
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
    aggregation: Literal["auto", "gather", "dense", "scatter", "native"] = "auto"
    """How messages are summed; all give the same result, auto takes the fastest."""
    input_channels: Literal[2, 3] = 2
    """2: x and y of a keypoint; 3: its score too."""
    root_relative_input: bool = False
    """Whether x and y are relative to the root's, whose own stay where they are in the image."""
    simple_baseline: SimpleBaselineConfig = field(default_factory=SimpleBaselineConfig)
    """Fully connected layers, frame by frame (Martinez et al., 2017)."""
    videopose3d: VideoPose3DConfig = field(default_factory=VideoPose3DConfig)
    """Dilated convolutions in time (Pavllo et al., 2019)."""
    agformer: AGFormerConfig = field(default_factory=AGFormerConfig)
    """Attention and graph convolution side by side (after Mehraban et al., 2024)."""


@dataclass(frozen=True)
class LossConfig:
    """The motion loss (Eq. 1-6); the defaults are the paper's."""

    operators: tuple[Operator, ...] = field(default=("cross",), metadata=distinct())
    """Pairwise motion encodings, whose losses are added."""
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
    """Windows per step, of all processes together."""
    steps_per_epoch: int | None = field(default=None, metadata=at_least(1))
    """Steps that count as an epoch; None: once over all windows."""
    optimizer: Literal["adam", "muon"] = "adam"
    """muon: weight matrices move along orthogonal ones, without weight decay, and Adam has the rest."""
    learning_rate: float = field(default=1e-2, metadata=above(0))
    """The optimiser's learning rate; its peak for one_cycle."""
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
    """Adam's weight decay of the convolution weights; Muon has none."""
    fixed_input_statistics: bool = False
    """Whether the input is normalised by the mean and variance of the data, not of each batch."""
    gradient_clip: float | None = field(default=None, metadata=above(0))
    """Largest norm of the gradient; None: not clipped."""
    precision: Precision = "fp32"
    """bf16: autocast of the forward pass; auto: bf16 where the device has instructions for it, else fp32."""
    compile: bool = False
    """Whether torch.compile is used."""
    synchronized_batch_norm: bool = True
    """Whether batch norms see the whole batch where processes share it; else each sees its own part."""
    validate_every: int = field(default=1, metadata=at_least(1))
    """Epochs between two validations."""


@dataclass(frozen=True)
class EvaluationConfig:
    """How whole sequences are predicted and scored."""

    protocol: ProtocolName = "generic"
    """Which frames and joints count, and how they are averaged; see `gcnpose.protocols`."""
    methods: tuple[Method, ...] = field(default=("windows",), metadata=distinct())
    """Overlapping windows (the paper's), the whole in one pass, or in one per shift; the first one counts."""
    step: int = field(default=5, metadata=at_least(1))
    """Frames between the starts of two windows; predictions of a frame are averaged."""
    flip: bool = True
    """Whether the prediction of the mirrored input is averaged in."""
    following: bool = False
    """Whether it is lifted as a camera sees it that follows the person, as `predict` may do."""
    batch_size: int = field(default=256, metadata=at_least(1))
    """Windows per forward pass."""
    precision: Precision = "fp32"
    """bf16: autocast of the features; positions are in single precision. auto: as for training."""


@dataclass(frozen=True)
class RefinementConfig:
    """The second stage that `refine` trains; see `gcnpose.refinement`."""

    root_depth: RootDepth = "fitted"
    """How far away the root is: fitted to prediction and 2D, or the truth, as Cai et al. (2019) take it."""
    width: int = field(default=1024, metadata=at_least(1))
    """Features of the hidden layer."""
    dropout: float = field(default=0.5, metadata=from_zero_below_one())
    """Probability that a feature is dropped in training."""
    frames: int = field(default=300_000, metadata=at_least(1))
    """Frames to learn from: as many training views, drawn at random, as hold them."""
    epochs: int = field(default=20, metadata=at_least(1))
    """How often each frame is seen."""
    batch_size: int = field(default=256, metadata=at_least(1))
    """Frames per step."""
    learning_rate: float = field(default=1e-3, metadata=above(0))
    """Adam's learning rate at first; it falls evenly to 0."""


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

    name: str = field(metadata=file_name())
    """Name of the experiment and of its run folders."""
    skeleton: str = field(metadata=not_empty())
    """Name or path of the graph file."""
    seed: int = field(default=0, metadata=check("0 to 4294967295", lambda seed: 0 <= seed < 2**32))
    """Seed of all that is random in a training. Embedded motion and fixed views are the same for all."""
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
    refinement: RefinementConfig = field(default_factory=RefinementConfig)
    """The second stage, which `refine` trains."""
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    """MLflow."""

    @property
    def follow_reach(self) -> int | None:
        """Frames that count for where a camera looks that follows the person; None: none does.

        People are lifted so wherever they are, if the training drew its cameras. Of a fixed rig a network
        learns the rig itself, and what another camera sees is less like it.
        """
        return self.data.window if self.data.views == "drawn" else None


PLACES = ("data.path", "data.keep", "output", "device", "tracking")
"""Where things are and go, and what computes them. Results do not depend on it, but for the motion itself and
the numbers that another kind of device draws."""


def is_place(key: str) -> bool:
    """Whether a dotted key is a place, or a part of one."""
    return any(key == place or key.startswith(f"{place}.") for place in PLACES)


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
    content, source, faults = read_shipped(path_or_name, resource_folder("configs"), "config")
    if content is None:
        raise InputError(f"{source}: is empty, expected at least the keys name and skeleton")
    return read_settings(Config, content, source, overrides, faults, _conflicts)


def config_from_dict(content: Mapping[str, Any], source: str, overrides: Sequence[str] = ()) -> Config:
    """The experiment in a dictionary as `config_to_dict` gives it, checked like a file.

    Args:
        content: the dictionary; it is not changed.
        source: what to call it in an error.
        overrides: as in `load_config`.

    Raises:
        InputError: naming ``source`` and every fault.
    """
    return read_settings(Config, content, source, overrides, conflicts=_conflicts)


def config_to_dict(config: Config) -> dict[str, Any]:
    """The experiment in the plain types of YAML and JSON, every field present."""
    content: dict[str, Any] = plain(config)
    return content


def dump_config(config: Config) -> str:
    """The experiment as the text of a file that `load_config` reads back to an equal one."""
    text: str = yaml.safe_dump(config_to_dict(config), sort_keys=False, allow_unicode=True)
    return text


def _conflicts(config: Config) -> Iterator[Fault]:
    """Faults between fields that are each right by themselves."""
    data, loss, train, step = config.data, config.loss, config.train, config.evaluation.step
    yield from _model_conflicts(config.model)
    if loss.weight > 0 and max(loss.intervals) >= data.window:
        reason = f"expected less than data.window ({data.window}), came {list(loss.intervals)}"
        yield ("loss.intervals", "data.window", "loss.weight"), reason
    if train.optimizer == "muon" and train.weight_decay != TrainConfig().weight_decay:
        reason = f"is a setting of adam, but train.optimizer is muon; came {train.weight_decay:g}"
        yield ("train.weight_decay", "train.optimizer"), reason
    if train.warmup_epochs >= train.epochs:
        reason = f"expected less than train.epochs ({train.epochs}), came {train.warmup_epochs:g}"
        yield ("train.warmup_epochs", "train.epochs"), reason
    if re.search(r"://[^/@]*:[^/@]*@", config.tracking.uri or ""):
        reason = "has a password in it that every run would show: set MLFLOW_TRACKING_URI to it"
        yield ("tracking.uri",), reason
    if step > data.window:
        reason = f"expected at most data.window ({data.window}), so that every frame is scored, came {step}"
        yield ("evaluation.step", "data.window"), reason
    if data.views != "fixed" and data.keypoints.detected:
        yield ("data.keypoints.detected", "data.views"), f"needs data.views=fixed, came {data.views}"
    for name in ("bone_scale", "body_scale", "tempo"):
        if data.views == "fixed" and getattr(data.augment, name) > 0:
            reason = "needs data.views=turned or drawn, which see the motion anew each time, came fixed"
            yield (f"data.augment.{name}", "data.views"), reason
    for one, other in combinations(("train_subjects", "validation_subjects", "test_subjects"), 2):
        if shared := set(getattr(data, one) or ()) & set(getattr(data, other) or ()):
            reason = f"expected nobody who is in data.{other} too, came {', '.join(sorted(shared))}"
            yield (f"data.{one}", f"data.{other}"), reason


def _model_conflicts(model: ModelConfig) -> Iterator[Fault]:
    """Settings of a network that is not the chosen one, and those that do not go together."""
    for item in fields(model):
        owner = item.name if is_dataclass(getattr(model, item.name)) else "ugcn"
        shared = item.name in ("name", "dropout", "input_channels", "root_relative_input")
        changed = getattr(model, item.name) != getattr(ModelConfig(), item.name)
        if changed and not shared and owner != model.name:
            reason = f"is a setting of {owner}, but model.name is {model.name}"
            yield (f"model.{item.name}", "model.name"), reason
    steps = len(model.channels) - 1
    if model.down_up_pairs is not None and model.down_up_pairs > steps:
        reason = f"expected at most {steps} with {steps + 1} channels, came {model.down_up_pairs}"
        yield ("model.down_up_pairs", "model.channels"), reason
    width, heads = model.agformer.width, model.agformer.heads
    if width % heads:
        reason = f"expected a divisor of model.agformer.width ({width}), came {heads}"
        yield ("model.agformer.heads", "model.agformer.width"), reason
