"""Builds a project: one archive of all its compiled sources, which python3 runs if there is a __main__.py.

    curl -H 'Content-Type: application/json' -d '{"root": "PROJECT", "out": "app.pyz"}' http://127.0.0.1:3004
"""

import base64
import hashlib
import json
import os
import threading
import zipfile

from daemon import ask, cache, serve

PORTS = {name: int(os.environ.get(name, port)) for name, port in (("DISCOVERY", 3001), ("SETUP", 3002), ("COMPILATION", 3003))}


def archive(root, out, files, how):
    """Writes the archive if there is no error; the errors."""
    compiled = [(file["path"], ask(PORTS["COMPILATION"], **file, **how)) for file in files]
    errors = [result["error"] for _, result in compiled if "error" in result]
    if not errors:
        beside = f"{out}.{threading.get_ident()}"
        with zipfile.ZipFile(beside, "w") as written:
            for path, result in compiled:
                entry = zipfile.ZipInfo(os.path.relpath(path, root) + "c")  # no time: the same sources, the same bytes
                written.writestr(entry, base64.b64decode(result["pyc"]))
        os.replace(beside, out)
    return errors


def build(root, out, profile="release"):
    root, out = os.path.abspath(root), os.path.abspath(out)
    files, how = ask(PORTS["DISCOVERY"], root=root)["files"], ask(PORTS["SETUP"], profile=profile)
    inputs = hashlib.sha256(json.dumps([root, files, how]).encode()).hexdigest()
    built = cache.get(out, lambda: {"inputs": inputs, "errors": archive(root, out, files, how)},
                      lambda built: built["inputs"] == inputs and os.path.exists(out))  # fmt: skip
    return {"files": len(files), "errors": built["errors"]}


serve(3004, build)
