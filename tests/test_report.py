"""Reports as they are printed and written, from scores that are known."""

import csv
import dataclasses
import errno
import json
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gcnpose.data.camera import h36m_rig
from gcnpose.data.motion import MotionSet
from gcnpose.data.sequence import MotionSequence
from gcnpose.data.views import Views, fixed_views
from gcnpose.evaluation import Yardsticks, evaluate
from gcnpose.protocols import H36M_COLUMNS, PROTOCOLS
from gcnpose.published import published_rows
from gcnpose.report import format_report, write_report
from gcnpose.skeleton import Skeleton

CPU = torch.device("cpu")
SKELETON = Skeleton.load("h36m17")
METRICS = {"mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "mpjve_mm", "acceleration_mm", "pck_150mm", "auc"}


def perfect(views: Views) -> Any:
    return lambda inputs: [views.pose_3d[clip.rows] for clip in views.clips]


def tiny_views() -> Views:
    """Clips of 1, 2 and 5 frames: an action without any step, one without any acceleration, one with both."""
    random = np.random.default_rng(0)
    sequences = [
        MotionSequence("A", name, random.normal(0, 0.3, (frames, 17, 3)).astype(np.float32))
        for name, frames in (("stand", 1), ("blink", 2), ("walk", 5))
    ]
    return fixed_views(MotionSet(SKELETON, 50.0, sequences), h36m_rig(), seed=0)


def tiny_report() -> dict[str, Any]:
    views = tiny_views()
    smaller = [0.9 * views.pose_3d[clip.rows] for clip in views.clips]
    lifts = {"windows": lambda inputs: smaller, "whole": perfect(views)}
    return evaluate(lifts, views, "made up", Yardsticks.fit(views), CPU)


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def test_written_report(tmp_path: Path) -> None:
    report = tiny_report()
    assert math.isnan(report["per_action"]["stand"]["mpjve_mm"])
    write_report(report, tmp_path / "scores.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.csv", "scores.json"]
    written = json.loads((tmp_path / "scores.json").read_text(), parse_constant=refuse_constant)
    assert written["per_action"]["stand"]["mpjve_mm"] is None
    assert written["per_action"]["blink"]["acceleration_mm"] is None
    assert written["mean_over_frames"] == report["mean_over_frames"]
    assert written["mean_over_actions"] == report["mean_over_actions"]
    assert written["yardsticks"] == report["yardsticks"]
    assert written["per_action"]["walk"] == report["per_action"]["walk"]

    with (tmp_path / "scores.csv").open(newline="") as file:
        rows = {row["action"]: row for row in csv.DictReader(file)}
    means = [
        "mean_over_actions",
        "mean_over_frames",
        "whole",
        "yardstick_mean_pose",
        "yardstick_linear",
    ]
    assert list(rows) == ["stand", "blink", "walk", *means]
    assert set(rows["walk"]) == METRICS | {"action", "frames"}
    assert rows["stand"]["mpjve_mm"] == ""
    assert float(rows["walk"]["mpjpe_mm"]) == report["per_action"]["walk"]["mpjpe_mm"]
    assert float(rows["whole"]["mpjpe_mm"]) == 0
    assert rows["walk"]["frames"] == "20"


@pytest.mark.parametrize("full", [".json", ".csv"])
def test_a_report_that_cannot_be_written(tmp_path: Path, full: str, monkeypatch: pytest.MonkeyPatch) -> None:
    write_report(tiny_report(), tmp_path / "scores.json")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    replace = os.replace

    def replace_some(source: Path, target: Path) -> None:
        if target.suffix == full:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", replace_some)
    with pytest.raises(OSError, match="No space left"):
        write_report({**tiny_report(), "frames": 0}, tmp_path / "scores.json")
    monkeypatch.undo()
    assert (tmp_path / f"scores{full}").read_bytes() == before[f"scores{full}"]
    assert {path.name for path in tmp_path.iterdir()} == set(before)


def test_printed_report() -> None:
    report = {**tiny_report(), "seconds": 2.0}
    lines = format_report(report).splitlines()
    assert all(
        title in lines[1] for title in ("MPJPE", "P-MPJPE", "N-MPJPE", "MPJVE", "accel.", "PCK", "AUC")
    )
    names = [line.split("  ")[0] for line in lines]
    for name in ("stand", "walk", "mean over actions", "mean over frames", "whole, over frames"):
        assert name in names
    (walk,) = [line for line in lines if line.startswith("walk")]
    assert walk.split()[1] == f"{report['per_action']['walk']['mpjpe_mm']:.2f}"
    assert "yardstick linear, over frames" in names
    frames = "32 frames in 12 clips, 2D: made up (0.0 px from the projected 3D in an image 1000 px wide)"
    assert frames in lines
    assert any(line.startswith("protocol generic: predicted root as predicted") for line in lines)
    assert any(line.startswith("averaging: within an action every frame alike") for line in lines)
    assert "lifted by windows: 2.0 s (16 frames/s)" in lines
    assert lines[-1].startswith("lifted by whole: ")


# Beside the published tables


def protocol_report(name: str, error_px: float = 0.0, **changes: Any) -> dict[str, Any]:
    """Of sequences that the protocol scores, predicted off by 10 mm along x in all joints but the root."""
    subjects = {"h36m": "S9", "h36m-motionbert": "S9", "mpi-inf-3dhp": "", "humaneva": "Validate-"}
    names = {"mpi-inf-3dhp": ("TS1", "TS4", "TS6"), "humaneva": ("S1", "S2")}.get(name, tuple(H36M_COLUMNS))
    protocol = PROTOCOLS[name]
    skeleton = Skeleton.load(protocol.skeleton or "h36m17")
    random = np.random.default_rng(0)
    sequences = []
    for number, sequence in enumerate(names):
        poses = random.normal(0, 0.3, (3 + number, skeleton.num_joints, 3)).astype(np.float32)
        alone = name in ("mpi-inf-3dhp", "humaneva")
        subject = f"{subjects[name]}{sequence}" if alone else subjects[name]
        sequences.append(MotionSequence(subject, "Walking 1" if name == "humaneva" else sequence, poses))
    if "S11" in protocol.subjects:
        sequences.append(dataclasses.replace(sequences[0], subject="S11", name="Walking"))
    views = fixed_views(MotionSet(skeleton, 50.0, sequences), h36m_rig()[:1], seed=0)
    off = torch.zeros(skeleton.num_joints, 3)
    off[:, 0] = 0.01
    off[skeleton.root_index] = 0

    def lift(inputs: list[Tensor]) -> list[Tensor]:
        return [views.pose_3d[clip.rows] + off for clip in views.clips]

    report = evaluate({"windows": lift}, views, "made up", Yardsticks.fit(views), CPU, protocol)
    return {**report, "keypoints_error_px": error_px, **changes}


def table_after(text: str, title: str) -> list[list[str]]:
    """Rows of a printed table: its name, and its cells."""
    lines = text.splitlines()
    (start,) = [number for number, line in enumerate(lines) if line.startswith(title)]
    end = lines.index("", start)
    widest = max(map(len, lines[start + 1 : end]))
    assert lines[start + 2] == "-" * widest
    return [[row[:50].split("  ")[0], *row.split()] for row in (lines[start + 1], *lines[start + 3 : end])]


def test_h36m_beside_table_7_with_the_truth_as_2d() -> None:
    header, *rows = table_after(
        format_report(protocol_report("h36m")), "MPJPE, mm, beside the paper's Table 7"
    )
    assert header[1:] == [*H36M_COLUMNS.values(), "Ave."]
    ugcn = next(row for row in published_rows("Human3.6M") if (row.table, row.method) == ("Table 7", "UGCN"))
    assert rows[-2][0] == "UGCN"
    assert [float(cell) for cell in rows[-2][2:]] == list(ugcn.values.values())
    assert rows[-1][0] == "this run, windows"
    assert rows[-1][-16:] == [f"{10 * 16 / 17:.1f}"] * 16
    assert [row[0] for row in rows[:-1]] == [
        "Pavlakos [25]",
        "Martinez [17]",
        "Hossain [30]",
        "Lee [13]",
        "Pavllo [27]",
        "Cai [2]",
        "Lin [15]",
        "UGCN",
    ]
    pavllo = next(row for row in rows if row[0] == "Pavllo [27]")
    assert pavllo[-16:] == ["-"] * 15 + ["37.2"], "the paper prints its average alone"


def test_h36m_beside_tables_6_and_8_with_detected_2d() -> None:
    text = format_report(protocol_report("h36m", error_px=6.5))
    rows = table_after(text, "MPJPE, mm, beside the paper's Table 6 (detected 2D)")
    assert len(rows) == 1 + 19 + 1
    assert len(table_after(text, "P-MPJPE, mm, beside the paper's Table 6")) == 1 + 13 + 1
    velocities = table_after(text, "MPJVE, mm, beside the paper's Table 8 (detected 2D)")
    assert [row[0] for row in velocities[1:-1]][-1] == "UGCN (CPN)"
    assert velocities[-1][-16:] == ["0.00"] * 16, "two decimals, as VideoPose3D gives them"


def test_mpi_inf_3dhp_beside_table_9() -> None:
    text = format_report(protocol_report("mpi-inf-3dhp"))
    header, *rows = table_after(text, "mm and %, beside the paper's Table 9 (ground-truth 2D)")
    assert header[1:] == ["PCK", "%", "AUC", "%", "MPJPE"]
    assert rows[0] == ["Mehta [20]", "Mehta", "[20]", "75.7", "39.3", "-"]
    assert rows[-2][-3:] == ["86.9", "62.1", "68.1"]
    assert rows[-1][0] == "this run, windows"
    assert rows[-1][-3] == "100.0"
    assert rows[-1][-1] == f"{10 * 16 / 17:.1f}"
    assert header_of(text, "By joints") == ["Head", "Neck", "Shou", "Elbow", "Wrist", "Hip", "Knee", "Ankle"]
    names = [line.split("  ")[0] for line in text.splitlines()]
    assert {"TS1", "TS4", "TS6", "GS", "noGS", "Outdoor"} <= set(names)
    assert "NOT the whole test set: without TS2, TS3, TS5" in names


def header_of(text: str, title: str) -> list[str]:
    lines = text.splitlines()
    return lines[next(n for n, line in enumerate(lines) if line.startswith(title)) + 1].split()


def test_a_test_set_with_other_frames_is_named() -> None:
    every = {name: {"frames": 1} for name in PROTOCOLS["mpi-inf-3dhp"].columns}
    whole = protocol_report("mpi-inf-3dhp")
    some = next(iter(whole["per_action"].values()))
    per_action = {name: {**some, **frames} for name, frames in every.items()}
    text = format_report({**whole, "per_action": per_action})
    assert "NOT the test set as published, which has 2929 frames" in text.splitlines()
    text = format_report({**whole, "per_action": per_action, "frames": 2929})
    assert "NOT the " not in text


@pytest.mark.parametrize("name", ["h36m-motionbert", "humaneva"])
def test_nothing_published_compares(name: str) -> None:
    text = format_report(protocol_report(name))
    assert "beside the paper's" not in text
    header, run = table_after(text, "MPJPE, mm")
    assert header[-1] == "Ave."
    assert run[0] == "this run, windows"


def test_a_report_names_what_it_depends_on() -> None:
    text = format_report(protocol_report("h36m", error_px=6.49))
    lines = text.splitlines()
    assert any(line.startswith("mean over actions: MPJPE 9.4, P-MPJPE ") for line in lines)
    assert any(line.startswith("protocol h36m: VideoPose3D's: predicted root as predicted") for line in lines)
    assert any(line.startswith("averaging: within each of 15 actions every frame alike") for line in lines)
    frames = sum(range(3, 18)) + 3  # of S9, and one clip of S11
    assert (
        f"{frames} frames in 16 clips, 2D: made up (6.5 px from the projected 3D in an image 1000 px wide)"
        in lines
    )
    assert not any("NOT" in line for line in lines)


def test_headline_is_rounded_as_it_is_quoted() -> None:
    report = protocol_report("h36m")
    means = report["mean_over_actions"]
    assert report["headline"] == {
        name: round(value, 2 if name in ("mpjve_mm", "acceleration_mm") else 1)
        for name, value in means.items()
    }


def test_markdown(tmp_path: Path) -> None:
    write_report(protocol_report("h36m"), tmp_path / "scores.md")
    lines = (tmp_path / "scores.md").read_text().splitlines()
    start = lines.index("**MPJPE, mm, beside the paper's Table 7 (ground-truth 2D)**")
    assert lines[start + 2] == "|  | " + " | ".join([*H36M_COLUMNS.values(), "Ave."]) + " |"
    assert lines[start + 3] == "| --- |" + " ---: |" * 16
    assert lines[start + 4].startswith("| Pavlakos [25] | ")
    assert {line.count("|") for line in lines if line.startswith("|")} == {9, 18}
    assert any(line.startswith("- protocol h36m: ") for line in lines)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.md"]


def test_latex(tmp_path: Path) -> None:
    write_report(protocol_report("mpi-inf-3dhp"), tmp_path / "scores.tex")
    lines = (tmp_path / "scores.tex").read_text().splitlines()
    assert lines.count("\\begin{tabular}{lrrr}") == lines.count("\\begin{tabular}{lrrrrrrr}") == 1
    assert " & PCK \\% & AUC \\% & MPJPE \\\\" in lines
    assert "UGCN & 86.9 & 62.1 & 68.1 \\\\" in lines
    opened = [line for line in lines if line.startswith("\\begin")]
    assert len(opened) == len([line for line in lines if line == "\\end{tabular}"]) == 3
    for line in lines:
        text = re.sub(r"\\[%_]", "", line)
        assert line.startswith("%") or not any(character in text for character in "%_#$"), line


def test_a_report_of_other_subjects_says_so() -> None:
    for subjects in (["S1"], ["S9"], ["S9", "S11", "S1"]):
        lines = format_report(protocol_report("h36m", subjects=subjects)).splitlines()
        assert f"NOT the test set as published, which is of S9, S11: of {', '.join(subjects)}" in lines
