"""The laws every dissector is held to, run over the registry: a new protocol is under them without being named here."""

from __future__ import annotations

import random
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from sniffer.dissectors import Match, Spec, registry
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Content, Event, Login, Side, Token
from tests.drive import Gap, Say, drive
from tests.streams import PCAPS, Script, captures, heads, scripts, speaking

SPECS = list(registry().values())
ROOT = Path(__file__).parent.parent

every = pytest.mark.parametrize("spec", SPECS, ids=lambda s: s.name)
streams = pytest.mark.parametrize("spec", [s for s in SPECS if s.stream], ids=lambda s: s.name)


def facts(events: list[Event]) -> list[Event]:
    """Events without what a cut may change: bulk content may come in other pieces."""
    return [e for e in events if not isinstance(e, Content)]


def content(events: list[Event]) -> list[tuple[str, str]]:
    return sorted({(e.media, e.where) for e in events if isinstance(e, Content)})


@every
def test_has_its_three_files_and_words(spec: Spec):
    module = spec.name.replace("-", "_")
    assert (ROOT / f"sniffer/dissectors/{module}.py").exists()
    assert (ROOT / f"tests/sniffer/dissectors/test_{module}.py").exists()
    assert captures(spec.name), f"pcaps/{spec.name}/ has no capture"
    assert re.search(r"RFC \d+|MS-|protocol|specification|draft", (ROOT / f"sniffer/dissectors/{module}.py").read_text().split('"""')[1])
    assert spec.title
    assert spec.encrypted or spec.remedy


@every
def test_its_captures_are_claimed(spec: Spec):
    assert speaking(spec), "no flow of its captures is claimed by its probe"


@streams
def test_any_cutting_gives_the_same_events(spec: Spec):
    rng = random.Random(7)
    for datagram, script in speaking(spec):
        if datagram:
            continue
        whole = drive(spec, script)
        small = sum(len(s.data) for s in script if isinstance(s, Say)) < 20_000
        for cut in ([1] if small else []) + [[rng.randint(1, 60) for _ in range(3000)] for _ in range(3)]:
            pieces = drive(spec, script, cut=cut)
            assert facts(pieces) == facts(whole)
            assert content(pieces) == content(whole)


@every
def test_damaged_input_raises_nothing_but_malformed(spec: Spec):
    rng = random.Random(11)
    for datagram, script in speaking(spec)[:6]:
        for _ in range(15):
            broken = [replace(s, data=damage(rng, s.data)) if isinstance(s, Say) else s for s in script[:60]]
            try:
                drive(spec, broken, datagram=datagram)
            except Malformed:
                continue


def damage(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(0, 4)):
        if out:
            at = rng.randrange(len(out))
            kind = rng.random()
            if kind < 0.5:
                out[at] = rng.getrandbits(8)
            elif kind < 0.75:
                del out[at : at + rng.randint(1, 9)]
            else:
                out[at:at] = rng.randbytes(rng.randint(1, 9))
    return bytes(out)


@every
def test_arbitrary_bytes_raise_nothing_but_malformed(spec: Spec):
    rng = random.Random(13)
    for _ in range(60):
        script = [Say(Side(rng.randint(0, 1)), rng.choice((rng.randbytes(rng.randint(1, 300)), bytes(rng.randint(1, 80)), b"\xff" * rng.randint(1, 40), b"A 1\r\n" * 9))) for _ in range(6)]
        spec.probe(*heads(script))
        for datagram in (False, True):
            if (spec.datagram if datagram else spec.stream) is not None:
                try:
                    drive(spec, script, datagram=datagram)
                except Malformed:
                    pass


def claims(events: list[Event]) -> set[tuple]:
    out: set[tuple] = set()
    for e in events:
        if isinstance(e, Login | Token):
            out.add((type(e).__name__, e.username, e.secret))
        elif isinstance(e, ChallengeResponse):
            out.add(("hash", e.username, e.response, e.crack and e.crack.line))
    return out


@streams
def test_a_gap_never_invents_a_credential(spec: Spec):
    """Whatever is lost, a user, a secret and a challenge that did not belong together are never put together."""
    for datagram, script in speaking(spec):
        if datagram or len(script) > 80:
            continue
        allowed = claims(drive(spec, script))
        secrets = {c[:1] + c[2:3] for c in allowed}
        for i, step in enumerate(script):
            if not isinstance(step, Say):
                continue
            lossy: Script = [*script[:i], Gap(step.side, len(step.data)), *script[i + 1 :]]
            try:
                found = claims(drive(spec, lossy))
            except Malformed:
                continue
            for claim in found - allowed:
                # Less may be known (no user, no challenge), never something else.
                assert claim[:1] + claim[2:3] in secrets, (i, claim[0])
                assert claim[1] is None or claim[0] == "hash", (i, claim[0])
                assert claim[0] != "hash" or claim[3] is None, (i, claim[0])


@streams
def test_the_probe_never_changes_its_mind(spec: Spec):
    """Over streams, that is; a datagram comes whole or not at all."""
    for path in [p for s in SPECS for p in captures(s.name)[:2]]:
        for datagram, script in scripts(path)[:8]:
            if datagram:
                continue
            client, server = heads(script)
            said = Match.MORE
            for size in [*range(0, 40), *range(40, 1024, 31)]:
                now = spec.probe(client[:size], server[:size])
                assert said is Match.MORE or now is said
                said = now


@every
def test_claims_no_capture_of_another_protocol(spec: Spec):
    for other in SPECS:
        if other.name == spec.name:
            continue
        for datagram, script in speaking(other):
            if (spec.datagram if datagram else spec.stream) is None:
                continue
            assert spec.probe(*heads(script)) is not Match.YES, f"claims {other.name}"


@every
def test_spans_lie_inside_what_was_fed(spec: Spec):
    for datagram, script in speaking(spec):
        fed = [0, 0]
        for step in script:
            fed[step.side] += len(step.data) if isinstance(step, Say) else step.size
        for event in drive(spec, script, datagram=datagram):
            assert 0 <= event.span.start <= event.span.end
            if type(event).__name__ != "Skip":
                assert event.span.end <= fed[event.span.side], event


@streams
@pytest.mark.parametrize("junk", [b"A", b"\0", b"a=b; ", b"x\r\n", b"\xff\x01", b"* ", b"{9999}\r\n"], ids=repr)
def test_memory_is_bounded_whatever_comes(spec: Spec, junk: bytes):
    assert spec.stream is not None
    chunk = (junk * 65536)[:65536]
    for start in (b"", *(heads(script)[0][:200] for _, script in speaking(spec)[:1])):
        dissector = spec.stream()
        offset = 0
        tracemalloc.start()
        try:
            for part in (start, *[chunk] * 32):
                if part:
                    dissector.feed(Side.CLIENT, offset, part)
                    offset += len(part)
        except Malformed:
            pass
        finally:
            held, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert held < 3 << 20


def test_every_capture_belongs_to_a_protocol():
    folders = {p.name for p in PCAPS.iterdir() if p.is_dir() and not p.name.startswith("_") and any(p.glob("*.pcap*"))}
    assert folders <= {s.name for s in SPECS} | {"broken", "encapsulation"}
