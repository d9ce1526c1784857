"""Capture filters on decoded packets: the everyday part of the pcap-filter(7) language, also inside tunnels.

    expression = term { ("and" | "or") term }, "not", parentheses
    term       = [tcp | udp | sctp | icmp | icmp6 | ip | ip6] [src | dst] [host | net | port | portrange] value

Qualifiers left out are taken from the term before, as in pcap-filter: ``port 80 or 443``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from sniffer.errors import UsageError

if TYPE_CHECKING:
    from sniffer.decode.packets import Packets

Mask = npt.NDArray[np.bool_]
Test = Callable[["Packets"], Mask]
End = Literal["src", "dst", ""]

_PROTOCOLS = {"tcp": (6,), "udp": (17,), "sctp": (132,), "icmp": (1,), "icmp6": (58,)}
_KINDS = ("host", "net", "port", "portrange")
_SERVICES = {"ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "pop3": 110, "imap": 143, "snmp": 161, "ldap": 389, "https": 443}
_TOKEN = re.compile(r"\s*(\(|\)|!|&&|\|\||[^\s()!&|]+)")
# Deeper than anybody writes by hand; keeps the recursion far from Python's own limit.
_MAX_DEPTH = 50
_MAPPED = np.uint64(0xFFFF)
_ALL = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class _Qualifiers:
    protocol: str = ""
    end: End = ""
    kind: str = ""


def compile_filter(expression: str) -> Callable[[Packets], Packets]:
    """A function that keeps the packets an expression matches. UsageError names what it did not understand."""
    test = _Parser(expression).parse()

    def keep(packets: Packets) -> Packets:
        mask = test(packets)
        return packets if mask.all() else _take(packets, mask)

    return keep


def _take(packets: Packets, mask: Mask) -> Packets:
    columns = {f.name: getattr(packets, f.name)[mask] for f in fields(packets) if f.name not in ("buffer", "source")}
    return replace(packets, **columns)


class _Parser:
    """Recursive descent; ``and`` and ``or`` have equal precedence and associate left, as in pcap-filter."""

    def __init__(self, expression: str) -> None:
        self.tokens: list[str] = _TOKEN.findall(expression)
        self.expression = expression
        self.place = 0
        self.before = _Qualifiers()

    def parse(self) -> Test:
        if not self.tokens:
            raise UsageError("the filter is empty")
        test = self._expression(0)
        if self.place < len(self.tokens):
            raise self._wrong(self.tokens[self.place])
        return test

    def _wrong(self, what: str) -> UsageError:
        return UsageError(f"filter: {what!r} is not understood here; try for example 'host 10.0.0.5 and tcp port 21'")

    def _peek(self) -> str:
        return self.tokens[self.place].lower() if self.place < len(self.tokens) else ""

    def _next(self) -> str:
        if self.place >= len(self.tokens):
            raise UsageError("the filter ends in the middle")
        self.place += 1
        return self.tokens[self.place - 1].lower()

    def _expression(self, depth: int) -> Test:
        left = self._factor(depth)
        while self._peek() in ("and", "&&", "or", "||"):
            both = self._next() in ("and", "&&")
            left = _join(left, self._factor(depth), both)
        return left

    def _factor(self, depth: int) -> Test:
        if depth > _MAX_DEPTH:
            raise UsageError("the filter is nested too deeply")
        if self._peek() in ("not", "!"):
            self._next()
            test = self._factor(depth + 1)
            return lambda packets: ~test(packets)
        if self._peek() == "(":
            self._next()
            test = self._expression(depth + 1)
            if self._next() != ")":
                raise UsageError("the filter lacks a closing parenthesis")
            return test
        return self._term()

    def _term(self) -> Test:
        protocol, end, kind, named = "", "", "", False
        if self._peek() in (*_PROTOCOLS, "ip", "ip6"):
            protocol, named = self._next(), True
        if self._peek() in ("src", "dst"):
            end, named = self._next(), True
        if self._peek() in _KINDS:
            kind, named = self._next(), True
        if protocol and not end and not kind and self._peek() in ("", ")", "and", "or", "&&", "||"):
            self.before = _Qualifiers()
            return _protocol(protocol)
        value = self._next()
        if value in (")", "and", "or", "not", "&&", "||", "!"):
            raise self._wrong(value)
        if named:
            self.before = _Qualifiers(protocol, end, kind or "host")  # type: ignore[arg-type]
        elif not self.before.kind:
            self.before = _Qualifiers("", "", "net" if "/" in value else "host")
        return self._value(self.before, value)

    def _value(self, by: _Qualifiers, value: str) -> Test:
        try:
            if by.kind in ("port", "portrange"):
                test = _ports(by.end, *_range(value))
            else:
                test = _net(by.end, value)
        except ValueError:
            raise self._wrong(value) from None
        return _join(_protocol(by.protocol), test, True) if by.protocol else test


def _join(left: Test, right: Test, both: bool) -> Test:
    if both:
        return lambda packets: left(packets) & right(packets)
    return lambda packets: left(packets) | right(packets)


def _protocol(name: str) -> Test:
    if name in ("ip", "ip6"):
        old = name == "ip"
        return lambda p: ((p.src_high == 0) & (p.src_low >> np.uint64(32) == _MAPPED)) == old
    numbers = _PROTOCOLS[name]
    return lambda packets: np.isin(packets.protocol, numbers)


def _range(value: str) -> tuple[int, int]:
    low, dash, high = value.partition("-")
    first = _SERVICES.get(low) or int(low)
    last = int(high) if dash else first
    if not 0 <= first <= last <= 65535:
        raise ValueError(value)
    return first, last


def _ports(end: End, low: int, high: int) -> Test:
    def within(ports: npt.NDArray[np.int64]) -> Mask:
        return (ports >= low) & (ports <= high)

    def test(packets: Packets) -> Mask:
        carries = np.isin(packets.protocol, (6, 17, 132))
        if end:
            return carries & within(packets.sport if end == "src" else packets.dport)
        return carries & (within(packets.sport) | within(packets.dport))

    return test


def _net(end: End, value: str) -> Test:
    """An address or a network, IPv4 compared in its mapped form."""
    net = ip_network(value, strict=False) if "/" in value else ip_network(ip_address(value))
    base, bits = int(net.network_address), net.prefixlen
    if net.version == 4:
        base, bits = base | 0xFFFF << 32, bits + 96
    mask = ((1 << bits) - 1) << (128 - bits)
    (mask_high, mask_low), (high, low) = ((np.uint64(n >> 64), np.uint64(n & _ALL)) for n in (mask, base & mask))

    def within(highs: npt.NDArray[np.uint64], lows: npt.NDArray[np.uint64]) -> Mask:
        match: Mask = ((highs & mask_high) == high) & ((lows & mask_low) == low)
        return match

    def test(packets: Packets) -> Mask:
        source = within(packets.src_high, packets.src_low)
        target = within(packets.dst_high, packets.dst_low)
        both: Mask = source if end == "src" else target if end == "dst" else source | target
        return both

    return test
