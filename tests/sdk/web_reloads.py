#!/usr/bin/env python3
"""The web examples under load while they are edited: web_reloads.py shop.py|async_shop.py|shop.mjs [--reloads N] [--own-port]
[--by wrapper|npm|module|shell].

Clients count visits, each in a session of its own: half of them over one kept-alive connection, half over a new one for
every request. A client may retry once, on a new connection, a request whose reused connection closed before the first byte
of the answer. Nothing may be refused or fail, and no answer may show a number that is not above the one before: then an
acknowledged visit was lost. --own-port: the program opens its port itself, so it is reloaded in mode recreate and a new
connection may be refused during the gap, which is printed. --by: started in another way: by a program that closes the
channel, by `npm start`, as a module of Python, or by a shell that waits for it.
"""

import argparse
import http.client
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("ZEROTH_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
CLIENTS = 16  # of each kind
PATIENCE = 60.0


class Client(threading.Thread):
    def __init__(self, number, port, path, keeps, waits_out_gaps):
        super().__init__(daemon=True)
        self.session, self.port, self.path, self.keeps = f"{'kept' if keeps else 'new'}{number}", port, path, keeps
        self.waits_out_gaps = waits_out_gaps
        self.acknowledged = self.answers = self.retries = self.lost = self.refused_in_gap = 0
        self.failures, self.longest, self.done = [], 0.0, threading.Event()
        self.connection = None

    def ask(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        self.connection.request("GET", self.path.format(self.session))
        response = self.connection.getresponse()
        body = response.read().decode()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}")
        if not self.keeps or response.will_close:
            self.close()
        return int(re.search(r"visit (\d+)", body).group(1))

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def ask_patiently(self):
        began = time.monotonic()
        while True:
            reused = self.connection is not None
            try:
                return self.ask()
            except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError):
                self.close()
                if reused:
                    self.retries += 1
                elif not self.wait_in_gap(began):
                    raise
            except ConnectionRefusedError:
                self.close()
                if not self.wait_in_gap(began):
                    raise

    def wait_in_gap(self, began):
        """Nobody listens while a program with a port of its own is replaced; its queue is reset with it."""
        if not self.waits_out_gaps or time.monotonic() - began > PATIENCE:
            return False
        self.refused_in_gap += 1
        self.done.wait(0.005)
        return True

    def run(self):
        while not self.done.is_set():
            began = time.monotonic()
            try:
                visit = self.ask_patiently()
            except Exception as error:  # whatever it is, the user saw it
                self.failures.append(repr(error))
                self.close()
                continue
            self.longest = max(self.longest, time.monotonic() - began)
            self.lost += visit <= self.acknowledged
            self.acknowledged = visit
            self.answers += 1
        self.close()


class Shop:
    def __init__(self, example, own_port, by):
        self.folder = tempfile.mkdtemp(prefix="zeroth-web-")
        os.makedirs(os.path.join(self.folder, "code/examples"))
        shutil.copytree(os.path.join(SOURCE, "worker/sdk"), os.path.join(self.folder, "code/sdk"))
        self.program = os.path.join(self.folder, "code/examples", example)
        shutil.copy(os.path.join(SOURCE, "worker/examples", example), self.program)
        self.port = free_port()
        command = started_by(by, self.program)
        listen = [] if own_port else ["--listen", str(self.port)]
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("ZEROTH_", "LISTEN_"))}
        self.environment.update(npm_config_update_notifier="false", npm_config_cache=self.folder + "/npm", ZEROTH_STATE_DIR=self.folder + "/state", ZEROTH_RUNTIME_DIR=self.folder + "/run",
                                PORT=str(self.port), PYTHONDONTWRITEBYTECODE="1")
        self.output = open(self.folder + "/output", "w+")
        speaks = ["--protocol"] if by == "npm" else []  # which may take longer than 3 s to start the program
        self.supervisor = subprocess.Popen(
            [BIN + "/zeroth-supervise", *listen, *speaks, "--watch", self.program, "--", *command],
            cwd=os.path.dirname(self.program), env=self.environment, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)
        self.edits = 0

    def worker(self):
        told = subprocess.run([BIN + "/zerothctl", "--json", "status"], env=self.environment, capture_output=True, text=True)
        try:
            return json.loads(told.stdout)["workers"][0]
        except (ValueError, KeyError, IndexError):
            return {"state": "unknown", "generation": 0}

    def wait(self, accepts, what):
        deadline = time.monotonic() + PATIENCE
        while True:
            worker = self.worker()
            if accepts(worker):
                return worker
            if time.monotonic() > deadline or self.supervisor.poll() is not None:
                raise SystemExit(f"never came: {what}\n{self.told()}")

    def told(self):
        self.output.flush()
        with open(self.output.name) as file:
            return file.read()[-4000:]

    def edit(self):
        """Saves a change and waits until it is live; the mode and the pause of that reload."""
        generation = self.worker()["generation"]
        self.edits += 1
        mark = "#" if self.program.endswith(".py") else "//"
        with open(self.program) as file:
            text = file.read()
        with open(self.program + ".new", "w") as file:
            file.write(re.sub(r"\n(#|//) edit \d+\n$", "\n", text) + f"{mark} edit {self.edits}\n")
        os.rename(self.program + ".new", self.program)
        live = lambda w: w["state"] == "ready" and (w["generation"] or 0) > generation and w["last_reload"]["verdict"] == "ok"
        return self.wait(live, f"edit {self.edits}")["last_reload"]

    def stop(self):
        self.supervisor.terminate()
        code = self.supervisor.wait(PATIENCE)
        told = self.told()
        self.output.close()
        shutil.rmtree(self.folder)
        return code, told


