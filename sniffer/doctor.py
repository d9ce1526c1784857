"""What ``cleartap watch`` needs, looked at one by one, each with what to do where it is missing. Sends nothing but greetings to receivers."""

from __future__ import annotations

import ctypes
import os
import socket
import stat
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sniffer.capture import privileges
from sniffer.errors import CaptureError, CleartapError, StateError, UsageError
from sniffer.outputs.text import clean, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sniffer.config import Config, OutputSettings

OK, WARN, FAIL = "ok", "warn", "fail"
# The room below which a disk is called nearly full, beside what the state may still grow by.
LEAST_ROOM = 256 << 20
# ioctl(2) SIOCETHTOOL and its commands (linux/ethtool.h).
_SIOCETHTOOL, _GET_GRO, _GET_FLAGS, _LRO_FLAG = 0x8946, 0x2B, 0x25, 1 << 15
# adjtimex(2): the clock is not synchronised.
_STA_UNSYNC, _TIME_ERROR = 0x40, 5


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. ``remedy`` is "" where nothing is to be done."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def examine(config: Config) -> Iterator[Check]:
    """Every check, one after the other; receivers last, since they may take long to answer."""
    yield from _permissions(config)
    if sys.platform == "linux":
        yield from _interfaces(config)
        yield _memory(config)
        yield _clock()
    yield from _state(config)
    yield _key()
    yield _metrics(config)
    yield from _policy(config)
    for output in config.outputs:
        yield _receiver(output, config)


# The capture.


def _permissions(config: Config) -> Iterator[Check]:
    if not hasattr(socket, "AF_PACKET"):
        yield Check("kernel", WARN, "no AF_PACKET on this system: capture goes through scapy, which is slow", "watch on Linux")
        return
    if privileges.may_capture():
        yield Check("permissions", OK, "raw sockets may be opened")
        yield _ring()
    elif config.capture.interfaces:
        yield Check("permissions", FAIL, "raw sockets may not be opened", "run as root, or give CAP_NET_RAW (AmbientCapabilities= in the systemd unit, cap_add in a container)")
    else:
        yield Check("permissions", WARN, "raw sockets may not be opened; streams and files can be watched", "for interfaces run as root or with CAP_NET_RAW")
    if os.geteuid() == 0:
        yield _account()


def _account() -> Check:
    """Root becomes somebody else once the capture is open."""
    from sniffer.watch.opening import reachable

    try:
        uid, _ = privileges.account()
    except privileges.PrivilegeError as error:
        return Check("account", FAIL, str(error), "add a system account named cleartap (deploy/systemd/sysusers.d)")
    if reachable():
        return Check("account", OK, f"root becomes user {uid}, who can start {sys.executable}")
    return Check("account", WARN, f"user {uid}, whom root becomes, cannot read the interpreter or the program", "install them where others can read, for example in /opt/cleartap")


def _ring() -> Check:
    """TPACKET_V3 by trying it on loopback, which there is everywhere."""
    from sniffer.capture.live import RingSettings, open_interface

    try:
        open_interface(RingSettings("lo", ring_bytes=2 << 20, promiscuous=False)).close()
    except CaptureError as error:
        return Check("kernel", FAIL, f"a TPACKET_V3 ring cannot be had: {error}", "a kernel with CONFIG_PACKET, and no seccomp or AppArmor rule against packet sockets")
    return Check("kernel", OK, f"AF_PACKET with TPACKET_V3 works ({os.uname().release})")


def _interfaces(config: Config) -> Iterator[Check]:
    if not config.capture.interfaces:
        yield Check("interfaces", WARN, "none is configured", "name them in [capture] interfaces or with -i")
    for name in config.capture.interfaces:
        yield from _interface(name, config)


