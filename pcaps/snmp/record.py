"""SNMP: Net-SNMP's agent and tools, v1, v2c and v3 in each security level."""

from __future__ import annotations

from pcaps.recorder.lab import SERVER, SERVER6, Lab, login, need, version

READ, WRITE = "site-readers", "site-writers"
CLEAR = [{"port": 161, "protocol": "snmp", "encryption": "cleartext"}]
OID = "1.3.6.1.2.1.1.5.0"

_CONFIG = f"""
agentAddress udp:161,udp6:161
rocommunity {READ}
rocommunity6 {READ}
rwcommunity {WRITE}
createUser monitor SHA "Auth-Phrase-11" AES "Priv-Phrase-22"
rouser monitor auth
"""


def record(lab: Lab) -> None:
    need("snmpd", "snmpget", "snmpset")
    made_by = [version("snmpd", "-v"), version("snmpget", "-V")]
    config = lab.folder / "snmpd.conf"
    config.write_text(_CONFIG)
    quick = ("-t", "1", "-r", "0")
    with lab.serve("snmpd", "-f", "-Lo", "-C", "-c", str(config), "-p", str(lab.folder / "snmpd.pid"), udp=True, port=161, env={"SNMP_PERSISTENT_DIR": str(lab.folder)}):
        with lab.capture("snmp/v1", made_by=made_by, logins=[login(None, READ, "v1")], channels=CLEAR):
            lab.client("snmpget", *quick, "-v1", "-c", READ, SERVER, OID)
        with lab.capture("snmp/v2c", made_by=made_by, logins=[login(None, READ, "v2c")], channels=CLEAR):
            lab.client("snmpget", *quick, "-v2c", "-c", READ, f"udp6:[{SERVER6}]", OID)
        with lab.capture("snmp/v2c-set", made_by=made_by, logins=[login(None, WRITE, "v2c")], channels=CLEAR):
            lab.client("snmpset", *quick, "-v2c", "-c", WRITE, SERVER, OID, "s", "renamed")
        with lab.capture("snmp/v2c-wrong", made_by=made_by, logins=[login(None, "guessed", "v2c", "unknown")], channels=CLEAR):
            lab.client("snmpget", *quick, "-v2c", "-c", "guessed", SERVER, OID)
        v3 = ("-v3", "-u", "monitor", "-a", "SHA", "-A", "Auth-Phrase-11")
        with lab.capture("snmp/v3-auth", made_by=made_by, logins=[{"username": "monitor", "secret": None, "mechanism": "v3-usm", "outcome": "accepted", "hashcat": 25000}], channels=CLEAR):
            lab.client("snmpget", *quick, *v3, "-l", "authNoPriv", SERVER, OID)
        with lab.capture("snmp/v3-priv", made_by=made_by, logins=[{"username": "monitor", "secret": None, "mechanism": "v3-usm", "outcome": "accepted", "hashcat": 25000}], channels=[{"port": 161, "protocol": "snmp", "encryption": "encrypted"}]):
            lab.client("snmpget", *quick, *v3, "-l", "authPriv", "-x", "AES", "-X", "Priv-Phrase-22", SERVER, OID)
