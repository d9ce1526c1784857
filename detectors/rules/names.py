"""Field names, as whole words after splitting: what a name says about its value."""

from __future__ import annotations

# A password by itself, whatever stands beside it. Languages as common on login pages.
PASSWORD = frozenset(
    {
        "password", "passwd", "passwrd", "passwort", "passw", "passphrase", "passcode", "pwd", "pswd", "passwords",
        "userpassword", "userpasswd", "userpass", "userpwd", "upassword", "upasswd", "upass", "upwd", "mypassword",
        "loginpassword", "loginpasswd", "loginpass", "loginpwd", "sessionpassword", "txtpassword", "txtpwd", "txtpass",
        "inputpassword", "wppassword", "dbpassword", "dbpass", "dbpasswd", "rootpassword", "adminpassword",
        "oldpassword", "newpassword", "currentpassword", "passwordconfirm", "confirmpassword", "passwordconfirmation",
        "repassword", "kennwort", "contrasena", "contraseña", "senha", "wachtwoord", "heslo", "haslo", "hasło", "parola", "parolă", "kodeord", "密碼",
        "sifre", "şifre", "lozinka", "jelszo", "jelszó", "salasana", "losenord", "lösenord", "passord", "adgangskode",
        "contrasenia", "geslo", "parool", "matkhau", "katasandi", "slaptazodis", "loginpas", "userident", "hiddenpassword", "passwordfield", "passwordinput", "inputpass",
        "wpapsk", "wpakey", "keypassphrase", "newkeypassphrase", "motdepasse", "mdp", "пароль", "密码", "パスワード", "비밀번호", "requirepass", "masterauth",
    }
)  # fmt: skip

# Short names that are also ordinary words: they need a user beside them, or the client's side of a form.
WEAK_PASSWORD = frozenset({"pass", "pw", "psw", "pws", "psd", "pin", "pincode", "psk", "clave", "wpa", "passkey", "parol", "parole", "mima"})

# Words beside a password word that turn the field into something about a password.
ABOUT_PASSWORD = frozenset(
    {
        "reset", "forgot", "forget", "forgotten", "policy", "length", "len", "min", "max", "strength", "score", "hint",
        "label", "placeholder", "type", "field", "fields", "required", "expires", "expiry", "expired", "expiration",
        "changed", "updated", "update", "at", "date", "count", "attempts", "tries", "title", "text", "message", "msg",
        "error", "errors", "show", "hide", "hidden", "visible", "remember", "enabled", "disabled", "url", "uri", "link",
        "href", "help", "mode", "option", "options", "method", "encoding", "grant", "rule", "rules", "regex", "pattern",
        "last", "age", "history", "days", "time", "timestamp", "id", "name", "file", "path", "class", "algorithm",
        "algo", "salt", "iterations", "format", "status", "state", "set", "has", "is", "no", "need", "needs", "icon",
        "button", "btn", "input", "selector", "element", "manager", "protected", "less", "requirements", "description",
        "char", "chars", "prompt", "change", "recovery", "question", "weak", "strong", "validation", "valid", "invalid",
        "match", "mismatch", "warning", "info", "tip", "tooltip", "caption", "header", "heading", "autocomplete", "port",
        "through", "by", "rate", "fail", "hash", "hashed", "encrypted", "digest", "provider", "source", "key", "lost", "save",
    }
)  # fmt: skip

