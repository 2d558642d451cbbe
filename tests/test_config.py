import ast
import re
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from gcnpose import config as config_module
from gcnpose.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    ModelConfig,
    TrainConfig,
    config_from_dict,
    config_to_dict,
    dump_config,
    load_config,
)
from gcnpose.errors import InputError
from gcnpose.resources import resource_folder
from gcnpose.settings import flatten

SHIPPED = sorted(resource_folder("configs").glob("*.yaml"))
MINIMAL = "name: trial\nskeleton: h36m17\n"


def load(tmp_path: Path, text: str | bytes, *overrides: str) -> Config:
    path = tmp_path / "trial.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_config(path, overrides)


def faults(tmp_path: Path, text: str | bytes, *overrides: str) -> list[str]:
    """The faults reported, without the folder of the file, in the order of the message."""
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, *overrides)
    lines = str(caught.value).replace(f"{tmp_path}/", "").split("\n  ")
    if len(lines) == 1:
        return lines
    assert lines[0] == f"{len(lines) - 1} faults:"
    return lines[1:]


def test_there_are_shipped_configs() -> None:
    assert SHIPPED


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_config_loads_by_path_and_by_name(path: Path) -> None:
    assert load_config(path) == load_config(path.stem) == load_config(str(path))
    assert load_config(path).name == path.stem


def test_defaults_fill_what_is_left_out(tmp_path: Path) -> None:
    assert load(tmp_path, MINIMAL) == Config(name="trial", skeleton="h36m17")
    assert load(tmp_path, MINIMAL + "train:\n  # epochs: 3\n") == Config(name="trial", skeleton="h36m17")


def test_defaults_are_valid_themselves() -> None:
    config = Config(name="trial", skeleton="h36m17")
    assert config_from_dict(config_to_dict(config), "defaults") == config


def test_values_take_the_declared_types(tmp_path: Path) -> None:
    text = MINIMAL + "data: {fps: 50, train_subjects: [S1, S5]}\n"
    config = load(tmp_path, text + "model: {input_channels: 3}\nloss: {operators: [inner]}\n")
    assert config.data == DataConfig(fps=50.0, train_subjects=("S1", "S5"))
    assert isinstance(config.data.fps, float)
    assert config.model == ModelConfig(input_channels=3)
    assert config.loss == LossConfig(operators=("inner",))


NUMBERS = [("1e-3", 0.001), ("1E3", 1000.0), (".5e+1", 5.0), ("2", 2.0), ("0.25", 0.25)]


@pytest.mark.parametrize("text, value", NUMBERS)
def test_numbers_that_yaml_reads_otherwise_become_floats(tmp_path: Path, text: str, value: float) -> None:
    for config in (
        load(tmp_path, f"{MINIMAL}train: {{learning_rate: {text}}}"),
        load(tmp_path, MINIMAL, f"train.learning_rate={text}"),
    ):
        assert config.train.learning_rate == value
        assert type(config.train.learning_rate) is float


