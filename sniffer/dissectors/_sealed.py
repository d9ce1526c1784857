"""Whether bytes look like ciphertext: where a capture begins inside a session, nothing else tells it from other binary data."""

from __future__ import annotations

from sniffer.dissectors._spec import Match

# Below this many bytes nothing can be said about how evenly values are spread.
MIN_SAMPLE = 64
# As many as a probe sees.
MAX_SAMPLE = 1024
# The share of the distinct values that as many random bytes have: ciphertext stays above it, also with a length in the
# clear before each packet; text has half of them, structures with their zeros and small numbers seldom more than two thirds.
_SHARE = 0.85
# How many distinct values n random bytes have, times that share.
_LEAST = tuple(_SHARE * 256 * (1 - (255 / 256) ** n) for n in range(MAX_SAMPLE + 1))


def sealed(data: bytes) -> bool:
    """Whether bytes are spread as evenly as ciphertext (or compressed data)."""
    sample = data[:MAX_SAMPLE]
    return len(sample) >= MIN_SAMPLE and len(set(sample)) >= _LEAST[len(sample)]


# So many bytes of text at the start are no chance: of random bytes, three in eight are text.
_WORD = 4
TEXT = bytes(range(32, 127)) + b"\t\r\n"


def begins_sealed(data: bytes) -> Match:
    """Whether a stream may begin inside ciphertext, from its first MIN_SAMPLE bytes alone: more than these change nothing."""
    head = data[:MIN_SAMPLE]
    if len(head) >= _WORD and not head[:_WORD].translate(None, TEXT):
        return Match.NO
    missing = MIN_SAMPLE - len(head)
    if len(set(head)) + missing < _LEAST[MIN_SAMPLE]:
        return Match.NO
    return Match.MORE if missing else Match.YES
