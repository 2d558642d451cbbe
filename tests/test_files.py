"""Files and folders that are written whole or not at all."""

import signal
from pathlib import Path

import pytest

from gcnpose.errors import InputError
from gcnpose.files import adding_to


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    target = tmp_path / "new" / "target"
    for number in (1, 2):
        with adding_to(target, "--output") as folder:
            for name in ("same", f"only {number}"):
                (folder / name).write_text(str(number))
    assert names(target.parent) == ["target"]
    assert {name: (target / name).read_text() for name in names(target)} == {
        "only 1": "1",
        "only 2": "2",
        "same": "2",
    }


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("ended_by", [InputError, KeyboardInterrupt])
def test_nothing_is_added_where_anything_fails(
    tmp_path: Path, there: bool, ended_by: type[BaseException]
) -> None:
    target = tmp_path / "target"
    if there:
        target.mkdir()
        (target / "file").write_text("before")
    before = names(tmp_path), signal.getsignal(signal.SIGTERM)
    with pytest.raises(ended_by), adding_to(target, "--output") as folder:
        (folder / "file").write_text("half")
        if ended_by is KeyboardInterrupt:
            signal.raise_signal(signal.SIGTERM)
        raise InputError("no")
    assert (names(tmp_path), signal.getsignal(signal.SIGTERM)) == before
    assert not there or (target / "file").read_text() == "before"


def test_a_folder_that_is_there_is_all_that_is_written_in(tmp_path: Path) -> None:
    """It may be a file system of its own, and what it lies in not one's to write in."""
    (tmp_path / "target").mkdir()
    with adding_to(tmp_path / "target", "--output") as folder:
        assert folder.parent == tmp_path / "target" and names(tmp_path) == ["target"]
        (folder / "file").write_text("1")
    assert names(tmp_path / "target") == ["file"]


def test_a_folder_in_a_files_place(tmp_path: Path) -> None:
    """Said before anything is moved."""
    (tmp_path / "target" / "b").mkdir(parents=True)
    with (
        pytest.raises(InputError, match=r"^--output: .*/target/b is a folder, where a file is to be$"),
        adding_to(tmp_path / "target", "--output") as folder,
    ):
        for name in "abc":
            (folder / name).write_text("")
    assert names(tmp_path / "target") == ["b"]


def test_what_cannot_be_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for target, reason in (
        (tmp_path / "file", "cannot be the folder to write into"),
        (Path("/"), "cannot be the folder to write into"),
        (tmp_path / "file" / "target", "nothing can be written in"),
    ):
        with pytest.raises(InputError, match=reason), adding_to(target, "--output"):
            pass
    assert names(tmp_path) == ["file"]
