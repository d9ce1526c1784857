"""Order, reassembly and flow ends: the columns and the slow path must agree on every input."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sniffer.flows.lab import ACK, FIN, RST, SYN, Lab, Segment, packets, said

CLIENT, SERVER = 0, 1


def conversation(turns: list[tuple[int, bytes]], *, sizes: random.Random | None = None, isn: tuple[int, int] = (100, 5000), port: int = 40000, handshake: bool = True, fin: bool = True) -> list[Segment]:
    """A whole connection, turns cut into segments."""
    seq = [isn[0], isn[1]]
    out = []
    if handshake:
        out += [Segment(0, seq[0], flags=SYN, port=port), Segment(1, seq[1], flags=SYN | ACK, ack=seq[0] + 1, port=port)]
    seq = [seq[0] + 1, seq[1] + 1]
    if handshake:
        out.append(Segment(0, seq[0], ack=seq[1], port=port))
    for side, data in turns:
        at = 0
        while at < len(data):
            size = sizes.randint(1, 40) if sizes else len(data)
            piece = data[at : at + size]
            out.append(Segment(side, seq[side], piece, ack=seq[1 - side], port=port))
            seq[side] += len(piece)
            at += size
    if fin:
        out += [Segment(0, seq[0], flags=FIN | ACK, ack=seq[1], port=port), Segment(1, seq[1], flags=FIN | ACK, ack=seq[0] + 1, port=port)]
    return out


TURNS = [(CLIENT, b"hello there, how are you?"), (SERVER, b"fine, " * 30), (CLIENT, b"bye"), (SERVER, b"bye bye")]
EXPECTED = [(0, 0, TURNS[0][1]), (1, 0, TURNS[1][1]), (0, 25, b"bye"), (1, 180, b"bye bye"), ("close",)]

both = pytest.mark.parametrize("columns", [True, False], ids=["columns", "slow"])


@both
def test_a_plain_connection_gives_its_turns(columns):
    lab = Lab(columns=columns).run(conversation(TURNS, sizes=random.Random(1)))
    assert lab.logs == [EXPECTED]
    assert len(lab.ended) == 1
    assert lab.ended[0].bytes == (28, 187)
    assert lab.ended[0].client_port == 40000


@both
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_batches_do_not_show(columns, size):
    segments = conversation(TURNS, sizes=random.Random(2))
    assert Lab(columns=columns).run(segments, [size] * 200).logs == [EXPECTED]


@both
def test_sequence_numbers_wrap(columns):
    segments = conversation(TURNS, sizes=random.Random(3), isn=(0xFFFFFFF8, 0xFFFFFFF0))
    assert Lab(columns=columns).run(segments, [5, 5, 5]).logs == [EXPECTED]


@both
def test_joined_in_the_middle_begins_at_zero(columns):
    segments = conversation(TURNS, handshake=False, isn=(77, 88))
    lab = Lab(columns=columns).run(segments)
    assert lab.logs == [EXPECTED]


@both
def test_one_sided_capture(columns):
    segments = [s for s in conversation(TURNS, sizes=random.Random(4)) if s.side == CLIENT]
    lab = Lab(columns=columns).run(segments)
    assert said(lab.logs[0], CLIENT) == TURNS[0][1] + b"bye"


@both
def test_a_lost_segment_becomes_a_gap_and_the_rest_is_delivered(columns):
    segments = conversation([(CLIENT, b"a" * 10), (CLIENT, b"b" * 10), (CLIENT, b"c" * 10)])
    lost = [s for s in segments if s.data != b"b" * 10]
    lab = Lab(columns=columns).run(lost)
    assert lab.logs[0][:3] == [(0, 0, b"a" * 10), (0, 10, 10), (0, 20, b"c" * 10)]
    assert lab.tracker.slow.gaps == 1
    assert lab.tracker.slow.gap_bytes == 10


@both
def test_a_snaplen_cut_is_a_gap(columns):
    segments = [Segment(0, 1, b"abc", missing=7), Segment(0, 11, b"def")]
    assert Lab(columns=columns).run(segments).logs[0][:3] == [(0, 0, b"abc"), (0, 3, 7), (0, 10, b"def")]


@both
def test_first_copy_wins_and_a_conflict_is_counted(columns):
    segments = [Segment(0, 1, b"abcd"), Segment(0, 3, b"XXef"), Segment(0, 7, b"gh")]
    lab = Lab(columns=columns).run(segments)
    assert said(lab.logs[0], 0) == b"abcdefgh"
    if not columns:  # the columns keep no copy of what they delivered
        assert lab.tracker.slow.seen["conflicting overlap"] == 1


@both
def test_conflict_among_held_segments_is_counted(columns):
    segments = [Segment(0, 1, b"ab"), Segment(0, 7, b"gh"), Segment(0, 5, b"efXX"), Segment(0, 3, b"cd")]
    lab = Lab(columns=columns).run(segments)
    assert said(lab.logs[0], 0) == b"abcdefgh"
    assert lab.tracker.slow.seen["conflicting overlap"] == 1


@both
def test_keepalive_bytes_are_not_data(columns):
    segments = conversation([(CLIENT, b"hello")], fin=False)
    segments += [Segment(0, 105, b"\0"), Segment(0, 106, b"more")]
    assert said(Lab(columns=columns).run(segments).logs[0], 0) == b"hellomore"


@both
def test_ports_used_again_are_another_flow(columns):
    segments = conversation([(CLIENT, b"one")]) + conversation([(CLIENT, b"two")], isn=(90000, 99000))
    for batches in ([], [4], [7], [1] * 30):
        lab = Lab(columns=columns).run(segments, batches)
        assert [said(log, 0) for log in lab.logs] == [b"one", b"two"]
        assert len(lab.ended) == 2


@both
def test_ports_used_again_without_a_fin_are_another_flow(columns):
    segments = conversation([(CLIENT, b"one")], fin=False) + conversation([(CLIENT, b"two")], isn=(90000, 99000))
    for batches in ([], [4], [1] * 30):
        assert [said(log, 0) for log in Lab(columns=columns).run(segments, batches).logs] == [b"one", b"two"]


@both
def test_a_repeated_syn_is_the_same_flow(columns):
    segments = conversation(TURNS)
    segments.insert(1, segments[0])
    assert Lab(columns=columns).run(segments).logs == [EXPECTED]


@both
def test_a_forged_reset_does_not_blind(columns):
    segments = conversation(TURNS)
    segments.insert(4, Segment(0, 999999, flags=RST))
    assert Lab(columns=columns).run(segments).logs == [EXPECTED]


@both
def test_scans_cost_no_object(columns):
    segments = [Segment(0, i, flags=SYN, port=1000 + i) for i in range(500)]
    lab = Lab(columns=columns).run(segments)
    assert lab.logs == []
    assert lab.flows == []
    assert lab.tracker.attempts == lab.tracker.flows == 500


def test_the_table_is_bounded(monkeypatch):
    monkeypatch.setattr("sniffer.flows.table.MAX_FLOWS", 64)
    segments = [Segment(0, 5, b"x", port=2000 + i) for i in range(500)]
    lab = Lab()
    lab.run(segments, [50] * 20)
    assert lab.tracker.evicted > 300
    assert len(lab.ended) == 500


def test_flows_being_read_are_bounded(monkeypatch):
    """Those unheard of for longest are read no further: what they held is given out, their packets are still counted."""
    monkeypatch.setattr("sniffer.flows.tracker.MAX_LIVE", 64)
    segments = [Segment(0, 5, b"x", port=2000 + i, time=(1 + i) * 1_000_000_000) for i in range(500)]
    segments.append(Segment(0, 6, b"later", port=2000, time=501_000_000_000))
    lab = Lab().run(segments, [10] * 50)
    assert lab.engine.live == 0
    assert lab.tracker.evicted > 400
    assert len(lab.ended) == 500
    assert all(log[-1] == ("close",) for log in lab.logs)
    assert lab.logs[0] == [(0, 0, b"x"), ("close",)]
    assert max(row.bytes[0] for row in lab.ended) == 6


@both
def test_what_is_held_is_counted_once(columns):
    lab = Lab(columns=columns)
    lab.run(conversation(TURNS) + [Segment(0, 5, b"x", port=2000 + i) for i in range(50)], [7] * 20)
    assert lab.engine.live == 0


def test_flows_that_go_on_are_told_in_turn(monkeypatch):
    monkeypatch.setattr("sniffer.flows.tracker.MAX_TOLD", 30)
    lab = Lab()
    segments = [Segment(0, 5 + n, b"x", port=2000 + i, time=(1 + n) * 1_000_000_000) for n in range(3) for i in range(100)]
    lab.tracker.feed(packets(segments))
    told: list[int] = []
    for _ in range(5):
        part = lab.tracker.ongoing(0, 60_000_000_000)
        assert len(part) <= 30
        told += [row.client_port for row, _ in part]
    assert sorted(told) == list(range(2000, 2100))


def test_idle_flows_end_by_packet_time():
    hour = 3600 * 1_000_000_000
    segments = [Segment(0, 5, b"x", port=1), Segment(0, 5, b"x", port=2, time=3 * hour)]
    lab = Lab()
    lab.run(segments, [1, 1])
    assert len(lab.ended) == 2
    assert lab.logs[0] == [(0, 0, b"x"), ("close",)]


def shuffled(segments: list[Segment], rng: random.Random, reach: int) -> list[Segment]:
    """Reordered by a few places, some repeated, some repeated with another cut."""
    keyed = [(i + rng.random() * reach, s) for i, s in enumerate(segments)]
    for i, s in enumerate(segments):
        if s.data and rng.random() < 0.2:
            keyed.append((i + rng.random() * reach, s))
        if len(s.data) > 3 and rng.random() < 0.2:
            cut = rng.randint(1, len(s.data) - 1)
            keyed.append((i + rng.random() * reach, Segment(s.side, s.seq + cut, s.data[cut:], ack=s.ack, port=s.port)))
    return [s for _, s in sorted(keyed, key=lambda k: k[0])]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_any_cutting_reordering_and_duplication_gives_the_stream(seed, reach, batch, isn):
    rng = random.Random(seed)
    data = [bytes(rng.randbytes(rng.randint(0, 400))), bytes(rng.randbytes(rng.randint(0, 400)))]
    turns = [(rng.randint(0, 1), b"") for _ in range(6)]
    turns = [(0, data[0][:100]), (1, data[1][:100]), (0, data[0][100:]), (1, data[1][100:])]
    whole = conversation(turns, sizes=rng, isn=(isn, (isn + 12345) & 0xFFFFFFFF), fin=False)
    segments = whole[:3] + shuffled(whole[3:], rng, reach)
    logs = []
    for columns in (True, False):
        lab = Lab(columns=columns).run(segments, [batch] * (len(segments) // batch + 1))
        log = lab.logs[0] if lab.logs else []
        for side in (0, 1):
            assert said([e for e in log if len(e) == 3], side) == data[side]
        assert lab.tracker.slow.gaps == 0
        logs.append(log)
    assert [said([e for e in log if len(e) == 3], s) for log in logs for s in (0, 1)] == [*data, *data]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(1, 50))
def test_in_order_input_gives_the_same_turns_both_ways(seed, batch):
    rng = random.Random(seed)
    flows = [conversation([(rng.randint(0, 1), rng.randbytes(rng.randint(1, 200))) for _ in range(8)], sizes=rng, port=30000 + i, isn=(rng.getrandbits(32), rng.getrandbits(32))) for i in range(4)]
    segments: list[Segment] = []
    while any(flows):
        flow = rng.choice([f for f in flows if f])
        segments.append(flow.pop(0))
    fast, slow = (Lab(columns=c).run(segments, [batch] * (len(segments) // batch + 1)) for c in (True, False))
    assert sorted(map(repr, fast.logs)) == sorted(map(repr, slow.logs))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2**32 - 1), st.binary(max_size=20), st.integers(0, 31), st.integers(0, 2**32 - 1), st.integers(0, 3)), max_size=40), st.integers(1, 9))
def test_nonsense_never_raises(rows, batch):
    segments = [Segment(side, seq, data, flags, ack, missing) for side, seq, data, flags, ack, missing in rows]
    for columns in (True, False):
        Lab(columns=columns).run(segments, [batch] * 50)
