"""``gcnpose predict``: lifts a detector's keypoints to 3D."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gcnpose.commands.common import Commands, say
from gcnpose.config import Method
from gcnpose.errors import InputError
from gcnpose.files import adding_to

if TYPE_CHECKING:
    from gcnpose.inference import Lifter
    from gcnpose.keypoints.detections import Detections
    from gcnpose.keypoints.track3d import Intrinsics, Track3D
    from gcnpose.keypoints.tracks import KeypointTrack

FORMATS = ("npz", "json", "csv", "bvh", "png", "gif", "mp4", "html")
DEFAULT_FORMATS = "npz,html,png"

LARGEST_SHARE_OUTSIDE = 0.2
"""Of the joints; detectors place some of what they do not see beside the image."""

_TOO_SLOW = "{:g} frames per second, too far apart to be motion: "
_LARGEST_PX = 1e6  # of a camera: a telescope's
_NOT_LIVE = (
    *("output", "formats", "format", "sequence", "inspect"),
    *("person", "max_gap", "smooth", "method", "floor"),
)


def add(commands: Commands) -> None:
    parser = commands.add_parser("predict", help="lift a detector's keypoints to 3D")
    parser.add_argument(
        "keypoints",
        nargs="?",
        metavar="KEYPOINTS",
        help="what a 2D detector wrote: a file, or a folder of files",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="CKPT",
        help="checkpoint or run folder; else the network that comes with gcnpose",
    )
    parser.add_argument("--output", type=_folder, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--formats",
        metavar="A,B",
        help=f"of {', '.join(FORMATS)}; {DEFAULT_FORMATS} if left out",
    )
    reading = parser.add_argument_group("what the keypoints are, where their file does not tell")
    reading.add_argument("--format", help="of the keypoint file")
    reading.add_argument("--layout", help="the joints: name of a graph, or path of a graph file")
    reading.add_argument("--size", metavar="WxH", help="width and height of the images in pixels")
    reading.add_argument("--fps", type=float, help="frames per second of those in the file")
    reading.add_argument("--sequence", help="which recording, where the file holds several")
    reading.add_argument(
        "--inspect",
        nargs="?",
        const="",
        metavar="FRAME:PERSON",
        help="lift nothing; print what was understood of the file, or of one person in one frame, as JSON",
    )
    choosing = parser.add_argument_group("whom to lift")
    choosing.add_argument("--person", metavar="largest|ID|all", help="largest if left out")
    choosing.add_argument("--min-score", type=float, help="joints with a lower score count as missing")
    choosing.add_argument(
        "--max-gap", type=int, help="most frames in a row to fill in; longer gaps split a track"
    )
    choosing.add_argument("--smooth", choices=("savgol", "one-euro"), help="smooth the 2D")
    lifting = parser.add_argument_group("how to lift")
    way = lifting.add_mutually_exclusive_group()
    way.add_argument("--method", choices=("windows", "shifts", "whole"), help="else the checkpoint's own")
    way.add_argument("--fast", action="store_true", help="one pass, without the mirrored one")
    lifting.add_argument(
        "--precision",
        choices=("fp32", "bf16", "auto"),
        default="fp32",
        help="auto: bf16 where the CPU has it, twice as fast; fp32 if left out",
    )
    lifting.add_argument(
        "--conversion",
        type=Path,
        metavar="FILE",
        help="map of the joints to the checkpoint's, or the name of a shipped one",
    )
    lifting.add_argument(
        "--camera", metavar="fx,fy,cx,cy", help="focal length and centre in pixels; else a guess"
    )
    lifting.add_argument("--floor", action="store_true", help="keep the feet on a level floor")
    live = parser.add_argument_group("live")
    live.add_argument(
        "--stream",
        action="store_true",
        help="JSON lines from standard input to standard output; needs --size",
    )
    live.add_argument("--delay", type=int, help="frames between a frame and its 3D")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    if options.keypoints is None and options.inspect:  # `--inspect FILE`
        options.keypoints, options.inspect = options.inspect, ""
    if options.fps is not None and not 0 < options.fps <= 1000:
        raise InputError(f"--fps: expected more than 0 and at most 1000, not {options.fps:g}")
    if options.stream:
        _stream(options)
    elif options.delay is not None:
        raise InputError("--delay belongs to --stream")
    elif options.keypoints is None:
        raise InputError("predict needs a keypoint file or folder, or --stream")
    elif options.inspect is not None:
        _inspect(options)
    else:
        _predict(options)


def _predict(options: argparse.Namespace) -> None:
    from gcnpose.keypoints.tracks import share_outside

    formats = _formats(options.formats)
    intrinsics = _camera(options.camera)
    if options.output is None:
        raise InputError("predict needs --output DIR")
    with adding_to(options.output, "--output") as folder:
        tracks = _select(options, _read(options))
        lifter = _lifter(options)
        if tracks[0].fps is None:
            say(
                "  the file tells no frame rate: played at 25 frames per second, lifted as if it were "
                f"{lifter.fps or 25:g}; --fps"
            )
        elif fps := lifter.lifted_at(tracks[0].fps):
            say(f"  {tracks[0].fps:g} frames per second, lifted at {fps:g}, as the network was trained")
        elif lifter.is_too_slow(tracks[0].fps):
            say(f"  {_TOO_SLOW.format(tracks[0].fps)}each is lifted by itself")
        if options.checkpoint is None:
            say("network: the one that comes with gcnpose, trained on CMU motion; --checkpoint takes another")
        if (outside := share_outside(tracks)) > LARGEST_SHARE_OUTSIDE:
            size = "x".join(map(str, tracks[0].image_size))
            say(
                f"  {outside:.0%} of the joints lie outside the image of {size}; is that its size? --size WxH"
            )
        if intrinsics is None:
            from gcnpose.keypoints.trajectory import guess_intrinsics

            intrinsics = guess_intrinsics(tracks[0].image_size)
            say(f"camera: guessed, a focal length of {intrinsics.focal_px[0]:g} px; --camera fx,fy,cx,cy")
        if lifter.refinement is not None:
            say(f"refinement: {'left out, since the camera is guessed' if intrinsics.guessed else 'applied'}")
        lifted = [_lift(lifter, track, intrinsics) for track in tracks]
        if options.floor:
            lifted = _on_floor(lifted)
        for kind in formats:
            _write(kind, folder, lifted, tracks, Path(options.keypoints).name)
        written = sorted(path.name for path in folder.iterdir())
    say(f"{options.output}: {', '.join(written)}")


def _inspect(options: argparse.Namespace) -> None:
    from gcnpose.keypoints.detections import inspect, inspect_person

    detections = _read(options, quiet=True)
    if not options.inspect:
        say(json.dumps(inspect(detections), indent=2, allow_nan=False))
        return
    match = re.fullmatch("(.+):([0-9]{1,9})", options.inspect)
    if not match:
        raise InputError(f"--inspect: expected FRAME:PERSON, such as 0:0, not {options.inspect!r}")
    say(json.dumps(inspect_person(detections, match[1], int(match[2])), indent=2, allow_nan=False))


def _stream(options: argparse.Namespace) -> None:
    from gcnpose.inference.lines import lift_lines
    from gcnpose.keypoints.tracks import MIN_SCORE
    from gcnpose.keypoints.trajectory import guess_intrinsics

    if options.keypoints is not None:
        raise InputError("--stream reads standard input, and goes without KEYPOINTS")
    for name in _NOT_LIVE:
        if getattr(options, name) is not None and getattr(options, name) is not False:
            raise InputError(
                f"--stream, from standard input to standard output, goes without --{name.replace('_', '-')}"
            )
    size = _size(options.size)
    if size is None:
        raise InputError("--stream needs --size WxH")
    lifter = _lifter(options)
    if lifter.is_too_slow(options.fps):
        print(f"{_TOO_SLOW.format(options.fps)}lifted as they come", file=sys.stderr)
    answers = lift_lines(
        sys.stdin.buffer,
        lifter,
        options.layout or "coco17",
        size,
        _camera(options.camera) or guess_intrinsics(size),
        options.delay,
        MIN_SCORE if options.min_score is None else options.min_score,
        options.fps,
    )
    for answer in answers:
        say(json.dumps(answer, allow_nan=False))


def _read(options: argparse.Namespace, quiet: bool = False) -> Detections:
    from gcnpose.keypoints.reading import read_keypoints

    detections = read_keypoints(
        options.keypoints, options.format, options.layout, _size(options.size), options.sequence
    )
    if not quiet:
        frames = len(detections.frame_labels)
        say(f"{options.keypoints}: {detections.format}, {detections.layout.name}, {frames} frames")
        for sentence in (*detections.assumptions, *detections.repairs):
            say(f"  {sentence}")
    return detections


def _select(options: argparse.Namespace, detections: Detections) -> list[KeypointTrack]:
    """The tracks to lift, smoothed."""
    from gcnpose.keypoints.tracks import MAX_GAP, MIN_SCORE, select

    tracks = select(
        detections,
        options.person or "largest",
        MIN_SCORE if options.min_score is None else options.min_score,
        MAX_GAP if options.max_gap is None else options.max_gap,
        lambda sentence: say(f"  {sentence}"),
    )
    if options.fps is not None:
        tracks = [replace(track, fps=options.fps) for track in tracks]
    if options.smooth is not None:
        from gcnpose.keypoints.smoothing import FILTERS

        tracks = [FILTERS[options.smooth](track) for track in tracks]
    return tracks


def _lifter(options: argparse.Namespace) -> Lifter:
    from gcnpose.inference import Lifter

    method: Method | None = "whole" if options.fast else options.method
    flip = False if options.fast else None
    return Lifter.load(options.checkpoint, method, flip, options.precision, options.conversion)


def _lift(lifter: Lifter, track: KeypointTrack, intrinsics: Intrinsics) -> Track3D:
    start = time.perf_counter()
    lifted = lifter(track, intrinsics)
    seconds = time.perf_counter() - start
    frames = f"{len(lifted.frames)} frames from {track.first_frame} on"
    say(f"person {track.person}: {frames}, lifted by {lifter.method} in {seconds:.1f} s")
    if not lifted.measured[:, lifter.skeleton.root_index].any():
        say(f"  its {lifter.skeleton.root} is never seen: where the body ends is a guess, and the 3D with it")
    try:
        return lifter.place(lifted, track, intrinsics)
    except InputError as error:
        say(f"  without a place in space: {error}")
        return lifted


def _on_floor(tracks: list[Track3D]) -> list[Track3D]:
    from gcnpose.keypoints.trajectory import STEEPEST_DEGREES, estimate_floor, stand_on_floor

    floor = estimate_floor(tracks)
    if floor.tilt_degrees > STEEPEST_DEGREES:
        raise InputError(
            f"--floor: the feet show none, or one tilted by {floor.tilt_degrees:.0f} degrees; "
            "leave --floor out"
        )
    say(f"floor: seen from a camera that looks down by {floor.looking_down_degrees:.0f} degrees")
    return [stand_on_floor(track, floor) for track in tracks]


def _write(
    kind: str, folder: Path, lifted: Sequence[Track3D], tracks: Sequence[KeypointTrack], title: str
) -> None:
    """Writes the tracks in one of the formats."""
    if kind in ("npz", "json", "csv"):
        from gcnpose.export.tracks import write_csv, write_json, write_npz

        {"npz": write_npz, "json": write_json, "csv": write_csv}[kind](folder / f"tracks.{kind}", lifted)
    elif kind == "bvh":
        from gcnpose.export.bvh import write_bvh_files

        write_bvh_files(folder, lifted)
    elif kind == "html":
        from gcnpose.viz.player import write_html

        write_html(folder / "player.html", lifted, title, tracks)
    elif kind == "png":
        from gcnpose.viz.animation import write_sheet

        write_sheet(folder / "poses.png", lifted, tracks)
    else:
        from gcnpose.viz.animation import write_animation

        write_animation(folder / f"poses.{kind}", lifted, tracks)


def _folder(text: str) -> Path:
    if not text:  # would be the current one
        raise argparse.ArgumentTypeError("expected the name of a folder")
    return Path(text)


def _formats(text: str | None) -> list[str]:
    text = DEFAULT_FORMATS if text is None else text
    formats = [word.strip() for word in text.split(",")]
    for word in formats:
        if word not in FORMATS:
            raise InputError(f"--formats: expected some of {','.join(FORMATS)}, not {word!r}")
    return list(dict.fromkeys(formats))


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})", text)
    if not match:
        raise InputError(f"--size: expected WxH in pixels, such as 1920x1080, not {text!r}")
    return int(match[1]), int(match[2])


def _camera(text: str | None) -> Intrinsics | None:
    from gcnpose.keypoints.track3d import Intrinsics

    if text is None:
        return None
    try:
        fx, fy, cx, cy = (float(number) for number in text.split(","))
    except ValueError:
        raise InputError(f"--camera: expected fx,fy,cx,cy in pixels, not {text!r}") from None
    focal, centre = (1 <= f <= _LARGEST_PX for f in (fx, fy)), (abs(c) <= _LARGEST_PX for c in (cx, cy))
    if not (all(focal) and all(centre)):
        raise InputError(
            f"--camera: expected pixels up to {_LARGEST_PX:g}, fx and fy from 1 on, not {text!r}"
        )
    return Intrinsics((fx, fy), (cx, cy))
