"""The sheet of predicted and true poses."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread

from gcnpose.errors import InputError
from gcnpose.skeleton import SIDE_COLOURS, Skeleton, available_graphs
from gcnpose.viz.poses import TURN_DEGREES, draw_poses

# A man who faces the camera, so that his left is at larger x. y points down.
PERSON = Skeleton(
    name="person",
    root="pelvis",
    joints=("pelvis", "head", "left_hand", "right_hand", "left_foot", "right_foot"),
    bones=(
        ("pelvis", "head"),
        ("head", "left_hand"),
        ("head", "right_hand"),
        ("pelvis", "left_foot"),
        ("pelvis", "right_foot"),
        ("left_foot", "right_foot"),
    ),
    mirror=(("left_hand", "right_hand"), ("left_foot", "right_foot")),
    colours={"left": "#112233", "right": "#445566"},
)
POSE = np.array(
    [[0, 0, 0], [0, -0.7, 0], [0.6, -0.4, -0.3], [-0.6, -0.4, 0.2], [0.2, 0.9, 0.1], [-0.2, 0.9, 0]]
)
OFFSET = np.array([0.0, 0.03, 0.04])  # 50 mm long
HEAD, LEFT_HAND, RIGHT_HAND, LEFT_FOOT = 1, 2, 3, 4


def poses(number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keypoints, prediction and truth; every pose larger than the last and elsewhere in the image."""
    size = np.linspace(0.8, 1.2, number)[:, None, None]
    truth = size * POSE
    return 0.2 * truth[..., :2] + size - 1, truth + OFFSET, truth


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., np.ndarray]:
    """Draws, and gives the panels of the figure as it was saved: (3, poses)."""

    def draw(*arguments: Any, skeleton: Skeleton = PERSON, titles: list[str] | None = None) -> np.ndarray:
        figures = []
        save = Figure.savefig

        def remember(figure: Figure, *args: Any, **kwargs: Any) -> None:
            figures.append(figure)
            save(figure, *args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(Figure, "savefig", remember)
            draw_poses(skeleton, *arguments, tmp_path / "sheet.png", titles)
        return np.array(figures[0].axes).reshape(3, -1)

    return draw


def bones_of(panel: Axes, which: int) -> LineCollection:
    return [drawing for drawing in panel.collections if isinstance(drawing, LineCollection)][which]


def pixels(panel: Axes, which: int = -1) -> dict[int, np.ndarray]:
    """Where the joints of a drawing stand on the sheet, x right and y up; the last one is the prediction."""
    ends = panel.transData.transform(np.concatenate(bones_of(panel, which).get_segments()))
    return dict(zip(PERSON.bone_indices.ravel().tolist(), ends, strict=True))


@pytest.mark.parametrize(("number", "width"), [(1, 500), (6, 1200), (8, 1600)])
def test_sheet_is_png_of_readable_width(tmp_path: Path, number: int, width: int) -> None:
    draw_poses(PERSON, *poses(number), tmp_path / "sheet", [f"pose {i}, 5 $ and 6 $_" for i in range(number)])
    assert (tmp_path / "sheet").read_bytes().startswith(b"\x89PNG")
    picture = imread(tmp_path / "sheet", format="png")
    assert picture.shape[1] == width
    assert picture[..., :3].std() > 0.01


def test_upright_with_left_hand_of_a_person_facing_the_camera_at_the_right(drawn: Callable) -> None:
    for panel in drawn(*poses(2))[:2].flat:
        at = pixels(panel)
        assert at[HEAD][1] > at[LEFT_HAND][1] > at[LEFT_FOOT][1]
        assert at[LEFT_HAND][0] > at[HEAD][0] > at[RIGHT_HAND][0]


def test_other_side_shows_what_is_farther_away_at_the_right(drawn: Callable) -> None:
    keypoints, predicted, target = poses(1)
    panel = drawn(keypoints, predicted, target)[2, 0]
    at = pixels(panel)
    assert at[HEAD][1] > at[LEFT_HAND][1] > at[LEFT_FOOT][1]
    # Where the x axis of a camera lies that has walked to its right and turned left by this angle.
    angle = math.radians(TURN_DEGREES)
    for ends, bone in zip(bones_of(panel, -1).get_segments(), PERSON.bone_indices, strict=True):
        for end, joint in zip(ends, bone, strict=True):
            x, y, z = predicted[0, joint]
            assert end == pytest.approx([math.cos(angle) * x + math.sin(angle) * z, y])
    farther = predicted + np.array([0, 0, 0.2]) * (np.arange(6) == RIGHT_HAND)[:, None]
    farther_at = pixels(drawn(keypoints, farther, farther)[2, 0])
    assert farther_at[RIGHT_HAND][0] - farther_at[HEAD][0] > at[RIGHT_HAND][0] - at[HEAD][0] + 5


def test_one_metric_scale_in_all_panels_of_3d_and_all_poses_inside(drawn: Callable) -> None:
    panels = drawn(*poses(3))
    scales = []
    for panel in panels[1:].flat:
        one_metre = panel.transData.transform([[0, 0], [1, 0], [0, 1]])
        scales += [one_metre[1, 0] - one_metre[0, 0], one_metre[0, 1] - one_metre[2, 1]]
    np.testing.assert_allclose(scales, scales[0], rtol=1e-6)
    for panel in panels.flat:
        corners = np.array(list(pixels(panel, 0).values()) + list(pixels(panel).values()))
        assert (panel.bbox.min < corners).all() and (corners < panel.bbox.max).all()


def test_truth_is_grey_and_dashed_and_sides_have_the_colours_of_the_skeleton(drawn: Callable) -> None:
    panel = drawn(*poses(1))[1, 0]
    red, green, blue = bones_of(panel, 0).get_colors()[0][:3]
    assert red == green == blue
    assert bones_of(panel, 0).get_linestyles()[0][1] is not None
    colours = [to_hex(colour) for colour in bones_of(panel, 1).get_colors()]
    # The colours given for the sides, the default for the middle; the bone from foot to foot has no side.
    middle = SIDE_COLOURS["middle"]
    assert colours == [middle, "#112233", "#445566", "#112233", "#445566", middle]


def test_mpjpe_in_millimetres_stands_under_each_pose(drawn: Callable) -> None:
    keypoints, _, target = poses(2)
    offset = np.array([[[0.0, 0.03, 0.04]], [[0.1, 0.2, 0.2]]])  # 50 mm and 300 mm long
    panels = drawn(keypoints, target + offset, target, titles=["first", "second"])
    assert [panel.get_xlabel() for panel in panels[2]] == ["MPJPE 50.0 mm", "MPJPE 300.0 mm"]
    assert [panel.get_title() for panel in panels[0]] == ["first", "second"]


def test_tensors_and_arrays_give_the_same_sheet_and_stay_as_they_were(tmp_path: Path) -> None:
    arrays = [array.astype(np.float32) for array in poses(2)]
    for array in arrays:
        array.flags.writeable = False
    draw_poses(PERSON, *arrays, tmp_path / "arrays.png")
    tensors = [torch.tensor(array, requires_grad=True) for array in arrays]
    draw_poses(PERSON, *tensors, tmp_path / "tensors.png")
    assert (tmp_path / "arrays.png").read_bytes() == (tmp_path / "tensors.png").read_bytes()


def test_scores_are_not_drawn(tmp_path: Path) -> None:
    keypoints, predicted, target = poses(1)
    draw_poses(PERSON, keypoints, predicted, target, tmp_path / "plain.png")
    scored = np.concatenate([keypoints, np.full((1, 6, 1), 7.0)], axis=-1)
    draw_poses(PERSON, scored, predicted, target, tmp_path / "scored.png")
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "scored.png").read_bytes()