# Best first: the name that people log in with, then the mail address, then numbers of an account.
USER = (
    "username", "user", "login", "userid", "loginid", "loginname", "uname", "usr", "usrname", "userlogin", "signon",
    "principal", "identifier", "identity", "screenname", "nick", "nickname", "log", "luser", "benutzername", "benutzer",
    "usuario", "utilisateur", "gebruikersnaam", "utente", "nomeutente", "identifiant", "kullanici", "kullaniciadi", "brukernavn",
    "anvandarnamn", "uzivatel", "uzytkownik", "korisnik", "felhasznalo", "логин", "用户名", "un", "loginfmt", "logonid",
    "logonname", "pseudo", "acsuser", "email", "mail", "emailaddress", "useremail", "account", "accountname",
    "acct", "member", "memberid", "customerid", "uid", "sam", "upn", "phone", "mobile", "msisdn",
    "loginuse", "loginmail", "domainusername", "formusername", "formloginname", "unickname", "screename", "acctname", "membername", "alias", "signin", "uin", "usercode", "nutzer", "nutzername", "gebruiker",
    "utilizator", "bruker", "anvandare", "uporabnik", "kayttaja", "kayttajatunnus", "tunnus", "felhasznalonev", "kasutaja", "vartotojas", "taikhoan",
    "yonghuming", "xuehao", "correo", "courriel", "cedula", "employeeid", "empno", "studentid", "stuid", "netid", "customernumber", "customerno",
    "kundennummer", "kontonummer", "binddn", "sessionkey", "nev", "ten", "nm", "name", "nombre", "nome", "nom", "id", "client",
)  # fmt: skip
# What buttons of login forms are labelled: ``login=Login`` sends no user where ``email=…`` stands beside it.
BUTTONS = frozenset(
    {
        "login", "log in", "log-in", "logon", "log on", "sign in", "signin", "sign-in", "sign on", "submit", "go", "ok", "enter", "1", "true", "yes",
        "on", "let me in...", "anmelden", "einloggen", "connexion", "se connecter", "entrar", "ingresar", "iniciar sesión", "accedi", "inloggen", "zaloguj", "giriş",
        "войти", "登录", "ログイン", "로그인",
    }
)  # fmt: skip
# Words beside a user word that turn the field into something about a user.
ABOUT_USER = frozenset({"agent", "type", "role", "group", "status", "action", "url", "redirect", "btn", "button", "submit",
                        "attempt", "count", "time", "at", "date", "referrer", "form", "token", "csrf", "lang", "locale",
                        "full", "first", "last", "display", "client", "app", "application", "page", "mode", "flow",
                        "remember", "keep", "stay", "save", "auto", "captcha", "verify", "tz", "timezone", "theme", "ip", "domain", "realm", "host", "list",
                        "search", "level", "terms", "agree", "country", "city", "zip", "gender", "language", "website", "company", "timeout", "method"})  # fmt: skip

# What the name of a field ends in that says who, in a form of which no name is known (``sno``, ``regname``, ``useremailid``) …
WHO_ENDS = ("user", "usr", "login", "name", "mail", "id", "no", "nr", "num", "number", "nummer", "code", "account", "nick")
# … and what stands before that where it says what, not who (with the words about users).
WHAT_STARTS = frozenset({"session", "sess", "device", "dev", "file", "db", "database", "server", "site", "menu", "product", "item", "tenant", "org", "u", "gu", "uu",
                         "ss", "event", "request", "req", "node", "object", "obj", "zone", "area", "country", "zip", "post", "error", "err", "status", "serial", "port",
                         "hidden", "field", "frm", "view", "build", "model", "table", "graph", "trans", "key", "var", "func", "cmd", "pass", "middle", "sur"})  # fmt: skip

# Exact sequences of words that name a bearer secret, and what to call it.
TOKENS: dict[tuple[str, ...], str] = {
    ("access", "token"): "access token", ("accesstoken",): "access token", ("refresh", "token"): "refresh token",
    ("refreshtoken",): "refresh token", ("id", "token"): "ID token", ("idtoken",): "ID token",
    ("auth", "token"): "auth token", ("authtoken",): "auth token", ("authentication", "token"): "auth token",
    ("authorization", "token"): "auth token", ("session", "token"): "session token", ("sessiontoken",): "session token",
    ("session", "id"): "session token", ("sessionid",): "session token", ("session", "key"): "session token",
    ("sessionkey",): "session token", ("bearer", "token"): "bearer token", ("oauth", "token"): "OAuth token",
    ("api", "key"): "API key", ("apikey",): "API key", ("api", "token"): "API key", ("apitoken",): "API key",
    ("api", "secret"): "API key", ("apisecret",): "API key", ("private", "token"): "API key",
    ("secret", "key"): "secret key", ("secretkey",): "secret key", ("client", "secret"): "client secret",
    ("clientsecret",): "client secret", ("consumer", "secret"): "client secret", ("app", "secret"): "client secret",
    ("appsecret",): "client secret", ("shared", "secret"): "shared secret", ("token", "secret"): "token secret",
    ("jwt",): "JWT", ("jwt", "token"): "JWT", ("secret",): "secret", ("webhook", "secret"): "client secret",
    ("signing", "secret"): "client secret", ("reset", "password", "token"): "reset token",
    ("password", "reset", "token"): "reset token", ("x", "api", "key"): "API key", ("x", "auth", "token"): "auth token",
}  # fmt: skip
SESSION_LIKE = frozenset({"access token", "ID token", "session token", "auth token", "bearer token", "JWT", "reset token"})

CARD = frozenset({"card", "cards", "pan", "cc", "ccnum", "ccn", "ccnumber", "ccno", "cardnumber", "cardno", "cardnum", "creditcard",
                  "creditcardnumber", "debitcard", "visa", "mastercard", "amex", "maestro", "acctpan", "primaryaccountnumber",
                  "kartennummer", "kreditkarte", "tarjeta", "cartao", "carte", "kaart"})  # fmt: skip
