"""Arrays and pickles that somebody else wrote, read without running anything in them.

The field's .npz files hold pickles, and a pickle may call any function there is. Here it may build
numpy arrays and scalars, dicts, lists, tuples, sets, texts, bytes and numbers, and nothing else. Sizes are
compared with what a file can really hold before memory is taken for them.
"""

from __future__ import annotations

import math
import os
import pickle
import pickletools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from gcnpose.errors import InputError

MAX_BYTES = 2 << 30
"""The largest content that is unpacked. All of Human3.6M's 2D with scores in double precision is 0.9 GB."""

MAX_RATIO = 100.0
"""How far an archive may shrink. Motion shrinks to a half or a third, a run of zeros to a thousandth."""

# Below this an archive of nothing but zeros does no harm.
_ALWAYS_FINE_BYTES = 64 << 20
_NPY_MAGIC = b"\x93NUMPY"
_COMPRESSION = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_READ_HEADER = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MEMO_OPCODES = ("PUT", "BINPUT", "LONG_BINPUT")


def load_arrays(path: str | Path, objects: bool = True, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """The arrays of an .npz file by name, or that of an .npy file under ``"arr_0"``, as numpy would call it.

    What is pickled comes as it was, but for arrays of no dimension, which come as the object that they hold:
    ``positions_3d`` of VideoPose3D is a dict.

    Args:
        path: The file. Its content decides what it is, not its name.
        objects: Also what is pickled.
        max_bytes: Largest size of all arrays together.

    Raises:
        InputError: if it is no such file, is damaged, would unpack to more, or holds something else; names
            the file, the array, and the class of what is refused.
    """
    path = _check_file(path, max_bytes)
    with _faults(str(path)), path.open("rb") as file:
        if file.read(len(_NPY_MAGIC)) == _NPY_MAGIC:
            size = os.fstat(file.fileno()).st_size
            return {"arr_0": _read_npy(lambda: path.open("rb"), size, f"{path}", objects)}
        if not zipfile.is_zipfile(path):
            raise InputError(f"{path}: is not an .npz file: empty, cut off, or of another kind")
        with zipfile.ZipFile(path) as archive:
            _check_sizes(path, archive, max_bytes)
            return {
                member.filename.removesuffix(".npy"): _read_member(path, archive, member, objects)
                for member in archive.infolist()
            }


def _check_file(path: str | Path, max_bytes: int) -> Path:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: is not a file" if path.exists() else f"{path}: no such file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read: permission denied")
    if path.stat().st_size > max_bytes:
        raise InputError(f"{path}: has {path.stat().st_size:,} bytes, more than the {max_bytes:,} allowed")
    return path


def _check_sizes(path: Path, archive: zipfile.ZipFile, max_bytes: int) -> None:
    members = archive.infolist()
    total = sum(member.file_size for member in members)
    if total > max_bytes:
        raise InputError(f"{path}: unpacks to {total:,} bytes, more than the {max_bytes:,} allowed")
    # The file's own size, since the members of a bomb may share their packed bytes.
    packed = path.stat().st_size
    if total > _ALWAYS_FINE_BYTES and total > MAX_RATIO * packed:
        raise InputError(
            f"{path}: {packed:,} bytes unpack to {total:,}, more than {MAX_RATIO:g} times as many: a zip bomb"
        )
    for member in members:
        if member.compress_type not in _COMPRESSION:
            raise InputError(f"{path}: {member.filename}: is not packed in a way that numpy writes")


def _read_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo, objects: bool) -> Any:
    where = f"{path}: array {member.filename.removesuffix('.npy')!r}"
    with _faults(where):
        return _read_npy(lambda: archive.open(member), member.file_size, where, objects)


def _read_npy(reopen: Callable[[], IO[bytes]], size: int, where: str, objects: bool) -> Any:
    """One array in the .npy format (numpy.lib.format)."""
    with reopen() as file:
        if file.read(len(_NPY_MAGIC)) != _NPY_MAGIC:
            raise InputError(f"{where}: expected the .npy format")
        version = tuple(file.read(2))
        if version not in _READ_HEADER:
            raise InputError(f"{where}: is of the .npy version {version}, expected (1, 0) or (2, 0)")
        shape, _, dtype = _READ_HEADER[version](file)
        start = file.tell()
    if dtype.hasobject:
        if not objects:
            raise InputError(f"{where}: holds more than plain numbers and texts")
        held = _unpickle(reopen, where, start)
        if not isinstance(held, np.ndarray):
            raise InputError(f"{where}: expected a pickled array, got {type(held).__name__}")
        return held.item() if held.ndim == 0 else held
    promised = math.prod(shape) * dtype.itemsize
    if promised != size - start:
        raise InputError(
            f"{where}: its header says {shape} of {dtype}, {promised:,} bytes, but {size - start:,} are there"
        )
    with reopen() as file:
        return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _faults(where: str) -> Iterator[None]:
    """Turns what a damaged file raises into one message. That may be anything, in a pickle above all."""
    try:
        yield
    except InputError:
        raise
    except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{where}: cannot be read, the file is damaged: {error}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: cannot be read, the file is damaged: {reason}") from error


