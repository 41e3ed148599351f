#!/usr/bin/env python3
"""Edit -> live beside other tools that restart on a save: peers.py [--rounds N] [--peers FOLDER] [--smoke]

One Node web server, the same file under each tool, counts its visits in a state declared with worker/sdk/zeroth.mjs:
without us that library does nothing and the count is lost. An edit is written and closed; the fresh process, once it
listens, writes its edition into a pipe: that is the end of the time taken. Each round edits it under every tool once,
so that whatever else the machine does hits all alike. A few more rounds, not timed, connect all the while and count how
many connections are refused. Tools are looked for in FOLDER (as scripts/bench --install-peers leaves it) and in $PATH;
what is missing is named and left out. --smoke: two rounds, and an error if our state is not kept; 77 without a Node.
"""

import argparse
import http.client
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("ZEROTH_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
PATIENCE = 30.0
QUIET = 0.15  # s without another start, before the next edit: by then the old process is gone
PROBE_EVERY = 0.001  # s between two connections
OURS = "zeroth-supervise"

COUNTER = """import fs from 'node:fs'
import http from 'node:http'
import { worker } from './zeroth.mjs'
const EDITION = 0
const w = await worker({ schema: 'bench/1' })
const S = await w.restore({ visits: 0 })
const server = http.createServer((request, response) => response.end(`${EDITION} ${++S.visits}`))
await w.serve(server, 'http', { port: Number(process.env.PORT), host: '127.0.0.1' })
fs.appendFileSync(process.env.MARK, `${EDITION}\\n`)
"""
# The same for who does not have our library; loading it takes some milliseconds.
PLAIN = """import fs from 'node:fs'
import http from 'node:http'
const EDITION = 0
const S = { visits: 0 }
const server = http.createServer((request, response) => response.end(`${EDITION} ${++S.visits}`))
server.listen(Number(process.env.PORT), '127.0.0.1', () => fs.appendFileSync(process.env.MARK, `${EDITION}\\n`))
"""


class Tool:
    """A tool at work on a program in a folder of its own."""

    def __init__(self, name, command, text=COUNTER, ends_with=None):
        self.name, self.command, self.text, self.ends_with = name, command, text, ends_with
        self.times, self.kept, self.refused, self.connections, self.edition = [], True, 0, 0, 0

    def start(self, folder):
        self.folder = os.path.join(folder, re.sub(r"\W+", "-", self.name))
        self.code = os.path.join(self.folder, "code")
        os.makedirs(self.code)
        shutil.copy(os.path.join(SOURCE, "worker/sdk/zeroth.mjs"), self.code)
        self.write(0).close()
        mark = os.path.join(self.folder, "mark")
        os.mkfifo(mark)
        self.marks = os.open(mark, os.O_RDWR | os.O_NONBLOCK)  # a reader that sees no end when a writer leaves
        self.port = free_port()
        for kind in ("state", "run"):
            os.mkdir(os.path.join(self.folder, kind), 0o700)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZEROTH_", "LISTEN_", "PM2_"))}
        self.environment.update(PORT=str(self.port), MARK=mark, PM2_HOME=os.path.join(self.folder, "pm2"), NO_COLOR="1",
                                ZEROTH_STATE_DIR=self.folder + "/state", ZEROTH_RUNTIME_DIR=self.folder + "/run")
        self.output = open(os.path.join(self.folder, "output"), "w+")
        command = [word.replace("PORT", str(self.port)) for word in self.command]
        self.process = subprocess.Popen(command, cwd=self.code, env=self.environment, stdin=subprocess.DEVNULL,
                                        stdout=self.output, stderr=self.output, start_new_session=True)
        self.await_mark(lambda: None)
        self.visits = self.ask()

    def write(self, edition):
        file = open(os.path.join(self.code, "server.mjs"), "w")
        file.write(self.text.replace("EDITION = 0", f"EDITION = {edition}"))
        file.flush()
        return file

    def await_mark(self, meanwhile):
        """Until the process with the newest edition is live. `meanwhile` is called again and again, if it is truthy."""
        end, heard = time.monotonic() + PATIENCE, b""
        while f"{self.edition}\n".encode() not in heard:
            rest = end - time.monotonic()
            if rest <= 0:
                raise SystemExit(f"{self.name}: edition {self.edition} is not live within {PATIENCE:.0f} s\n{self.told()}")
            again = meanwhile()
            if select.select([self.marks], [], [], PROBE_EVERY if again else rest)[0]:
                heard += os.read(self.marks, 4096)

    def await_quiet(self):
        while select.select([self.marks], [], [], QUIET)[0]:
            os.read(self.marks, 4096)

    def edit(self, meanwhile=lambda: None):
        """Saves the next edition; how many ms until it is live."""
        self.await_quiet()
        self.edition += 1
        file = self.write(self.edition)
        began = time.monotonic()
        file.close()
        self.await_mark(meanwhile)
        return (time.monotonic() - began) * 1000

    def timed_edit(self):
        self.times.append(self.edit())
        visits = self.ask()
        self.kept = self.kept and visits == self.visits + 1
        self.visits = visits

    def probed_edit(self):
        def connect():
            self.connections += 1
            try:
                socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
            except ConnectionError:  # refused, or reset in the queue of a process that ended
                self.refused += 1
            return True

        self.edit(connect)
        self.visits = self.ask()

    def ask(self):
        """Visits up to now, as the newest edition says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", "/", headers={"Connection": "close"})
        edition, visits = connection.getresponse().read().decode().split()
        connection.close()
        if int(edition) != self.edition:
            raise SystemExit(f"{self.name}: edition {edition} answers after {self.edition} said that it is live")
        return int(visits)

    def told(self):
        self.output.flush()
        with open(self.output.name) as file:
            return file.read()[-4000:]

    def stop(self):
        if not hasattr(self, "process"):
            return
        if self.ends_with:
            subprocess.run(self.ends_with, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            for pid in of_session(self.process.pid):  # entr leaves its child behind
                os.kill(pid, signal.SIGKILL)
            self.output.close()
            os.close(self.marks)

    def row(self, ours):
        return (self.name, f"{quantile(self.times, 0.5):.1f}", f"{quantile(self.times, 0.95):.1f}",
                f"{quantile(self.times, 0.5) / ours:.2f}", "yes" if self.kept else "no",
                f"{self.refused} of {self.connections}")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def of_session(leader):
    """Pids of what was started in a session, also if its leader has ended."""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.getsid(int(pid)) == leader:
                yield int(pid)
        except ProcessLookupError:
            continue


def quantile(times, part):
    return sorted(times)[int(part * (len(times) - 1) + 0.5)]


def find(name, peers):
    """Its path; where it is missing, says so."""
    local = os.path.join(peers, "node_modules/.bin", name)
    path = local if os.access(local, os.X_OK) else shutil.which(name)
    if path is None:
        print(f"{name}: not installed, left out (scripts/bench --install-peers)")
    return path


def tools(peers):
    node = find("node", peers)
    if node is None:
        print("SKIPPED: no Node")
        sys.exit(77)
    supervise, run = [os.path.join(BIN, OURS), "--listen", "PORT"], ["--", node, "server.mjs"]
    yield Tool(OURS, [*supervise, *run])
    yield Tool(OURS + " --watch server.mjs", [*supervise, "--watch", "server.mjs", *run])
    if "--watch" in subprocess.run([node, "--help"], capture_output=True, text=True).stdout:
        yield Tool("node --watch", [node, "--watch", "server.mjs"])
    else:
        print("node --watch: this Node does not have it, left out")
    if nodemon := find("nodemon", peers):
        yield Tool("nodemon", [nodemon, "server.mjs"])
        yield Tool("nodemon, without zeroth.mjs", [nodemon, "server.mjs"], PLAIN)
    if entr := find("entr", peers):
        yield Tool("entr -r", ["sh", "-c", f"echo server.mjs | exec '{entr}' -nr '{node}' server.mjs"])
    if pm2 := find("pm2", peers):
        # Its daemon is what is left when the command has ended.
        yield Tool("pm2 --watch", [pm2, "start", "server.mjs", "--watch"], ends_with=[pm2, "kill"])


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=20)
    options.add_argument("--peers", default=os.path.join(SOURCE, "build", "peers"))
    options.add_argument("--smoke", action="store_true")
    options = options.parse_args()
    rounds, probes = (2, 1) if options.smoke else (options.rounds, 5)
    started = []
    with tempfile.TemporaryDirectory(prefix="zeroth-peers-") as folder:
        try:
            for tool in tools(options.peers):
                started.append(tool)
                tool.start(folder)
            for tool in started:
                tool.edit()  # what only the first edit costs
                tool.visits = tool.ask()
            for _ in range(rounds):
                for tool in started:
                    tool.timed_edit()
            for _ in range(probes):
                for tool in started:
                    tool.probed_edit()
        finally:
            for tool in started:
                tool.stop()
    ours = quantile(started[0].times, 0.5)
    print(f"edit -> live, a Node web server, ms, {rounds} rounds, turn by turn")
    print_table([("", "median", "p95", "ratio", "state kept", "refused"), *(tool.row(ours) for tool in started)])
    lost = [tool.name for tool in started if tool.name.startswith(OURS) and (not tool.kept or tool.refused)]
    if lost:
        raise SystemExit(f"state lost or connections refused: {', '.join(lost)}")


if __name__ == "__main__":
    main()
