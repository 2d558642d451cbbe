"""Checkpoints come back whole, or are refused without running anything."""

import errno
import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gcnpose.build import build_model
from gcnpose.checkpoint import (
    FORMAT,
    load_checkpoint,
    restore_model,
    restore_refinement,
    save_checkpoint,
    save_shared,
    shipped_checkpoint,
)
from gcnpose.config import config_from_dict, config_to_dict
from gcnpose.errors import InputError
from gcnpose.nn.refinement import Refinement
from gcnpose.skeleton import Skeleton
from tests.experiments import small_config

SKELETON = Skeleton.load("h36m17")


@pytest.fixture
def content(tmp_path: Path) -> dict[str, Any]:
    config = small_config(tmp_path)
    return {
        "config": config_to_dict(config),
        "skeleton": SKELETON.to_dict(),
        "model": build_model(config, SKELETON).state_dict(),
        "epoch": 7,
        "yardsticks": {"mean_pose": torch.zeros(17, 3), "linear": torch.zeros(35, 51)},
    }


@pytest.fixture
def saved(tmp_path: Path, content: dict[str, Any]) -> Path:
    path = tmp_path / "network.pt"
    save_checkpoint(path, content)
    return path


def torch_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def zip_bytes(**files: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_network_comes_back(saved: Path, content: dict[str, Any]) -> None:
    loaded = load_checkpoint(saved)
    config, skeleton, model = restore_model(loaded, saved)
    assert loaded["epoch"] == 7
    assert config_to_dict(config) == content["config"]
    assert skeleton == SKELETON
    assert not model.training
    assert model.state_dict().keys() == content["model"].keys()
    assert all(torch.equal(value, content["model"][name]) for name, value in model.state_dict().items())
    assert not saved.with_name("network.pt.part").exists()


def disk_full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_one(
    saved: Path, content: dict[str, Any], call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    monkeypatch.setattr(os, call, disk_full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(saved, {**content, "epoch": 8})
    assert saved.read_bytes() == before
    assert not list(saved.parent.glob("*.part"))


def test_a_disk_that_fills_up(saved: Path, content: dict[str, Any]) -> None:
    resource = pytest.importorskip("resource")
    before = saved.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_checkpoint(saved, {**content, "epoch": 8})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert not list(saved.parent.glob("*.part"))


def test_what_a_killed_write_left_is_in_nobodys_way(saved: Path, content: dict[str, Any]) -> None:
    saved.with_name("network.pt.part").write_bytes(b"half")
    save_checkpoint(saved, {**content, "epoch": 8})
    assert load_checkpoint(saved)["epoch"] == 8
    assert not list(saved.parent.glob("*.part"))


def test_truncated_anywhere(saved: Path) -> None:
    whole = saved.read_bytes()
    for length in range(0, len(whole), len(whole) // 50):
        saved.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"network\.pt: .*truncated, damaged or of another program$"):
            load_checkpoint(saved)


FOREIGN = {
    "empty": b"",
    "text": b"epochs: 3\n" * 100,
    "pickle": b"\x80\x02cnot a pickle",
    "protocol": b"\x80\x7f" + bytes(range(256)),
    "zip": zip_bytes(),
    "text in a zip": zip_bytes(**{"readme.txt": "hello"}),
    "module": torch_bytes(nn.Linear(2, 2)),
    "weights": torch_bytes({"state_dict": {"weight": torch.zeros(2)}}),
    "list": torch_bytes([1, 2, 3]),
    "later format": torch_bytes({"format": "gcnpose checkpoint 99"}),
    "few parts": torch_bytes({"format": FORMAT, "epoch": 1}),
}


@pytest.mark.parametrize("foreign", FOREIGN.values(), ids=FOREIGN)
def test_foreign(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "foreign.pt"
    path.write_bytes(foreign)
    with pytest.raises(InputError, match=r"^.*foreign\.pt: ") as caught:
        load_checkpoint(path)
    assert "weights_only" not in str(caught.value), "nobody is to be told to run the code of a file"


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pt", tmp_path):
        with pytest.raises(InputError, match="no such checkpoint"):
            load_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("archive", [True, False])
def test_a_hostile_file_runs_nothing(tmp_path: Path, protocol: int, archive: bool) -> None:
    harm, path = tmp_path / "harm", tmp_path / "hostile.pt"
    hostile = {"format": FORMAT, "config": Harmful(harm)}
    if archive:
        torch.save(hostile, path, pickle_protocol=protocol)
    else:
        path.write_bytes(pickle.dumps(hostile, protocol))
    with pytest.raises(InputError, match=r"hostile\.pt"):
        load_checkpoint(path)
    assert not harm.exists()
    pickle.loads(pickle.dumps(Harmful(harm)))
    assert harm.exists(), "the file would have done harm"


def test_missing_parts_are_named(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["model"], content["yardsticks"]
    save_checkpoint(tmp_path / "less.pt", content)
    with pytest.raises(InputError, match=r"less\.pt: the checkpoint lacks model, yardsticks$"):
        load_checkpoint(tmp_path / "less.pt")


def test_weights_of_another_network(content: dict[str, Any]) -> None:
    for wrong in ({**content["config"], "model": {"channels": [4, 9]}}, {**content["config"], "model": {}}):
        with pytest.raises(InputError, match=r"x\.pt: the weights do not fit the network: ") as caught:
            restore_model({**content, "config": wrong}, "x.pt")
        assert len(str(caught.value)) < 400
    with pytest.raises(InputError, match=r"x\.pt: the weights do not fit"):
        restore_model({**content, "model": [1]}, "x.pt")


def test_config_and_skeleton_are_checked(content: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"x\.pt: train\.epoch: unknown key, did you mean train\.epochs\?"):
        restore_model({**content, "config": {**content["config"], "train": {"epoch": 1}}}, "x.pt")
    with pytest.raises(InputError, match=r"x\.pt"):
        restore_model({**content, "skeleton": {"name": "broken"}}, "x.pt")


# The format that models are shared in


def test_a_shared_checkpoint_is_the_same_to_half_precision(saved: Path, tmp_path: Path) -> None:
    settings = config_from_dict(load_checkpoint(saved)["config"], "saved").refinement
    second_stage = Refinement(SKELETON.num_joints, settings.width, settings.dropout)
    content = {**load_checkpoint(saved), "refinement": second_stage.state_dict()}
    path = tmp_path / "network.safetensors"
    content["config"] |= {"device": "cuda:3", "data": {**content["config"]["data"], "keep": "disk"}}
    save_shared(path, {**content, "optimizer": {"state": 1}, "fps": 25.0})
    shared = load_checkpoint(path)
    assert "device" not in shared["config"] and "keep" not in shared["config"]["data"]
    assert shared["config"]["data"]["path"] == "motion.npz" and "tracking" not in shared["config"]
    assert shared.keys() == {
        *("format", "config", "skeleton", "model", "refinement", "epoch", "yardsticks", "fps")
    }
    assert shared["fps"] == 25
    for name in ("skeleton", "epoch", "format"):
        assert shared[name] == content[name]
    for part in ("model", "refinement", "yardsticks"):
        assert shared[part].keys() == content[part].keys()
        for name, tensor in content[part].items():
            tolerance = {"rtol": 1e-3, "atol": 1e-7} if part == "model" and tensor.dim() > 1 else {}
            torch.testing.assert_close(shared[part][name], tensor, **tolerance)
    restored = restore_refinement(shared, path)
    assert restored is not None
    torch.testing.assert_close(restored.state_dict(), dict(second_stage.state_dict()))
    x = torch.randn(1, 16, 17, 2)
    _, _, ours = restore_model(shared, path)
    _, _, theirs = restore_model(content, saved)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("damage", ["cut off", "cut short", "another file", "other metadata"])
def test_a_damaged_shared_checkpoint_is_one_message(damage: str, saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_shared(path, load_checkpoint(saved))
    whole = path.read_bytes()
    damaged = {
        "cut off": whole[:1000],
        "cut short": whole[:-1000],
        "another file": b"{}",
        "other metadata": whole.replace(b"format", b"farmot"),
    }
    path.write_bytes(damaged[damage])
    with pytest.raises(InputError, match=f"^{path}: (cannot be read as a checkpoint|not a checkpoint of)"):
        load_checkpoint(path)


def test_the_network_that_comes_with_gcnpose() -> None:
    path = shipped_checkpoint()
    _, skeleton, model = restore_model(load_checkpoint(path), path)
    assert skeleton == SKELETON and model.input_channels == 2
    assert path.stat().st_size < 5e6
    card = path.with_name("README.md").read_text(encoding="utf-8")
    assert "mocap.cs.cmu.edu" in card and (path.parent / "LICENCE.txt").is_file()
