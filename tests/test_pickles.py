"""The restricted reader: what it reads as numpy and pickle do, and what it refuses without doing anything."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gcnpose.errors import InputError
from gcnpose.pickles import load_arrays

CMU17_VP3D = Path(__file__).resolve().parents[1] / ".." / "shared" / "data" / "cmu17" / "cmu17_vp3d.npz"

HARMLESS: dict[str, Any] = {
    "float64": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">i4"),
    "bool": np.array([True, False]),
    "texts": np.array(["ab", "c"]),
    "bytes": np.array([b"ab", b"c"]),
    "no frame": np.zeros((0, 17, 3), np.float32),
    "no dimension": np.array(3.0),
    "float32": np.float32(3.5),
    "bool_": np.bool_(True),
    "str_": np.str_("abc"),
    "plain": {"a": [1, 2.5, True, None, 10**30, 1 + 2j], "b": (b"\xff\x00", b"", "text"), "c": {1, 2}},
    "frozen": frozenset([3]),
}


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def npy(header: str, content: bytes = bytes(32)) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n" + content


def pickled(path: Path, content: bytes) -> Path:
    """An .npy file of objects, which is a pickle behind a header."""
    return written(path, npy("{'descr': '|O', 'fortran_order': False, 'shape': (), }", content))


def refused(path: Path, **arguments: Any) -> str:
    """The message of a file that must not be read, which names the file first."""
    with pytest.raises(InputError) as caught:
        load_arrays(path, **arguments)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.reduced


RECONSTRUCT = np.zeros(1).__reduce__()[0]


def crafted_array(shape: Any, dtype: Any, content: Any) -> bytes:
    """A pickled array whose state says what is given."""
    return pickle.dumps(
        Calls(RECONSTRUCT, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, content)), 4
    )


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", HARMLESS)
def test_equals_the_unrestricted_reader(tmp_path: Path, name: str, protocol: int) -> None:
    held = np.empty((), object)
    held[()] = HARMLESS[name]
    content = pickle.dumps(held, protocol)
    ours, theirs = load_arrays(pickled(tmp_path / "a.npy", content))["arr_0"], pickle.loads(content).item()
    if isinstance(theirs, np.ndarray):
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
        assert ours.flags.f_contiguous == theirs.flags.f_contiguous
        assert ours.tolist() == theirs.tolist()
    else:
        assert type(ours) is type(theirs) and ours == theirs


@pytest.mark.parametrize("module", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_names_of_numpy_1_and_2(tmp_path: Path, module: bytes) -> None:
    content = pickle.dumps(np.arange(3.0), 2)
    content = content.replace(b"numpy._core.multiarray", module).replace(b"numpy.core.multiarray", module)
    assert load_arrays(pickled(tmp_path / "a.npy", content))["arr_0"].tolist() == [0, 1, 2]


def test_pickle_of_python_2(tmp_path: Path) -> None:
    """Written by hand after Python 2's opcodes: its strings are bytes, those of the array beyond ASCII."""
    data = np.array([1.5, -2.25], "<f4").tobytes()
    assert max(data) > 127
    content = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85U\x01bq\x03\x87Rq\x04"
        b"(K\x01K\x02\x85cnumpy\ndtype\nq\x05U\x02f4q\x06K\x00K\x01\x87Rq\x07"
        b"(K\x03U\x01<q\x08NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\tb\x89U\x08" + data + b"q\ntq\x0bb."
    )
    array = load_arrays(pickled(tmp_path / "a.npy", content))["arr_0"]
    assert array.dtype == np.float32 and array.tolist() == [1.5, -2.25]


