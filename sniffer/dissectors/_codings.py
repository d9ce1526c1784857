"""Content codings: gzip and deflate (RFC 1950–1952), br (RFC 7932), zstd (RFC 8878), within bounds."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

# What a body may grow to: compressed text reaches 20:1, more than 100:1 is a bomb.
MAX_RATIO = 100
# … and however well it is compressed, no more than this is looked at.
MAX_OUTPUT = 8 << 20
# Codings may be stacked; more than two are nobody's intent.
MAX_STACKED = 4
_STEP = 1 << 16


def decode(data: bytes, codings: Sequence[str], limit: int = MAX_OUTPUT) -> tuple[bytes, bool]:
    """Undo the codings, the last applied first. The result, and whether it is whole: a cut or corrupt stream gives what
    came before the damage, an unknown coding gives nothing.
    """
    whole = True
    for coding in list(reversed(codings))[:MAX_STACKED]:
        name = coding.strip().lower()
        if name in ("identity", "", "chunked"):
            continue
        opener = _DECODERS.get(name)
        if opener is None:
            return b"", False
        data, complete = opener(data, min(limit, max(len(data) * MAX_RATIO, 4096)))
        whole = whole and complete
    return data, whole and len(codings) <= MAX_STACKED


def _zlib(data: bytes, limit: int, bits: int) -> tuple[bytes, bool]:
    out = b""
    while data and len(out) < limit:
        stream = zlib.decompressobj(bits)
        try:
            out += stream.decompress(data, limit - len(out))
        except zlib.error:
            return out + _slowly(data, limit - len(out), bits), False
        if not stream.eof:
            return out, False
        data = stream.unused_data if bits == 31 and stream.unused_data[:2] == b"\x1f\x8b" else b""
    return out, not data


def _slowly(data: bytes, limit: int, bits: int) -> bytes:
    """What comes before a corrupt place: zlib gives nothing of the call in which it meets one."""
    stream = zlib.decompressobj(bits)
    out = b""
    for at in range(0, len(data), 512):
        try:
            out += stream.decompress(data[at : at + 512], limit - len(out))
        except zlib.error:
            break
        if len(out) >= limit:
            break
    return out


def _gzip(data: bytes, limit: int) -> tuple[bytes, bool]:
    return _zlib(data, limit, 31)


def _deflate(data: bytes, limit: int) -> tuple[bytes, bool]:
    """RFC 9110 means zlib's format; some servers send the bare stream."""
    if len(data) >= 2 and data[0] & 0x0F == 8 and not (data[0] << 8 | data[1]) % 31:
        return _zlib(data, limit, 15)
    return _zlib(data, limit, -15)


def _brotli(data: bytes, limit: int) -> tuple[bytes, bool]:
    import brotli

    stream = brotli.Decompressor()
    out = b""
    # In steps: a bomb is noticed before it is unpacked whole.
    for at in range(0, len(data), 4096):
        try:
            out += stream.process(data[at : at + 4096], output_buffer_limit=limit - len(out) + 1)
        except brotli.error:
            return out[:limit], False
        if len(out) > limit:
            return out[:limit], False
    return out, bool(stream.is_finished())


def _zstd(data: bytes, limit: int) -> tuple[bytes, bool]:
    import io

    import zstandard

    out = b""
    # RFC 9659: a window of at most 8 MiB as a content coding.
    reader = zstandard.ZstdDecompressor(max_window_size=8 << 20).stream_reader(io.BytesIO(data), read_across_frames=True)
    while len(out) < limit:
        try:
            step = reader.read(min(_STEP, limit - len(out)))
        except zstandard.ZstdError:
            return out, False
        if not step:
            return out, True
        out += step
    return out, False


_DECODERS = {"gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "br": _brotli, "zstd": _zstd}
