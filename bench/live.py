"""``./run bench live``: the highest rate that is read without loss, beside tcpdump's to /dev/null on the same wire.

    ./run bench live [--seconds 10] [--rates 50000,100000,…] [--workers N]

Two namespaces and a pair of veths; tcpreplay sends the bench's mix from memory at rising packet rates. At every rate the
packets that reached the port (the interface's own counter) are compared with what was read and what the kernel dropped:
they must add up exactly.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.lab import PORT, ROOT, Wire, end, inside, missing, until
from bench.watch import Watch, folder_for_all

RATES = (25_000, 50_000, 100_000, 150_000, 200_000, 300_000, 400_000, 0)
# A rate counts as read without loss below so many lost in a million.
LOSSLESS = 0


@dataclass
class Step:
    """One rate. ``offered`` by the interface's counter; 0 as the asked rate means as fast as the sender can."""

    asked: int
    seconds: float
    offered: int
    read: int
    dropped: int
    cpu: float  # seconds of all processes

    @property
    def rate(self) -> float:
        return self.offered / self.seconds

    @property
    def exact(self) -> bool:
        return self.offered == self.read + self.dropped


def arrived() -> int:
    """Packets that reached the watch port. Asked of the namespace this thread is in: /sys shows the one it was mounted in."""
    text = subprocess.run(["ip", "-s", "link", "show", PORT], capture_output=True, text=True, check=True).stdout
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip().startswith("RX:"))
    return int(lines[at + 1].split()[1])


def send(wire: Wire, capture: Path, rate: int, seconds: float, packets: int) -> float:
    """Replay for about so long; the seconds it took."""
    loops = max(1, round((rate or 500_000) * seconds / packets))
    pace = [f"--pps={rate}"] if rate else ["--topspeed"]
    begun = time.monotonic()
    wire.exec(wire.sender, "tcpreplay", "-q", "-K", "--unique-ip", "-i", "out0", f"--loop={loops}", *pace, str(capture), timeout=600)
    return time.monotonic() - begun


def ours(wire: Wire, folder: Path, capture: Path, rate: int, seconds: float, packets: int, more: list[str]) -> Step:
    watch = Watch(folder, "-i", PORT, "--metrics", "", *more, name=f"at-{rate}").start_reading()
    process = watch.process
    before, cpu = arrived(), used(process.pid)
    taken = send(wire, capture, rate, seconds, packets)
    offered = arrived() - before
    until(lambda: _idle(process.pid), 30, 0.5)
    cpu = used(process.pid) - cpu
    end(process, 60)
    found = re.search(r": ([\d,]+) packets read, ([\d,]+) dropped by the kernel, ([\d,]+) lost", watch.log())
    if not found:
        raise RuntimeError(watch.log())
    read, dropped, _ = (int(number.replace(",", "")) for number in found.groups())
    return Step(rate, taken, offered, read, dropped, cpu)


_last: dict[int, float] = {}


def _idle(group: int) -> bool:
    """Whether hardly anything was done since the last look: the ring has been read."""
    now = used(group)
    before, _last[group] = _last.get(group, -1.0), now
    return before >= 0 and now - before < 0.1


def used(group: int) -> float:
    """Processor seconds of a session's processes."""
    total = 0.0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == group:
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except OSError:
            continue
    return total


def tcpdump(wire: Wire, capture: Path, rate: int, seconds: float, packets: int) -> Step:
    process = subprocess.Popen(["tcpdump", "-i", PORT, "-B", str(64 << 10), "-s", "0", "-n", "-Z", "root", "-w", "/dev/null"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(0.3)
    before, cpu = arrived(), used(process.pid)
    taken = send(wire, capture, rate, seconds, packets)
    offered = arrived() - before
    time.sleep(1)
    cpu = used(process.pid) - cpu
    process.terminate()
    text = process.stderr.read()
    process.wait()
    process.stderr.close()
    captured = int(re.search(r"(\d+) packets captured", text).group(1))  # type: ignore[union-attr]
    dropped = int(re.search(r"(\d+) packets dropped by kernel", text).group(1))  # type: ignore[union-attr]
    return Step(rate, taken, offered, captured, dropped, cpu)


def measure(rates: list[int], seconds: float, megabytes: int, seed: int, more: list[str], *, beside: bool = True) -> dict[str, list[Step]]:
    """Every rate for each program, in turn."""
    folder = folder_for_all("bench")
    out: dict[str, list[Step]] = {"cleartap": []}
    if beside:
        out["tcpdump"] = []
    try:
        capture = folder / "mix.pcap"
        made = subprocess.run([sys.executable, "-m", "bench.mix", "mix", str(capture), "--megabytes", str(megabytes), "--seed", str(seed)], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        packets = int(re.search(r"(\d+) packets", made).group(1))  # type: ignore[union-attr]
        with Wire() as wire, inside(wire.watch):
            for rate in rates:
                if beside:
                    out["tcpdump"].append(tcpdump(wire, capture, rate, seconds, packets))
                out["cleartap"].append(ours(wire, folder, capture, rate, seconds, packets, more))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def main(argv: list[str]) -> int:
    arguments = argparse.ArgumentParser(prog="./run bench live", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10.0)
    arguments.add_argument("--rates", type=lambda text: [int(part) for part in text.split(",")], default=list(RATES))
    arguments.add_argument("--megabytes", type=int, default=100)
    arguments.add_argument("--workers", type=int)
    arguments.add_argument("--ring-mb", type=int)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args(argv)
    why = missing("tcpdump", "tcpreplay")
    if why:
        print(f"bench live: {why}", file=sys.stderr)
        return 1
    more = [*(["--workers", str(given.workers)] if given.workers else []), *(["--ring-mb", str(given.ring_mb)] if given.ring_mb else [])]
    found = measure(given.rates, given.seconds, given.megabytes, given.seed, more)
    print("| program | asked p/s | offered p/s | offered | read | dropped | lost | CPU s | adds up |\n|---|--:|--:|--:|--:|--:|--:|--:|---|")
    for name, steps in found.items():
        for step in steps:
            lost = step.dropped / step.offered if step.offered else 0.0
            print(f"| {name} | {step.asked or 'most'} | {step.rate:,.0f} | {step.offered:,} | {step.read:,} | {step.dropped:,} | {lost:.3%} | {step.cpu:.1f} | {'exactly' if step.exact else step.offered - step.read - step.dropped} |")
    for name, steps in found.items():
        best = max((step.rate for step in steps if step.dropped <= LOSSLESS), default=0.0)
        print(f"\n{name}: highest rate without loss {best:,.0f} packets/s")
    return 0 if all(step.exact for step in found["cleartap"]) else 1
