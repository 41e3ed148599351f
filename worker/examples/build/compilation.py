"""Compiles a source to the bytes of a .pyc, once for each content and setting."""

import base64
import importlib.util
import marshal

from daemon import cache, serve


def translate(path, optimize):
    with open(path, "rb") as file:
        source = file.read()
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=optimize)
    except (SyntaxError, ValueError) as error:
        return {"error": f"{path}:{getattr(error, 'lineno', None) or 0}: {error}"}
    unchecked = (1).to_bytes(4, "little")
    text = importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(source) + marshal.dumps(code)
    return {"pyc": base64.b64encode(text).decode()}


def compile_file(path, hash, optimize, magic):
    return cache.get(f"{path} {hash} {optimize} {magic}", lambda: translate(path, optimize))


serve(3003, compile_file)
