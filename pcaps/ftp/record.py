"""FTP: vsftpd with local users, spoken to by curl."""

from __future__ import annotations

from pcaps.recorder.lab import SERVER, SERVER6, Lab, login, need, version

USER, PASSWORD = "alice-ftp", "Tr0ub4dor&3"


def record(lab: Lab) -> None:
    need("vsftpd", "curl")
    from pcaps.recorder.hosts import certificate, system_user

    made_by = [version("vsftpd", "-v"), version("curl", "--version")]
    pem = certificate(lab.folder, "ftp.example.org")
    with system_user(USER, PASSWORD) as home:
        (home / "report.txt").write_text("quarterly figures\n")
        config = lab.folder / "vsftpd.conf"
        common = "background=NO\nlisten=NO\nlisten_ipv6=YES\nlocal_enable=YES\nwrite_enable=YES\nanonymous_enable=YES\nseccomp_sandbox=NO\npam_service_name=login\ncheck_shell=NO\n"
        config.write_text(common)
        with lab.serve("vsftpd", str(config), port=21):
            clear = [{"port": 21, "protocol": "ftp", "encryption": "cleartext"}]
            with lab.capture("ftp/accepted", made_by=made_by, logins=[login(USER, PASSWORD, "PASS")], channels=clear):
                lab.client("curl", "-s", "--user", f"{USER}:{PASSWORD}", f"ftp://{SERVER}/report.txt")
            with lab.capture("ftp/rejected", made_by=made_by, logins=[login(USER, "wrong-guess-1", "PASS", "rejected")], channels=clear):
                lab.client("curl", "-s", "--user", f"{USER}:wrong-guess-1", f"ftp://{SERVER}/")
            with lab.capture("ftp/anonymous", made_by=made_by, logins=[login("anonymous", "ftp@example.com", "PASS")], channels=clear):
                lab.client("curl", "-s", f"ftp://{SERVER}/")
            with lab.capture("ftp/ipv6", made_by=made_by, logins=[login(USER, PASSWORD, "PASS")], channels=clear):
                lab.client("curl", "-s", "--user", f"{USER}:{PASSWORD}", f"ftp://[{SERVER6}]/")
            refused = [{"port": 21, "protocol": "ftp", "encryption": "refused"}]
            with lab.capture("ftp/auth-tls-refused", made_by=made_by, logins=[login(USER, PASSWORD, "PASS")], channels=refused):
                lab.client("curl", "-s", "--ssl", "--user", f"{USER}:{PASSWORD}", f"ftp://{SERVER}/")
        config.write_text(f"{common}ssl_enable=YES\nrsa_cert_file={pem}\nforce_local_logins_ssl=NO\nforce_local_data_ssl=NO\n")
        with lab.serve("vsftpd", str(config), port=21):
            with lab.capture("ftp/auth-tls", made_by=made_by, logins=[], channels=[{"port": 21, "protocol": "ftp", "encryption": "encrypted"}]):
                lab.client("curl", "-s", "--ssl-reqd", "--insecure", "--user", f"{USER}:{PASSWORD}", f"ftp://{SERVER}/report.txt")
