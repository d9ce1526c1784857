"""Calls by XML-RPC and JSON-RPC that say user and password by their place among the arguments, not by a name."""

from __future__ import annotations

import re
from typing import NamedTuple


class Places(NamedTuple):
    """Where among the arguments, from 0 on, user (None: none is named) and password stand."""

    user: int | None
    password: int


# By the whole name, in lower case; ``common.``, ``object.`` and ``db.`` are Odoo's services.
CALLS: dict[str, Places] = {
    "wp.getusersblogs": Places(0, 1), "wp.getpage": Places(2, 3), "wp.editpage": Places(2, 3),
    "metaweblog.deletepost": Places(2, 3), "metaweblog.gettemplate": Places(2, 3), "metaweblog.settemplate": Places(2, 3),
    "blogger.getusersblogs": Places(1, 2), "blogger.getuserinfo": Places(1, 2),
    "common.login": Places(1, 2), "common.authenticate": Places(1, 2), "object.execute": Places(None, 2), "object.execute_kw": Places(None, 2),
    "db.create_database": Places(None, 0), "db.duplicate_database": Places(None, 0), "db.change_admin_password": Places(None, 0),
    "getauthtoken": Places(0, 1),  # MoinMoin
    "walletpassphrase": Places(None, 0), "encryptwallet": Places(None, 0),  # Bitcoin Core and its forks
    "personal_unlockaccount": Places(0, 1), "personal_newaccount": Places(None, 0), "personal_sendtransaction": Places(None, 1),  # Geth
}  # fmt: skip
# The others of an API, by the word before the dot: a blog's or an entry's number comes first, before it an application's key.
FAMILIES: dict[str, Places] = {"wp": Places(1, 2), "metaweblog": Places(1, 2), "mt": Places(1, 2), "blogger": Places(2, 3)}
# Whatever else is named for logging in has the user first (LuCI, Spacewalk, Confluence, DokuWiki, XenServer, Magento, Tapatalk).
LOGIN = re.compile(r"(?:^|[._/])(?:do|user|check)?_?(?:login|log_?on|sign_?in|authenticate)(?:_?user|_with_password|\d)?\Z", re.I)
