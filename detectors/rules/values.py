"""Values that stand where a secret would, and are none."""

from __future__ import annotations

# Whole values, in lower case.
PLACEHOLDERS = frozenset(
    {
        "null", "none", "nil", "undefined", "true", "false", "yes", "no", "on", "off", "string", "text", "str", "object",
        "hidden", "optional", "required", "redacted", "[redacted]", "<redacted>", "removed", "[removed]", "filtered",
        "[filtered]", "masked", "n/a", "na", "todo", "tbd", "unset", "empty", "default", "example", "placeholder",
        "your_password", "your-password", "yourpassword", "your password", "changeit", "value", "any", "input", "[object object]",
        "nan", "varchar", "char", "secret_here", "password_here", "passwordhere", "insert_password", "enter_password",
    }
)  # fmt: skip

# Parts of a longer value that show it is made up.
STOPS = (b"example", b"xxxx", b"your", b"....", b"placeholder", b"redacted", b"dummy", b"sample", b"insert", b"changeme",
         b"1234567890", b"0123456789", b"abcdefghij", b"<", b"****")  # fmt: skip

# The word for password as labels show it; a server's text with one of these is a label, not a password.
LABELS = frozenset(
    {
        "password", "passwort", "kennwort", "contraseña", "contrasena", "senha", "palavra-passe", "wachtwoord", "heslo",
        "hasło", "haslo", "parola", "şifre", "sifre", "lozinka", "jelszó", "salasana", "lösenord", "passord", "adgangskode",
        "пароль", "密码", "密碼", "パスワード", "비밀번호", "passcode", "passphrase", "username", "user", "login", "email",
        "motdepasse", "pin", "newpassword", "oldpassword", "confirmpassword", "secret", "token",
    }
)  # fmt: skip