def _unpickle(reopen: Callable[[], IO[bytes]], where: str, start: int) -> Any:
    with reopen() as file:
        file.seek(start)
        _check_opcodes(file, where)
    with reopen() as file:
        file.seek(start)
        return _Unpickler(file, where).load()


def _check_opcodes(file: IO[bytes], where: str) -> None:
    """Reads the pickle through without obeying it: is it whole, and does it ask for absurd memory?

    The unpickler keeps its memo in an array as long as the largest number in it, and takes memory for a text
    before it knows that the text is there.
    """
    for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in _MEMO_OPCODES and int(argument or 0) > number:
            raise InputError(f"{where}: cannot be read, the file is damaged: memo {argument} after {number}")


class _Unpickler(pickle.Unpickler):
    """Knows the few names that pickled arrays need; stands functions of its own behind them.

    None of numpy's own is reachable: with a dtype or a state made for it, they give access to any memory.
    """

    def __init__(self, file: IO[bytes], where: str) -> None:
        # Python 2 wrote the bytes of arrays as texts, which only latin1 brings back as they were.
        super().__init__(file, encoding="latin1")
        self.where = where

    def find_class(self, module: str, name: str) -> Any:
        # The modules' names of today and of before, in numpy and in Python.
        module = module.replace("numpy._core.", "numpy.core.").replace("__builtin__", "builtins")
        if (module, name) not in _KNOWN_NAMES:
            raise InputError(
                f"{self.where}: holds {module}.{name}; only numpy arrays, dicts, lists, tuples, sets, texts, "
                "bytes and numbers are read, and nothing was run"
            )
        return _KNOWN_NAMES[module, name]


class _Dtype:
    """A dtype in the making: its name, then its byte order."""

    __slots__ = ("dtype",)

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[biufcSUO]\d{1,9}", name):
            raise ValueError(f"a pickled array has the type {name!r}; expected numbers, texts or objects")
        self.dtype = np.dtype(object if name[0] == "O" else name)

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(np.ndarray):
    """An array that compares its size with its content before it takes it."""

    def __setstate__(self, state: Any) -> None:
        *_, shape, of, fortran, content = state
        dtype = of.dtype
        kinds, unit = (list, 1) if dtype.hasobject else (bytes | str, dtype.itemsize)
        if not all(type(size) is int and size >= 0 for size in shape) or not isinstance(content, kinds):
            raise TypeError(
                f"a pickled array has the shape {shape!r} and a {type(content).__name__} for content"
            )
        if math.prod(shape) * unit != len(content):
            raise ValueError(
                f"a pickled array says {shape} of {dtype}, but its content is {len(content):,} long"
            )
        super().__setstate__((1, shape, dtype, fortran, content))


def _dtype(name: str, align: object, copy: object) -> _Dtype:
    return _Dtype(name)


def _reconstruct(kind: object, shape: object, dtype: object) -> _Array:
    return np.ndarray.__new__(_Array, (0,), np.dtype(np.int8))


def _scalar(dtype: _Dtype, content: bytes | str) -> Any:
    if isinstance(content, str):
        content = content.encode("latin1")
    return np.frombuffer(content, dtype.dtype, count=1)[0]


def _from_buffer(content: bytes | bytearray, dtype: _Dtype, shape: tuple[int, ...], order: str) -> Any:
    if not isinstance(content, bytes | bytearray):  # an array's memory may go away under a second array
        raise TypeError(f"a pickled array has a {type(content).__name__} for content")
    return np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if order == "F" else "C")


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


_KNOWN_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "ndarray",  # only ever handed to _reconstruct
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    # What protocols 0 to 2 make bytes, sets and complex numbers of.
    ("_codecs", "encode"): _encode,
    ("builtins", "bytes"): _no_bytes,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "complex"): complex,
}
