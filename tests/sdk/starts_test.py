#!/usr/bin/env python3
"""Programs that are not started by their own name: by npm, as a module, by a shell. Each says hello, keeps its state over
edits and a kill, and accepts on every socket that it is lent. 77 where a tool is missing that one of them needs."""

import contextlib
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import unittest

from python_support import PATIENCE, SDK, RealSupervisor

SHOP_PY = """
import threading
import zeroth
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
w = zeroth.worker(schema="shop/1")
S = w.restore({"visits": 0})
class Shop(BaseHTTPRequestHandler):
    def do_GET(self):
        with w.atomic():
            S["visits"] += 1
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"EDITION first {S['visits']}".encode())
    def log_message(self, *_): pass
threading.Thread(target=w.serve, args=(ThreadingHTTPServer, Shop, "second")).start()
w.serve(ThreadingHTTPServer, Shop, "first")
"""
SHOP_MJS = f"""
import http from 'node:http'
import {{ worker }} from {json.dumps(SDK + "/zeroth.mjs")}
const w = await worker({{ schema: 'shop/1' }})
const S = await w.restore({{ visits: 0 }})
const shop = () => http.createServer((request, response) => response.end(`EDITION first ${{++S.visits}}`))
await Promise.all(['third', 'second', 'first'].map(name => w.serve(shop(), name)))
"""


class Shop(RealSupervisor):
    """A shop on lent sockets, started by `command`."""

    def __init__(self, code, name, command, sockets):
        self.ports = [free_port() for _ in sockets]
        lent = [word for name, port in zip(sockets, self.ports) for word in ("--listen", f"{name}={port}")]
        super().__init__(code, *lent, name=name, command=command)

    def start(self):
        with open(self.folder + "/package.json", "w") as file:
            json.dump({"name": "shop", "private": True, "scripts": {"start": "node shop.mjs"}}, file)
        super().start()

    def visit(self, port):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
            connection.request("GET", "/", headers={"Connection": "close"})
            edition, visits = connection.getresponse().read().decode().split(" ")[1:]
            return edition, int(visits)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Starts(unittest.TestCase):
    def goes_on(self, code, name, command, sockets):
        with Shop(code, name, command, sockets) as shop:
            shop.wait_ready()
            visits = [shop.visit(port) for port in shop.ports]
            self.assertEqual(visits, [("first", number + 1) for number in range(len(sockets))])
            for generation, edition in ((2, "next"), (3, "last")):
                shop.edit(code.replace("EDITION first", f"EDITION {edition}"))
                worker = shop.wait_ready(generation)
                self.assertEqual((worker["last_reload"]["verdict"], worker["mode"]), ("ok", "overlap"), shop.told())
                visits = [shop.visit(port) for port in shop.ports]
                self.assertEqual(visits, [(edition, (generation - 1) * len(sockets) + number + 1) for number in range(len(sockets))])
            shop.ask("checkpoint")
            os.kill(innermost(worker["pid"]), signal.SIGKILL)
            shop.wait_ready(4)
            self.assertEqual(shop.visit(shop.ports[0]), ("last", 3 * len(sockets) + 1), shop.told())

    def test_npm_start(self):
        self.goes_on(SHOP_MJS, "shop.mjs", ["npm", "start"], ["first", "second", "third"])

    def test_python_module(self):
        self.goes_on(SHOP_PY, "shop.py", [sys.executable, "-m", "shop"], ["first", "second"])

    def test_shell_that_becomes_the_program(self):
        self.goes_on(SHOP_PY, "shop.py", ["sh", "-c", shlex.join(["exec", sys.executable, "shop.py"])], ["first", "second"])

    def test_shell_that_waits_for_python(self):
        self.goes_on(SHOP_PY, "shop.py", ["sh", "-c", shlex.join([sys.executable, "shop.py"]) + "; exit $?"], ["first", "second"])

    def test_shell_that_waits_for_node(self):
        self.goes_on(SHOP_MJS, "shop.mjs", ["sh", "-c", "node shop.mjs; exit $?"], ["first", "second", "third"])


def innermost(pid):
    """What a process started, or what that started."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = file.read().split()
    return innermost(int(children[0])) if children else pid


if __name__ == "__main__":
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            print(f"SKIPPED: no {program}")
            sys.exit(77)
    unittest.main()
