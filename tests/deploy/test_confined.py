"""The demonstration of compose.yaml without containers: the replay on a loopback of its own, watched as the systemd unit and as the image
run the program. Root, namespaces and tcpreplay are needed.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.test_systemd import UNIT
from tests.deploy.tools import DEPLOY, ROOT, debian, good, lacking, run
from tests.sniffer.outputs.servers import until

USER = 65532  # nobody's on Debian; the image's own
PYTHON = Path("/usr/bin/python3")


def unit_lines(key: str) -> list[str]:
    return [line.partition("=")[2] for line in UNIT.read_text().splitlines() if line.startswith(f"{key}=")]


def group(name: str, seen: set[str]) -> set[str]:
    """The system calls of one of systemd's groups."""
    seen.add(name)
    calls: set[str] = set()
    for line in run("systemd-analyze", "syscall-filter", name).stdout.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@") and word not in seen:
            calls |= group(word, seen)
        elif word and word[0] not in "@#":
            calls.add(word)
    return calls


def allowed() -> set[str]:
    """What the unit's SystemCallFilter= lines leave, read in their order as systemd.exec(5) says."""
    calls = group("@default", set())
    for line in unit_lines("SystemCallFilter"):
        words = {call for word in line.removeprefix("~").split() for call in (group(word, set()) if word.startswith("@") else {word})}
        calls = calls - words if line.startswith("~") else calls | words
    return calls


def test_filter_is_read_as_systemd_does():
    debian("systemd-analyze", "systemd")
    calls = allowed()
    assert {"read", "poll", "capset", "socket"} <= calls
    assert not {"ptrace", "setuid", "mount", "keyctl", "bpf", "init_module"} & calls


@pytest.fixture
def namespace() -> Iterator[str]:
    if os.geteuid() != 0:
        lacking("needs root, for a network namespace")
    ip, name = debian("ip", "iproute2"), f"cleartap-{os.getpid()}"
    made = run(ip, "netns", "add", name)
    if made.returncode:
        lacking(f"no network namespace: {made.stderr.strip()}")
    try:
        good(ip, "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        run(ip, "netns", "del", name)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """One the watcher's user can reach."""
    if os.geteuid() != 0:
        lacking("needs root, to give a folder to another user")
    place = Path("/tmp") / f"cleartap-{os.getpid()}-{tmp_path.name}"  # tmp_path lies below folders of root's alone
    place.mkdir(mode=0o755)
    state = place / "state"
    state.mkdir(mode=0o700)
    os.chown(state, USER, USER)
    text = (DEPLOY / "compose" / "cleartap.toml").read_text()
    old = '[[output]]\nname = "alertmanager"\ntype = "alertmanager"\nurl = "http://alertmanager:9093"\n'
    assert old in text
    text = text.replace(old, f'[[output]]\nname = "file"\ntype = "file"\npath = "{state}/out.jsonl"\nwants = ["finding"]\n')
    (place / "cleartap.toml").write_text(text)
    yield place
    shutil.rmtree(place)


def interpreter() -> dict[str, str]:
    """The system's Python with this environment's packages: the environment's own may lie in a home that is closed to others."""
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    if not PYTHON.exists() or run(PYTHON, "--version").stdout.split()[1].rpartition(".")[0] != minor:
        pytest.skip(f"{PYTHON} is not Python {minor}, which the packages are for")
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    for place in (*ROOT.parents, ROOT, *Path(packages).parents, Path(packages)):
        if not place.stat().st_mode & 0o001:
            pytest.skip(f"{place} is closed to the user the watcher runs as")
    return {"PYTHONPATH": f"{ROOT}:{packages}", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1", "PATH": "/usr/bin:/bin"}


def watch(namespace: str, folder: Path, privileges: list[str], before: list[str], python: Path) -> None:
    """Replay the capture and look at what is found, at what the processes still may, and at the end."""
    environment = {**interpreter(), "STATE_DIRECTORY": str(folder / "state"), "CLEARTAP_KEY_FILE": str(folder / "state" / "key")}
    settings = [f"{name}={value}" for name, value in environment.items()]
    setpriv = [debian("setpriv", "util-linux"), "--reuid", str(USER), "--regid", str(USER), "--clear-groups", *privileges]
    command = [debian("ip", "iproute2"), "netns", "exec", namespace, *setpriv, "/usr/bin/env", "-i", *settings, *before]
    command += [str(python), "-m", "sniffer.cli", "watch", "--config", str(folder / "cleartap.toml"), "--log"]
    tcpreplay = debian("tcpreplay", "tcpreplay")
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd="/")
    try:
        assert until(lambda: "watching lo" in log.read_text() or process.poll() is not None, 30), log.read_text()
        assert process.poll() is None, log.read_text()
        words = shlex.split(" ".join(json.loads((DEPLOY / "compose" / "replay" / "Dockerfile").read_text().rpartition("CMD ")[2])))
        words = [word.replace("--loop=0", "--loop=1").replace("--pps=100", "--pps=500").replace("/demo.pcap", str(ROOT / "pcaps" / "demo.pcap")) for word in words]
        good("ip", "netns", "exec", namespace, tcpreplay, *words)
        found = folder / "state" / "out.jsonl"
        assert until(lambda: found.exists() and len(rules(found)) >= 8, 20), log.read_text()
        for pid in map(int, good("ip", "netns", "pids", namespace).split()):
            _has_nothing_left(pid, filtered=bool(before))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)
    assert code == 0, log.read_text()
    assert (folder / "state" / "out.jsonl").stat().st_mode & 0o777 == 0o600


