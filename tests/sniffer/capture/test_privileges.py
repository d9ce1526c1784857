"""Giving up everything: checked from inside, from outside, and by trying."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sniffer.capture import privileges
from tests.sniffer.capture import lab

ROOT = Path(__file__).parents[3]

# A ring is opened, all is given up, and the ring still reads. What the kernel says of the process is printed.
DROPPED = """
import os, resource, socket, sys
from sniffer.capture import privileges
from sniffer.capture.live import Ring, RingSettings, open_socket
settings = RingSettings("lo", ring_bytes=1)
sock = open_socket(settings)
before = privileges.remaining()
privileges.drop()
assert privileges.remaining() == [], privileges.remaining()
ring = Ring(sock, settings)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.sendto(b"x", ("127.0.0.1", 9))
print("read", len(ring.read(1) or ()) > 0)
print("counted", ring.counters().packets > 0)
for family, kind in ((socket.AF_PACKET, socket.SOCK_RAW), (socket.AF_PACKET, socket.SOCK_DGRAM), (socket.AF_INET, socket.SOCK_RAW)):
    try:
        socket.socket(family, kind, 1)
        print("opened", family)
    except PermissionError:
        print("refused")
try:
    os.setuid(0)
    print("root again")
except PermissionError:
    print("refused")
print("core", resource.getrlimit(resource.RLIMIT_CORE))
print("before", len(before))
for line in open("/proc/self/status"):
    if line.startswith(("Uid", "Groups", "Cap", "NoNew")):
        print(line.strip().replace("\\t", " "))
child = os.fork()
if child == 0:
    os._exit(len(privileges.remaining()))
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
ring.close(); udp.close()
"""


def run(program: str, *prefix: str) -> list[str]:
    with lab.namespace():
        # As the command does: NumPy's linear algebra would start threads, which keep what they were born with.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run([*prefix, sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_root_gives_up_everything():
    said = run(DROPPED)
    assert said[:6] == ["read True", "counted True", *["refused"] * 4]
    assert said[6] == "core (0, 0)"
    facts = dict(line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in said[8:] if ":" in line)
    uid, gid = privileges.account()
    assert facts["Uid"] == " ".join([str(uid)] * 4)
    assert facts["Groups"].strip() == ""
    assert {facts[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")} == {"0" * 16}
    assert facts["NoNewPrivs"] == "1"
    assert said[-1] == "child 0"
    assert uid != 0 != gid


def test_a_user_with_nothing_but_the_right_to_capture():
    """As under systemd: AmbientCapabilities=CAP_NET_RAW."""
    lab.require("setpriv")
    said = run(DROPPED, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw")
    assert said[:6] == ["read True", "counted True", *["refused"] * 4]
    assert "CapEff: 0000000000000000" in said
    assert "CapAmb: 0000000000000000" in said
    assert said[-1] == "child 0"


def test_it_says_what_is_left():
    lab.require()
    left = privileges.remaining()
    assert "root" in left
    assert "a packet socket can be opened" in left
    assert any("CapEff" in line for line in left)


def test_a_thread_that_kept_its_rights_is_seen():
    """capset(2) is for one thread; the check is for all."""
    program = (
        "import threading\nfrom sniffer.capture import privileges\n"
        "stop = threading.Event(); t = threading.Thread(target=stop.wait); t.start()\n"
        "try: privileges.drop(); print('nothing said')\n"
        "except privileges.PrivilegeError as e: print(e)\n"
        "finally: stop.set(); t.join()\n"
    )
    # Changing the user takes the effective set from all threads; a capability kept by a user's own thread stays.
    (said,) = run(program, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw")
    assert said.startswith("privileges could not be given up: thread ")


@pytest.mark.parametrize("name", ["root", "there-is-no-such-user"])
def test_an_account_that_will_not_do(name):
    with pytest.raises(privileges.PrivilegeError, match="there is no account"):
        privileges.account(name)


def test_whether_capturing_is_allowed():
    lab.require("setpriv")
    program = "from sniffer.capture.privileges import may_capture; print(may_capture())"
    assert run(program) == ["True"]
    assert run(program, "setpriv", "--bounding-set=-net_raw") == ["False"]
