"""Freed memory is kept, where the allocator can be told so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sniffer import memory

FAULTS = """
import resource
from sniffer.memory import keep_freed
if {keep}:
    keep_freed()
for _ in range(200):
    [bytes(100_000) for _ in range(40)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def faults(keep: bool) -> int:
    return int(subprocess.run([sys.executable, "-c", FAULTS.format(keep=keep)], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's mallopt")
def test_what_was_freed_does_not_come_again_page_by_page():
    """200 times four megabytes: a thousand pages each time if they went back to the kernel."""
    assert faults(True) < faults(False) / 4


@pytest.mark.parametrize("fault", [OSError, TypeError])
def test_without_such_an_allocator_nothing_happens(monkeypatch, fault):
    def none(name: object) -> None:
        raise fault

    monkeypatch.setattr("ctypes.CDLL", none)
    memory.keep_freed()


def test_an_allocator_without_the_call(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    memory.keep_freed()
