"""A second stage on what a run has left."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from gcnpose.checkpoint import load_checkpoint, save_checkpoint
from gcnpose.errors import InputError
from gcnpose.scoring import draw_hardest, evaluate_checkpoint
from gcnpose.second_stage import refine_checkpoint
from tests.runs import quiet


def test_a_second_stage(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    changes = ["refinement.epochs=2", "refinement.width=8", "evaluation.methods=[windows, whole]"]
    changes += ["refinement.root_depth=ground_truth"]  # to poses as bad as these none can be fitted
    lines: list[str] = []
    refined = refine_checkpoint(folder, changes, lines.append)
    assert refined == folder / "refined.pt"
    assert "refined on 160 frames" in lines[0]  # of A, 40 frames from 4 cameras
    report = json.loads((folder / "refined.json").read_text())
    assert report["method"] == "windows, refined, with the true root depth", "no score without its truth"
    assert list(report["other_methods"]) == ["windows", "whole"]
    before = json.loads((folder / "report.json").read_text())["mean_over_frames"]
    assert report["other_methods"]["windows"]["mean_over_frames"] == before != report["mean_over_frames"]
    assert evaluate_checkpoint(refined, [], quiet)["mean_over_frames"] == report["mean_over_frames"]
    drawn = []
    monkeypatch.setattr("gcnpose.viz.poses.draw_poses", lambda *arguments: drawn.append(arguments))
    draw_hardest(refined, [], Path("x.png"))
    draw_hardest(finished, ["evaluation.methods=[windows]"], Path("x.png"))
    assert not torch.equal(drawn[0][2], drawn[1][2]), "what is drawn is what is scored"
    assert load_checkpoint(refined)["fps"] == load_checkpoint(finished)["fps"] == 50
    first, before = load_checkpoint(refined)["model"], load_checkpoint(finished)["model"]
    assert all(torch.equal(tensor, first[name]) for name, tensor in before.items())
    with pytest.raises(InputError, match="the network is what the checkpoint has"):
        refine_checkpoint(folder, ["model.dropout=0.1"], quiet)
    with pytest.raises(InputError, match=r"has its second stage; of refinement\.\* only root_depth can be"):
        evaluate_checkpoint(refined, ["refinement.width=9"], quiet)
    content = load_checkpoint(refined)
    content["config"]["refinement"]["width"] = 9
    save_checkpoint(refined, {name: part for name, part in content.items() if name != "format"})
    with pytest.raises(InputError, match=r"refined\.pt: the weights do not fit the network: "):
        evaluate_checkpoint(refined, [], quiet)