def test_npz_with_arrays_of_numbers_and_of_objects(tmp_path: Path) -> None:
    held = {"S1": {"Walking": np.ones((2, 17, 3), np.float32)}}
    several = np.array([[], np.zeros(3), {"a": None}], dtype=object)
    np.savez_compressed(
        tmp_path / "a.npz", positions_3d=np.array(held, dtype=object), boxes=several, plain=np.arange(3)
    )
    content = load_arrays(tmp_path / "a.npz")
    assert list(content) == ["positions_3d", "boxes", "plain"]
    assert content["positions_3d"]["S1"]["Walking"].tolist() == held["S1"]["Walking"].tolist()
    assert content["boxes"][0] == [] and content["boxes"][1].tolist() == [0, 0, 0]
    assert content["boxes"][2] == {"a": None}
    assert content["plain"].tolist() == [0, 1, 2]
    message = refused(tmp_path / "a.npz", objects=False)
    assert message == "array 'positions_3d': holds more than plain numbers and texts"


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(3.0))
    assert load_arrays(tmp_path / "a.npy")["arr_0"].tolist() == [0, 1, 2]
    np.save(tmp_path / "b.npy", np.array({"a": 1}, dtype=object), allow_pickle=True)
    assert load_arrays(tmp_path / "b.npy") == {"arr_0": {"a": 1}}


@pytest.mark.skipif(not CMU17_VP3D.exists(), reason="the CMU motion is not here")
def test_a_real_file_of_the_field() -> None:
    positions = load_arrays(CMU17_VP3D)["positions_3d"]
    assert sum(map(len, positions.values())) == 343


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ["touch {ran}"], f"{os.system.__module__}.system"),
        (open, ["{ran}", "w"], f"{open.__module__}.open"),
        (eval, ["open('{ran}', 'w')"], "builtins.eval"),
        (exec, ["open('{ran}', 'w')"], "builtins.exec"),
        (np.save, ["{ran}", 1], "numpy.save"),
        (np.load, ["{ran}"], "numpy.load"),
        (getattr, ["", "join"], "builtins.getattr"),
    ],
)
def test_a_hostile_pickle_runs_nothing(
    tmp_path: Path, function: Any, arguments: list[Any], name: str, protocol: int
) -> None:
    ran = tmp_path / "ran"
    filled = [given.format(ran=ran) if isinstance(given, str) else given for given in arguments]
    hostile = {"positions": [Calls(function, *filled)]}
    message = refused(pickled(tmp_path / "a.npy", pickle.dumps(hostile, protocol)))
    assert message.startswith(f"holds {name};") and "nothing was run" in message
    np.savez(tmp_path / "a.npz", positions_3d=np.array(hostile, dtype=object))
    assert refused(tmp_path / "a.npz").startswith(f"array 'positions_3d': holds {name};")
    assert not ran.exists()


def test_the_hostile_pickle_would_run(tmp_path: Path) -> None:
    """So that the test above can fail."""
    pickle.loads(pickle.dumps(Calls(open, str(tmp_path / "ran"), "w"))).close()
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("held", "name"),
    [
        (OrderedDict(a=1), "collections.OrderedDict"),
        (Path("x"), "pathlib."),
        (np.ma.array([1]), "numpy.ma."),
        (np.random.default_rng(0), "numpy.random."),
        (np.float32, "numpy.float32"),
        (slice(3), "builtins.slice"),
    ],
)
def test_other_classes_are_refused_by_name(tmp_path: Path, held: Any, name: str) -> None:
    message = refused(pickled(tmp_path / "a.npy", pickle.dumps([held], 4)))
    assert message.startswith(f"holds {name}")


