"""What the sensor says of itself: conditions under which it sees less than it should, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from sniffer.findings import Severity

# The ``category`` of these alerts. No finding has it.
CATEGORY = "condition"


@dataclass(frozen=True, slots=True)
class Condition:
    """One of them. ``lasting``: it goes on until it is said to be over; others are events, over when none came for a while."""

    id: str
    title: str
    severity: Severity
    remedy: str
    lasting: bool = False
    references: tuple[str, ...] = ()


_ALL = (
    Condition(
        "capture/silent-link",
        "An interface shows nothing",
        Severity.HIGH,
        "See that the mirror session still copies to this port, the cable and the interface are up, and the capture filter is meant (cleartap doctor).",
        lasting=True,
    ),
    Condition(
        "capture/dropping",
        "Packets were dropped before they could be read",
        Severity.MEDIUM,
        "Give it more workers or a larger ring ([capture] workers, ring_mb), narrow the filter, or mirror less to this port.",
    ),
    Condition(
        "capture/shedding",
        "Load is shed: some content was not searched",
        Severity.MEDIUM,
        "Give it more workers or mirror less to this port; until then logins are still read, bulk content is not.",
    ),
    Condition(
        "capture/worker-restarted",
        "A worker ended unexpectedly and was started again",
        Severity.MEDIUM,
        "See the log for its reason; what it held when it ended was not reported. Report a bug if there was memory enough.",
    ),
    Condition(
        "capture/unwatched",
        "For some time nothing was watched",
        Severity.MEDIUM,
        "See why it was not running; the interval is on record, and what crossed in it is not.",
    ),
    Condition(
        "state/full",
        "The state could not be written",
        Severity.HIGH,
        "See the reason: make room on the disk, or find out what ails it; until then findings are held in memory, within a bound, and nothing is sent.",
        lasting=True,
    ),
    Condition(
        "sink/undelivered",
        "A receiver does not take what is sent to it",
        Severity.HIGH,
        "See that the receiver is up and reachable, and its name, certificate and password are right (cleartap doctor); what waits is kept up to queue_mb.",
        lasting=True,
    ),
    Condition(
        "policy/expected-expired",
        "Expected cleartext has expired",
        Severity.MEDIUM,
        "Ask its owner whether the channel is encrypted by now; take the entry out, or set a new date with a new reason.",
        lasting=True,
        references=("PCI-DSS-12.3.3",),
    ),
)
CONDITIONS = {condition.id: condition for condition in _ALL}
