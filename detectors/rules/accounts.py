"""Accounts, tiers and kinds of secret that decide how bad a finding is."""

from __future__ import annotations

# Names that come with rights over a whole system, in lower case: operating systems, directories, databases,
# brokers, network gear and the default administrators of common products.
PRIVILEGED = frozenset(
    {
        "root", "toor", "admin", "admins", "administrator", "administrateur", "administrador", "superuser", "super",
        "su", "sysadmin", "system", "sys", "sysdba", "sa", "dba", "dbadmin", "dbo", "postgres", "mysql", "mongodb",
        "oracle", "db2admin", "db2inst1", "informix", "neo4j", "elastic", "cassandra", "default", "rdsadmin",
        "cn=directory manager", "directory manager", "domain admin", "enterprise admin", "krbtgt", "manager", "rootdn",
        "enable", "cisco", "ubnt", "supervisor", "operator", "master", "guest_admin", "rabbitmq", "tomcat", "jenkins",
        "ansible", "backup", "replicator", "replication", "service", "svc", "ec2-user", "ubuntu", "vagrant", "pi",
    }
)  # fmt: skip

# Left-most RDN values of a directory name that mean the same: ``cn=admin,dc=example,dc=org``.
DIRECTORY_NAMES = frozenset({"admin", "administrator", "manager", "root", "directory manager", "rootdn", "replicator"})

# What a server of these tiers keeps is everybody's: any account there counts as one of weight.
WEIGHTY_TIERS = frozenset({"database", "directory"})

# Secrets that several devices or people share, so that changing one means changing all.
SHARED_KINDS = frozenset({"community", "key", "psk", "shared"})

# Protocols whose secret is not a password; the words of their rule's title.
SUBJECTS = {
    "snmp": "community string",
    "ospf": "authentication key", "rip": "authentication key", "eigrp": "authentication key", "bfd": "authentication key",
    "vrrp": "authentication key", "hsrp": "authentication key", "glbp": "authentication key", "bgp": "authentication key",
    "ntp": "authentication key", "isis": "authentication key", "carp": "authentication key",
}  # fmt: skip

# The same for a secret's kind, where the protocol sends more than one.
KINDS = {
    "community": "community string", "key": "key", "pin": "PIN", "psk": "pre-shared key", "token": "token",
    "otp": "one-time code",
}  # fmt: skip
