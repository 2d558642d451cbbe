"""The same batches, wherever the frames lie."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gcnpose.config import NoiseConfig
from gcnpose.data import frames
from gcnpose.data.camera import Rig, h36m_rig
from gcnpose.data.draws import Draws
from gcnpose.data.frames import FrameStore, take
from gcnpose.data.noise import KeypointNoise
from gcnpose.data.views import count_rows, fixed_views
from gcnpose.data.windows import Batch, DrawnWindows, FixedWindows, Windows
from gcnpose.errors import InputError
from tests.motions import small_motion

CPU, GPU = torch.device("cpu"), torch.device("cuda")
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")),
]
MOTION = small_motion((40, 20, 33))


def make_windows(kind: str, store: FrameStore) -> Windows:
    """With everything that draws."""
    device = store.device
    settings = dataclasses.asdict(NoiseConfig(scale=1.0))
    noise = KeypointNoise(MOTION.skeleton, **settings, ground_truth_weight=0.0, device=device)
    if kind == "fixed":
        views = fixed_views(MOTION, h36m_rig(), seed=0, input_channels=3, empty=store.empty)
        return FixedWindows(views, 24, 5, flip=0.5, device=device, noise=noise, store=store)
    rig = Rig.from_cameras(h36m_rig()).to(device)
    tempo = 0.3 if kind == "tempo" else 0.0
    return DrawnWindows(MOTION, rig, True, 24, 5, 0.5, 0.05, 0.1, tempo, 3, device, noise, store)


def batches(kind: str, store: FrameStore) -> list[Batch]:
    windows = make_windows(kind, store)
    generator = torch.Generator(store.device).manual_seed(0)
    order = torch.randperm(len(windows), generator=generator, device=store.device)
    return [windows.batch(indices, Draws(generator, len(indices))) for indices in order.split(4)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("place", ["host", "disk"])
@pytest.mark.parametrize("kind", ["fixed", "drawn", "tempo"])
def test_every_place_gives_the_same_batches(kind: str, place: str, device: str, tmp_path: Path) -> None:
    store = FrameStore(torch.device(device), place, folder=tmp_path)
    on_device, elsewhere = (batches(kind, one) for one in (FrameStore(torch.device(device)), store))
    assert len(on_device) == len(elsewhere) > 2
    for one, other in zip(on_device, elsewhere, strict=True):
        for expected, came in zip(one, other, strict=True):
            assert came.device.type == device
            assert torch.equal(came, expected)


def test_rows_and_joints_by_hand() -> None:
    array = torch.arange(5 * 3 * 2).view(5, 3, 2).float()
    rows = torch.tensor([[4, 0], [1, 1]])
    joints = torch.tensor([[[2, 1, 0]], [[0, 1, 2]]])
    for taken in (take(array, rows), frames._through_host(array, rows)):
        assert taken.tolist() == [[array[4].tolist(), array[0].tolist()], [array[1].tolist()] * 2]
    expected = [[array[4].flip(0).tolist(), array[0].flip(0).tolist()], [array[1].tolist()] * 2]
    assert take(array, rows, joints).tolist() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_frames_of_the_host_stay_there() -> None:
    store = FrameStore(GPU, "host")
    array = store.settle(torch.rand(50, 17, 3))
    assert (array.device.type, array.is_pinned()) == ("cpu", True)
    joints = torch.randint(17, (4, 1, 17), device=GPU)
    rows = torch.randint(50, (4, 9), device=GPU)
    assert torch.equal(take(array, rows, joints), take(array.to(GPU), rows, joints))


# The place


def test_a_file_has_no_name_and_holds_what_is_put_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    store = FrameStore(CPU, "disk", folder=folder)
    array = store.empty(300_000, 2, 3)  # more than one block
    assert (array.shape, array.dtype, array.sum()) == ((300_000, 2, 3), torch.float32, 0)
    values = torch.rand(array.shape)
    array[:] = values
    assert torch.equal(store.settle(array), values)
    assert list(folder.iterdir()) == [], "nothing is left by a process that is killed"


def test_views_are_built_in_the_file(tmp_path: Path) -> None:
    made: list[Tensor] = []

    def empty(*shape: int) -> Tensor:
        made.append(FrameStore(CPU, "disk", folder=tmp_path).empty(*shape))
        return made[-1]

    views, plain = fixed_views(MOTION, h36m_rig(), 0, empty=empty), fixed_views(MOTION, h36m_rig(), 0)
    assert [array.data_ptr() for array in made] == [views.keypoints_2d.data_ptr(), views.pose_3d.data_ptr()]
    assert torch.equal(views.keypoints_2d, plain.keypoints_2d) and torch.equal(views.pose_3d, plain.pose_3d)
    assert len(views.pose_3d) == count_rows(MOTION, h36m_rig()) == 4 * 93


def test_a_disk_without_room(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**21, limits[1]))
    try:
        with pytest.raises(InputError) as caught:
            FrameStore(CPU, "disk", folder=tmp_path).empty(3, 2**20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    message = f"data.keep: 12 MiB of frames cannot be put into a file in {tmp_path}: File too large"
    assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^data\.keep: 0 MiB of frames .* in .*file/runs: Not a directory$"):
        FrameStore(CPU, "disk", folder=tmp_path / "file" / "runs").empty(1)


@pytest.mark.parametrize(
    ("keep", "built", "kept", "on_cpu", "on_gpu"),
    [
        ("device", 900, 900, "device", "device"),
        ("host", 900, 900, "device", "host"),
        ("disk", 1, 1, "disk", "disk"),
        ("auto", 300, 100, "device", "device"),  # a third of the RAM, half of the GPU
        ("auto", 300, 101, "device", "host"),
        ("auto", 301, 301, "disk", "disk"),
        ("auto", 301, 100, "disk", "device"),  # through the file
    ],
)
def test_the_first_place_that_has_room(
    keep: str, built: int, kept: int, on_cpu: str, on_gpu: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "free_memory", lambda: 900)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (200, 5000))
    cpu, gpu = (FrameStore(device, keep, built, kept) for device in (CPU, GPU))
    assert (cpu.place, gpu.place) == (on_cpu, on_gpu)
    assert cpu.in_file == gpu.in_file == ("disk" in (keep, on_cpu))


def test_all_processes_need_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "free_memory", lambda: 900)
    places = [FrameStore(CPU, "auto", 100, 100, processes=number).place for number in (1, 3, 4)]
    assert places == ["device", "device", "disk"]


def test_the_place_in_words() -> None:
    assert str(FrameStore(GPU, "host", kept=3 * 2**31)) == "6,144 MiB of frames in host memory"