def rules(path: Path) -> set[str]:
    """Rules of the logins found."""
    return {rule for line in path.read_text().split("\n")[:-1] if (rule := json.loads(line)["rule"]).startswith("credential/")}


def _has_nothing_left(pid: int, *, filtered: bool) -> None:
    try:
        status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
        words = Path(f"/proc/{pid}/cmdline").read_text()
    except FileNotFoundError:
        return
    assert status["Uid"].split() == [str(USER)] * 4
    assert (status["Seccomp"] == "2") is filtered
    assert int(status["CapPrm"], 16) == int(status["CapEff"], 16) == int(status["CapAmb"], 16) == 0, words
    assert status["NoNewPrivs"] == "1"


def test_as_the_unit_runs_it(namespace: str, folder: Path):
    debian("systemd-analyze", "systemd")
    families = [getattr(socket, name) for name in unit_lines("RestrictAddressFamilies")[0].split()]
    (folder / "plan.json").write_text(json.dumps({"calls": sorted(allowed()), "families": families}))
    privileges = ["--bounding-set", "-all,+net_raw", "--inh-caps", "-all,+net_raw", "--ambient-caps", "-all,+net_raw", "--no-new-privs"]
    shutil.copy(Path(__file__).parent / "confine.py", folder / "confine.py")
    watch(namespace, folder, privileges, [str(PYTHON), str(folder / "confine.py"), str(folder / "plan.json")], PYTHON)


def test_as_the_image_runs_it(namespace: str, folder: Path):
    """An interpreter with the file capability, a user other than root, NET_RAW in the bounding set and nothing else."""
    assert "setcap cap_net_raw+ep /opt/cleartap/bin/python-capture" in (DEPLOY / "container" / "Dockerfile").read_text()
    capture = folder / "python-capture"
    interpreter()
    shutil.copy(PYTHON, capture)
    good(debian("setcap", "libcap2-bin"), "cap_net_raw+ep", capture)
    watch(namespace, folder, ["--bounding-set", "-all,+net_raw", "--inh-caps", "-all"], [], capture)


def test_the_image_without_net_raw_says_so(folder: Path):
    """With NET_RAW withheld the kernel does not even start the capturing interpreter; the plain one reads files."""
    capture = folder / "python-capture"
    environment = interpreter()
    shutil.copy(PYTHON, capture)
    good(debian("setcap", "libcap2-bin"), "cap_net_raw+ep", capture)
    nothing = [debian("setpriv", "util-linux"), "--reuid", str(USER), "--regid", str(USER), "--clear-groups", "--bounding-set", "-all", "--inh-caps", "-all"]
    assert "Operation not permitted" in run(*nothing, capture, "-c", "").stderr
    scan = run(*nothing, PYTHON, "-m", "sniffer.cli", "scan", "-q", "--fail-on", "never", ROOT / "pcaps" / "demo.pcap", env=environment)
    assert scan.returncode == 0, scan.stderr
