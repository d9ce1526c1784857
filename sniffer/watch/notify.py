"""Tells systemd how it stands: READY, STATUS, STOPPING, WATCHDOG (sd_notify(3)). Silent where nobody listens."""

from __future__ import annotations

import os
import socket
import time

# A large state whose last run was killed is read whole at the start, from a slow disk for minutes (seconds).
OPENING = 600


class Notifier:
    """The datagram socket that ``$NOTIFY_SOCKET`` names; ``beat`` answers the watchdog in half its time."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        micro = os.environ.get("WATCHDOG_USEC", "")
        mine = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._every = int(micro) / 2e6 if micro.isdigit() and mine else 0.0
        self._beaten = 0.0

    def say(self, *lines: str) -> None:
        """Send assignments such as ``READY=1``; an unreachable supervisor is not our concern."""
        if not self._address:
            return
        name = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            try:
                out.sendto("\n".join(lines).encode(), name)
            except OSError:
                pass

    def opening(self) -> None:
        """Asks for patience: started anew because it took long, it would have to begin again."""
        self.say(f"EXTEND_TIMEOUT_USEC={OPENING * 1_000_000}", "STATUS=opening the state")

    def beat(self, status: str) -> None:
        """Once in half the watchdog's time: still alive, and in one line how it stands."""
        now = time.monotonic()
        if self._every and now - self._beaten >= self._every:
            self._beaten = now
            self.say("WATCHDOG=1", f"STATUS={status}")
