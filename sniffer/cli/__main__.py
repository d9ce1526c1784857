"""``python -m sniffer.cli``."""

from sniffer.cli import command

command()
