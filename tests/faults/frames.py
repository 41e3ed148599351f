"""Snapshot files read without the project's own code, so that a fault there cannot hide one here. Format: snapshot.md."""

import ctypes
import ctypes.util
import json
import os
import re

NAME = re.compile(r"snapshot-(\d{20})\.json")
HEADER_LIMIT = 1 << 20


class _Hash128(ctypes.Structure):
    _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]


_xxhash = ctypes.CDLL(ctypes.util.find_library("xxhash") or "libxxhash.so.0")
_xxhash.XXH3_128bits.restype = _Hash128
_xxhash.XXH3_128bits.argtypes = (ctypes.c_char_p, ctypes.c_size_t)


class Broken(Exception):
    """Why a file is no valid snapshot."""


def read_snapshot(path):
    """(envelope, state) of a valid snapshot; Broken with the reason for anything else."""
    name = NAME.fullmatch(os.path.basename(path))
    if not name:
        raise Broken("the name is none of a snapshot")
    with open(path, "rb") as file:
        data = file.read()
    start = data.find(b'"state":\n', 0, HEADER_LIMIT)
    if start < 0:
        raise Broken("no header")
    start += len(b'"state":\n')
    if start % 4096:
        raise Broken(f"the header has {start} bytes")
    try:
        envelope = json.loads(data[:start] + b"0}")
        length = int(envelope["length"], 16)
        trailer = data[start + length :]
        end = json.loads(b"{" + trailer.lstrip(b"\n,"))["end"]
        state = json.loads(data[start : start + length])
    except (ValueError, KeyError, UnicodeDecodeError) as error:
        raise Broken(f"not JSON: {error}") from None
    if not int(name[1]) == envelope["sequence"] == end:
        raise Broken(f"sequence {envelope['sequence']}, end {end}")
    if not checksum_is_right(envelope, data):
        raise Broken("the checksum is wrong")
    return envelope, state


def xxh3(data):
    """The hash of 128 bit, as the supervisor writes it."""
    digest = _xxhash.XXH3_128bits(data, len(data))
    return f"{digest.high:016x}{digest.low:016x}"


def checksum_is_right(envelope, data):
    """The file's, with its own digits and those of the length zeroed."""
    for key in ("length", "xxh3"):
        data = data.replace(f'"{key}":"{envelope[key]}"'.encode(), f'"{key}":"{"0" * len(envelope[key])}"'.encode(), 1)
    return xxh3(data) == envelope["xxh3"]


def snapshots(folder):
    """[(sequence, path)] of what is named like a snapshot, newest first; empty where there is no folder."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    found = [(int(match[1]), os.path.join(folder, name)) for name in names if (match := NAME.fullmatch(name))]
    return sorted(found, reverse=True)


def newest(folder):
    """(envelope, state) of the newest valid one, or None."""
    for _, path in snapshots(folder):
        try:
            return read_snapshot(path)
        except (Broken, OSError):
            continue
    return None
