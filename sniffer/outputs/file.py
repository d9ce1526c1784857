"""A file of one item a line (JSON Lines, CEF or words), made for its owner alone and safe to rotate by renaming or by truncating."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer.outputs.formats import one_line
from sniffer.outputs.net import reason
from sniffer.outputs.sink import SinkError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sniffer.config import OutputSettings
    from sniffer.outputs.sink import Item

# O_RDWR, to see whether the last line is whole; O_NONBLOCK, not to wait at a FIFO that lies there instead.
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class FileSink:
    """Appends to ``path``. Each line is one write; a batch is on the disk when ``send`` returns."""

    def __init__(self, settings: OutputSettings, sensor: str, wants: frozenset[str]) -> None:
        self.name, self.wants = settings.name, wants
        self._path, self._form, self._sensor = Path(settings.path), settings.format, sensor
        self._handle = -1

    def send(self, items: Sequence[Item]) -> None:
        """Append all. Raises SinkError, for instance for a full disk; nothing of the batch is left behind then."""
        lines = [(one_line(item, self._sensor, self._form) + "\n").encode() for item in items]
        with self._told():
            self._open()
            start = os.fstat(self._handle).st_size
            try:
                for line in lines:
                    self._append(line)
            except (OSError, SinkError):
                self._take_back(start)
                raise
            os.fsync(self._handle)

    def check(self) -> None:
        """Whether it can be written; makes it if there is none. Raises SinkError."""
        with self._told():
            self._open()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Any error closes the file and is a SinkError."""
        try:
            yield
        except OSError as error:
            self.close()
            raise SinkError(f"{self._path}: {reason(error)}") from None
        except SinkError:
            self.close()
            raise

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _open(self) -> None:
        """Open the file that now has the name, which after a rotation is another one or none."""
        if self._handle >= 0 and self._is_current():
            return
        self.close()
        made = False
        try:
            self._handle = os.open(self._path, _FLAGS)
        except FileNotFoundError:
            # O_EXCL: whatever appeared there meanwhile is not ours, and is looked at again.
            self._handle = os.open(self._path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            made = True
        facts = os.fstat(self._handle)
        if not stat.S_ISREG(facts.st_mode):
            raise SinkError(f"{self._path}: not a regular file")
        if made:
            self._keep_name()
        elif facts.st_size and os.pread(self._handle, 1, facts.st_size - 1) != b"\n":
            self._append(b"\n")  # a write cut by a crash: what follows stands on lines of its own

    def _is_current(self) -> bool:
        try:
            named = self._path.stat(follow_symlinks=False)
        except FileNotFoundError:
            return False
        held = os.fstat(self._handle)
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def _keep_name(self) -> None:
        """A new file's name is on the disk when its directory is."""
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _append(self, line: bytes) -> None:
        if os.write(self._handle, line) != len(line):
            raise SinkError(f"{self._path}: no room for a whole line")

    def _take_back(self, start: int) -> None:
        """Remove what was written of a batch, unless a rotation has emptied the file meanwhile: then it would grow."""
        try:
            if os.fstat(self._handle).st_size > start:
                os.ftruncate(self._handle, start)
        except OSError:
            pass  # the next to open the file ends the cut line