@pytest.mark.parametrize(
    ("shape", "dtype", "content", "reason"),
    [
        ((10**12, 17, 3), np.dtype("f4"), b"1234", "says (1000000000000, 17, 3) of float32"),
        ((10**12,), np.dtype(object), [None], "says (1000000000000,) of object"),
        ((-1,), np.dtype("f4"), b"1234", "has the shape (-1,)"),
        (("1", 10**12), np.dtype("f4"), b"1234", "has the shape ('1', 1000000000000)"),
        # Bytes that would be taken for addresses.
        ((1,), np.dtype(object), b"12345678", "a bytes for content"),
        (
            (1,),
            Calls(np.dtype, "O8", False, True, state=(3, "|", None, None, None, -1, -1, 0)),
            b"1" * 8,
            "a bytes",
        ),
        ((1,), np.dtype("f8"), [1.0], "a list for content"),
        ((1,), np.dtype([("a", "f8")]), b"12345678", "has the type 'V8'"),
        ((1,), "f8", b"12345678", "'str' object has no attribute 'dtype'"),
    ],
)
def test_a_pickled_array_that_is_not_what_it_says(
    tmp_path: Path, shape: Any, dtype: Any, content: Any, reason: str
) -> None:
    message = refused(pickled(tmp_path / "a.npy", crafted_array(shape, dtype, content)))
    assert message.startswith("cannot be read, the file is damaged: ") and reason in message


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "pickle exhausted before seeing STOP"),
        (b"\x80\x04N", "pickle exhausted before seeing STOP"),
        (b"hello, this is text", "unknown"),
        (pickle.dumps(np.arange(100.0), 4)[:-50], "bytes"),
        (b"\x80\x02Nr\xff\xff\xff\x7f.", "memo 2147483647"),
        (b"\x80\x02Np2147483647\n.", "memo 2147483647"),
        (b"\x80\x02Px\n.", "persistent"),
        (b"\x80\x02\x82\x01.", "unregistered extension code"),
        (b"\x80\x02K\x01)R.", "not callable"),
    ],
)
def test_damaged_pickles(tmp_path: Path, content: bytes, reason: str) -> None:
    message = refused(pickled(tmp_path / "a.npy", content))
    assert message.startswith("cannot be read, the file is damaged: ") and reason in message


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (
            "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 17, 3), }",
            "its header says (1000000000000, 17, 3) of float64, 408,000,000,000,000 bytes, but 32 are there",
        ),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", "16 bytes, but 32 are there"),
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 4), }", "-32 bytes, but 32 are there"),
        ("{'descr': '<U9999999999', 'fortran_order': False, 'shape': (1,), }", "the file is damaged"),
        ("{'descr': '<f8', 'shape': (4,), }", "the file is damaged"),
        ("hello", "the file is damaged"),
    ],
)
def test_absurd_headers_are_refused_before_memory_is_taken(tmp_path: Path, header: str, reason: str) -> None:
    tracemalloc.start()
    try:
        assert reason in refused(written(tmp_path / "a.npy", npy(header)))
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", npy(header))
        assert reason in refused(tmp_path / "a.npz")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def write_zeros(path: Path, megabytes: int) -> Path:
    """An array of zeros, packed to a thousandth."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({megabytes << 20},), }}"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("zeros.npy", "w", force_zip64=True) as member,
    ):
        member.write(npy(header, b""))
        for _ in range(megabytes):
            member.write(bytes(1 << 20))
    return path


def test_zip_bomb(tmp_path: Path) -> None:
    path = write_zeros(tmp_path / "bomb.npz", 65)
    tracemalloc.start()
    try:
        message = refused(path)
        assert "68,157,5" in message and message.endswith("more than 100 times as many: a zip bomb")
        assert "unpacks to 68,157,5" in refused(path, max_bytes=1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_file_over_the_limit(tmp_path: Path) -> None:
    path = written(tmp_path / "a.npy", bytes(500))
    size = path.stat().st_size
    assert refused(path, max_bytes=100) == f"has {size} bytes, more than the 100 allowed"


def test_files_that_are_not_what_is_expected(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.npz") == "no such file"
    assert refused(tmp_path) == "is not a file"
    text = written(tmp_path / "a.npz", b"hello")
    assert refused(text) == "is not an .npz file: empty, cut off, or of another kind"
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(1000))
    cut = written(tmp_path / "cut.npz", buffer.getvalue()[:-100])
    assert refused(cut) == "is not an .npz file: empty, cut off, or of another kind"
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert refused(tmp_path / "other.npz") == "array 'readme.txt': expected the .npy format"
    with zipfile.ZipFile(tmp_path / "lzma.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", npy("{}"))
    assert "is not packed in a way that numpy writes" in refused(tmp_path / "lzma.npz")
    whole = bytearray(buffer.getvalue())
    whole[5000] ^= 255
    damaged = written(tmp_path / "damaged.npz", bytes(whole))
    assert refused(damaged).startswith("array 'a': cannot be read, the file is damaged: Bad CRC")
