"""SNMP v1 (RFC 1157), v2c (RFC 1901) and v3 with the user-based security model (RFC 3412, 3414)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sniffer.dissectors import _ber
from sniffer.dissectors._buffer import Buffer
from sniffer.dissectors._spec import Match, Spec
from sniffer.errors import Malformed
from sniffer.events import Anomaly, ChallengeResponse, Crack, Encryption, Event, Login, Outcome, Posture, Side, Span
from sniffer.secret import Secret, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

# The largest message that RFC 3430 and agents take.
MAX_MESSAGE = 65_535
# A poller asks with a few communities; one that tries many is a scanner, and is told as far as this (word lists for it
# have some hundreds).
MAX_KNOWN = 1024
MAX_PENDING = 256
# A message up to its version, each with the longest lengths.
_MAX_HEAD = 16

_VERSIONS = {0: "v1", 1: "v2c", 3: "v3"}
_GET, _NEXT, _RESPONSE, _SET, _TRAP1, _BULK, _INFORM, _TRAP2, _REPORT = range(0xA0, 0xA9)
_USM = 3
_AUTH, _PRIV = 1, 2
# usmStats (RFC 3414, section 5): the counter in a report says what was wrong with the request.
_STATS = bytes.fromhex("2b060106030f0101")  # 1.3.6.1.6.3.15.1.1, then the number of the counter
_WRONG_USER, _WRONG_DIGEST = 3, 5
# hashcat's modes by the length of the authentication parameters (RFC 3414, 7860): MD5 and SHA-1 both have twelve bytes.
_MODES = {12: (25000, 0), 16: (26700, 3), 24: (26800, 4), 32: (26900, 5), 48: (27300, 6)}
# hashcat takes messages up to this size, and engine ids of 17 bytes at the most; others get no line.
_MAX_CRACKABLE = 1500


class Snmp:
    """Messages of one flow. A community is told once, with its answer if one comes; polling on tells nothing new."""

    __slots__ = ("_buffers", "_known", "_pending", "_posture", "_sound", "_stream")

    def __init__(self, *, stream: bool = False) -> None:
        self._stream = stream
        self._buffers = (Buffer(4 * MAX_MESSAGE), Buffer(4 * MAX_MESSAGE))
        self._known: dict[tuple[str, bytes], bool] = {}
        self._pending: dict[tuple[int, bytes | None], Login | ChallengeResponse] = {}
        self._sound = False  # a message was read
        self._posture: str | None = None

    def feed(self, side: Side, offset: int, data: bytes) -> Sequence[Event]:
        if not self._stream:
            return self._datagram(data, side, offset)
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

    def _datagram(self, data: bytes, side: Side, offset: int) -> Sequence[Event]:
        """A broken one says nothing of the next, once it is known that this is SNMP."""
        try:
            events = self._message(data, side, offset)
        except Malformed as error:
            if not self._sound:
                raise
            return [Anomaly(span=Span(side, offset, offset + len(data)), reason=str(error))]
        self._sound = True
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
        if tag != _ber.SEQUENCE:
            raise Malformed("not an SNMP message")
        number, at = _ber.value(data, at, end, _ber.INTEGER)
        version = _VERSIONS.get(_ber.integer(number))
        if version is None:
            raise Malformed("an SNMP version that does not exist")
        if version == "v3":
            return self._v3(data, at, end, side, offset)
        return self._community(version, data, at, end, side, offset)

    def _community(self, version: str, data: bytes, at: int, end: int, side: Side, offset: int) -> list[Event]:
        """The capture may have cut the message: community and kind stand in front."""
        community, pdu = _ber.value(data, at, min(end, len(data)), _ber.OCTETS)
        kind, body, stop = _ber.header(data, pdu)
        if not _GET <= kind <= _REPORT or stop > end:
            raise Malformed("not an SNMP PDU")
        span = Span(side, offset + pdu - len(community), offset + pdu)
        events = self._say(Encryption.CLEARTEXT, f"SNMP {version} has no encryption", span)
        if not community:
            return events
        if kind == _RESPONSE:
            return [*events, *self._answer(version, community, _request(data, kind, body, stop), span)]
        if self._known.get((version, community)):
            return events
        return [*events, *self._tell(version, community, kind, _request(data, kind, body, stop), span)]

    def _answer(self, version: str, community: bytes, request: int | None, span: Span) -> list[Event]:
        """Agents answer those only who know the community (RFC 1157, 4.1; RFC 3584, 5.2.1): also where the question is unseen."""
        asked = self._pending.pop((request, community), None) if request is not None else None
        if self._known.get((version, community)) or len(self._known) >= MAX_KNOWN:
            return [_accepted(asked)] if asked is not None else []
        self._known[version, community] = True
        return [_accepted(asked if asked is not None else _login(version, community, _RESPONSE, span))]

    def _tell(self, version: str, community: bytes, kind: int, request: int | None, span: Span) -> list[Event]:
        new = (version, community) not in self._known
        if len(self._known) >= MAX_KNOWN and new:
            return []
        event = _login(version, community, kind, span)
        self._known.setdefault((version, community), False)
        if request is None or kind in (_TRAP1, _TRAP2) or len(self._pending) >= MAX_PENDING:
            return [event] if new else []
        # Asked again without an answer: one of them waiting is enough.
        for older in [key for key, waiting in self._pending.items() if key[1] == community and waiting.mechanism == version]:
            event = _earlier(self._pending.pop(older), event)
        self._pending[request, community] = event
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
        security, stop = _ber.value(data, after, min(end, len(data)), _ber.OCTETS)
        if not flags or _ber.integer(model) != _USM:
            return []
        whole = data[:end] if end <= len(data) else b""
        return self._usm(security, Span(side, offset + stop - len(security), offset + stop), flags[0], request, whole, offset, data)

    def _usm(self, security: bytes, span: Span, flags: int, request: int, whole: bytes, offset: int, data: bytes) -> list[Event]:
        """``whole`` is the message, or nothing where the capture cut it: then its digest tells crackers nothing."""
        tag, at, end = _ber.header(security, 0)
        if tag != _ber.SEQUENCE or end > len(security):
            raise Malformed("not USM parameters")
        engine, at = _ber.value(security, at, end, _ber.OCTETS)
        for _ in range(2):
            _, at = _ber.value(security, at, end, _ber.INTEGER)
        user, at = _ber.value(security, at, end, _ber.OCTETS)
        proof, at = _ber.value(security, at, end, _ber.OCTETS)
        events = self._level(flags, user, span)
        if span.side is Side.SERVER and (asked := self._pending.pop((request, None), None)) is not None:
            return [*events, self._judged(asked, flags, data)]
        crack = _crack(whole, span.start - offset + at - len(proof), engine, proof)
        known = self._known.get(("v3", user))
        # Told once for each user; again if only now crackers have what they need.
        if not proof or not user or known or (known is False and crack is None) or (known is None and len(self._known) >= MAX_KNOWN):
            return events
        self._known["v3", user] = crack is not None
        event = ChallengeResponse(span=span, mechanism="v3-usm", username=decode(user), response=Secret(proof.hex(), "hash"), where="USM authentication parameters", crack=crack)
        if span.side is Side.CLIENT and len(self._pending) < MAX_PENDING:
            self._pending[request, None] = event
            return events
        return [*events, event]

    def _judged(self, asked: Login | ChallengeResponse, flags: int, data: bytes) -> Event:
        """Only an answer that is authenticated too says that the user was known and right; a report may say the contrary."""
        if flags & _AUTH:
            return _accepted(asked)
        at = data.find(_STATS)
        if at < 0 or data[at + len(_STATS) : at + len(_STATS) + 1] not in (bytes((_WRONG_USER,)), bytes((_WRONG_DIGEST,))):
            return asked
        self._known.pop(("v3", (asked.username or "").encode()), None)  # the next try is another password
        return replace(asked, outcome=Outcome.REJECTED)

    def _level(self, flags: int, user: bytes, span: Span) -> list[Event]:
        """The security level; discovery messages without a user say nothing of it."""
        if not user:
            return []
        if flags & _PRIV:
            return self._say(Encryption.ENCRYPTED, "SNMPv3 authPriv", span)
        level = "authNoPriv" if flags & _AUTH else "noAuthNoPriv"
        return self._say(Encryption.CLEARTEXT, f"SNMPv3 {level}: not encrypted", span)


def _request(data: bytes, kind: int, body: int, stop: int) -> int | None:
    """The request id, which pairs answers with questions; traps of version 1 have none, cut messages may have lost it."""
    if kind == _TRAP1:
        return None
    try:
        number, _ = _ber.value(data, body, min(stop, len(data)), _ber.INTEGER)
    except Malformed:
        return None
    return _ber.integer(number)


def _login(version: str, community: bytes, kind: int, span: Span) -> Login:
    where = "community string of a SET" if kind == _SET else "community string"
    return Login(span=span, mechanism=version, secret=Secret(decode(community), "community"), where=where)


def _earlier(first: Login | ChallengeResponse, later: Login) -> Login:
    """Of two questions that wait: where the first stands, unless the later one is a SET."""
    return first if isinstance(first, Login) and first.where == later.where else later


def _accepted(event: Login | ChallengeResponse) -> Event:
    return replace(event, outcome=Outcome.ACCEPTED)


def _crack(message: bytes, at: int, engine: bytes, proof: bytes) -> Crack | None:
    """Hashcat's line: the whole message with the parameters (at ``at``) zeroed, the engine id, the parameters."""
    known = _MODES.get(len(proof))
    if known is None or not any(proof) or not 0 < len(message) <= _MAX_CRACKABLE or not 5 <= len(engine) <= 17:
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
        kind, number, after = _ber.header(data, at)
        if kind not in (0, _ber.INTEGER):
            return Match.NO
        if len(data) < after:
            return Match.MORE if len(data) < _MAX_HEAD else Match.NO
        version = _VERSIONS.get(_ber.integer(data[number:after]))
        if not kind or not version or end - at > MAX_MESSAGE:
            return Match.NO
        tag, start, stop = _ber.header(data, after)
        if version == "v3":
            return Match.YES if tag == _ber.SEQUENCE and stop - start < 40 else Match.NO if len(data) > after + 2 else Match.MORE
        if tag != _ber.OCTETS or stop - start > 255:
            return Match.NO if len(data) > after + 2 else Match.MORE
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
