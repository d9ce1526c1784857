"""The ring on real interfaces, in network namespaces of the test's own."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from sniffer.capture.device import LINKTYPE_SLL2
from sniffer.capture.frames import PAD, Frames
from sniffer.capture.live import HAS_RING, Ring, open_interface
from sniffer.capture.ring import BLOCK, SOL_PACKET, open_socket
from sniffer.capture.source import RingSettings
from sniffer.decode import Decoder
from sniffer.errors import CaptureError, UsageError
from tests.sniffer.capture import lab
from tests.sniffer.capture.files import pcap
from tests.sniffer.capture.lab import (
    datagram,
    decoded,
    ethernet,
    frames,
    namespace,
    neighbour,
    ring,
    run,
    sender,
    tag,
    until,
    veth,
    within,
)

ROOT = Path(__file__).parents[3]
SAMPLE = [ethernet(0x0800, datagram(bytes([65 + i]) * (20 + 31 * i))) for i in range(20)]


def test_frames_come_whole_in_order_with_the_kernels_time():
    with namespace():
        veth()
        with ring() as source, sender() as tx:
            before = time.time_ns()
            for frame in SAMPLE:
                tx.send(frame)
            after = time.time_ns()
            got = frames(source, len(SAMPLE))
            assert [data for _, _, data, _ in got] == SAMPLE
            assert [number for number, _, _, _ in got] == list(range(1, 21))
            times = [moment for _, moment, _, _ in got]
            assert times == sorted(times)
            assert before <= times[0]
            assert times[-1] <= after
            assert len(set(times)) > 10  # finer than the microsecond a frame takes to send
            assert source.problem is None


def test_a_packet_on_a_quiet_link_is_there_within_100_ms():
    with namespace():
        veth()
        with ring() as source, sender() as tx:
            waited = []
            for pause in (0.0, 0.013, 0.031, 0.047, 0.06):
                time.sleep(pause)
                tx.send(SAMPLE[0])
                batch = source.read(1)
                assert batch is not None
                waited.append(time.time_ns() - int(batch.time[0]))
            assert sorted(waited)[2] < 100_000_000, waited


def test_reading_waits_no_longer_than_asked():
    with namespace():
        veth()
        with ring() as source:
            start = time.monotonic()
            assert source.read(0.2) is None
            assert 0.15 < time.monotonic() - start < 1
            start = time.monotonic()
            assert source.read(0) is None
            assert time.monotonic() - start < 0.2


TAGGED = {
    "none": (0x0800, datagram()),
    "802.1Q": (0x8100, tag(10, 0x0800, datagram())),
    "priority 4": (0x8100, tag(11, 0x0800, datagram(), priority=4)),
    "only a priority": (0x8100, tag(0, 0x0800, datagram(), priority=5)),
    "QinQ": (0x88A8, tag(20, 0x8100, tag(10, 0x0800, datagram()))),
    "three": (0x8100, tag(1, 0x8100, tag(2, 0x8100, tag(3, 0x0800, datagram())))),
}


def paths(wire: list[bytes], vlan: list[int] | None = None) -> list[tuple[str, ...]]:
    sizes = np.array([len(f) for f in wire], np.int64)
    ones = np.ones(len(wire), np.int64)
    decoder = Decoder()
    tags = None if vlan is None else np.array(vlan, np.int64)
    packets = decoder.decode(Frames(b"".join(wire) + bytes(PAD), np.cumsum(sizes) - sizes, sizes, sizes, ones, ones, ones, "file", tags))
    return [decoder.paths[key] for key in packets.path.tolist()]


def test_a_tag_in_the_column_is_a_tag():
    plain = ethernet(0x0800, datagram())
    inner = ethernet(0x8100, tag(10, 0x0800, datagram()))
    columns = [-1, 0x8100 << 16 | 10, 0x8100 << 16 | 7 << 13 | 11, 0x8100 << 16 | 5 << 13, 0x88A8 << 16 | 20]
    assert paths([plain, plain, plain, plain, inner], columns) == [(), ("vlan:10",), ("vlan:11",), (), ("vlan:20", "vlan:10")]


@pytest.mark.parametrize("direction", ["arriving", "leaving"])
def test_tags_beside_the_bytes_give_the_path_that_tags_in_them_give(direction):
    wire = [ethernet(*content) for content in TAGGED.values()]
    expected = paths(wire)
    assert expected[4] == ("vlan:20", "vlan:10")
    with namespace():
        veth()
        with ring("m1" if direction == "arriving" else "m0") as source, sender() as tx:
            for frame in wire:
                tx.send(frame)
            assert [path for path, *_ in decoded(source, len(wire))] == expected


def test_the_tag_is_given_with_its_kind():
    with namespace():
        veth()
        with ring() as source, sender() as tx:
            for frame in (ethernet(*TAGGED["none"]), ethernet(*TAGGED["priority 4"]), ethernet(*TAGGED["QinQ"])):
                tx.send(frame)
            assert [vlan for *_, vlan in frames(source, 3)] == [-1, 0x8100 << 16 | 4 << 13 | 11, 0x88A8 << 16 | 20]


def test_vlan_devices():
    with namespace():
        veth()
        if subprocess.run(["ip", "link", "add", "link", "m0", "name", "m0.30", "type", "vlan", "id", "30"], capture_output=True, check=False).returncode:
            pytest.skip("this kernel has no VLAN devices; tags are tested with frames made by hand")
        run("ip link add link m1 name m1.30 type vlan id 30")
        lab.quiet("m0.30", "m1.30")
        with ring("m1") as trunk, ring("m1.30") as inside, sender("m0.30") as tx:
            tx.send(ethernet(0x0800, datagram(b"hello")))
            assert [(p, b) for p, _, _, b in decoded(trunk, 1)] == [(("vlan:30",), b"hello")]
            assert [(p, b) for p, _, _, b in decoded(inside, 1)] == [((), b"hello")]


def test_vxlan_device():
    with namespace():
        veth()
        run("ip addr add 10.8.0.1/24 dev m0")
        run("ip neigh add 10.8.0.2 lladdr 02:00:00:00:00:02 dev m0")
        run("ip link add vx type vxlan id 42 dstport 4789 local 10.8.0.1 remote 10.8.0.2 dev m0")
        lab.quiet("vx")
        with ring("m1") as source, sender("vx") as tx:
            tx.send(ethernet(0x0800, datagram(b"inside")))
            assert decoded(source, 1) == [(("vxlan:42",), 1000, 53, b"inside")]


def test_frames_of_64_kib():
    """Segmentation is left to hardware that is not there: the stack hands over what it would have cut."""
    sent = os.urandom(3_000_000)
    with namespace(), neighbour() as other:
        run(f"ip link add m0 type veth peer name p0 netns {other}")
        run("ip addr add 10.7.0.1/24 dev m0")
        within(other, "ip addr add 10.7.0.2/24 dev p0")
        within(other, "ip link set p0 up")
        lab.quiet("m0")
        with ring("m0", ring_bytes=16 << 20) as source, socket.create_server(("10.7.0.1", 4444)) as server:
            script = "import socket,sys; s=socket.create_connection(('10.7.0.1',4444)); s.sendall(sys.stdin.buffer.read()); s.close()"
            client = subprocess.Popen(["nsenter", f"--target={other}", "--net", sys.executable, "-c", script], stdin=subprocess.PIPE)
            assert client.stdin is not None
            threading.Thread(target=lambda: (client.stdin.write(sent), client.stdin.close()), daemon=True).start()  # type: ignore[union-attr]
            conn, _ = server.accept()
            with conn:
                conn.settimeout(10)
                while conn.recv(1 << 16):
                    pass
            client.wait(10)
            largest, data = 0, {}
            decoder = Decoder()
            while (batch := source.read(0.2)) is not None:
                largest = max(largest, int(batch.size.max()))
                packets = decoder.decode(batch)
                for seq, port, at, size in zip(packets.seq.tolist(), packets.dport.tolist(), packets.at.tolist(), packets.size.tolist(), strict=True):
                    if port == 4444 and size:
                        data[seq] = bytes(packets.buffer[at : at + size])
            assert largest > 20_000
            start = min(data)
            out = bytearray(len(sent))
            for seq, piece in data.items():
                out[seq - start : seq - start + len(piece)] = piece
            assert out == sent
            assert source.counters().dropped == 0


def test_loopback_shows_each_packet_once():
    with namespace(), ring("lo") as source, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tx:
        for i in range(5):
            tx.sendto(b"%d" % i, ("127.0.0.1", 9))
        got = [data for _, _, dport, data in decoded(source, 10, 0.5) if dport == 9]
        assert got == [b"0", b"1", b"2", b"3", b"4"]


def tunnel(name: str, hatype: int = 65534) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), 0x1001))  # TUNSETIFF: IFF_TUN | IFF_NO_PI
    fcntl.ioctl(fd, 0x400454CD, hatype)  # TUNSETLINK
    lab.quiet(name)
    return fd


def test_a_device_without_link_header():
    with namespace():
        fd = tunnel("t0")
        try:
            with ring("t0") as source:
                os.write(fd, datagram(b"raw"))
                batch = source.read(1)
                assert batch is not None
                assert batch.link.tolist() == [101]
                os.write(fd, datagram(b"again"))
                assert decoded(source, 1) == [((), 1000, 53, b"again")]
        finally:
            os.close(fd)


def test_any_interface():
    """Both directions of Ethernet, tags, a tun device, loopback once; the same frames give the same paths."""
    with namespace():
        veth()
        fd = tunnel("t0")
        try:
            with ring("any") as source, sender("m0") as tx, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:
                tx.send(ethernet(0x0800, datagram(b"veth")))
                tx.send(ethernet(0x8100, tag(10, 0x0800, datagram(b"tagged"))))
                tx.send(ethernet(0x88A8, tag(20, 0x8100, tag(10, 0x0800, datagram(b"twice")))))
                os.write(fd, datagram(b"tun"))
                lo.sendto(b"lo", ("127.0.0.1", 53))
                got = [(data, path) for path, _, dport, data in decoded(source, 10, 1) if dport == 53]
                assert sorted(got) == sorted(
                    [(b"veth", ())] * 2 + [(b"tagged", ("vlan:10",))] * 2 + [(b"twice", ("vlan:20", "vlan:10"))] * 2 + [(b"tun", ()), (b"lo", ())]
                )
                tx.send(ethernet(0x0800, datagram(b"veth")))
                os.write(fd, datagram(b"tun"))
                links = [link for _ in range(3) if (batch := source.read(0.2)) is not None for link in batch.link.tolist()]
                assert sorted(links) == [1, 1, 101]
        finally:
            os.close(fd)


def test_a_device_nobody_knows():
    """ipip: packets are cooked, with the header Wireshark would write (LINKTYPE_LINUX_SLL2)."""
    with namespace():
        fd = tunnel("t0", hatype=768)
        try:
            with ring("t0", filter="udp dst port 53") as source:
                os.write(fd, datagram(b"no", dport=54))
                os.write(fd, datagram(b"yes"))
                batch = source.read(1)
                assert batch is not None
                assert batch.link.tolist() == [LINKTYPE_SLL2]
                ((_, _, data, _),) = lab.rows(batch)
                protocol, _, index, hatype, kind, _ = struct.unpack_from("!HHIHBB", data)
                assert (protocol, socket.if_indextoname(index), hatype, kind) == (0x0800, "t0", 768, 0)
                assert data[20:] == datagram(b"yes")
                assert batch.wire.tolist() == [len(data)]
                os.write(fd, datagram(b"again"))
                assert decoded(source, 1) == [((), 1000, 53, b"again")]
        finally:
            os.close(fd)


def test_any_interface_with_a_filter():
    with namespace():
        veth()
        with ring("any", filter="udp dst port 53 and src host 10.0.0.1") as source, sender() as tx, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lo:
            tx.send(ethernet(0x0800, datagram(b"no", dport=54)))
            tx.send(ethernet(0x0800, datagram(b"yes")))
            tx.send(ethernet(0x0800, datagram(b"no", src="10.0.0.3")))
            lo.sendto(b"no", ("127.0.0.1", 53))
            assert [data for *_, data in decoded(source, 3, 0.5)] == [b"yes", b"yes"]
            assert source.offered == 0
            assert source.counters().packets == source.offered == 2


def test_snaplen_cuts_and_says_so():
    with namespace():
        veth()
        with ring(snaplen=100) as source, sender() as tx:
            tx.send(ethernet(0x0800, datagram(bytes(1000))))
            tx.send(ethernet(0x0800, datagram(bytes(10))))
            batch = source.read(1)
            assert batch is not None
            assert batch.size.tolist() == [100, 14 + 28 + 10]
            assert batch.wire.tolist() == [14 + 28 + 1000, 14 + 28 + 10]


def test_a_filter_that_is_wrong_or_asks_for_what_is_not_there():
    with namespace():
        with pytest.raises(UsageError, match=r"filter: .*syntax"):
            open_socket(RingSettings("lo", filter="prot tcp"))
        with pytest.raises(UsageError, match="no VLAN support"):
            open_socket(RingSettings("any", filter="vlan 10"))
        with pytest.raises(UsageError, match="ethernet addresses supported only on ethernet"):
            open_socket(RingSettings("any", filter="ether host 02:00:00:00:00:01"))


def test_no_such_interface():
    with namespace(), pytest.raises(CaptureError, match=r"nowhere0: no such interface; there are lo, any"):
        open_interface(RingSettings("nowhere0"))


def test_without_permission():
    with namespace():
        program = "from sniffer.capture.live import *\nfrom sniffer.errors import CaptureError\ntry: open_interface(RingSettings('lo'))\nexcept CaptureError as e: print(e)"
        said = subprocess.run(["setpriv", "--bounding-set=-net_raw", sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True).stdout
        assert said.startswith("lo: no permission to capture")


@pytest.mark.parametrize("flag", [True, False])
def test_promiscuous(flag):
    with namespace():
        veth()
        with ring(promiscuous=flag):
            assert re.search(rf"promiscuity {int(flag)}\b", run("ip -d link show m1"))
        until(lambda: "promiscuity 0" in run("ip -d link show m1"))


def flood(count: int, name: str = "m0") -> None:
    with sender(name) as tx:
        for _ in range(count):
            tx.send(SAMPLE[5])


def test_counters_add_up_when_the_reader_is_too_slow():
    """The ring is far too small: what was sent is what was read and what the kernel says it dropped, to the packet."""
    with namespace():
        veth()
        with ring(ring_bytes=1) as source:
            read = 0
            for _ in range(3):
                flood(20_000)
                batch = source.read(0.1)
                assert batch is not None
                read += len(batch)
                source.counters()
            while (batch := source.read(0.2)) is not None:
                read += len(batch)
            counters = source.counters()
            assert counters.dropped > 0
            assert counters.freezes > 0
            assert counters.packets == read
            assert counters.packets + counters.dropped == source.offered == 60_000
            assert counters.bytes == read * len(SAMPLE[5])


def test_another_reader_goes_on_where_one_stopped():
    with namespace():
        veth()
        settings = RingSettings("m1", ring_bytes=4 << 20)
        sock = open_socket(settings)
        first = Ring(sock.dup(), settings)
        with sender() as tx:
            for frame in SAMPLE[:7]:
                tx.send(frame)
            got = frames(first, 7)
            first.counters()
            first.close()
            for frame in SAMPLE[7:]:
                tx.send(frame)
            time.sleep(0.15)
        second = Ring(sock, settings)
        try:
            got += frames(second, 13)
            assert [data for _, _, data, _ in got] == SAMPLE
            assert [number for number, _, _, _ in got] == list(range(1, 21))
            assert asdict(second.counters()) == {"packets": 20, "bytes": sum(map(len, SAMPLE)), "dropped": 0, "freezes": 0}
        finally:
            second.close()


def test_a_block_taken_and_not_given_back_by_a_reader_that_died():
    """The next reader gives it back; the ring does not stall there one round later."""
    with namespace():
        veth()
        settings = RingSettings("m1", ring_bytes=1)
        sock = open_socket(settings)

        class Dead(Exception):
            pass

        class Fence:
            def release(self):
                raise Dead

            def acquire(self):
                pass

        first = Ring(sock.dup(), settings)
        first._fence = Fence()  # type: ignore[assignment]
        flood(5)
        with pytest.raises(Dead):
            first.read(1)
        first.close()
        second = Ring(sock, settings)
        try:
            for round_ in range(10):
                flood(5)
                assert len(frames(second, 5)) == 5, round_
            assert second.counters().dropped == 0
            assert second.offered == 55
        finally:
            second.close()


def _work(sock: socket.socket, settings: RingSettings, pipe) -> None:  # type: ignore[no-untyped-def]
    source = Ring(sock, settings)
    while True:
        batch = source.read(0.05)
        pipe.send(0 if batch is None else len(batch))


def test_a_killed_worker_loses_no_count():
    """The socket goes to a worker of its own process; it is killed under traffic, and the next knows every packet."""
    import multiprocessing

    context = multiprocessing.get_context("spawn")
    with namespace():
        veth()
        settings = RingSettings("m1", ring_bytes=4 << 20)
        with open_socket(settings) as sock:
            sent = 0
            for _ in range(2):
                ours, theirs = context.Pipe()
                worker = context.Process(target=_work, args=(sock, settings, theirs))
                worker.start()
                assert ours.poll(20)
                for _ in range(20):
                    flood(200)
                    sent += 200
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                worker.join()
                ours.close()
                theirs.close()
                worker.close()
            last = Ring(sock.dup(), settings)
            try:
                while last.read(0.2) is not None:
                    pass
                counters = last.counters()
                assert counters.packets + counters.dropped == last.offered == sent
            finally:
                last.close()


def test_an_interface_that_goes_down_comes_back_and_vanishes():
    with namespace():
        veth()
        with ring() as source, sender() as tx:
            run("ip link set m1 down")
            until(lambda: source.read(0.05) is None and source.problem)
            assert source.problem == "m1: the interface is down"
            run("ip link set m1 up")
            until(lambda: source.read(0.05) is None and not source.problem)
            tx.send(SAMPLE[3])
            assert [data for _, _, data, _ in frames(source, 1)] == [SAMPLE[3]]
            run("ip link set m0 down")
            until(lambda: source.read(0.05) is None and source.problem)
            assert source.problem == "m1: the interface has no carrier"
            run("ip link del m1")
            until(lambda: source.read(0.05) is None and source.problem and "gone" in source.problem)
            # Another of that name is another interface.
            veth()
            time.sleep(0.6)
            assert source.read(0.05) is None
            assert source.problem == "m1: the interface is gone"
            assert source.counters().packets == 1


def test_a_filter_on_a_tag_that_the_kernel_took_off():
    with namespace():
        veth()
        with ring(filter="vlan 10 and udp dst port 53") as source, sender() as tx:
            tx.send(ethernet(0x0800, datagram(b"no")))
            tx.send(ethernet(0x8100, tag(11, 0x0800, datagram(b"no"))))
            tx.send(ethernet(0x8100, tag(10, 0x0800, datagram(b"no", dport=54))))
            tx.send(ethernet(0x8100, tag(10, 0x0800, datagram(b"yes"))))
            assert [(path, data) for path, _, _, data in decoded(source, 2, 0.5)] == [(("vlan:10",), b"yes")]


def test_the_filter_is_locked():
    with namespace(), open_socket(RingSettings("lo")) as sock:
        with pytest.raises(PermissionError):
            sock.setsockopt(socket.SOL_SOCKET, 27, 0)  # SO_DETACH_FILTER
        assert struct.unpack("=I", sock.getsockopt(SOL_PACKET, 10, 4))[0] == 2


def test_a_mirror_port():
    """A SPAN: client and server in namespaces of their own, a switch port mirrored both ways to the interface watched."""
    lab.require("tc", "nsenter")
    with namespace(), neighbour() as client, neighbour() as server:
        run("ip link add sw type bridge")
        for name, pid, address in (("c", client, "10.6.0.1"), ("s", server, "10.6.0.2")):
            run(f"ip link add {name}0 type veth peer name e0 netns {pid}")
            run(f"ip link set {name}0 master sw")
            within(pid, f"ip addr add {address}/24 dev e0")
            within(pid, "ip link set e0 up")
            lab.quiet(f"{name}0")
        lab.quiet("sw")
        run("ip link add dev mon0 type veth peer name mon1")
        lab.quiet("mon0", "mon1")
        run("tc qdisc add dev c0 clsact")
        for way in ("ingress", "egress"):
            run(f"tc filter add dev c0 {way} protocol all u32 match u32 0 0 action mirred egress mirror dev mon0")
        serve = "import socket; s=socket.create_server(('10.6.0.2',21)); print('up',flush=True); c,_=s.accept(); c.send(b'220 hi\\r\\n'); print(c.recv(99)); c.close()"
        with ring("mon1", filter="tcp") as source:
            listening = subprocess.Popen(["nsenter", f"--target={server}", "--net", sys.executable, "-c", serve], stdout=subprocess.PIPE)
            assert listening.stdout is not None
            listening.stdout.readline()
            say = "import socket; s=socket.create_connection(('10.6.0.2',21)); s.recv(99); s.send(b'USER alice\\r\\n'); s.recv(1)"
            subprocess.run(["nsenter", f"--target={client}", "--net", sys.executable, "-c", say], check=True)
            listening.communicate(timeout=10)
            got = [data for *_, data in decoded(source, 20, 1) if data]
            assert got == [b"220 hi\r\n", b"USER alice\r\n"]


def test_tcpreplay_is_counted_to_the_packet(tmp_path):
    lab.require("tcpreplay")
    (tmp_path / "a.pcap").write_bytes(pcap([(10**18 + i * 1000, SAMPLE[i % 20]) for i in range(5000)]))
    with namespace():
        veth()
        with ring(ring_bytes=16 << 20) as source:
            run(f"tcpreplay --intf1=m0 --topspeed {tmp_path}/a.pcap")
            got = frames(source, 5000)
            assert [data for _, _, data, _ in got] == [SAMPLE[i % 20] for i in range(5000)]
            assert source.counters().dropped == 0


def test_a_ring_has_room_for_the_largest_frames():
    assert HAS_RING
    assert BLOCK >= 2 * 65536
