#!/usr/bin/env python3
"""Many requests over many reloads: requests.py [--requests N] [--reloads M] [--clients K] [--only NAME…] [--no-peers]
[--peers FOLDER]

The web shops in C++, Python and Node under zeroth-supervise; beside them, in the same run, the same shop under pm2 in its
cluster mode (`pm2 reload`), under gunicorn (HUP), and ended and started again by itself. Visitors, half of them over a
kept-alive connection and half over a new one for each request (tests/bench/visitors.cpp), ask N times while the program is
edited and reloaded M times, at even distances. Counted are connections that were refused, requests that failed, those that a
client had to ask again because its reused connection closed before the answer, acknowledged visits that were lost, and the
longest time that a client waited for one answer. Under us nothing may be refused, fail or be lost: else exit 1.

Peers are looked for in FOLDER (as scripts/bench --install-peers leaves it) and in $PATH; what is missing is named and left
out. 77 without g++.
"""

import argparse
import http.client
import json
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "sdk"))
from cpp_support import CppSupervisor, program, run
from python_support import EXAMPLES, SDK, SOURCE, RealSupervisor
from web_reloads import free_port

PATIENCE = 60.0

NODE_SHOP = """const http = require('node:http')
const EDITION = 0
const visits = {}
const server = http.createServer((request, response) => {
  const sid = new URL(request.url, 'http://shop').searchParams.get('sid') ?? 'guest'
  visits[sid] = (visits[sid] ?? 0) + 1
  response.end(`Edition ${EDITION}, ${sid}: visit ${visits[sid]}\\n`)
})
server.listen(Number(process.env.PORT), '127.0.0.1')
for (const end of ['SIGINT', 'SIGTERM']) {
  process.on(end, () => {
    server.close(() => process.exit(0))
    server.closeIdleConnections()
  })
}
"""
WSGI_SHOP = """import threading
EDITION = 0
visits, lock = {}, threading.Lock()

def app(environ, start_response):
    sid = environ["PATH_INFO"].strip("/") or "guest"
    with lock:
        visits[sid] = visits.get(sid, 0) + 1
        body = f"Edition {EDITION}, {sid}: visit {visits[sid]}\\n".encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
"""


class Ours:
    """An example of ours under zeroth-supervise on a lent port."""

    def __init__(self, name, supervisor):
        self.name, self.make, self.reloads, self.pauses = name, supervisor, 0, []

    def start(self):
        self.port = free_port()
        self.supervisor = self.make("--listen", str(self.port))
        self.generation = self.supervisor.wait_ready()["generation"]

    def reload(self):
        self.reloads += 1
        self.edit()
        worker = self.supervisor.wait_ready(self.generation + 1)
        receipt, self.generation = worker["last_reload"], worker["generation"]
        if receipt["verdict"] != "ok" or receipt["mode"] != "overlap":
            raise SystemExit(f"{self.name}: {receipt}")
        self.pauses.append(receipt["ms"]["pause"])

    def edit(self):
        with open(self.supervisor.program) as file:
            text = file.read()
        mark = "#" if self.name == "Python" else "//"
        self.supervisor.edit(re.sub(r"\n(#|//) edit \d+\n$", "\n", text) + f"{mark} edit {self.reloads}\n")

    def stop(self):
        self.supervisor.__exit__()


class OursInCpp(Ours):
    def edit(self):
        self.supervisor.edit(program("shop"), f"edit {self.reloads}")


def ours():
    yield OursInCpp("C++", lambda *options: CppSupervisor(program("shop"), *options))
    with open(os.path.join(EXAMPLES, "shop.py")) as file:
        python = file.read()
    yield Ours("Python", lambda *options: RealSupervisor(python, *options, name="shop.py"))
    if node := shutil.which("node"):
        with open(os.path.join(EXAMPLES, "shop.mjs")) as file:
            text = file.read().replace("'../sdk/zeroth.mjs'", json.dumps(os.path.join(SDK, "zeroth.mjs")))
        yield Ours("Node", lambda *options: RealSupervisor(text, *options, name="shop.mjs", command=[node, "shop.mjs"]))
    else:
        print("Node: not installed, left out")