def started_by(what, program):
    """The command that runs the program in its folder."""
    command = [sys.executable if program.endswith(".py") else "node", program]
    if what == "wrapper":
        return [sys.executable, "-c", f"import subprocess; raise SystemExit(subprocess.call({command!r}))"]
    if what == "npm":
        with open(os.path.join(os.path.dirname(program), "package.json"), "w") as file:
            json.dump({"name": "shop", "private": True, "scripts": {"start": shlex.join(command)}}, file)
        return ["npm", "start"]
    if what == "module":
        return [sys.executable, "-m", os.path.splitext(os.path.basename(program))[0]]
    if what == "shell":
        return ["sh", "-c", shlex.join(command) + "; exit $?"]
    return command


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("example", choices=["shop.py", "async_shop.py", "shop.mjs"])
    arguments.add_argument("--reloads", type=int, default=100)
    arguments.add_argument("--own-port", action="store_true")
    arguments.add_argument("--by", choices=["itself", "wrapper", "npm", "module", "shell"], default="itself")
    wanted = arguments.parse_args()
    needed = (["node"] if wanted.example == "shop.mjs" else []) + (["npm"] if wanted.by == "npm" else [])
    for program in needed:
        if shutil.which(program) is None:
            print(f"SKIPPED: no {program}")
            sys.exit(77)
    shop = Shop(wanted.example, wanted.own_port, wanted.by)
    path = "/{}" if wanted.example.endswith(".py") else "/?sid={}"
    shop.wait(lambda worker: worker["state"] == "ready", "the first start")
    clients = [Client(n, shop.port, path, keeps, wanted.own_port) for n in range(CLIENTS) for keeps in (True, False)]
    for client in clients:
        client.start()
    receipts = [shop.edit() for _ in range(wanted.reloads)]
    for client in clients:
        client.done.set()
    for client in clients:
        client.join(PATIENCE)
    code, told = shop.stop()
    failures = [failure for client in clients for failure in client.failures]
    lost = sum(client.lost for client in clients)
    modes = sorted({receipt["mode"] for receipt in receipts})
    pauses = sorted(receipt["ms"].get("pause") or 0 for receipt in receipts)
    print(f"{wanted.example}: {wanted.reloads} reloads ({', '.join(modes)}), {sum(c.answers for c in clients)} answers, "
          f"{len(failures)} failed, {lost} acknowledged visits lost, {sum(c.retries for c in clients)} retries, "
          f"{sum(c.refused_in_gap for c in clients)} connections refused in the gap; pause median "
          f"{pauses[len(pauses) // 2]:.1f} ms, longest gap a client saw {max(c.longest for c in clients) * 1000:.0f} ms")
    if failures or lost or code != 0:
        raise SystemExit(f"exit code {code}; {failures[:5]}\n{told}")
    if not wanted.own_port and modes != ["overlap"]:
        raise SystemExit(f"modes {modes}\n{told}")


if __name__ == "__main__":
    main()
