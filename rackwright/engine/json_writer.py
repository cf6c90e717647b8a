"""JSON of many small values.

``JSONEncoder.encode`` makes a C encoder for each call, which costs more than a small object does;
``writer`` makes it once. ``json_bytes`` is for the thousands that a run or a plan of 70,000
machines writes: orjson, a tenth of the cost (docs/decisions/0010-orjson-for-what-is-plain.md).
"""

import json
import json.encoder
from collections.abc import Callable
from typing import Final

import orjson


def writer(
    *, sort_keys: bool = False, ensure_ascii: bool = True, allow_nan: bool = True
) -> Callable[[object], str]:
    """Writes without spaces. Values hold no reference to themselves: that is not looked for.

    What it gives raises TypeError for what is not plain, and ValueError for NaN and infinity where
    they are not allowed.
    """
    encoder = json.JSONEncoder(
        sort_keys=sort_keys,
        separators=(",", ":"),
        ensure_ascii=ensure_ascii,
        allow_nan=allow_nan,
        check_circular=False,
    )
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # a Python without the C part
        return encoder.encode
    ascii_only, as_it_is = json.encoder.encode_basestring_ascii, json.encoder.encode_basestring
    quote = ascii_only if ensure_ascii else as_it_is
    pieces = make(None, encoder.default, quote, None, ":", ",", sort_keys, False, allow_nan)

    def write(value: object) -> str:
        return "".join(pieces(value, 0))

    return write


_write: Final = writer(ensure_ascii=False)


def json_bytes(value: object) -> bytes:
    """UTF-8 without spaces, keys in the order they are in; NaN and infinity become null.

    What orjson does not take (integers of more than 64 bits, keys that are no strings) is written
    by Python. Raises TypeError for what neither takes.
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return _write(value).encode()
