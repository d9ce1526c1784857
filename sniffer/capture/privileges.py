"""Least privilege: after the sockets are open everything is given up, and it is checked (capabilities(7), prctl(2))."""

from __future__ import annotations

import ctypes
import os
import socket
from pathlib import Path

from sniffer.errors import CleartapError

_PR_GET_DUMPABLE, _PR_SET_DUMPABLE, _PR_CAPBSET_READ, _PR_CAPBSET_DROP = 3, 4, 23, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_VERSION_3 = 0x20080522
# Who to become when started as root: an account of our own where the package made one.
USERS = ("cleartap", "nobody")
_TASKS = Path("/proc/self/task")
_SETS = ("CapInh", "CapPrm", "CapEff", "CapAmb")


class PrivilegeError(CleartapError):
    """Privileges could not be given up; nothing may be read from the network then."""


def may_capture() -> bool:
    """Whether raw sockets may be opened now (root, or CAP_NET_RAW)."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except (OSError, AttributeError):
        return False
    return True


def drop(user: str | None = None) -> None:
    """Give up everything, for good: root, groups, all capabilities, gaining any by exec, core dumps, being traced.

    To be called with one thread (libraries start some too: set OPENBLAS_NUM_THREADS=1 before NumPy is imported), after the sockets are open and before anything is read or any child is started;
    children inherit it. ``user``: whom to become when root; by default the first there is of ``USERS``. Files
    that are to be written later must belong to that user. PrivilegeError when anything is left.
    """
    no_dumps()
    libc = _libc()
    if os.geteuid() == 0 or os.getuid() == 0:
        _drop_bounding_set(libc)
        _become(user)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    libc.capset(header, (ctypes.c_uint32 * 6)())
    # Changing the user made it 0 or 1, as fs.suid_dumpable says.
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if left := remaining():
        raise PrivilegeError(f"privileges could not be given up: {'; '.join(left)}")


def no_dumps() -> None:
    """No core dumps, and no reading of our memory by others of the same user: it holds what was seen on the wire."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _libc().prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def remaining() -> list[str]:
    """What of the privileges is left, in words; empty is the proof. Asks the kernel, and tries."""
    import resource

    left = [f"{name} can be opened" for name, arguments in _RAW if _opens(*arguments)]
    if 0 in os.getresuid():
        left.append("root")
    for task in _TASKS.iterdir():
        left.extend(f"thread {task.name}: {line}" for line in _held(task / "status"))
    if _libc().prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0:
        left.append("can be traced")
    if resource.getrlimit(resource.RLIMIT_CORE)[1] != 0:
        left.append("core dumps")
    return left


_RAW = (
    ("a packet socket", ("AF_PACKET", socket.SOCK_RAW, 0)),
    ("a raw IPv4 socket", ("AF_INET", socket.SOCK_RAW, 1)),
    ("a raw IPv6 socket", ("AF_INET6", socket.SOCK_RAW, 58)),
)


def _opens(family: str, kind: int, protocol: int) -> bool:
    try:
        socket.socket(getattr(socket, family), kind, protocol).close()
    except OSError:
        return False
    return True


def _held(status: Path) -> list[str]:
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    held = [f"{name} {lines[name].strip()}" for name in _SETS if int(lines[name], 16)]
    if lines["NoNewPrivs"].strip() != "1":
        held.append("can gain privileges by exec")
    return held


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _drop_bounding_set(libc: ctypes.CDLL) -> None:
    """Best effort: with no_new_privs it has no use any more."""
    for capability in range(64):
        if libc.prctl(_PR_CAPBSET_READ, capability, 0, 0, 0) < 0:
            break
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def account(user: str | None = None) -> tuple[int, int]:
    """The user and group that root becomes in ``drop``. PrivilegeError when there is none or it is root."""
    import pwd

    for name in USERS if user is None else (user,):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid and entry.pw_gid:
            return entry.pw_uid, entry.pw_gid
    raise PrivilegeError(f"there is no account {user or ' or '.join(USERS)} without privileges to run as")


def _become(user: str | None) -> None:
    uid, gid = account(user)
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PrivilegeError(f"cannot become user {uid}: {error.strerror}") from None