class Peer:
    """Another tool that keeps a shop running; it knows of no state."""

    text, file = NODE_SHOP, "shop.cjs"

    def __init__(self, name, tool):
        self.name, self.tool, self.edition, self.pauses = name, tool, 0, []

    def start(self):
        self.folder = tempfile.mkdtemp(prefix="zeroth-requests-")
        self.port = free_port()
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZEROTH_", "LISTEN_", "PM2_"))}
        self.environment.update(PORT=str(self.port), PM2_HOME=self.folder + "/pm2", PYTHONDONTWRITEBYTECODE="1")
        self.output = open(self.folder + "/output", "w+")
        self.write()
        self.begin()
        self.wait()

    def write(self):
        with open(os.path.join(self.folder, self.file), "w") as file:
            file.write(self.text.replace("EDITION = 0", f"EDITION = {self.edition}"))

    def reload(self):
        self.edition += 1
        self.write()
        self.take_it()
        self.wait()

    def wait(self):
        """Until the newest edition answers."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                connection.request("GET", "/probe?sid=probe", headers={"Connection": "close"})
                if f"Edition {self.edition}," in connection.getresponse().read().decode():
                    return
            except (ConnectionError, http.client.HTTPException):
                pass  # that is what the visitors count
            finally:
                connection.close()
            select.select([], [], [], 0.01)
        self.output.flush()
        with open(self.output.name) as file:
            raise SystemExit(f"{self.name}: edition {self.edition} never answered\n{file.read()[-3000:]}")

    def spawn(self, *command):
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                                stdout=self.output, stderr=self.output, start_new_session=True)  # fmt: skip

    def begin(self):
        self.process = self.spawn(*self.command())

    def end(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    def stop(self):
        self.end()
        self.output.close()
        shutil.rmtree(self.folder)


class Pm2(Peer):
    def do(self, *words):
        subprocess.run([self.tool, *words], cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL,
                       stdout=self.output, stderr=self.output, check=True)  # fmt: skip

    def begin(self):
        self.do("start", self.file, "-i", "1", "--name", "shop")

    def take_it(self):
        self.do("reload", "shop")

    def end(self):
        self.do("kill")


class Gunicorn(Peer):
    text, file = WSGI_SHOP, "shop.py"

    def command(self):
        return [self.tool, "--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--threads", "64", "--keep-alive", "60", "shop:app"]

    def take_it(self):
        self.process.send_signal(signal.SIGHUP)


class Restart(Peer):
    def command(self):
        return [self.tool, self.file]

    def take_it(self):
        self.end()
        self.begin()


def peers(folder):
    for kind, name, tool in ((Pm2, "pm2 reload, cluster", "pm2"), (Gunicorn, "gunicorn, HUP", "gunicorn"), (Restart, "node, ended and started", "node")):
        local = os.path.join(folder, "node_modules/.bin", tool)
        path = local if os.access(local, os.X_OK) else shutil.which(tool)
        if path is None:
            print(f"{name}: not installed, left out (scripts/bench --install-peers)")
        else:
            yield kind(name, path)


def measure(case, wanted, visitors):
    """Reloads at even distances while the visitors ask; what they saw."""
    words = [visitors, str(case.port), str(wanted.requests), str(wanted.reloads), str(wanted.clients)]
    asking = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(wanted.reloads):
            asking.stdout.readline()  # the next part of the requests is asked
            case.reload()
        asking.stdin.close()
        *_, last = asking.stdout
        asking.wait(PATIENCE)
    finally:
        if asking.poll() is None:
            asking.kill()
            asking.wait()
    return json.loads(last)


def row(case, seen):
    pause = f"{statistics.median(case.pauses):.1f}" if case.pauses else ""
    return (case.name, seen["answered"], seen["refused"], seen["failed"], seen["retried"], seen["lost"],
            f"{seen['longest_ms']:.0f}", pause, f"{seen['answered'] / seen['seconds']:.0f}")  # fmt: skip


def print_table(rows):
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join([str(row[0]).ljust(widths[0]), *(str(cell).rjust(width) for cell, width in zip(row[1:], widths[1:]))]), flush=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--requests", type=int, default=1_000_000)
    options.add_argument("--reloads", type=int, default=100)
    options.add_argument("--clients", type=int, default=16)
    options.add_argument("--only", nargs="+", default=[])
    options.add_argument("--no-peers", action="store_true")
    options.add_argument("--peers", default=os.path.join(SOURCE, "build", "peers"))
    wanted = options.parse_args()
    if shutil.which("g++") is None:
        print("SKIPPED: no g++")
        sys.exit(77)
    rows, bad = [("", "answered", "refused", "failed", "retried", "lost", "longest ms", "pause ms", "a second")], []
    with tempfile.TemporaryDirectory(prefix="zeroth-visitors-") as folder:
        visitors = os.path.join(folder, "visitors")
        run(["g++", "-std=c++17", "-O2", "-pthread", "-o", visitors, os.path.join(HERE, "visitors.cpp")])
        cases = [*ours(), *([] if wanted.no_peers else peers(wanted.peers))]
        for case in cases:
            if wanted.only and not any(word in case.name for word in wanted.only):
                continue
            case.start()
            try:
                seen = measure(case, wanted, visitors)
            finally:
                case.stop()
            rows.append(row(case, seen))
            print(*rows[-1], sep="  ", flush=True)  # the whole may take an hour
            if seen["reasons"]:
                print(f"{case.name}: {seen['reasons']}", flush=True)
            if isinstance(case, Ours) and (seen["refused"] or seen["failed"] or seen["lost"] or seen["answered"] < wanted.requests):
                bad.append(case.name)
    print(f"{wanted.requests} requests and {wanted.reloads} reloads each, {wanted.clients} clients, half of them kept alive; longest: for one answer")
    print_table(rows)
    if bad:
        raise SystemExit(f"refused, failed or lost under us: {', '.join(bad)}")


if __name__ == "__main__":
    main()
