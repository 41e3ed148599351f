#!/usr/bin/env python3
"""A state of 500 MB (short: 50 MB) through a reload, a crash, a stop and a new start, with a worker that writes its state into
the file it is offered: the supervisor's own memory grows by less than 1 MB over what the same takes with a small state.
"""

import os
import select
import signal
import sys
import threading

import frames
import lab

MEGABYTE = 1 << 20
SMALL, SHORT, FULL = 1, 50, 500  # megabytes of state; the small one goes through the file, too
MOST = 1024  # kB that the supervisor may grow by

# Speaks the protocol itself: its state is never in memory as a whole.
WORKER = """
import json, os, socket
channel = socket.socket(fileno=int(os.environ["ZEROTH_FD"]))
lines = channel.makefile("rb")
BLOCK = b"x" * (1 << 20)
S = {"count": 0, "megabytes": 0}
head = lambda: json.dumps(S, separators=(",", ":")).encode()[:-1] + b',"ballast":"'
def send(message): channel.sendall(json.dumps(message).encode() + b"\\n")
def write(path, offset):
    with open(path, "r+b", buffering=0) as file:
        file.seek(offset)
        for part in (head(), *[BLOCK] * S["megabytes"], b'"}'): file.write(part)
        return file.tell() - offset
def read(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        text = file.read(200)
        file.seek(offset + length - 3)
        assert file.read(3) == b'x"}', "the state is cut"
    told = json.loads(text[: text.index(b',"ballast')] + b"}")
    assert length == len(text[: text.index(b':"x') + 2]) + (told["megabytes"] << 20) + 2, "the state has another length"
    S.update(told)
send({"event": "hello", "data": {"protocol": 1, "name": "large", "version": "", "pid": os.getpid()}})
send({"event": "loaded", "data": {"capabilities": ["checkpoint", "restore", "hold", "call"], "schema": "large/1",
      "commands": [{"name": "add"}], "program": {"path": __file__, "hash": ""}}})
for line in lines:
    request = json.loads(line)
    params, result = request.get("params") or {}, {}
    command = request.get("command")
    if command == "restore" and params.get("state_file"):
        read(**params["state_file"])
    elif command == "checkpoint":
        result = {"bytes": write(**params["state_file"]), "iteration": None, "schema": "large/1", "pause_ms": 0}
    elif command == "call":
        S["megabytes"] = params["params"].get("megabytes", S["megabytes"])
        S["count"] += 1
        result = S
    if "id" in request: send({"id": request["id"], "success": True, "result": result, "error": None})
    if command == "restore": send({"event": "ready", "data": {}})
    if command == "stop": break
"""


def memory(pid):
    """(anonymous memory now, highest resident set) in kB."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        anonymous = next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
    with open(f"/proc/{pid}/status") as file:
        highest = next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    return anonymous, highest


class Peak:
    """Highest anonymous memory (sampled) and highest resident set (exact while it lives) of a process meanwhile."""

    def __init__(self, pid):
        self.pid, self.anonymous, self.resident = pid, 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def _look(self):
        try:
            anonymous, resident = memory(self.pid)
        except (OSError, StopIteration):
            return False
        self.anonymous, self.resident = max(self.anonymous, anonymous), max(self.resident, resident)
        return True

    def _watch(self):
        while self._look() and not self.over.is_set():
            select.select([], [], [], 0.005)

    def __enter__(self):
        with open(f"/proc/{self.pid}/clear_refs", "w") as file:
            file.write("5")  # the highest resident set counts from now
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self._look()


def life(megabytes):
    """{phase: its peak}."""
    peaks = {}
    with lab.Place(WORKER, "--checkpoint-interval", "0", "--keep-bytes", "1B") as place:
        pid = place.start().wait_ready() and place.process.pid

        def phase(name, pid, work):
            with Peak(pid) as peaks[name]:
                work()

        def reload():
            place.edit(WORKER + "# edited\n")
            verdict = place.wait_ready(2)["last_reload"]
            if verdict["verdict"] != "ok":
                raise AssertionError(f"the reload: {verdict}\n{place.told()}")

        def crash():
            os.kill(place.ask("status")["workers"][0]["pid"], signal.SIGKILL)
            place.wait(lambda worker: worker["state"] == "ready" and worker["generation"] == 3, 4 * lab.PATIENCE)

        def stop():
            code = place.stop(4 * lab.PATIENCE)
            if code:
                raise AssertionError(f"the stop: {code}\n{place.told()}")

        place.ask("add", megabytes=megabytes)
        phase("checkpoint", pid, lambda: place.ask("checkpoint"))
        phase("reload", pid, reload)
        phase("crash", pid, crash)
        phase("stop", pid, stop)
        place.start()
        phase("start", place.process.pid, lambda: place.wait(lambda worker: worker["state"] == "ready", 4 * lab.PATIENCE))
        told = place.ask("add")
        if told != {"count": 2, "megabytes": megabytes}:
            raise AssertionError(f"after all that: {told}")
        stop()
        sequence, path = frames.snapshots(place.snapshots)[0]
        if os.path.getsize(path) < megabytes * MEGABYTE:
            raise AssertionError(f"snapshot {sequence} has {os.path.getsize(path)} bytes")
    return peaks


def main():
    told = lab.arguments(__doc__.split("\n")[0])
    megabytes = FULL if told.full else SHORT
    figures = lab.Figures("phases")
    try:
        small, large = life(SMALL), life(megabytes)
    except AssertionError as error:
        figures.tried = 1
        figures.violated(f"{megabytes} MB", error)
        return figures.end()
    for name, peak in large.items():
        figures.tried += 1
        anonymous, resident = peak.anonymous - small[name].anonymous, peak.resident - small[name].resident
        print(f"{name}: grown by {anonymous} kB, resident by {resident} kB, to {peak.resident} kB")
        if anonymous >= MOST or resident >= MOST:
            figures.violated(name, f"{peak.anonymous} kB with {megabytes} MB, {small[name].anonymous} kB with {SMALL} MB")
    return figures.end(state_megabytes=megabytes)


if __name__ == "__main__":
    sys.exit(main())