# A name made of these says card only with the words around it.
GENERIC = frozenset({"number", "num", "no", "nr", "value", "account", "data", "text", "string", "field", "input", "content", ""})
# Card words in a name that is about something else.
NOT_CARD = frozenset({"id", "ref", "reference", "token", "hash", "fingerprint", "order", "transaction", "tracking", "layout",
                      "count", "uuid", "gift", "loyalty", "sim", "report", "score", "business", "graphics", "index", "time",
                      "timestamp", "trello", "postcard", "ts", "date", "session", "invoice", "memory", "sd"})  # fmt: skip
SSN = frozenset({"ssn", "socialsecurity", "socialsecuritynumber", "socsec", "ssnumber", "socialsecno", "ssno", "ssnum"})
EMAIL = frozenset({"email", "mail", "emailaddress", "mailaddress", "useremail", "emails", "emailaddr", "correo", "courriel"})

# Bearer cookies by name, and cookies that are not (measurement, consent, preferences, load balancers, CSRF).
SESSION_COOKIES = frozenset(
    {
        "phpsessid", "jsessionid", "asp.net_sessionid", "aspsessionid", "connect.sid", "sessionid", "session", "sid",
        "laravel_session", "ci_session", "_rails_session", "_gitlab_session", "_session_id", "cfid", "cftoken", "auth",
        "auth_token", "token", "access_token", "jwt", "remember_token", "remember_me", "rememberme", "lsid", "hsid", "ssid",
        "xsrf-auth", ".aspxauth", ".aspnetcore.session", ".aspnetcore.cookies", "sails.sid", "grafana_session", "gx",
        "wp-auth", "authtoken", "user_session", "login", "loggedin", "session_id", "sessid", "sess", "apisid", "sapisid",
    }
)  # fmt: skip
OTHER_COOKIES = frozenset(
    {
        "ncid", "muid", "anid", "nid", "ide", "dsid", "conversion", "test_cookie", "pref", "prefs", "lang", "locale", "language",
        "theme", "tz", "timezone", "consent", "csrf", "xsrf", "_csrf", "currency", "country", "region", "viewport", "screen", "tracking",
        "visitor", "visitorid", "vid", "rlas", "khaos", "au_id", "bcookie", "guest_id", "personalization_id", "uuid2", "icu", "anj", "fr",
        "sess_pref", "s_ecid", "demdex", "lidc", "bscookie", "_pin_unauth", "tuuid", "tuuid_lu", "baiduid", "baiduid_bfess", "bidupsid", "h_ps_pssid",
        "um_distinctid", "acw_tc", "aliyungf_tc", "hwwafsesid", "x-owa-canary", "datr", "mc1", "msfpc", "ysc", "cto_bundle", "kuid",
        "serverid", "routeid", "route", "reese84", "utag_main", "mbox", "dtcookie", "rxvisitor", "dtsa", "dtpc", "_xsrf", "authenticity_token", "_omappvs",
        "__zlcmid", "__eoi", "1p_jar", "srchd", "srchuid", "_edge_s", "_edge_v", "_uab_collina", "suv", "ct0", "_dd_s", "_ttp", "_scid",
        "_cb", "_shopify_y", "_shopify_s", "yandexuid", "rpx", "rpb", "id_ts", "s_fid", "s_vi", "s_cc", "s_sq",
    }
)  # fmt: skip
OTHER_COOKIE_STARTS = (
    "_ga", "_gid", "_gat", "_gcl", "_gac", "__utm", "__gads", "__gpi", "_fbp", "_fbc", "_hj", "_pk_", "_uet", "_ym_",
    "_clck", "_clsk", "__cf", "cf_", "__qca", "_mkto", "ajs_", "amplitude", "mp_", "optimizely", "cookieconsent", "euconsent",
    "gdpr", "optanon", "csrf", "xsrf-token", "csrf-token", "__requestverificationtoken", "awsalb", "awselb", "bigip", "incap_",
    "visid_incap", "nlbi_", "akamai", "ak_bmsc", "bm_", "_abck", "datadome", "hubspot", "__hs", "intercom-id", "driftt",
    "put_", "utm_", "arraffinity", "ts01", "__stripe_", "amcv", "hm_lvt", "hm_lpvt", "__jsluid", "visitor_info1", "_rdt_", "_vwo_", "_vis_opt",
    "__insp_", "_sp_id", "_sp_ses", "__adroll", "_lr_", "cnzzdata", "sensorsdata", "bni_", "eloqua", "kameleoon", "nsc_x-", "wp-settings", "comment_author",
)  # fmt: skip
