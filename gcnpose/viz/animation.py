"""3D tracks in motion: sheets of frames, GIF and MP4, with the 2D beside them."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy import ndimage

from gcnpose.errors import InputError
from gcnpose.files import replacing
from gcnpose.keypoints.track3d import Track3D
from gcnpose.keypoints.tracks import KeypointTrack
from gcnpose.skeleton import SIDE_COLOURS, Skeleton
from gcnpose.viz.poses import bone_colours
from gcnpose.viz.scene import Array, Performer, Scene, check_keypoints, make_scene

RAISED_DEGREES = 12  # how far the picture's camera looks down
TURNS_DEGREES = (20, 75)  # how far it has gone round the people to its right, in each 3D panel
PANEL_INCHES, DOTS_PER_INCH = 4.0, 80
SHEET_INCHES = 2.2
GRID_M, FARTHEST_GRID_M, FLOOR_COLOUR = 0.5, 50.0, "#d5d5d5"
FILLED_OPACITY = 0.35  # of a person in frames in which the detector found nothing

Picture = npt.NDArray[np.uint8]
Setter = Callable[[int], None]
"""Brings a drawing to a frame of the scene."""


def write_sheet(
    path: Path,
    tracks: Sequence[Track3D],
    keypoints: Sequence[KeypointTrack] | None = None,
    columns: int = 6,
) -> None:
    """Frames spread evenly over the scene, side by side, as a PNG: 2D above, 3D from two sides below.

    Args:
        path: The file.
        tracks: What was lifted.
        keypoints: What it was lifted from, a track for each; drawn in the image they belong to.
        columns: Frames to show.

    Raises:
        InputError: if there is nothing to draw, or 2D and 3D do not belong together.
        OSError: if the file cannot be written.
    """
    scene = make_scene(tracks)
    frames = np.unique(np.linspace(0, scene.frames - 1, columns).round().astype(int)).tolist()
    rows = len(TURNS_DEGREES) + (keypoints is not None)
    figure = Figure(
        figsize=(SHEET_INCHES * len(frames), SHEET_INCHES * rows), dpi=DOTS_PER_INCH, layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, len(frames), squeeze=False)
    for column, frame in enumerate(frames):
        for setter in _fill(list(panels[:, column]), scene, keypoints):
            setter(frame)
        panels[0, column].set_title(f"frame {scene.number(frame)}", fontsize=9)
    _name_sides(figure, scene, "outside lower center")
    with replacing(path) as partial:
        figure.savefig(partial, format="png")


def write_animation(
    path: Path, tracks: Sequence[Track3D], keypoints: Sequence[KeypointTrack] | None = None
) -> None:
    """The whole scene as a GIF or MP4, by the file's suffix: 2D, and 3D from two sides.

    It runs at its own speed, at 25 frames a second where that is not known. A GIF leaves
    frames out where there are more than 50 a second, which players slow down, and is put together in memory.

    Args:
        path: The file, ending in .gif or .mp4.
        tracks, keypoints: As for :func:`write_sheet`.

    Raises:
        InputError: if there is nothing to draw, 2D and 3D do not belong together, the suffix is another, or
            imageio-ffmpeg is not installed.
        OSError: if the file cannot be written.
    """
    if path.suffix not in (".gif", ".mp4"):
        raise InputError(f"{path}: expected a file name that ends in .gif or .mp4")
    if path.suffix == ".mp4" and importlib.util.find_spec("imageio_ffmpeg") is None:
        raise InputError(f"{path}: needs imageio-ffmpeg: pip install 'gcnpose[video]'")
    scene = make_scene(tracks)
    step = int(np.ceil(scene.fps / 50)) if path.suffix == ".gif" else 1
    pictures = _pictures(scene, keypoints, range(0, scene.frames, step))
    with replacing(path) as partial:
        (_write_gif if path.suffix == ".gif" else _write_mp4)(partial, pictures, scene.fps / step)


def _write_gif(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    from PIL import Image

    images = [Image.fromarray(picture).quantize(64) for picture in pictures]
    # A GIF counts hundredths of a second, of which a picture has three or four at 30 frames a second.
    ends = np.round(np.arange(len(images) + 1) * 100 / fps)
    durations = (10 * np.diff(ends)).astype(int).tolist()
    images[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=durations,
        loop=0,
        optimize=False,
    )


def _write_mp4(path: Path, pictures: Iterator[Picture], fps: float) -> None:
    import imageio_ffmpeg

    path.touch()  # says what is wrong with the path, which ffmpeg does not
    first = next(pictures)
    height, width, _ = first.shape
    # Named, since imageio-ffmpeg, where it has to choose, breaks on an ffmpeg that lists no codecs.
    codec = "libx264"
    writer = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=fps, codec=codec, macro_block_size=2, output_params=["-f", "mp4"]
    )
    try:
        with contextlib.closing(writer):
            writer.send(None)
            for picture in itertools.chain([first], pictures):
                writer.send(picture)
    except OSError as error:  # its message is ffmpeg's whole command
        raise OSError(f"{path}: ffmpeg could not write it, for the reason that it gave above") from error


def _pictures(scene: Scene, keypoints: Sequence[KeypointTrack] | None, frames: range) -> Iterator[Picture]:
    """RGB of every frame. What does not move is drawn once."""
    number = len(TURNS_DEGREES) + (keypoints is not None)
    figure = Figure(figsize=(PANEL_INCHES * number, PANEL_INCHES), dpi=DOTS_PER_INCH)
    canvas = FigureCanvasAgg(figure)
    figure.subplots_adjust(left=0.005, right=0.995, bottom=0.01, top=0.93, wspace=0.02)
    panels = list(figure.subplots(1, number, squeeze=False)[0])
    setters = _fill(panels, scene, keypoints)
    label = figure.text(0.01, 0.99, "", va="top", fontsize=9)
    moving = [
        label,
        *(drawing for panel in panels for drawing in panel.collections if drawing.get_animated()),
    ]
    label.set_animated(True)
    _name_sides(figure, scene, "upper right")
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)
    for frame in frames:
        for setter in setters:
            setter(frame)
        label.set_text(f"frame {scene.number(frame)}")
        canvas.restore_region(still)
        for drawing in moving:
            drawing.draw(canvas.get_renderer())
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _name_sides(figure: Figure, scene: Scene, place: Literal["outside lower center", "upper right"]) -> None:
    colours = {**SIDE_COLOURS, **scene.people[0].track.skeleton.colours}
    lines = [Line2D([], [], color=colours[side], linewidth=2, label=side) for side in ("left", "right")]
    figure.legend(handles=lines, loc=place, ncols=len(lines), frameon=False, fontsize=9, borderaxespad=0.1)


def _fill(panels: list[Axes], scene: Scene, keypoints: Sequence[KeypointTrack] | None) -> list[Setter]:
    """Puts drawings into panels; gives what brings them to a frame."""
    setters: list[Setter] = []
    if keypoints is not None:
        check_keypoints(scene, keypoints)
        _frame_image(panels[0], keypoints)
        setters += [
            _drawn(panels[0], Skeleton.load(flat.layout), flat.keypoints_2d, person.start, flat.measured)
            for flat, person in zip(keypoints, scene.people, strict=True)
        ]
    middle = _middle(scene)
    near = [_beside(person, middle) for person in scene.people]
    reach = max(np.abs(points).max() for points in near)
    for panel, degrees in zip(panels[-len(TURNS_DEGREES) :], TURNS_DEGREES, strict=True):
        _frame_space(panel, [_seen(points, degrees) for points in near])
        setters.append(_floor_drawn(panel, scene.floor, middle, reach, degrees))
        for person, points in zip(scene.people, near, strict=True):
            seen, track = _seen(points, degrees), person.track
            setters.append(_drawn(panel, track.skeleton, seen, person.start, track.measured))
    return setters


def _middle(scene: Scene) -> Array:
    """Where on the floor to look, which follows the people: (frames, 3), the height zero."""
    low, high = np.full((scene.frames, 3), np.inf), np.full((scene.frames, 3), -np.inf)
    for person in scene.people:
        root = person.positions[:, person.track.skeleton.root_index]
        there = slice(person.start, person.start + len(root))
        low[there], high[there] = np.minimum(low[there], root), np.maximum(high[there], root)
    seen = np.flatnonzero(np.isfinite(low[:, 0]))
    places = (low[seen] + high[seen]) / 2 * [1, 0, 1]
    middle = np.stack([np.interp(np.arange(scene.frames), seen, axis) for axis in places.T], axis=1)
    return ndimage.uniform_filter1d(middle, max(int(scene.fps), 1), axis=0, mode="nearest")


def _beside(person: Performer, middle: Array) -> Array:
    """The positions as seen by somebody who follows."""
    return person.positions - middle[person.start : person.start + len(person.positions), None]


def _drawn(
    panel: Axes,
    skeleton: Skeleton,
    points: npt.NDArray[np.floating],
    start: int,
    measured: npt.NDArray[np.bool_],
) -> Setter:
    """The bones of one person, paler in frames in which nothing was measured.

    Shapes:
        points: (frames, joints, 2 or 3): x, y, and the depth that bones are drawn in the order of
        measured: (frames, joints)
    """
    bones = LineCollection([], linewidths=2.5)
    bones.set(capstyle="round", animated=True, zorder=2)
    panel.add_collection(bones, autolim=False)
    ends = skeleton.bone_indices
    colours = np.array(bone_colours(skeleton))

    def bring_to(frame: int) -> None:
        number = frame - start
        bones.set_visible(0 <= number < len(points))
        if bones.get_visible():
            segments = points[number][ends]
            order = np.argsort(segments[..., 2:].sum(axis=(1, 2)), kind="stable")
            bones.set_segments(list(segments[order, :, :2]))
            bones.set_color(colours[order].tolist())
            bones.set_alpha(1.0 if measured[number].any() else FILLED_OPACITY)

    return bring_to


def _seen(points: Array, degrees: float) -> Array:
    """Right, up and towards the camera, seen from above by a camera that has gone round to its right."""
    turn, raised = np.radians(degrees), np.radians(RAISED_DEGREES)
    x, y, z = np.moveaxis(points, -1, 0)
    right, near = np.cos(turn) * x - np.sin(turn) * z, np.sin(turn) * x + np.cos(turn) * z
    up = np.cos(raised) * y - np.sin(raised) * near
    return np.stack([right, up, np.sin(raised) * y + np.cos(raised) * near], axis=-1)


def _frame_image(panel: Axes, keypoints: Sequence[KeypointTrack]) -> None:
    """The image as it is: y down, with its edge."""
    width, height = keypoints[0].image_size
    panel.set(xlim=(0, width), ylim=(height, 0), aspect="equal", xticks=[], yticks=[], facecolor="#f7f7f7")
    panel.spines[:].set_color(FLOOR_COLOUR)


def _frame_space(panel: Axes, seen: Sequence[Array]) -> None:
    """A square that holds everybody in every frame."""
    points = np.concatenate([person[..., :2].reshape(-1, 2) for person in seen])
    low, high = points.min(axis=0), points.max(axis=0)
    centre, half = (low + high) / 2, (high - low).max() / 2 * 1.1
    panel.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half))
    panel.set(aspect="equal", xticks=[], yticks=[])
    panel.spines[:].set_visible(False)


def _floor_drawn(panel: Axes, height: float, middle: Array, reach: float, degrees: float) -> Setter:
    """A grid that passes below those who walk."""
    reach = min(reach, FARTHEST_GRID_M)
    across = np.arange(-np.ceil(reach / GRID_M + 1), np.ceil(reach / GRID_M + 2)) * GRID_M
    level, ends = np.full_like(across, height), np.full_like(across, across[-1])
    along_x = np.stack([[-ends, level, across], [ends, level, across]]).transpose(2, 0, 1)
    lines = np.concatenate([along_x, along_x[..., ::-1]])
    grid = LineCollection([], colors=FLOOR_COLOUR, linewidths=0.7, zorder=1)
    grid.set_animated(True)
    panel.add_collection(grid, autolim=False)

    def bring_to(frame: int) -> None:
        grid.set_segments(list(_seen(lines - middle[frame] % GRID_M, degrees)[..., :2]))

    return bring_to