def _interface(name: str, config: Config) -> Iterator[Check]:
    from sniffer.capture.device import Device
    from sniffer.capture.live import RingSettings, open_interface
    from sniffer.capture.source import ANY

    try:
        Device.of(name)
    except CaptureError as error:
        yield Check(f"interface {name}", FAIL, str(error), "correct the name in [capture] interfaces")
        return
    if privileges.may_capture():
        try:
            source = open_interface(RingSettings(name, config.capture.filter, ring_bytes=2 << 20, promiscuous=config.capture.promiscuous))
        except CleartapError as error:
            yield Check(f"interface {name}", FAIL, str(error), "see the reason; a filter is in tcpdump's language (pcap-filter(7))")
            return
        source.read(0.0)
        problem = source.problem
        source.close()
        mode = "promiscuous" if config.capture.promiscuous else "not promiscuous"
        if problem:
            yield Check(f"interface {name}", FAIL, problem, f"ip link set {name} up; see to the cable and the mirror session")
        else:
            yield Check(f"interface {name}", OK, f"up, can be opened, {mode}")
    if not config.capture.promiscuous and name != ANY:
        yield Check(f"interface {name} promiscuous", WARN, "only what is addressed to this machine is read", "set [capture] promiscuous = true on a mirror port")
    if name != ANY:
        yield _offloads(name)
        yield from _missed(name)


def _offloads(name: str) -> Check:
    """Generic and large receive offload put frames together before they are captured."""
    on = [what for what, command, bit in (("GRO", _GET_GRO, 1), ("LRO", _GET_FLAGS, _LRO_FLAG)) if _ethtool(name, command) & bit]
    if not on:
        return Check(f"interface {name} offloads", OK, "frames are captured as they crossed the wire")
    return Check(f"interface {name} offloads", WARN, f"{' and '.join(on)} put segments together before they are read; contents are the same, packet counts are not", f"ethtool -K {name} {' '.join(f'{what.lower()} off' for what in on)}")


