"""``./run soak``: what only time shows. Needs root and namespaces; nothing leaves them.

    ./run soak --kills 50       kill -9 of the watcher at random moments under traffic: is what was recorded whole, told, and
                                the rest on record as not watched?
    ./run soak --minutes 60     mixed traffic, a SYN flood, a million one-packet flows, slow-drip logins: does memory stay?
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from bench.lab import PORT, ROOT, SERVER, Span, end, inside, missing
from bench.talk import FTP, serving
from bench.watch import Watch, folder_for_all

# A login whose answer had not come when the watcher died is with its flow: the time from its bytes to its report.
SLACK = 0.3

# Logs in under another name each time; a line on the standard output for each: when it began, when it was over.
_CLIENT = r"""
import random, socket, sys, time
server, rate, seed = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
number = 0
while True:
    begun = time.time_ns()
    with socket.create_connection((server, 21), 5) as s:
        f = s.makefile("rwb", buffering=0)
        f.readline()
        for word in (f"USER user-{number}", f"PASS pass-{number}-{seed}", "QUIT"):
            f.write(word.encode() + b"\r\n")
            f.readline()
    print(number, begun, time.time_ns(), flush=True)
    number += 1
    time.sleep(rng.expovariate(rate))
"""


@dataclass
class Kills:
    """What many kills left. ``problems`` empty: everything held."""

    rounds: int
    logins: int = 0
    recorded: int = 0
    delivered: int = 0
    unwatched: float = 0.0
    problems: list[str] = field(default_factory=list)


class _Run(Watch):
    """A watch that is killed and started again, and tells a file."""

    def __init__(self, folder: Path, *, metrics: str = "") -> None:
        config, self.out = folder / "cleartap.toml", folder / "state" / "out.jsonl"
        config.write_text(f'sensor = "soak"\n[[output]]\nname = "file"\ntype = "file"\npath = "{self.out}"\n')
        super().__init__(folder, "-i", PORT, "--config", str(config), "--metrics", metrics)

    def counts(self) -> dict[str, int]:
        return dict(self.rows("SELECT id, count FROM findings"))


def kills(rounds: int, seed: int, *, rate: float = 40.0) -> Kills:
    """Kill the watcher so many times at moments that a seed chooses, then look at what is left."""
    rng = random.Random(seed)
    out = Kills(rounds)
    folder = folder_for_all("soak")
    try:
        with Span() as span, inside(span.watch), serving(span, folder, FTP):
            run = _Run(folder).start_reading()
            client = subprocess.Popen(["nsenter", f"--net=/run/netns/{span.client}", sys.executable, "-c", _CLIENT, SERVER, str(rate), str(seed)], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
            logins: list[tuple[int, int, int]] = []
            reader = threading.Thread(target=lambda: logins.extend(tuple(map(int, line.split())) for line in client.stdout))
            reader.start()
            killed: list[int] = []
            before: dict[str, int] = {}
            for _ in range(rounds):
                time.sleep(rng.uniform(0.05, 3.0))
                run.process.kill()
                killed.append(time.time_ns())
                run.process.wait()
                now = run.counts()
                _whole(before, now, out)
                before = now
                run.start_reading()
            time.sleep(2.0)
            client.kill()
            client.wait()
            reader.join()
            client.stdout.close()
            time.sleep(1.5)
            code = end(run.process, 60)
            if code != 0:
                out.problems.append(f"the last run ended with {code}")
            _whole(before, run.counts(), out)
            _judge(run, logins, killed, out)
    finally:
        if out.problems:
            print(f"kept for looking into: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return out


def _whole(before: dict[str, int], now: dict[str, int], out: Kills) -> None:
    lost = [id for id in before if id not in now]
    if lost:
        out.problems.append(f"{len(lost)} recorded findings are gone")
    if any(now.get(id, 0) < count for id, count in before.items()):
        out.problems.append("a count went down")


def _judge(run: _Run, logins: list[tuple[int, int, int]], killed: list[int], out: Kills) -> None:
    rows = [(id, count, json.loads(record)) for id, count, record in run.rows("SELECT id, count, record FROM findings WHERE rule = 'credential/ftp'")]
    # Where the kill fell between USER and PASS, the password is told without the name.
    found = {record.get("username", id): (id, count) for id, count, record in rows}
    out.logins, out.recorded = len(logins), len(found)
    doubled = [user for user, (_, count) in found.items() if count != 1]
    if doubled:
        out.problems.append(f"{len(doubled)} findings were counted more than once")
    told: dict[str, int] = {}
    for line in run.out.read_text().splitlines():
        row = json.loads(line)
        if row["type"] == "finding":
            told[row["id"]] = told.get(row["id"], 0) + 1
    out.delivered = len(told)
    ids = set(run.counts())
    if ids - set(told):
        out.problems.append(f"{len(ids - set(told))} findings were never delivered")
    if set(told) - ids:
        out.problems.append(f"{len(set(told) - ids)} delivered findings are not on record")
    intervals = run.rows("SELECT start, until, reason FROM intervals ORDER BY start")
    out.unwatched = sum(until - start for start, until, _ in intervals) / 1e9
    for moment in killed:
        if not any(start <= moment <= until and reason == "killed" for start, until, reason in intervals):
            out.problems.append("a kill is in no unwatched interval")
    slack = int(SLACK * 1e9)
    # The first is not told by an interval: it may have begun before the first start was complete.
    for number, begun, over in logins:
        if f"user-{number}" not in found and not any(start - slack <= over and begun <= until + slack for start, until, _ in intervals):
            out.problems.append(f"login {number} is not on record and was not in an unwatched interval")


# Memory.


@dataclass
class Memory:
    """Resident bytes of all processes over time, and what was sent meanwhile."""

    samples: list[tuple[float, int]] = field(default_factory=list)
    sent: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def plateau(self) -> float:
        """The last quarter's mean over that of the quarter before: 1 is a plateau."""
        quarter = len(self.samples) // 4
        late = [size for _, size in self.samples[-quarter:]]
        before = [size for _, size in self.samples[-2 * quarter : -quarter]]
        return (sum(late) / len(late)) / (sum(before) / len(before)) if quarter else 1.0


