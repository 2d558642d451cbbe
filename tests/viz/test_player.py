"""The page with the 3D player: what is in it, and that a browser draws it."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from gcnpose.errors import InputError
from gcnpose.skeleton import SIDE_COLOURS
from gcnpose.viz.player import write_html
from tests.tracks3d import SKELETON, keypoints_of, standing_track

HOSTILE = "</script><img src=x onerror=\"document.documentElement.dataset.player='owned'\">&amp;\u2028<!--"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def embedded(path: Path) -> dict[str, Any]:
    text = re.search(
        r'<script id="data" type="application/json">(.*?)</script>', path.read_text("utf-8"), re.S
    )
    assert text is not None
    content: dict[str, Any] = json.loads(text[1])
    return content


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def browse(page: Path, folder: Path, *options: str) -> str:
    """What a headless browser prints; it has no network to ask for anything."""
    assert BROWSER is not None
    profile = folder / "profile"
    quiet = [
        "--disable-gpu",
        "--no-first-run",
        "--disable-quic",
        "--disable-sync",
        "--disable-component-update",
    ]
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", *quiet, "--disable-background-networking"),
            *(f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--window-size=900,700"),
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_positions_to_the_millimetre_and_keypoints_to_a_thousandth_of_the_image(tmp_path: Path) -> None:
    track = standing_track(frames=50, step=5)
    flat = keypoints_of(track)
    write_html(tmp_path / "page.html", [track], "title", [flat])
    content = embedded(tmp_path / "page.html")
    (person,) = content["tracks"]
    root = decoded(person["root"], "<f4").reshape(50, 1, 3)
    positions = root + decoded(person["positions_mm"], "<i2").reshape(50, 17, 3) / 1000
    # Turned only so much that the floor is level: distances between joints and to the camera stay.
    expected = track.placed.astype(float)
    np.testing.assert_allclose(
        np.linalg.norm(positions, axis=-1), np.linalg.norm(expected, axis=-1), atol=1.5e-3
    )
    np.testing.assert_allclose(
        np.linalg.norm(positions - positions[:, :1], axis=-1),
        np.linalg.norm(expected - expected[:, :1], axis=-1),
        atol=1.5e-3,
    )
    assert decoded(person["measured"], "u1").tolist() == track.measured.any(axis=1).tolist()
    (drawn,) = content["keypoints"]["tracks"]
    points = decoded(drawn["points"], "<i2").reshape(50, 17, 2)
    np.testing.assert_allclose(points * 1.28, flat.keypoints_2d, atol=0.65)
    assert (content["keypoints"]["width"], content["keypoints"]["height"]) == (1000, 562.5)
    assert (content["first_frame"], content["frame_step"], content["frames"]) == (10, 5, 50)
    assert content["fps"] == 25.0
    assert person["bones"] == SKELETON.bone_indices.tolist()
    assert (tmp_path / "page.html").stat().st_size < 50_000


def test_names_never_reach_the_page_unescaped(tmp_path: Path) -> None:
    joints = (HOSTILE, *SKELETON.joints[1:])
    bones = tuple((HOSTILE if one == "pelvis" else one, other) for one, other in SKELETON.bones)
    hostile = dataclasses.replace(SKELETON, root=HOSTILE, joints=joints, bones=bones)
    track = dataclasses.replace(standing_track(HOSTILE), skeleton=hostile)
    clean = tmp_path / "clean.html"
    write_html(clean, [standing_track()], "clean")
    write_html(tmp_path / "page.html", [track], HOSTILE)
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<") == clean.read_text("utf-8").count("<")
    assert "onerror" in page and "<img" not in page
    content = embedded(tmp_path / "page.html")
    assert content["title"] == HOSTILE
    assert content["tracks"][0]["person"] == HOSTILE
    assert content["tracks"][0]["joints"][0] == HOSTILE


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    write_html(tmp_path / "page.html", [standing_track()], "title")
    page = (tmp_path / "page.html").read_text("utf-8")
    assert "default-src 'none'" in page
    assert not re.search(r"https?://|\bsrc=|<link|@import|fetch\(|XMLHttpRequest|innerHTML", page)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_draws_the_first_frame(tmp_path: Path) -> None:
    tracks = [standing_track(HOSTILE), standing_track("2", frames=3, first=12, place=(-0.5, 0.2, 4.5))]
    page = tmp_path / "page.html"
    write_html(page, tracks, HOSTILE, [keypoints_of(track) for track in tracks])
    dom = browse(page, tmp_path, "--dump-dom")
    state = dict(re.findall(r'data-(\w+)="([^"]*)"', dom.partition(">\n<head")[0].partition("<head")[0]))
    assert state == {"player": "drawn", "frame": "0", "bones": "16"}
    assert html.escape(HOSTILE, quote=False) in dom.replace("\n", "")
    assert "<img" not in dom
    assert '<label><input type="checkbox"> 2</label>' in dom
    assert "frame 10, 0.00 s" in dom

    picture = tmp_path / "page.png"
    browse(page, tmp_path, f"--screenshot={picture}")
    pixels = (imread(picture) * 255).round()[..., :3]

    def middle(side: str) -> np.ndarray:
        wanted = [int(SIDE_COLOURS[side][i : i + 2], 16) for i in (1, 3, 5)]
        view = pixels[100:600, : 900 * 6 // 10]  # the 2D is at the right
        found = np.argwhere(np.abs(view - wanted).max(axis=-1) < 12)
        assert len(found) > 100, f"no {side} side"
        return found.mean(axis=0)

    left, right, grey = middle("left"), middle("right"), middle("middle")
    assert left[1] > right[1] + 5  # he faces the camera
    assert grey[0] < min(left[0], right[0])


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_plays_turns_and_scrubs(tmp_path: Path) -> None:
    """A script after the page's own does what a person would, and leaves what it saw in the title."""
    page = tmp_path / "page.html"
    write_html(page, [standing_track(frames=40), standing_track("2", place=(1.5, 0.2, 4.0), frames=40)], "t")
    # Without a window to show them in, the browser makes frames when it likes.
    clock = "<script>requestAnimationFrame = tick => setTimeout(() => tick(performance.now()), 16);</script>"
    act = """<script>
      const seen = {}, at = (type, x, y, more) => view.dispatchEvent(
        new PointerEvent(type, {pointerId: 1, clientX: x, clientY: y, buttons: 1, ...more}));
      view.setPointerCapture = () => {};
      setTimeout(() => {
        const yaw = eye.yaw, distance = eye.distance;
        at("pointerdown", 300, 300); at("pointermove", 400, 320); at("pointerup", 400, 320);
        seen.turned = eye.yaw !== yaw;
        view.dispatchEvent(new WheelEvent("wheel", {deltaY: -100, cancelable: true}));
        seen.closer = eye.distance < distance;
        at("pointerdown", 300, 300); at("pointerdown", 340, 300, {pointerId: 2});
        const before = eye.distance;
        at("pointermove", 420, 300, {pointerId: 2});
        seen.pinched = eye.distance < before;
        at("pointerup", 300, 300); at("pointerup", 420, 300, {pointerId: 2});
        const box = document.querySelector("#people input");
        box.click();
        show(7);
        setTimeout(() => {
          seen.frame = state.frame; seen.bones = state.bones;
          element("play").click();
          setTimeout(() => {
            seen.playing = element("play").textContent === "Pause" && Number(state.frame) > 7;
            seen.player = state.player;
            document.title = JSON.stringify(seen);
          }, 400);
        }, 100);
      }, 200);
    </script></body>"""
    text = page.read_text("utf-8")
    page.write_text(text.replace("<body>", f"<body>{clock}").replace("</body>", act), "utf-8")
    dom = browse(page, tmp_path, "--dump-dom")
    title = re.search(r"<title>(.*?)</title>", dom)
    assert title is not None
    assert json.loads(html.unescape(title[1])) == {
        "turned": True,
        "closer": True,
        "pinched": True,
        "frame": "7",
        "bones": "16",
        "playing": True,
        "player": "drawn",
    }


def test_what_cannot_be_shown_is_refused_and_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="expected at least one, got none"):
        write_html(tmp_path / "page.html", [], "title")
    with pytest.raises(InputError, match="a 2D track for every 3D track, got 0 for 1"):
        write_html(tmp_path / "page.html", [standing_track()], "title", [])
    with pytest.raises(FileNotFoundError):
        write_html(tmp_path / "no folder" / "page.html", [standing_track()], "title")
    assert not list(tmp_path.iterdir())

    def fail(descriptor: int) -> None:
        raise OSError("disk full")

    (tmp_path / "page.html").write_text("before")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_html(tmp_path / "page.html", [standing_track()], "title")
    assert (tmp_path / "page.html").read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
