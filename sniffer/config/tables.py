"""Which keys there are, and what each may be: the tables that ``reading`` reads a document by."""

from __future__ import annotations

import re
from functools import partial

from sniffer.config.checks import endpoint_wrong, matching, network_wrong, url_wrong
from sniffer.config.settings import (
    FORMATS,
    KINDS,
    OUTPUT_TYPES,
    SEVERITIES,
    TIERS,
    TRANSPORTS,
    AlertSettings,
    CaptureSettings,
    Expected,
    MetricsSettings,
    Network,
    OutputSettings,
    SeverityOverride,
    StateSettings,
    Threshold,
)
from sniffer.config.values import Day, File, Headers, Kind, OneOf, Several, Text, Whole, YesNo

_SEVERITY = OneOf(SEVERITIES)
_NETWORK = Text("an address, or a network such as 10.1.0.0/24", network_wrong, empty=True)
_GLOB = Text("a name, in which * stands for anything", matching(r"[a-z0-9*?\[\]!_/.-]+"), most=100, empty=True)
_RULE = Text("a rule's id (see: cleartap rules), in which * stands for anything", matching(r"[a-z0-9*?\[\]!_/.-]+"), most=100)
_NAME = Text("a name of letters, digits and . _ -, at most 64", matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"))
_LINE = Text("a text of one line")
_MAIL = Text("a mail address", matching(r"[^@\s<>(),;:\"\\]{1,64}@[A-Za-z0-9.\[\]:_-]{1,255}"))
_PORT = Whole(1, 65535)
_YEAR = 525_600  # minutes

SENSOR = Text("a name of letters, digits and . _ -, at most 64", matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"), empty=True)

# Tables that stand once: [name].
SECTIONS: dict[str, tuple[type, dict[str, Kind]]] = {
    "capture": (
        CaptureSettings,
        {
            "interfaces": Several(Text("an interface's name, or any", matching(r"[^\s/]{1,64}"))),
            "filter": Text("an expression of tcpdump, at most 4000 characters", most=4000, empty=True),
            "snaplen": Whole(96, 262_144),
            "ring_mb": Whole(1, 4096),
            "workers": Whole(0, 64),
            "promiscuous": YesNo(),
        },
    ),
    "state": (StateSettings, {"path": File(), "retention_days": Whole(1, 3650), "max_mb": Whole(16, 1_048_576)}),
    "metrics": (
        MetricsSettings,
        {
            "listen": Text("address:port, or empty for no endpoint", partial(endpoint_wrong, low=0), empty=True),
            "web_config": File(there=True),
            "top": Whole(0, 10_000),
        },
    ),
    "alerts": (
        AlertSettings,
        {
            "min_severity": _SEVERITY,
            "resend_minutes": Whole(1, _YEAR),
            "resolve_minutes": Whole(1, _YEAR),
            "silent_minutes": Whole(0, 10_080),
        },
    ),
}

# Tables that stand any number of times: [[name]].
LISTS: dict[str, tuple[type, dict[str, Kind]]] = {
    "output": (
        OutputSettings,
        {
            "name": _NAME,
            "type": OneOf(OUTPUT_TYPES),
            "url": Text("an http or https URL without a user or a password in it", url_wrong, most=4000, quiet=True),
            "url_file": File(secret=True),
            "address": Text("host or host:port, an IPv6 address in brackets", partial(endpoint_wrong, port=False)),
            "transport": OneOf(TRANSPORTS),
            "format": OneOf(FORMATS),
            "min_severity": _SEVERITY,
            "wants": Several(OneOf(KINDS)),
            "ca_file": File(there=True),
            "cert_file": File(there=True),
            "key_file": File(secret=True),
            "secret_file": File(secret=True),
            "username": _LINE,
            "password_file": File(secret=True),
            "sender": _MAIL,
            "recipients": Several(_MAIL),
            "path": File(),
            "queue_mb": Whole(1, 65_536),
            "timeout_seconds": Whole(1, 300),
            "headers": Headers(),
        },
    ),
    "network": (Network, {"name": _LINE, "cidr": Text("a network such as 10.1.0.0/24", network_wrong), "tier": OneOf(TIERS)}),
    "severity": (
        SeverityOverride,
        {"rule": _GLOB, "protocol": _GLOB, "server": _NETWORK, "client": _NETWORK, "port": _PORT, "severity": _SEVERITY},
    ),
    "expected": (
        Expected,
        {"rule": _RULE, "client": _NETWORK, "server": _NETWORK, "port": _PORT, "owner": _LINE, "reason": _LINE, "expires": Day()},
    ),
    "threshold": (Threshold, {"rule": _RULE, "count": Whole(2, 1_000_000), "minutes": Whole(1, 1440)}),
}
# What a list is called in Config.
FIELDS = {"output": "outputs", "network": "networks", "severity": "severities", "expected": "expected", "threshold": "thresholds"}

_EVERY = frozenset({"name", "type", "format", "min_severity", "wants", "queue_mb", "timeout_seconds"})
_TLS = frozenset({"ca_file", "cert_file", "key_file"})
_LOGIN = frozenset({"username", "password_file"})
# Keys that have a meaning for a type of output. Others are refused: whoever writes them expects something of them.
USED = {
    "file": _EVERY | {"path"},
    "syslog": _EVERY | _TLS | {"address", "transport"},
    "webhook": _EVERY | _TLS | _LOGIN | {"url", "url_file", "secret_file", "headers"},
    "alertmanager": _EVERY | _TLS | _LOGIN | {"url", "headers"},
    "mail": _EVERY | _TLS | _LOGIN | {"address", "transport", "sender", "recipients"},
}
# Of each, one must be there.
NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "file": (("path",),),
    "syslog": (("address",),),
    "webhook": (("url", "url_file"),),
    "alertmanager": (("url",),),
    "mail": (("address",), ("sender",), ("recipients",)),
}
WRITTEN = {
    "file": frozenset({"native", "plain", "cef", "ecs", "ocsf"}),
    "syslog": frozenset({"native", "plain", "cef", "ecs", "ocsf"}),
    "webhook": frozenset({"native", "ecs", "ocsf", "slack"}),
    "alertmanager": frozenset({"native"}),
    "mail": frozenset({"native", "plain"}),
}
# Of an environment variable that looks like ours and is not: those Kubernetes makes for a Service called cleartap-metrics.
OTHERS = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_[0-9]+_|$)")