def resident(group: int) -> int:
    """Resident bytes of a session's processes, what they share counted once (Pss)."""
    total = 0
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(path.name)) == group:
                text = (path / "smaps_rollup").read_text()
                total += int(text.split("Pss:")[1].split()[0]) * 1024
        except (OSError, IndexError):
            continue
    return total


def flood(kind: str, seconds: float, seed: int, interface: str) -> int:
    """Send made packets as fast as one process can: ``syn`` from everywhere, or ``single`` datagrams, each a flow of its own."""
    import socket

    from bench.wire import SYN, ipv4, udp

    rng = random.Random(seed)
    sent, deadline = 0, time.monotonic() + seconds
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((interface, 0))
        while time.monotonic() < deadline:
            source, port = rng.getrandbits(32), rng.randint(1024, 65535)
            if kind == "syn":
                segment = port.to_bytes(2, "big") + (80).to_bytes(2, "big") + rng.randbytes(4) + bytes(4) + bytes((0x50, SYN)) + b"\xfa\xf0" + bytes(4)
                frame = ipv4(source, 0xC0000214, 6, segment, sent)
            else:
                frame = udp((source, port), (0xC0000214, rng.randint(1024, 65535)), b"x" * 20, sent)
            try:
                out.send(frame)
                sent += 1
            except OSError:
                time.sleep(0.001)
    return sent


_DRIP = r"""
import socket, sys, time
socks = []
for i in range(int(sys.argv[2])):
    s = socket.create_connection((sys.argv[1], 21), 5)
    s.recv(100)
    socks.append((s, f"USER drip-{i}\r\nPASS slowly-{i}\r\n".encode()))
at = 0
while True:
    for s, text in socks:
        s.send(text[at % len(text):at % len(text) + 1])
    at += 1
    time.sleep(float(sys.argv[3]))
"""


