"""SNMP v1 (RFC 1157), v2c (RFC 1901) and v3 with the user-based security model (RFC 3412, 3414)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sniffer.dissectors import _ber
from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._spec import Match, Spec
from sniffer.errors import Malformed
from sniffer.events import ChallengeResponse, Crack, Encryption, Event, Login, Outcome, Posture, Side, Span
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

# The largest message that RFC 3430 and agents take.
MAX_MESSAGE = 65_535
# A poller asks with a few communities; one that tries many is a scanner, and is told as far as this.
MAX_KNOWN = 64
MAX_PENDING = 256

_VERSIONS = {0: "v1", 1: "v2c", 3: "v3"}
_GET, _NEXT, _RESPONSE, _SET, _TRAP1, _BULK, _INFORM, _TRAP2, _REPORT = range(0xA0, 0xA9)
_USM = 3
_AUTH, _PRIV = 1, 2
# hashcat's modes by the length of the authentication parameters (RFC 3414, 7860): MD5 and SHA-1 both have twelve bytes.
_MODES = {12: (25000, 0), 16: (26700, 3), 24: (26800, 4), 32: (26900, 5), 48: (27300, 6)}
# hashcat takes messages up to this size, and engine ids of 17 bytes at the most; others get no line.
_MAX_CRACKABLE = 1500


class Snmp:
    """Messages of one flow. A community is told once, with its answer if one comes; polling on tells nothing new."""

    __slots__ = ("_buffers", "_known", "_pending", "_posture", "_stream")

    def __init__(self, *, stream: bool = False) -> None:
        self._stream = stream
        self._buffers = (Buffer(4 * MAX_MESSAGE), Buffer(4 * MAX_MESSAGE))
        self._known: dict[tuple[str, bytes], bool] = {}
        self._pending: dict[int, Login | ChallengeResponse] = {}
        self._posture: str | None = None

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        if not self._stream:
            return self._message(data, side, offset)
        buffer = self._buffers[side]
        buffer.feed(offset, data)
        events: list[Event] = []
        while (head := buffer.peek(min(6, len(buffer)))) and len(head) >= 2:
            _, _, end = _ber.header(head + bytes(4), 0)
            start = buffer.start
            if end > MAX_MESSAGE:
                raise Malformed("an SNMP message longer than the limit")
            message = buffer.take(end)
            if message is None:
                break
            events += self._message(message, side, start)
        return events

    def gap(self, side: Side, offset: int, size: int) -> Sequence[Event]:
        if self._stream:
            self._buffers[side].clear()
        return self._forget()

    def close(self) -> Sequence[Event]:
        return self._forget()

    def _forget(self) -> list[Event]:
        events: list[Event] = list(self._pending.values())
        self._pending.clear()
        return events

    def _message(self, data: bytes, side: Side, offset: int) -> list[Event]:
        tag, at, end = _ber.header(data, 0)
        if tag != _ber.SEQUENCE or end > len(data):
            raise Malformed("not an SNMP message")
        number, at = _ber.value(data, at, end, _ber.INTEGER)
        version = _VERSIONS.get(_ber.integer(number))
        if version is None:
            raise Malformed("an SNMP version that does not exist")
        if version == "v3":
            return self._v3(data, at, end, side, offset)
        return self._community(version, data, at, end, side, offset)

    def _community(self, version: str, data: bytes, at: int, end: int, side: Side, offset: int) -> list[Event]:
        community, pdu = _ber.value(data, at, end, _ber.OCTETS)
        kind, body, stop = _ber.header(data, pdu)
        if not _GET <= kind <= _REPORT or stop > end:
            raise Malformed("not an SNMP PDU")
        place = pdu - len(community)
        span = Span(side, offset + place, offset + pdu)
        events = self._say(Encryption.CLEARTEXT, f"SNMP {version} has no encryption", span)
        request = 0 if kind == _TRAP1 else _ber.integer(_ber.value(data, body, stop, _ber.INTEGER)[0])
        if kind == _RESPONSE:
            answered = self._pending.pop(request, None)
            if isinstance(answered, Login) and answered.secret.reveal() == decode(community):
                self._known[version, community] = True
                return [*events, _accepted(answered)]
        if not community or (self._known.get((version, community)) is not None and (self._known[version, community] or kind == _RESPONSE)):
            return events
        return [*events, *self._tell(version, community, kind, request, span)]

    def _tell(self, version: str, community: bytes, kind: int, request: int, span: Span) -> list[Event]:
        new = (version, community) not in self._known
        if len(self._known) >= MAX_KNOWN and new:
            return []
        where = "community string of a SET" if kind == _SET else "community string"
        event = Login(span=span, mechanism=version, secret=Secret(decode(community), "community"), where=where)
        self._known.setdefault((version, community), False)
        if kind in (_TRAP1, _TRAP2, _RESPONSE) or len(self._pending) >= MAX_PENDING:
            return [event] if new else []
        self._pending[request] = event
        # Asked again without an answer: one of them waiting is enough.
        waiting = [r for r, e in self._pending.items() if isinstance(e, Login) and e.secret == event.secret]
        for older in waiting[:-1]:
            del self._pending[older]
        return []

    def _say(self, encryption: Encryption, why: str, span: Span) -> list[Event]:
        if self._posture == why:
            return []
        self._posture = why
        return [Posture(span=span, encryption=encryption, why=why)]

    def _v3(self, data: bytes, at: int, end: int, side: Side, offset: int) -> list[Event]:
        """RFC 3412, 6 and RFC 3414, 2.4: header data, then the security parameters as an octet string."""
        tag, body, after = _ber.header(data, at)
        if tag != _ber.SEQUENCE or after > end:
            raise Malformed("not an SNMPv3 header")
        number, place = _ber.value(data, body, after, _ber.INTEGER)
        request = _ber.integer(number)
        _, place = _ber.value(data, place, after, _ber.INTEGER)
        flags, place = _ber.value(data, place, after, _ber.OCTETS)
        model, _ = _ber.value(data, place, after, _ber.INTEGER)
        security, _ = _ber.value(data, after, end, _ber.OCTETS)
        if not flags or _ber.integer(model) != _USM:
            return []
        return self._usm(data[:end], security, flags[0], request, side, offset)

    def _usm(self, message: bytes, security: bytes, flags: int, request: int, side: Side, offset: int) -> list[Event]:
        tag, at, end = _ber.header(security, 0)
        if tag != _ber.SEQUENCE or end > len(security):
            raise Malformed("not USM parameters")
        engine, at = _ber.value(security, at, end, _ber.OCTETS)
        for _ in range(2):
            _, at = _ber.value(security, at, end, _ber.INTEGER)
        user, at = _ber.value(security, at, end, _ber.OCTETS)
        proof, _ = _ber.value(security, at, end, _ber.OCTETS)
        start = message.find(security)
        span = Span(side, offset + start, offset + start + len(security))
        events = self._level(flags, user, span)
        if side is Side.SERVER and request in self._pending:
            answered = self._pending.pop(request)
            # Only an answer that is authenticated too says that the user was known and right.
            return [*events, _accepted(answered) if flags & _AUTH else answered]
        if not proof or not user or self._known.get(("v3", user)) is not None:
            return events
        if len(self._known) >= MAX_KNOWN:
            return events
        self._known["v3", user] = True
        crack = _crack(message, engine, proof)
        event = ChallengeResponse(span=span, mechanism="v3-usm", username=decode(user), response=Secret(proof.hex(), "hash"), where="USM authentication parameters", crack=crack)
        if side is Side.CLIENT and len(self._pending) < MAX_PENDING:
            self._pending[request] = event
            return events
        return [*events, event]

    def _level(self, flags: int, user: bytes, span: Span) -> list[Event]:
        """The security level; discovery messages without a user say nothing of it."""
        if not user:
            return []
        if flags & _PRIV:
            return self._say(Encryption.ENCRYPTED, "SNMPv3 authPriv", span)
        level = "authNoPriv" if flags & _AUTH else "noAuthNoPriv"
        return self._say(Encryption.CLEARTEXT, f"SNMPv3 {level}: not encrypted", span)


def _accepted(event: Login | ChallengeResponse) -> Event:


    return replace(event, outcome=Outcome.ACCEPTED)


def _crack(message: bytes, engine: bytes, proof: bytes) -> Crack | None:
    """Hashcat's line: the whole message with the parameters zeroed, the engine id, the parameters."""
    known = _MODES.get(len(proof))
    at = message.find(proof)
    if known is None or not any(proof) or at < 0 or len(message) > _MAX_CRACKABLE or not 5 <= len(engine) <= 17:
        return None
    mode, kind = known
    whole = message[:at] + bytes(len(proof)) + message[at + len(proof) :]
    return Crack("snmpv3", mode, Secret(f"$SNMPv3${kind}$0${whole.hex()}${engine.hex()}${proof.hex()}", "hash"))


