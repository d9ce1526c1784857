"""``./run bench``: whole processes in turn over the same captures, ours and what is installed of the others.

    ./run bench                 the mix and the tiny flows, three rounds
    ./run bench --quick         a tenth of the size, one round
    ./run bench --only mix
    ./run bench live            what a live capture keeps up with (root, namespaces)

Every program runs alone, in turn, round after round; the best round counts, and ratios are taken within the run: the
machine is rarely ours alone. What each found is compared with the logins that were planted.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

OUT = Path(__file__).parent / "out"
RULES = Path(__file__).parent / "suricata.rules"


@dataclass
class Run:
    """One program on one capture: its best round."""

    name: str
    seconds: float = float("inf")
    cpu: float = 0.0
    peak: int = 0  # bytes, resident
    logins: int | None = None
    cards: int | None = None
    rounds: list[float] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)


def timed(command: list[str], out: Path) -> tuple[float, float, int]:
    """Wall seconds, CPU seconds and peak resident bytes of a whole process."""
    # Where compiled modules may not be kept, every start would compile our own again, which no installation does.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with out.open("wb") as stream:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.DEVNULL, env=environment)
        _, _, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def ours(path: Path, folder: Path) -> tuple[list[str], str]:
    return [sys.executable, "-m", "sniffer.cli", "scan", "--format", "jsonl", "--fail-on", "never", str(path)], "cleartap"


def suricata(path: Path, folder: Path) -> tuple[list[str], str]:
    """Single run mode, its own configuration with EVE on, seven rules that find the same logins and cards."""
    return _suricata(path, folder / "suricata", RULES), "suricata --runmode single, 7 rules"


def suricata_logins(path: Path, folder: Path) -> tuple[list[str], str]:
    """The same with the four rules for logins alone: no body of a response is looked into."""
    rules = folder / "logins.rules"
    rules.write_text("".join(line for line in RULES.open() if '"login:' in line))
    return _suricata(path, folder / "suricata-logins", rules), "suricata --runmode single, 4 rules"


def _suricata(path: Path, logs: Path, rules: Path) -> list[str]:
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    return ["suricata", "-c", "/etc/suricata/suricata.yaml", "--runmode", "single", "-k", "none", "-S", str(rules), "-l", str(logs), "-r", str(path)]


def tshark(path: Path, folder: Path) -> tuple[list[str], str]:
    return ["tshark", "-q", "-n", "-z", "credentials", "-r", str(path)], "tshark -z credentials"


def dpkt_loop(path: Path, folder: Path) -> tuple[list[str], str]:
    return [sys.executable, "-m", "bench.dpkt_loop", str(path)], "plain dpkt loop"


def ours_alone(path: Path, folder: Path) -> tuple[list[str], str]:
    return [*ours(path, folder)[0], "--jobs", "1"], "cleartap --jobs 1"


PROGRAMS = {"cleartap": ours, "cleartap-alone": ours_alone, "suricata": suricata, "suricata-logins": suricata_logins, "tshark": tshark, "dpkt": dpkt_loop}


def found(name: str, path: Path, out: Path, folder: Path) -> tuple[int | None, int | None]:
    """How many of the planted logins and cards a program reported: by value for ours, by count for the others."""
    if name.startswith("cleartap"):
        return by_value(path, [*PROGRAMS[name](path, folder)[0], "--reveal"])
    if name.startswith("suricata"):
        log = folder / name / "fast.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return sum("] login: " in line for line in lines), sum("] card " in line for line in lines) if name == "suricata" else None
    if name == "tshark":
        return sum(line.split()[:1] != [] and line.split()[0].isdigit() for line in out.read_text(errors="replace").splitlines()), None
    return None, None


def by_value(path: Path, command: list[str]) -> tuple[int, int]:
    """The planted logins and cards whose very values are in the output."""
    truth = json.loads(path.with_suffix(".json").read_text())
    revealed = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [row for row in map(json.loads, revealed.stdout.splitlines()) if row["type"] == "finding" and "secret" in row]
    values = {(r["protocol"], r.get("username"), r["secret"]["value"]) for r in rows}
    cards = {r["secret"]["value"] for r in rows if r["secret"]["kind"] == "card"}
    return sum((p["protocol"], p["username"], p["secret"]) in values for p in truth["planted"]), sum(c in cards for c in truth["cards"])


def stages(path: Path) -> dict[str, float]:
    """Seconds by stage, in a process of its own so that nothing else is measured."""
    done = subprocess.run([sys.executable, "-m", "bench.stages", str(path)], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def compare(path: Path, rounds: int, names: list[str]) -> list[Run]:
    """Every program in turn, round after round."""
    runs = {name: Run(PROGRAMS[name](path, OUT)[1]) for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for turn in range(rounds):
            for name in names:
                command, _ = PROGRAMS[name](path, folder)
                out = folder / f"{name}.out"
                seconds, cpu, peak = timed(command, out)
                run = runs[name]
                run.rounds.append(seconds)
                if seconds < run.seconds:
                    run.seconds, run.cpu, run.peak = seconds, cpu, peak
                if turn == rounds - 1:
                    run.logins, run.cards = found(name, path, out, folder)
    return list(runs.values())


def slope(path: Path, half: Path, rounds: int, packets: tuple[int, int]) -> tuple[float, float]:
    """Microseconds a packet beyond the start-up, and the start-up: a line through half the capture and all of it.

    Both in turn, and by as many processes as a large capture gets: half of one may be read by fewer.
    """
    jobs = ["--jobs", str(min(len(os.sched_getaffinity(0)), 4))]
    taken = [[timed([*ours(capture, OUT)[0], *jobs], OUT / "half.out")[0] for capture in (path, half)] for _ in range(rounds)]
    whole, part = (min(column) for column in zip(*taken, strict=True))
    each = (whole - part) / (packets[0] - packets[1])
    return each * 1e6, part - each * packets[1]


def report(title: str, path: Path, runs: list[Run], planted: tuple[int, int], packets: int) -> None:
    size = path.stat().st_size / 1e6
    base = runs[0].seconds
    print(f"\n## {title}: {packets:,} packets, {size:.0f} MB, {planted[0]} logins and {planted[1]} cards planted\n")
    print("| program | seconds | CPU s | packets/s | MB/s | time, cleartap = 1 | peak MB | logins | cards |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for run in runs:
        logins, cards = ("–" if count is None else str(count) for count in (run.logins, run.cards))
        print(f"| {run.name} | {run.seconds:.2f} | {run.cpu:.2f} | {packets / run.seconds:,.0f} | {size / run.seconds:.0f} | {run.seconds / base:.2f} | {run.peak / 1e6:.0f} | {logins} | {cards} |")


def main() -> int:
    if sys.argv[1:2] == ["live"]:
        from bench import live

        return live.main(sys.argv[2:])
    arguments = argparse.ArgumentParser(prog="./run bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--only", choices=("mix", "tiny"))
    arguments.add_argument("--rounds", type=int)
    arguments.add_argument("--seed", type=int, default=1)
    given = arguments.parse_args()
    OUT.mkdir(exist_ok=True)
    names = [n for n in PROGRAMS if n in ("cleartap", "cleartap-alone", "dpkt") or shutil.which(n.partition("-")[0])]
    for missing in set(PROGRAMS) - set(names):
        print(f"bench: {missing} is not installed and is left out", file=sys.stderr)
    rounds = given.rounds or (1 if given.quick else 3)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, load {os.getloadavg()[0]:.2f}, best of {rounds}")
    share = 10 if given.quick else 1
    ok = True
    for kind, title in (("mix", "mixed traffic"), ("tiny", "tiny flows")):
        if given.only and kind != given.only:
            continue
        path, half = OUT / f"{kind}.pcap", OUT / f"{kind}-half.pcap"
        counts = []
        for target, part in ((path, 1), (half, 2)):
            # In a process of its own: what a child is told to have used includes what its parent held when it was made.
            size = ["--megabytes", str(500 // share // part)] if kind == "mix" else ["--flows", str(200_000 // share // part)]
            subprocess.run([sys.executable, "-m", "bench.mix", kind, str(target), *size, "--seed", str(given.seed)], check=True, stdout=subprocess.DEVNULL)
            truth = json.loads(target.with_suffix(".json").read_text())
            counts.append((truth["packets"], len(truth["planted"]), len(truth["cards"])))
        runs = compare(path, rounds, names)
        report(title, path, runs, counts[0][1:], counts[0][0])
        each, start = slope(path, half, rounds, (counts[0][0], counts[1][0]))
        print(f"\ncleartap: {each:.2f} µs a packet beyond {start:.2f} s of start-up")
        print("\n| stage | seconds |\n|---|--:|")
        for name, seconds in stages(path).items():
            print(f"| {name} | {seconds:.3f} |")
        ok = ok and all((run.logins, run.cards) == counts[0][1:] for run in runs[:2])
    if not ok:
        print("bench: not every planted login and card was found", file=sys.stderr)
    return 0 if ok else 1


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
