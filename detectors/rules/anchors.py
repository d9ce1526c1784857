"""What the scanner looks for besides token shapes. Each pattern ends at a fixed point: the tail is taken in Python."""

from __future__ import annotations

# Names of fields that are worth parsing the message for, caseless. Short ones carry the delimiter that ends a name.
LOGIN_KEYS = (
    r"passw", r"passphrase", r"passcode", r"pwd[\"'=:\]>%\s,]", r"pass[\"'=:\]>%,]", r"pass%5D", r"userpass",
    r"pw[\"'=:\]>]", r"p(?:sw|ws|sd)[\"'=:\]>]", r"pswd", r"pass_?key[\"'=:\]>]", r"loginpas=", r"userident[\"'=:\]]", r"pre_?shared_?key", r"wpa_?(?:psk|key)", r"(?:^|[^a-z])pin[\"'=:\]>]", r"(?:^|[^a-z])pincode", r"(?:^|[^a-z])psk[\"'=:\]>]",
    r"kennwort", r"contrase", r"senha[\"'=:\]>]", r"wachtwoord", r"heslo[\"'=:\]>]", r"haslo", r"requirepass", r"mot_?de_?passe",
    r"(?:^|[^a-z])mdp[\"'=:\]]", r"parola[\"'=:\]]", r"sifre[\"'=:\]]", r"getusersblogs", r"masterauth",
    r"salasana", r"jelszo", r"lozinka", r"passord", r"adgangskode", r"clave[\"'=:\]>]", r"kodeord",
    r"geslo[\"'=:\]>]", r"parool", r"parole?[\"'=:\]>]", r"(?:^|[^a-z])mima[\"'=:\]>]", r"mat_?khau", r"kata_?sandi", r"slaptazodis",
    # In UTF-8; letters beyond ASCII are matched as they stand, so capitals are spelt out.
    r"l(?:\xc3\xb6|o)senord", r"\xc5\x9fifre", r"(?:\xd0\xbf|\xd0\x9f)\xd0\xb0\xd1\x80\xd0\xbe\xd0\xbb\xd1\x8c", r"\xe5\xaf\x86\xe7[\xa0\xa2]",
    r"\xeb\xb9\x84\xeb\xb0\x80\xeb\xb2\x88\xed\x98\xb8", r"has\xc5\x82o", r"parol\xc4\x83[\"'=:\]]",
)  # fmt: skip
SECRET_KEYS = (
    r"secret[\"'=:\]>%]", r"secret_?key", r"api[_-]?(?:key|token|secret)", r"(?:access|refresh|auth|id|session|bearer|oauth|private)[_-]?token",
    r"session[_-]?(?:id|key)[\"'=:\]>]", r"(?:^|[^a-z])jwt[\"'=:\]>]", r"(?:authentication|authorization)[_-]token",
    r"reset[_-]?password[_-]?token", r"password[_-]?reset[_-]?token", r"token[_-]?secret",
)  # fmt: skip
PERSON_KEYS = (
    r"(?:^|[^a-z])ssn[^a-z]", r"_ssn", r"social[_\s-]?sec", r"soc[_-]?sec", r"card[_\s-]?(?:n[ou]|pan)", r"card[\"'=:\]>]", r"(?:^|[^a-z])pan[\"'=:\]>,\s]",
    r"(?:^|[^0-9a-z])cc[_-]?n(?:o|um|r)?", r"credit[_-]?card", r"debit[_-]?card", r"(?:^|[^0-9a-z])cc[\"'=:\]>]",
)  # fmt: skip

# A card number's first thirteen digits, or the part of a grouped one that fixes its shape.
CARD_PLAIN = r"(?:^|[^0-9A-Za-z.])[2-6]\d{12}"  # UnionPay's 81 range is reported where a field is named for a card
CARD_GROUPED = r"[2-6]\d{3}[ .-]\d{4}[ .-]\d{4}[ .-]\d"
CARD_AMEX = r"3[47]\d\d[ .-]\d{6}[ .-]\d{5}"
CARD_TRACK1 = r"%B[2-6]\d{12}"
IBAN = r"(?:^|[^A-Za-z0-9])[A-Z]{2}\d{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4} ?[A-Z0-9]{3}"
MAIL = r"[A-Za-z0-9]@[A-Za-z0-9][A-Za-z0-9]"
# A URL with user and password: the bounds are longer than any credential that people put there.
URL = r"://[^\s/@\"'<>:]{0,64}:[^\s/@\"'<>]{1,128}@"
# Connection strings (ODBC, ADO.NET, JDBC), caseless.
CONNECTION = (r"[;\"'\s?&](?:pwd|password) ?=",)