@pytest.mark.parametrize(("wrong", "label"), [(math.nan, "nan"), (-math.inf, "inf"), (1e6, "1732050")])
def test_wild_prediction_does_not_hide_the_others(drawn: Callable, wrong: float, label: str) -> None:
    keypoints, predicted, target = poses(2)
    metres_wide = np.ptp(drawn(keypoints, predicted, target)[1, 0].get_xlim())
    predicted[0] = wrong
    panels = drawn(keypoints, predicted, target)
    assert label in panels[2, 0].get_xlabel()
    assert panels[2, 1].get_xlabel() == "MPJPE 50.0 mm"
    assert np.ptp(panels[1, 1].get_xlim()) < 2 * metres_wide


def test_all_joints_in_one_point(tmp_path: Path) -> None:
    nothing = np.zeros((1, 6, 3))
    draw_poses(PERSON, nothing, nothing, nothing, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").is_file()


def test_draws_every_graph(tmp_path: Path) -> None:
    names = available_graphs()
    assert names
    for name in names:
        skeleton = Skeleton.load(name)
        target = np.random.default_rng(0).normal(size=(1, skeleton.num_joints, 3))
        draw_poses(skeleton, target, target, target, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").is_file()


def test_shapes_that_do_not_fit(tmp_path: Path) -> None:
    keypoints, predicted, target = poses(2)
    wrong: list[tuple[tuple, list[str] | None, str]] = [
        ((keypoints[:, :5], predicted, target), None, r"person expected .* got \(2, 5, 2\)"),
        ((keypoints[..., :1], predicted, target), None, r"got \(2, 6, 1\)"),
        ((keypoints[:, :, None], predicted, target), None, r"got \(2, 6, 1, 2\)"),
        ((keypoints, predicted[:1], target), None, r"got \(2, 6, 2\), \(1, 6, 3\), \(2, 6, 3\)"),
        ((keypoints, predicted, target[..., :2]), None, r"\(2, 6, 2\) and 2 titles"),
        ((keypoints[:0], predicted[:0], target[:0]), None, "at least 1; got .* 0 titles"),
        ((keypoints, predicted, target), ["one"], "got .* and 1 titles"),
    ]
    for arguments, titles, message in wrong:
        with pytest.raises(InputError, match=message):
            draw_poses(PERSON, *arguments, tmp_path / "sheet.png", titles)
    assert not list(tmp_path.iterdir())


def test_keypoints_and_truth_must_be_finite(tmp_path: Path) -> None:
    for position, name in ((0, "keypoints_2d"), (2, "target")):
        arguments = list(poses(2))
        arguments[position][1, LEFT_FOOT, 1] = np.inf
        with pytest.raises(InputError, match=f"{name}: pose 1, joint 'left_foot' is not finite"):
            draw_poses(PERSON, *arguments, tmp_path / "sheet.png")
    assert not list(tmp_path.iterdir())
