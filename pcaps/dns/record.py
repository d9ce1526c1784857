"""DNS: dnsmasq asked by dig, over UDP and TCP."""

from __future__ import annotations

from pcaps.recorder.lab import SERVER, SERVER6, Lab, need, version

CLEAR = [{"port": 53, "protocol": "dns", "encryption": "cleartext"}]


def record(lab: Lab) -> None:
    need("dnsmasq", "dig")
    made_by = [version("dnsmasq", "--version"), version("dig", "-v")]
    records = ("--address=/www.example.org/192.0.2.80", "--txt-record=example.org,v=spf1 -all", "--mx-host=example.org,mx.example.org,10")
    with lab.serve("dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root", f"--pid-file={lab.folder}/pid", *records, port=53):
        with lab.capture("dns/udp", made_by=made_by, logins=[], channels=CLEAR):
            lab.client("dig", f"@{SERVER}", "www.example.org", "A")
            lab.client("dig", f"@{SERVER}", "example.org", "TXT")
        with lab.capture("dns/tcp-ipv6", made_by=made_by, logins=[], channels=CLEAR):
            lab.client("dig", f"@{SERVER6}", "+tcp", "example.org", "MX")
