"""A session that reports as it goes says the same in all as one that is asked at the end."""

from __future__ import annotations

import pytest

from sniffer import posture, transport
from sniffer.capture import open_capture
from sniffer.channels import IN_ORDER
from sniffer.outputs import record
from sniffer.session import Session
from sniffer.summary import Summary
from sniffer.watch.pending import Pending
from tests.streams import PCAPS
from tests.test_captures import CASES

KEY = b"k" * 32


def merged(path, every: int) -> tuple[list, list, Summary]:
    """All that a session reports when asked after each ``every`` frames, put together as a watch does."""
    session, pending, summary = Session(KEY, strict=True), Pending(), Summary()

    def take() -> None:
        report = transport.loads(transport.dumps(session.report(session.summary.last)))
        pending.add(report)
        summary.add(report.summary)

    for frames in open_capture(str(path)).batches():
        for start in range(0, len(frames), every):
            part = slice(start, start + every)
            columns = {name: getattr(frames, name)[part] for name in ("offset", "size", "wire", "time", "link", "number")}
            session.feed(type(frames)(buffer=frames.buffer, source=frames.source, **columns))
            take()
    session.end()
    take()
    findings, channels = pending.rows()
    return findings, sorted(channels, key=IN_ORDER), summary


@pytest.mark.parametrize("path", [*CASES, PCAPS / "demo.pcap"], ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_reports_add_up_to_the_whole(path):
    whole = Session(KEY, strict=True)
    whole.run([open_capture(str(path))])
    findings, channels, summary = merged(path, 7)
    wanted = {f.id: f for f in whole.findings if f.rule not in posture.RULES}
    assert {f.id: (f.secret, f.count, f.first_seen) for f in findings} == {f.id: (f.secret, f.count, f.first_seen) for f in wanted.values()}

    def facts(row) -> dict:
        return {name: value for name, value in record.channel(row).items() if name != "findings"}

    assert [facts(c) for c in channels] == [facts(c) for c in sorted(whole.ledger.take(), key=IN_ORDER)]
    assert (summary.frames, summary.bytes, summary.flows, summary.one_sided) == (whole.summary.frames, whole.summary.bytes, whole.summary.flows, whole.summary.one_sided)


def test_flows_that_go_on_are_told_in_parts(monkeypatch):
    """With no pause between tellings: every session is still counted once, and with its last verdict."""
    monkeypatch.setattr("sniffer.session.ONGOING_EVERY", 0)
    for path in CASES:
        whole = Session(KEY, strict=True)
        whole.run([open_capture(str(path))])
        _, channels, _ = merged(path, 3)

        def rows(ledger) -> set:
            return {(c.server, c.port, c.protocol, c.sessions, c.client_bytes, c.server_bytes, str(c.encryption)) for c in ledger if c.protocol != "unknown"}

        assert rows(channels) == rows(whole.ledger.take()), path


def test_the_transport_is_the_only_pickle_with_values():
    import pickle

    session = Session(KEY)
    session.run([open_capture(str(PCAPS / "ftp" / "accepted.pcap"))])
    found = next(f for f in session.findings if f.secret)
    assert transport.loads(transport.dumps(found)).secret == found.secret
    assert found.secret.reveal().encode() not in pickle.dumps(found)
