"""Every rule there is: the detectors', those made for each protocol that can carry a secret, and the ledger's own."""

from __future__ import annotations

import detectors
from detectors._protocol import rules_for
from sniffer import posture
from sniffer.alerting import CONDITIONS, Condition
from sniffer.dissectors import registry
from sniffer.findings import Rule


def all_rules() -> list[Rule]:
    """In order of their ids."""
    found = {**detectors.catalogue(), **{rule.id: rule for rule in posture.RULES}}
    for spec in registry().values():
        if not spec.encrypted:
            found.update((rule.id, rule) for rule in rules_for(spec.name, spec.title, spec.remedy))
    return [found[name] for name in sorted(found)]


def all_conditions() -> list[Condition]:
    """What the sensor alerts of itself, in order of their ids. No finding bears one of these."""
    return [CONDITIONS[name] for name in sorted(CONDITIONS)]