def probe(client: bytes, server: bytes) -> Match:
    """A sequence, a version, and a community with a PDU behind it, or v3's header."""
    said = [_looks(data) for data in (client, server) if data]
    if Match.NO in said:
        return Match.NO
    return Match.YES if Match.YES in said else Match.MORE


def _looks(data: bytes) -> Match:
    if data[0] != _ber.SEQUENCE:
        return Match.NO
    try:
        _, at, end = _ber.header(data, 0)
        if len(data) < at + 3:
            return Match.MORE if len(data) < 9 else Match.NO
        if data[at] != _ber.INTEGER or data[at + 1] != 1 or data[at + 2] not in _VERSIONS or end - at > MAX_MESSAGE:
            return Match.NO
        tag, start, stop = _ber.header(data, at + 3)
        if data[at + 2] == 3:
            return Match.YES if tag == _ber.SEQUENCE and stop - start < 40 else Match.NO if len(data) > at + 5 else Match.MORE
        if tag != _ber.OCTETS or stop - start > 255:
            return Match.NO if len(data) > at + 5 else Match.MORE
        if stop >= len(data):
            return Match.MORE
        return Match.YES if _GET <= data[stop] <= _REPORT else Match.NO
    except Malformed:
        return Match.NO


def _over_tcp() -> Snmp:
    return Snmp(stream=True)


SPEC = Spec(
    name="snmp",
    title="SNMP, RFC 3411",
    ports=(161, 162),
    probe=probe,
    stream=_over_tcp,
    datagram=Snmp,
    tier="management",
    remedy="Use SNMPv3 with authPriv, and turn v1 and v2c off.",
)
