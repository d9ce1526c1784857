"""Runs a program as the systemd unit would: its system call filter, its address families, no memory both writable and executable.

``python3 confine.py PLAN PROGRAM ARGUMENT…``, PLAN being JSON with ``calls`` and ``families``. Needs no_new_privs, which setpriv sets. The
filter is made with libseccomp, as systemd makes its own.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

_ALLOW, _EPERM = 0x7FFF0000, 0x00050000 | 1
_EQUAL = 4
_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1


class _Compare(ctypes.Structure):
    _fields_ = (("argument", ctypes.c_uint), ("operator", ctypes.c_int), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64))


def main() -> None:
    plan = json.loads(Path(sys.argv[1]).read_text())
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(_EPERM))
    for name in plan["calls"]:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and name != "socket":
            assert seccomp.seccomp_rule_add_array(context, _ALLOW, number, 0, None) == 0, name
    socket = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in plan["families"]:
        compare = _Compare(0, _EQUAL, family, 0)
        assert seccomp.seccomp_rule_add_array(context, _ALLOW, socket, 1, ctypes.byref(compare)) == 0
    # Linux 6.3; older kernels say EINVAL, and the unit's setting is then a filter of systemd's.
    ctypes.CDLL(None).prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)
    assert seccomp.seccomp_load(context) == 0
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