def test_config_is_frozen(tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        load(tmp_path, MINIMAL).seed = 3  # type: ignore[misc]


def test_round_trip_through_dictionary_and_text(tmp_path: Path) -> None:
    config = Config(
        name="trial",
        skeleton="graphs/h36m17.yaml",
        data=DataConfig(path="bewegung-ä.npz", fps=50.0, test_subjects=("7", "on")),
        train=TrainConfig(epochs=3, milestones=(), learning_rate=1e-7, gradient_clip=1.0),
    )
    content = config_to_dict(config)
    assert content["data"]["test_subjects"] == ["7", "on"]
    assert config_from_dict(content, "checkpoint") == config
    assert config_from_dict(yaml.safe_load(yaml.safe_dump(content)), "checkpoint") == config
    assert load(tmp_path, dump_config(config)) == config


UNUSABLE = [
    ("epochs: 5", "epochs: unknown key, did you mean train.epochs or refinement.epochs?"),
    ("step: 5", "step: unknown key, did you mean data.step or evaluation.step?"),
    ("colour: red", "colour: unknown key"),
    ("7: red", "7: unknown key"),
    ("trian: {epochs: 5}", "trian: unknown key, did you mean train?"),
    ("train: {epoch: 5}", "train.epoch: unknown key, did you mean train.epochs?"),
    ("data: {augment: {flips: 1}}", "data.augment.flips: unknown key, did you mean data.augment.flip?"),
    ("train: 5", "train: expected keys and values, came 5"),
    ("train: {epochs: 5.0, milestones: []}", "train.epochs: expected a whole number, came 5.0"),
    ("train: {epochs: true}", "train.epochs: expected a whole number, came True"),
    ("train: {epochs: 1e2}", "train.epochs: expected a whole number, came '1e2'"),
    ("train: {epochs: }", "train.epochs: expected a whole number, came None"),
    ("train: {decay: true}", "train.decay: expected a number, came True"),
    ("train: {decay: fast}", "train.decay: expected a number, came 'fast'"),
    (f"train: {{epochs: {10**12}}}", "train.epochs: expected a whole number below 10^12, came 1000000000000"),
    ("train: {decay: .nan}", "train.decay: expected a finite number, came nan"),
    ("train: {learning_rate: .inf}", "train.learning_rate: expected a finite number, came inf"),
    ("train: {learning_rate: 1e999}", "train.learning_rate: expected a finite number, came inf"),
    (f"train: {{learning_rate: {10**400}}}", "train.learning_rate: expected a finite number, came inf"),
    ("train: {compile: 1}", "train.compile: expected true or false, came 1"),
    ("output: 7", "output: expected text, came 7 (YAML takes it for text only in quotes)"),
    ("output: [a]", "output: expected text, came ['a']"),
    ("loss: {operators: cross}", "loss.operators: expected a list such as [a, b], came 'cross'"),
    (
        "loss: {operators: [cross, iner, 3]}",
        "loss.operators[1]: expected one of subtraction, inner, cross, came 'iner', did you mean inner?",
        "loss.operators[2]: expected one of subtraction, inner, cross, came 3",
    ),
    ("loss: {distance: L1}", "loss.distance: expected one of l1, l2, came 'L1', did you mean l1?"),
    ("model: {input_channels: 2.0}", "model.input_channels: expected one of 2, 3, came 2.0"),
    ("loss: {operators: []}", "loss.operators: expected at least one entry and none twice, came []"),
    (
        "loss: {intervals: [8, 8]}",
        "loss.intervals: expected at least one interval, each at least 1 and none twice, came [8, 8]",
    ),
    ("model: {channels: [16, 0]}", "model.channels: expected widths of at least 1, came [16, 0]"),
    ("model: {channels: []}", "model.channels: expected widths of at least 1, came []"),
    ("model: {temporal_kernel: 4}", "model.temporal_kernel: expected an odd number of at least 1, came 4"),
    ("model: {dropout: 1}", "model.dropout: expected at least 0 and less than 1, came 1"),
    (
        "model: {name: video}",
        "model.name: expected one of ugcn, simple_baseline, videopose3d, agformer, came 'video', "
        "did you mean videopose3d?",
    ),
    (
        "model: {name: videopose3d, videopose3d: {filter_widths: [3, 4]}}",
        "model.videopose3d.filter_widths: expected at least one odd number, each at least 1, came [3, 4]",
    ),
    ("data: {augment: {flip: 1.5}}", "data.augment.flip: expected 0 to 1, came 1.5"),
    ("data: {keypoints: {detected: 1}}", "data.keypoints.detected: expected true or false, came 1"),
    (
        "data: {keypoints: {ground_truth_weight: 1.5}}",
        "data.keypoints.ground_truth_weight: expected 0 to 1, came 1.5",
    ),
    ("data: {keypoints: {noise: 2}}", "data.keypoints.noise: expected keys and values, came 2"),
    (
        "data: {keypoints: {noise: {scale: -1, joint_errors: [0, 0], swap_rate: 1, smooth_frames: 0}}}",
        "data.keypoints.noise.scale: expected at least 0, came -1",
        "data.keypoints.noise.joint_errors: expected no error below 0 and one above, came [0, 0]",
        "data.keypoints.noise.smooth_frames: expected at least 1, came 0",
        "data.keypoints.noise.swap_rate: expected at least 0 and less than 1, came 1",
    ),
    ("data: {window: 0}", "data.window: expected at least 1, came 0"),
    ("data: {fps: 0}", "data.fps: expected above 0, came 0"),
    ("data: {path: ''}", "data.path: expected text that is not empty, came ''"),
    ("train: {milestones: [5, 4]}", "train.milestones: expected increasing epochs from 1 on, came [5, 4]"),
    ("train: {milestones: [0, 4]}", "train.milestones: expected increasing epochs from 1 on, came [0, 4]"),
    ("seed: -1", "seed: expected 0 to 4294967295, came -1"),
    ("device: gpu", "device: expected auto, cpu, cuda, cuda:N or mps, came 'gpu'"),
]


@pytest.mark.parametrize("case", UNUSABLE, ids=lambda case: case[0][:40])
def test_unusable_keys_and_values_are_named(tmp_path: Path, case: tuple[str, ...]) -> None:
    text, *expected = case
    assert faults(tmp_path, MINIMAL + text) == [f"trial.yaml: {fault}" for fault in expected]


@pytest.mark.parametrize("name", ["../up", "", ".hidden", "a b", "ä", "a\n"])
def test_name_must_do_as_a_folder(name: str) -> None:
    message = f"expected letters, digits, '.', '_' and '-', beginning with a letter or digit, came {name!r}"
    with pytest.raises(InputError, match=re.escape(f"here: name: {message}")):
        config_from_dict({"name": name, "skeleton": "h36m17"}, "here")


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps"])
def test_devices(tmp_path: Path, device: str) -> None:
    assert load(tmp_path, f"{MINIMAL}device: {device}").device == device


CONFLICTS = [
    ("data: {window: 24}", "loss.intervals: expected less than data.window (24), came [8, 12, 16, 24]"),
    (
        "train: {warmup_epochs: 7, epochs: 7, schedule: one_cycle}",
        "train.warmup_epochs: expected less than train.epochs (7), came 7",
    ),
    (
        "evaluation: {step: 97}",
        "evaluation.step: expected at most data.window (96), so that every frame is scored, came 97",
    ),
    (
        "data: {train_subjects: [S1, S5, S9], test_subjects: [S9, S1]}",
        "data.train_subjects: expected nobody who is in data.test_subjects too, came S1, S9",
    ),
    (
        "tracking: {uri: 'http://me:secret@host'}",
        "tracking.uri: has a password in it that every run would show: set MLFLOW_TRACKING_URI to it",
    ),
    (
        "model: {name: videopose3d, merge: false}",
        "model.merge: is a setting of ugcn, but model.name is videopose3d",
    ),
    (
        "model: {videopose3d: {filter_widths: [3, 3]}}",
        "model.videopose3d: is a setting of videopose3d, but model.name is ugcn",
    ),
    (
        "model: {name: agformer, agformer: {heads: 5}}",
        "model.agformer.heads: expected a divisor of model.agformer.width (64), came 5",
    ),
]


@pytest.mark.parametrize("text, fault", CONFLICTS)
def test_fields_that_do_not_fit_each_other(tmp_path: Path, text: str, fault: str) -> None:
    assert faults(tmp_path, MINIMAL + text) == [f"trial.yaml: {fault}"]


def test_fields_that_do_fit_each_other(tmp_path: Path) -> None:
    load(tmp_path, MINIMAL + "data: {window: 25}")
    load(tmp_path, MINIMAL + "train: {epochs: 101}")
    load(tmp_path, MINIMAL + "train: {epochs: 2, schedule: one_cycle}")
    load(tmp_path, MINIMAL + "data: {window: 1}\nloss: {weight: 0}\nevaluation: {step: 1}")
    load(tmp_path, MINIMAL + "model: {name: simple_baseline, dropout: 0.25, input_channels: 3, merge: true}")


def test_all_faults_of_file_and_overrides_come_at_once(tmp_path: Path) -> None:
    text = "name: a/b\ntrain: {epochs: ten, epoch: 3, decay: 2}\ndata: {window: 5}\nseed: 1\nseed: 2\n"
    overrides = ["model.droput=0.1", "loss.distance=l3", "device", "output=["]
    found = faults(tmp_path, text, *overrides, "tracking={uri: a, uri: b}", "seed.x=1")
    yaml_fault = next(fault for fault in found if "is not YAML" in fault)
    assert yaml_fault.startswith("override 'output=[': is not YAML: ")
    found.remove(yaml_fault)
    assert sorted(found) == sorted(
        [
            "trial.yaml: seed: given again in line 5",
            "override 'device': expected key=value, such as train.epochs=2",
            "override 'tracking={uri: a, uri: b}': tracking.uri: given again in line 1",
            "override 'seed.x=1': seed: is not a section, so 'seed.x' is no key",
            "trial.yaml: skeleton: missing, it has no default",
            "trial.yaml: name: expected letters, digits, '.', '_' and '-', beginning with a letter or digit, "
            "came 'a/b'",
            "trial.yaml: train.epoch: unknown key, did you mean train.epochs?",
            "trial.yaml: train.epochs: expected a whole number, came 'ten'",
            "trial.yaml: train.decay: expected above 0, at most 1, came 2",
            "override 'model.droput=0.1': model.droput: unknown key, did you mean model.dropout?",
            "override 'loss.distance=l3': loss.distance: expected one of l1, l2, came 'l3'",
            "trial.yaml: loss.intervals: expected less than data.window (5), came [8, 12, 16, 24]",
        ]
    )


def test_overrides_replace_what_the_file_says(tmp_path: Path) -> None:
    text = MINIMAL + "train: {epochs: 4, milestones: [2]}\ndata: {path: a.npz}\nevaluation:\n"
    overrides = ["train.epochs=5", "train.epochs=6", "data.path=", "data.test_subjects=[S1, S2]"]
    overrides += ["evaluation.flip=no", "tracking.uri=http://localhost:5000", "model={merge: false}"]
    config = load(tmp_path, text, *overrides)
    assert config.train == TrainConfig(epochs=6, milestones=(2,))
    assert config.data == DataConfig(path=None, test_subjects=("S1", "S2"))
    assert config.evaluation == EvaluationConfig(flip=False)
    assert config.tracking.uri == "http://localhost:5000"
    assert config.model == ModelConfig(merge=False)


@pytest.mark.parametrize(
    "override, fault",
    [
        ("train.epoch=2", "train.epoch: unknown key, did you mean train.epochs?"),
        ("trian.epochs=2", "trian: unknown key, did you mean train?"),
        ("train.epochs=two", "train.epochs: expected a whole number, came 'two'"),
        ("train=2", "train: expected keys and values, came 2"),
        ("name=", "name: expected text, came None"),
        ("loss.operators=[oo]", "loss.operators[0]: expected one of subtraction, inner, cross, came 'oo'"),
        ("device.index=2", "device: expected text, came {'index': 2}"),
        ("=2", "expected key=value, such as train.epochs=2"),
        ("train..epochs=2", "expected key=value, such as train.epochs=2"),
    ],
)
def test_faults_of_an_override_name_it(tmp_path: Path, override: str, fault: str) -> None:
    assert faults(tmp_path, MINIMAL, override) == [f"override {override!r}: {fault}"]


def test_repeated_keys_of_sections_are_named(tmp_path: Path) -> None:
    text = MINIMAL + "train:\n  epochs: 200\n  decay: 0.5\n  epochs: 300\n"
    assert faults(tmp_path, text) == ["trial.yaml: train.epochs: given again in line 6"]


def test_more_pairs_than_steps(tmp_path: Path) -> None:
    assert faults(tmp_path, MINIMAL + "model: {channels: [4, 8], down_up_pairs: 2}\n") == [
        "trial.yaml: model.down_up_pairs: expected at most 1 with 2 channels, came 2"
    ]


def test_an_anchor_that_contains_itself_ends(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, MINIMAL + "train: &a {epochs: *a}")
    assert fault.startswith("trial.yaml: train.epochs: expected a whole number, came {'epochs': {")


@pytest.mark.parametrize("name", ["bone_scale", "body_scale", "tempo"])
def test_fixed_views_cannot_be_varied(tmp_path: Path, name: str) -> None:
    (fault,) = faults(tmp_path, MINIMAL + f"data: {{augment: {{{name}: 0.1}}}}")
    assert fault.startswith(f"trial.yaml: data.augment.{name}: needs data.views=turned or drawn, which see")


@pytest.mark.parametrize(
    "text, fault",
    [
        (b"", "is empty, expected at least the keys name and skeleton"),
        (b"# nothing\n", "is empty, expected at least the keys name and skeleton"),
        (b"name: [1", "is not YAML: "),
        (b"name: !!python/object:os.system {}", "is not YAML: "),
        (b"name: 2024-99-99", "is not YAML: "),
        (b"name: !!bool maybe", "is not YAML: "),
        (b"name: !!int ''", "is not YAML: "),
        (b"name: !!timestamp x", "is not YAML: "),
        (b"\x80\x81\xff", "is not YAML: "),
        (b"a: 1\n---\na: 2", "is not YAML: "),
        (b"[" * 20000, "is not YAML: "),
        (b"- name", "expected keys and values, came ['name']"),
        (b"name", "expected keys and values, came 'name'"),
    ],
)
def test_a_file_that_is_no_experiment_gets_one_line(tmp_path: Path, text: bytes, fault: str) -> None:
    (line,) = faults(tmp_path, text)
    assert line.startswith(f"trial.yaml: {fault}")
    assert "\n" not in line


def test_a_missing_file_is_told_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "ugcm.yaml"
    with pytest.raises(InputError, match=r"no such config, did you mean ugcn.*; shipped configs: ") as caught:
        load_config(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(InputError, match=r"^ugcm: no such config, did you mean ugcn"):
        load_config("ugcm")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path}: cannot be read: ")):
        load_config(tmp_path)


def test_a_dictionary_names_its_source() -> None:
    with pytest.raises(InputError, match=r"^last\.pt: train.epochs: expected a whole number, came 'many'$"):
        config_from_dict({"name": "a", "skeleton": "h36m17", "train": {"epochs": "many"}}, "last.pt")
    with pytest.raises(InputError, match=r"^last\.pt: expected keys and values, came None$"):
        config_from_dict(None, "last.pt")  # type: ignore[arg-type]


def test_every_field_has_a_docstring_of_one_line() -> None:
    tree = ast.parse(Path(config_module.__file__).read_text(encoding="utf-8"))
    fields_seen = 0
    for section in (node for node in tree.body if isinstance(node, ast.ClassDef)):
        for item, following in pairwise([*section.body, ast.Pass()]):
            if isinstance(item, ast.AnnAssign):
                fields_seen += 1
                source = ast.unparse(following)
                assert source[0] in "'\"" and "\\n" not in source, f"{section.name}: {ast.unparse(item)}"
    assert fields_seen > 0


def test_replaced_config_can_be_checked_again() -> None:
    config = replace(Config(name="a", skeleton="h36m17"), seed=-1)
    with pytest.raises(InputError, match=r"^grid: seed: expected 0 to 4294967295, came -1$"):
        config_from_dict(config_to_dict(config), "grid")


def test_flatten_gives_dotted_keys() -> None:
    assert flatten({"a": 1, "b": {"c": [2, 3], "d": {"e": None}}, "f": {}}) == {
        "a": 1,
        "b.c": [2, 3],
        "b.d.e": None,
    }
