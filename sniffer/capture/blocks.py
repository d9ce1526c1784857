"""Bytes of a capture from anywhere: a file, standard input, a FIFO, a decompressor."""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import IO, TYPE_CHECKING, BinaryIO, Protocol, cast

from sniffer.errors import CaptureError

if TYPE_CHECKING:
    import mmap
    from collections.abc import Callable

# Magic numbers of the containers (RFC 1952, RFC 8878, the LZ4 frame format, .xz, bzip2).
_CONTAINERS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
)
_HEAD = 16


class Source(Protocol):
    """What the readers read from."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class Input:
    """An open capture. ``head`` is what its content begins with; ``position`` counts bytes of the file itself.
    ``place`` gives the memory for the next block where it is not to be the reader's own.

    ``damage`` is set when a compressed file ends before its end or is corrupt, and when the disk or the network gives no more.
    CaptureError where not even the beginning can be read.
    """

    def __init__(self, path: str, place: Callable[[], mmap.mmap] | None = None) -> None:
        self.place = place
        self.name = "standard input" if path == "-" else path
        self.raw = _open(path)
        self.size = _size(self.raw)
        self.compression: str | None = None
        self.damage: str | None = None
        counted = _Counted(self.raw)
        self._counted = counted
        try:
            head = counted.peek(_HEAD)
            stream: Source = counted
            self.compression = next((name for magic, name in _CONTAINERS if head.startswith(magic)), None)
            if self.compression is not None:
                stream = _Inflated(_OPENERS[self.compression](counted), self)
            self._stream = _Peekable(stream)
            self.head = self._stream.peek(_HEAD)
        except OSError as error:
            self.close()
            raise CaptureError(f"{self.name}: {error.strerror or 'cannot be read'}") from None
        # Whether more can be had at once: not so from a pipe, whose writer may be a live capture.
        self.plentiful = self.size is not None

    @property
    def position(self) -> int:
        return self._counted.position

    def readinto(self, buffer: memoryview) -> int:
        """Bytes read; 0 at the end, and where it cannot be read any further."""
        try:
            return self._stream.readinto(buffer)
        except OSError as error:
            self.damage = f"cannot be read any further ({error.strerror or type(error).__name__})"
            return 0

    def close(self) -> None:
        if self.raw is not sys.stdin.buffer:
            self.raw.close()


def _open(path: str) -> BinaryIO:
    if path == "-":
        return sys.stdin.buffer
    try:
        return cast("BinaryIO", open(path, "rb", buffering=0))  # noqa: PTH123
    except FileNotFoundError:
        raise CaptureError(f"{path}: no such file") from None
    except PermissionError:
        raise CaptureError(f"{path}: no permission to read it") from None
    except IsADirectoryError:
        raise CaptureError(f"{path}: is a directory") from None
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or 'cannot be opened'}") from None


def _size(raw: BinaryIO) -> int | None:
    """Bytes of a regular file; None for what has no end known."""
    try:
        status = os.fstat(raw.fileno())
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class _Peekable:
    """Puts looked-at bytes back in front."""

    def __init__(self, stream: Source) -> None:
        self._stream = stream
        self._kept = b""

    def peek(self, size: int) -> bytes:
        buffer = bytearray(size)
        while len(self._kept) < size:
            count = self._stream.readinto(memoryview(buffer)[: size - len(self._kept)])
            if not count:
                break
            self._kept += bytes(buffer[:count])
        return self._kept[:size]

    def readinto(self, buffer: memoryview, /) -> int:
        if self._kept:
            count = min(len(self._kept), len(buffer))
            buffer[:count] = self._kept[:count]
            self._kept = self._kept[count:]
            return count
        return self._stream.readinto(buffer)


class _Counted(_Peekable, io.RawIOBase):
    """The file itself, counting what was taken from it; readable by the decompressors of the standard library."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__(cast("Source", raw))
        self.position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        count = super().readinto(memoryview(buffer)) or 0
        self.position += count
        return count


class _Inflated:
    """A decompressor whose errors end the content instead of the program."""

    def __init__(self, stream: IO[bytes], owner: Input) -> None:
        self._stream = stream
        self._owner = owner

    def readinto(self, buffer: memoryview, /) -> int:
        # In small steps: at a damaged place the bytes before it have then already been handed on.
        try:
            data = self._stream.read1(min(len(buffer), 1 << 18))  # type: ignore[attr-defined]
            buffer[: len(data)] = data
            return len(data)
        except EOFError:
            self._owner.damage = f"the {self._owner.compression} data ends early"
        except (OSError, ValueError, RuntimeError, _lzma_error(), _zlib_error(), _zstd_error()) as error:
            self._owner.damage = f"the {self._owner.compression} data is corrupt ({type(error).__name__})"
        return 0


def _lzma_error() -> type[Exception]:
    import lzma

    return lzma.LZMAError


def _zlib_error() -> type[Exception]:
    import zlib

    return zlib.error


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _gzip(raw: io.RawIOBase) -> IO[bytes]:
    import gzip

    return cast("IO[bytes]", gzip.GzipFile(fileobj=io.BufferedReader(raw, 1 << 18)))


def _xz(raw: io.RawIOBase) -> IO[bytes]:
    import lzma

    return cast("IO[bytes]", lzma.LZMAFile(io.BufferedReader(raw, 1 << 18)))


def _bzip2(raw: io.RawIOBase) -> IO[bytes]:
    import bz2

    return cast("IO[bytes]", bz2.BZ2File(io.BufferedReader(raw, 1 << 18)))


def _zstd(raw: io.RawIOBase) -> IO[bytes]:
    import zstandard

    return cast("IO[bytes]", zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(io.BufferedReader(raw, 1 << 18), read_across_frames=True))


def _lz4(raw: io.RawIOBase) -> IO[bytes]:
    import lz4.frame

    return cast("IO[bytes]", lz4.frame.LZ4FrameFile(io.BufferedReader(raw, 1 << 18)))


_OPENERS: dict[str, Callable[[io.RawIOBase], IO[bytes]]] = {"gzip": _gzip, "zstd": _zstd, "lz4": _lz4, "xz": _xz, "bzip2": _bzip2}
