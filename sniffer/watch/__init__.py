"""Watching a network live: worker processes that read, one parent that records, tells and measures."""