def memory(minutes: float, seed: int) -> Memory:
    """Traffic of every unkind sort for so long."""
    out = Memory()
    folder = folder_for_all("soak")
    try:
        mix = folder / "mix.pcap"
        subprocess.run([sys.executable, "-m", "bench.mix", "mix", str(mix), "--megabytes", str(min(100, max(5, int(minutes * 10)))), "--seed", str(seed)], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        with Span() as span, inside(span.watch), serving(span, folder, FTP):
            _unkind(span, folder, mix, minutes * 60, seed, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _unkind(span: Span, folder: Path, mix: Path, seconds: float, seed: int, out: Memory) -> None:
    watcher = _Run(folder, metrics="127.0.0.1:9476").start_reading().process
    drip = span.start(span.client, sys.executable, "-c", _DRIP, SERVER, "200", "0.5", log=folder / "drip")
    replay = span.start(span.sender, "tcpreplay", "-q", "-i", "out0", "--loop=0", "--pps=5000", str(mix), log=folder / "replay")
    begun = time.monotonic()
    floods = threading.Thread(target=_floods, args=(span, seconds, seed, out))
    floods.start()
    while time.monotonic() - begun < seconds:
        out.samples.append((time.monotonic() - begun, resident(watcher.pid)))
        time.sleep(max(0.5, seconds / 200))
    floods.join()
    with urllib.request.urlopen("http://127.0.0.1:9476/metrics", timeout=20) as answer:
        text = answer.read().decode()
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        if name in ("cleartap_flows_total", "cleartap_flows_active", "cleartap_flows_evicted_total", "cleartap_connection_attempts_total", "cleartap_bugs_total") or name.startswith(("cleartap_capture_packets", "cleartap_capture_dropped")):
            out.metrics[name] = float(value)
    for process in (replay, drip, watcher):
        end(process, 60)


def _floods(span: Span, seconds: float, seed: int, out: Memory) -> None:
    """A SYN flood and one-packet flows in turn, with pauses."""
    over = time.monotonic() + seconds
    with inside(span.sender):
        turn = 0
        while (left := over - time.monotonic()) > 0:
            kind = ("syn", "single")[turn % 2]
            out.sent[kind] = out.sent.get(kind, 0) + flood(kind, min(left, max(2.0, seconds / 20)), seed + turn, "out0")
            turn += 1
            time.sleep(min(1.0, max(0.0, over - time.monotonic())))


def main() -> int:
    arguments = argparse.ArgumentParser(prog="./run soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--kills", type=int, metavar="N")
    arguments.add_argument("--minutes", type=float, metavar="M")
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    if given.kills is None and given.minutes is None:
        arguments.error("give --kills or --minutes")
    why = missing("tcpreplay")
    if why:
        print(f"soak: {why}", file=sys.stderr)
        return 1
    good = True
    if given.kills is not None:
        found = kills(given.kills, given.seed)
        print(f"{found.rounds} kills (seed {given.seed}): {found.logins} logins, {found.recorded} recorded, {found.delivered} findings delivered, {found.unwatched:.1f} s unwatched and on record")
        for problem in found.problems:
            print(f"  FAILED: {problem}")
        good = not found.problems
    if given.minutes is not None:
        held = memory(given.minutes, given.seed)
        print("| minute | resident MB |\n|--:|--:|")
        for at, size in held.samples[:: max(1, len(held.samples) // 20)]:
            print(f"| {at / 60:.1f} | {size / 1e6:.0f} |")
        print(f"\nsent: {held.sent}\n{held.metrics}\nlast quarter over the one before: {held.plateau:.3f}; highest {max(size for _, size in held.samples) / 1e6:.0f} MB")
        good = good and held.plateau < 1.05
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
