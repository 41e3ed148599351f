"""Says how a profile is compiled."""

import importlib.util
import sys

from daemon import cache, serve

PROFILES = {"debug": 0, "release": 2}


def set_up(profile):
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: expected one of {', '.join(PROFILES)}")

    def make():
        return {"optimize": PROFILES[profile], "magic": importlib.util.MAGIC_NUMBER.hex()}

    return cache.get(f"{profile} {sys.version}", make)


serve(3002, set_up)
