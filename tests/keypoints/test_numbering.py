import pytest

from gcnpose.keypoints.numbering import timeline

HASHES = (
    "05d43652d331254002775baa246f8134",
    "3ec1b28d58e374b96944069d13dcffa3",
    "730c3731f869a9ef47677b7d89fc9df3",
)


@pytest.mark.parametrize(
    "labels",
    [
        ["0", "1", "2"],
        ["0.jpg", "1.jpg", "2.jpg"],
        ["COCO_val2014_000000000000.jpg", "COCO_val2014_000000000001.jpg", "COCO_val2014_000000000002.jpg"],
        ["cam01.0000.json", "cam01.0001.json", "cam01.0002.json"],
        [
            "Kick_10_000000000000_keypoints.json",
            "Kick_10_000000000001_keypoints.json",
            "Kick_10_000000000002.json",
        ],
        [f"1_13_14_mp4-{n:04}_jpg.rf.{digits}.txt" for n, digits in enumerate(HASHES)],
        ["videos/7/frame0_2d.png", "videos/7/frame1_2d.png", "videos/7/frame2_2d.png"],
        ["0.jpg.predictions.json", "1.jpg.predictions.json", "2.jpg.predictions.json"],
    ],
)
def test_the_number_in_a_name_is_found(labels: list[str]) -> None:
    time = timeline(labels[::-1])
    assert time.order.tolist() == [2, 1, 0]
    assert time.numbers.tolist() == [0, 1, 2]
    assert time.from_labels and not time.assumption


def test_gaps_stay() -> None:
    assert timeline(["8", "9", "12", "13"]).numbers.tolist() == [8, 9, 12, 13]


def test_frames_of_a_person_who_was_away_stay_numbers() -> None:
    assert timeline([str(n) for n in (*range(20), *range(1000, 1020))]).from_labels


def test_every_fifth_frame() -> None:
    time = timeline(["10", "15", "25", "30"])
    assert (time.numbers.tolist(), time.step) == ([10, 15, 25, 30], 5)
    assert "go up by 5" in time.assumption


def test_ids_of_unrelated_images_are_no_frame_numbers() -> None:
    time = timeline(["785", "40083", "196141", "197388"])
    assert time.numbers.tolist() == [0, 1, 2, 3]
    assert not time.from_labels and "785, 40083, 196141" in time.assumption


def test_names_without_numbers_go_by_name() -> None:
    time = timeline(["b", "a", "c"])
    assert time.order.tolist() == [1, 0, 2]
    assert "no numbers" in time.assumption


@pytest.mark.parametrize(
    ("labels", "fps"), [(["0", "40", "80", "160"], 25), (["0.0", "0.5", "1.0", "2.0"], 2)]
)
def test_times(labels: list[str], fps: float) -> None:
    time = timeline(labels, times=True)
    assert time.numbers.tolist() == [0, 1, 2, 4]
    assert time.fps == fps


@pytest.mark.parametrize("fps", [8.7, 24, 29.97, 60, 120, 240])
@pytest.mark.parametrize(("unit", "digits"), [(1, 4), (1e3, 0), (1e3, 3), (1e6, 0), (1e9, 0)])
def test_times_in_any_unit(fps: float, unit: float, digits: int) -> None:
    """Rounded times, one frame lost."""
    frames = [*range(60), *range(61, 200)]
    labels = [f"{1e3 * unit + frame * unit / fps:.{digits}f}" for frame in frames]
    time = timeline(labels, times=True)
    assert time.numbers.tolist() == frames
    assert time.fps == pytest.approx(fps, rel=0.002)


@pytest.mark.parametrize("ending", ["", "Z", "+02:00"])
def test_dates(ending: str) -> None:
    """In the order of time, whatever stands in the last digits."""
    labels = [f"2024-05-01T12:00:{frame / 25 + (frame % 3) / 1000:09.6f}{ending}" for frame in range(100)]
    time = timeline(labels[::-1])
    assert time.order.tolist() == list(range(99, -1, -1))
    assert time.numbers.tolist() == list(range(100))
    assert time.fps == pytest.approx(25, rel=0.001)


def test_numbers_with_fractions_are_times() -> None:
    time = timeline([f"{frame / 30:.4f}" for frame in range(12)])
    assert time.order.tolist() == time.numbers.tolist() == list(range(12))
    assert time.fps == pytest.approx(30, rel=0.001)


def test_times_that_count_are_frame_numbers() -> None:
    time = timeline(["0", "1", "2", "5"], times=True)
    assert time.numbers.tolist() == [0, 1, 2, 5] and time.fps is None


def test_huge_and_odd_numbers_do_no_harm() -> None:
    for labels in (["9" * 40, "8" * 40, "1"], ["-1", "1"], [str(2**61), "0", "1"], ["1e999", "2"], ["0.jpg"]):
        for times in (False, True):
            time = timeline(labels, times)
            assert sorted(time.order.tolist()) == list(range(len(labels)))
            assert (time.numbers[1:] > time.numbers[:-1]).all()
