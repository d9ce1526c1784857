"""Where the time goes: seconds by stage of one scan, as JSON."""

from __future__ import annotations

import json
import sys
import time


def main(path: str) -> None:
    start = time.perf_counter()
    from sniffer.capture import open_capture
    from sniffer.session import Session

    session = Session(b"bench" * 7)
    imported = time.perf_counter()
    session.run([open_capture(path)])
    stages = {"imports and rules": imported - start, **session.stages}
    stages["capture"] = session.summary.seconds - sum(session.stages.values())
    print(json.dumps({name: round(seconds, 4) for name, seconds in stages.items()}))


if __name__ == "__main__":
    main(sys.argv[1])