def _ethtool(name: str, command: int) -> int:
    """A value of the driver's (struct ethtool_value); 0 where it has none."""
    import fcntl

    value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
    request = struct.pack("16sP16x", name.encode()[:15], ctypes.addressof(value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request)
        except OSError:
            return 0
    return int(struct.unpack("=II", value.raw)[1])


def _missed(name: str) -> Iterator[Check]:
    """What the card itself lost, before any program could read it."""
    try:
        lost = sum(int((Path("/sys/class/net") / name / "statistics" / f"rx_{what}").read_text()) for what in ("missed_errors", "fifo_errors", "over_errors"))
    except (OSError, ValueError):
        return
    if lost:
        yield Check(f"interface {name} losses", WARN, f"the card has lost {lost:,} frames since it came up", f"larger receive rings (ethtool -G {name} rx …), or less traffic to this port")


def _memory(config: Config) -> Check:
    from sniffer.watch.opening import workers

    wanted = (config.capture.ring_mb << 20) * workers(config.capture.workers) * max(1, len(config.capture.interfaces))
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return Check("memory", WARN, "cannot be looked up")
    text = f"rings take {size(wanted)} of {size(free)} that are free"
    return Check("memory", OK, text) if wanted < free // 2 else Check("memory", FAIL, text, "lower [capture] ring_mb or workers")


def _clock() -> Check:
    """Whether the kernel takes its clock for synchronised (adjtimex(2)): findings are only as good as their times."""
    timex = ctypes.create_string_buffer(512)
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    status = struct.unpack_from("=i", timex.raw, 40)[0] if struct.calcsize("P") == 8 else 0
    if state in (-1, _TIME_ERROR) or status & _STA_UNSYNC:
        return Check("clock", WARN, "the clock is not synchronised, as far as the kernel knows", "run chrony or systemd-timesyncd (in a container: on its host)")
    return Check("clock", OK, "synchronised")


# What is kept.


def _state(config: Config) -> Iterator[Check]:
    from sniffer.state import State

    path = Path(config.state.path)
    place = next((folder for folder in path.parents if folder.exists()), Path("/"))
    if not os.access(place, os.W_OK | os.X_OK):
        yield Check("state", FAIL, f"{place}: may not be written", "chown it to the account that watches, or name another place in [state] path")
    elif path.exists():
        try:
            with State.open_readonly(path) as reader:
                yield Check("state", OK, f"{path}: {size(reader.size)}")
        except StateError as error:
            yield Check("state", FAIL, str(error), "move the file away, or name another in [state] path")
        if path.stat().st_mode & 0o077:
            yield Check("state", WARN, f"{path}: others may read it", f"chmod 600 {path}")
    else:
        yield Check("state", OK, f"{path}: will be made at the first start")
    room = os.statvfs(place)
    free, needed = room.f_bavail * room.f_frsize, (config.state.max_mb << 20) + LEAST_ROOM
    text = f"{size(free)} free where the state lies, which may grow to {size(config.state.max_mb << 20)}"
    yield Check("disk", OK, text) if free >= needed else Check("disk", WARN, text, "make room, or lower [state] max_mb")


def _key() -> Check:
    from sniffer.installation import key_path

    path = key_path()
    try:
        facts = path.stat()
    except FileNotFoundError:
        return Check("fingerprint key", OK, f"{path}: will be made at the first start")
    except OSError as error:
        return Check("fingerprint key", WARN, f"{path}: {error.strerror}; fingerprints will differ from run to run", "set CLEARTAP_KEY_FILE to a place this account can read")
    return _mode("fingerprint key", path, facts)


def _mode(name: str, path: Path, facts: os.stat_result) -> Check:
    if not stat.S_ISREG(facts.st_mode):
        return Check(name, FAIL, f"{path}: is not a regular file")
    if facts.st_mode & 0o077:
        return Check(name, FAIL, f"{path}: others may read it (mode {facts.st_mode & 0o777:03o})", f"chmod 600 {path}")
    return Check(name, OK, f"{path}: for its owner alone")


# Who is told.


def _metrics(config: Config) -> Check:
    if not config.metrics.listen:
        return Check("metrics", WARN, "not served", "set [metrics] listen")
    from sniffer.metrics import Endpoint, Metrics

    try:
        Endpoint(Metrics(), config.metrics.listen, config.metrics.web_config, lambda: None, lambda: None).stop()
    except UsageError as error:
        busy = "in use" in str(error)
        return Check("metrics", WARN if busy else FAIL, str(error), "fine if that is cleartap itself, running; else choose another port" if busy else "correct [metrics]")
    return Check("metrics", OK, f"can be served on {config.metrics.listen}")


def _policy(config: Config) -> Iterator[Check]:
    """Entries that can match nothing, or count no longer."""
    import time

    from sniffer.alerting import CONDITIONS
    from sniffer.policy import Policy
    from sniffer.ruleset import all_rules

    policy = Policy(config)
    for pattern in policy.idle([*(rule.id for rule in all_rules()), *CONDITIONS]):
        yield Check("policy", WARN, f"{clean(pattern)}: matches no rule", "see cleartap rules for their names")
    for until, entry in policy.expirations():
        if until <= time.time_ns():
            yield Check("policy", WARN, f"expected cleartext {clean(entry.rule)} of {clean(entry.owner)} expired on {entry.expires}", "ask its owner whether it is encrypted by now")


def _receiver(output: OutputSettings, config: Config) -> Check:
    from sniffer.outputs.open import open_sink
    from sniffer.outputs.sink import SinkError

    name = f"output {output.name}"
    try:
        sink = open_sink(output, config.sensor)
    except UsageError as error:
        return Check(name, FAIL, clean(error, 300), "correct the output")
    try:
        sink.check()
    except SinkError as error:
        return Check(name, FAIL, clean(error, 300), "see that the receiver is up and reachable from here, its name and its certificate right")
    finally:
        sink.close()
    return Check(name, OK, f"{output.type} can be reached")
