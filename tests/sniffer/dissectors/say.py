"""What dissector tests compare: events as short tuples."""

from __future__ import annotations

import random
from collections.abc import Sequence

from sniffer.dissectors import Spec
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Content, Event, Login, Side, Statement, Token, Upgrade
from tests.drive import Gap, Say, drive


def logins(events: Sequence[Event]) -> list[tuple[str, str | None, str, str]]:
    return [(e.mechanism, e.username, e.secret.reveal(), str(e.outcome)) for e in events if isinstance(e, Login)]


def hashes(events: Sequence[Event]) -> list[tuple[str, str | None, str, str | None]]:
    return [(e.mechanism, e.username, e.response.reveal(), e.crack.line.reveal() if e.crack else None) for e in events if isinstance(e, ChallengeResponse)]


def tokens(events: Sequence[Event]) -> list[tuple[str, str | None, str]]:
    return [(e.mechanism, e.name, e.secret.reveal()) for e in events if isinstance(e, Token)]


def statements(events: Sequence[Event]) -> list[tuple[str, str | None, str]]:
    return [(e.mechanism, e.username, e.secret.reveal()) for e in events if isinstance(e, Statement)]


def upgrades(events: Sequence[Event]) -> list[tuple[str, str, tuple[int, int] | None]]:
    return [(e.to, e.status, e.resume) for e in events if isinstance(e, Upgrade)]


def content(events: Sequence[Event]) -> list[tuple[str, bytes]]:
    return [(e.where, e.data) for e in events if isinstance(e, Content)]


def both(spec: Spec, script: Sequence[Say | Gap], *, same_content: bool = True) -> list[Event]:
    """The events of a script, which any cutting must give again but for the pieces content comes in."""
    whole = drive(spec, script)
    rng = random.Random(1)
    for cut in (1, 2, 7, [rng.randint(1, 30) for _ in range(5000)]):
        pieces = drive(spec, script, cut=cut)
        assert [e for e in pieces if not isinstance(e, Content)] == [e for e in whole if not isinstance(e, Content)]
        assert not same_content or b"".join(e.data for e in pieces if isinstance(e, Content)) == b"".join(e.data for e in whole if isinstance(e, Content))
    return whole


def secret_of(script: Sequence[Say | Gap], event: Event) -> bytes:
    """The bytes an event's span points at."""
    data = b"".join(s.data for s in script if isinstance(s, Say) and s.side is event.span.side)
    return data[event.span.start : event.span.end]


def storm(spec: Spec, seeds: Sequence[bytes], *, datagram: bool = False, rounds: int = 150) -> None:
    """Mutations of honest bytes raise nothing but Malformed."""
    rng = random.Random(2)
    for _ in range(rounds):
        script = []
        for _ in range(rng.randint(1, 5)):
            data = bytearray(rng.choice(seeds))
            for _ in range(rng.randint(0, 6)):
                if data:
                    data[rng.randrange(len(data))] = rng.choice((0, 255, 10, 13, 32, rng.getrandbits(8)))
            script.append(Say(Side(rng.randint(0, 1)), bytes(data[: rng.randint(1, len(data) or 1)])))
        try:
            drive(spec, script, datagram=datagram)
        except Malformed:
            continue
