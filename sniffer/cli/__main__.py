"""``python -m sniffer.cli``."""

import sys

from sniffer.cli import main

sys.exit(main())
