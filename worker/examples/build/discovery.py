"""Finds the sources of a project. A file is read again only when its size or its time has changed."""

import hashlib
import os

from daemon import cache, serve


def hash_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def discover(root):
    files = []
    for folder, _, names in os.walk(root, onerror=fail):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if name.endswith(".py"):
                stat = os.stat(path)
                key = f"{path} {stat.st_mtime_ns} {stat.st_size}"
                files.append({"path": path, "hash": cache.get(key, lambda: hash_of(path))})
    return {"files": files}


def fail(error):
    raise error


serve(3001, discover)
