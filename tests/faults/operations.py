"""What the crash points and the error cells are tried on: programs that count, places that know how much must be there, and
the operations of a supervisor as its client sees them."""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time

import frames
import lab

# Counts in its living state. `add` is durable when answered, `bump` is not. Each life is noted in `note/lives`, a line
# `generation pid` whenever it has an effect; `note/die` tells it at which of its messages to kill itself, which `note/died` tells.
COUNTER_PY = """
import json, os, signal, socket, zeroth
NOTE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "note")
ME = f"{os.environ.get('ZEROTH_GENERATION')} {os.getpid()}"
sent, plain = 0, socket.socket.sendall
def sendall(channel, data):
    global sent
    if b'"event":"beat"' in data: return plain(channel, data)
    try: die = json.load(open(NOTE + "/die"))
    except OSError: return plain(channel, data)
    if die["generation"] != int(ME.split()[0]): return plain(channel, data)
    sent += 1
    if sent != die["message"]: return plain(channel, data)
    if die["after"]: plain(channel, data)
    open(NOTE + "/died", "w").write(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGKILL)
socket.socket.sendall = sendall
w = zeroth.worker(schema="counter/1")
lives = open(NOTE + "/lives", "a", buffering=1)
def count():
    lives.write(ME + chr(10))
    with w.atomic():
        S["count"] += 1
        return dict(S)
@w.command("add", help="count one up, durably")
def add():
    told = count()
    w.save()
    return told
@w.command("bump", help="count one up")
def bump():
    return count()
@w.command("get", help="what is counted")
def get():
    return dict(S)
S = w.restore({"count": 0})
for _ in w.every(0.01): lives.write(ME + chr(10))
"""

FIELD_ZERO = "state LEFT\nstate RIGHT\nobserve convergence epsilon 0.0001\n"


class Violated(Exception):
    """What does not hold any more in a place, which is of no further use."""


class Place(lab.Place):
    """A counter or a field under the supervisor, and how much of it must be there: from `low`, what was answered, to `high`,
    what was asked. Beside that it may also be one of `allowed`."""

    def __init__(self, kind, *options):
        code, name = (FIELD_ZERO, "program.zero") if kind == "zero" else (COUNTER_PY, "program.py")
        super().__init__(code, *options, name=name)
        self.kind, self.edits, self.next = kind, 0, 1
        self.counts = "iteration" if kind == "zero" else "count"
        self.low = self.high = self.durable = 0
        self.allowed = set()
        os.mkdir(self.folder + "/note")
        self.traces = tempfile.mkdtemp(prefix="zeroth-trace-")  # not where the supervisor watches

    def end(self):
        super().end()
        shutil.rmtree(self.traces, ignore_errors=True)

    def start(self, *prefix, **env):
        return super().start(*prefix, UV_THREADPOOL_SIZE="1", **env)  # see injection.py

    def edit_again(self):
        self.edits += 1
        self.edit((FIELD_ZERO if self.kind == "zero" else COUNTER_PY) + f"# {self.edits} {self.mark}\n")

    # ---- Counting

    def count(self, command):
        """`add` or `bump` of the counter; a field counts by itself."""
        if self.kind != "zero":
            self.high += 1
            self.low = self.ask(command)["count"]
            if command == "add":
                self._is_durable(self.low)

    def save(self):
        """A checkpoint that was answered; the sequence, whose file is there and whole."""
        sequence = self.ask("checkpoint")["sequence"]
        try:
            state = frames.read_snapshot(f"{self.snapshots}/snapshot-{sequence:020}.json")[1]
        except (OSError, frames.Broken) as error:
            raise Violated(f"snapshot {sequence} was acknowledged: {error}") from None
        self.low = max(self.low, state[self.counts])
        self._is_durable(self.low)
        return sequence

    def _is_durable(self, count):
        self.durable = count
        if self.saved() < count:
            raise Violated(f"{count} was acknowledged, the disk has {self.saved()}")

    def saved(self):
        """What the newest valid snapshot has counted; 0 without one."""
        newest = frames.newest(self.snapshots)
        return newest[1][self.counts] if newest else 0

    def counted(self):
        if self.kind != "zero":
            return self.ask("get")["count"]
        self.ask("checkpoint")
        return self.saved()

    def fits(self, count):
        return count in self.allowed or (self.low <= count and (self.kind == "zero" or count <= self.high))

    # ---- What is noted on disk, asking nobody

    def log_lines(self):
        with contextlib.suppress(OSError), open(self.worker_folder + "/generations.jsonl") as file:
            for line in file:
                with contextlib.suppress(ValueError):
                    yield json.loads(line)

    def look(self):
        self.next = 1 + max((line.get("generation", 0) for line in self.log_lines()), default=0)

    def receipts(self):
        return sum(line.get("event") == "receipt" for line in self.log_lines())

    def wait_receipt(self, earlier, seconds=5.0):
        """Until one more attempt has ended, well or not, or the supervisor has."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None and self.receipts() <= earlier:
            select.select([], [], [], 0.005)

    def workers(self):
        return [line for line in self.processes().values() if not line.split(" ")[0].endswith("/zeroth-supervise")]

    def note(self, name):
        return f"{self.folder}/note/{name}"

    def lives(self):
        """Sentences about two lives at once: later generations only ever follow, each in one process."""
        found, last, pids = set(), 0, {}
        with contextlib.suppress(FileNotFoundError), open(self.note("lives")) as file:
            for words in map(str.split, file):
                generation = int(words[0])
                if generation < last:
                    found.add(f"generation {generation} had an effect after generation {last}")
                if pids.setdefault(generation, words[1]) != words[1]:
                    found.add(f"generation {generation} in two processes")
                last = max(last, generation)
        return sorted(found)


class Operation:
    """`prepare(place)` brings it to the moment before; `run(place)` is the operation as its client sees it. A `launch` is a
    start: prepared, nothing runs."""

    def __init__(self, name, kind, run, prepare=lambda place: None, options=(), launch=False, fresh=False):
        self.name, self.kind, self.run, self._prepare = name, kind, run, prepare
        self.options, self.launch, self.fresh = options, launch, fresh

    def __str__(self):
        return f"{self.name} ({self.kind})"

    def place(self):
        """A new one; nothing runs in it yet."""
        rate = ("--rate", "100") if self.kind == "zero" else ()
        return Place(self.kind, *self.options, *rate, "--max-failures", "0", "--backoff-max", "100ms")

    def prepare(self, place):
        if not self.fresh and place.process is None:
            place.start().wait_ready()
        place.allowed = set()
        place.look()
        self._prepare(place)
        place.look()


def _checkpoint(place):
    place.count("add")
    place.count("bump")
    place.save()


def _reload(place):
    place.edit_again()
    place.ask("reload")


def _prepare_rollback(place):
    place.count("add")
    place.target = {"sequence": place.save(), "state_only": True}
    place.allowed = {place.low}
    if place.kind == "zero":
        place.target = {"generation": place.next - 1}
        _reload(place)
    place.count("add")


def _roll_back(place):
    if place.kind == "zero":
        place.low = min(place.allowed)
    receipt = place.ask("rollback", **place.target)
    if receipt["verdict"] == "ok":
        place.low = place.high = min(place.allowed)


def _terminate(place):
    place.process.send_signal(signal.SIGTERM)
    place.process.wait(lab.PATIENCE)


def _shut_down(place):
    place.ask("shutdown")
    place.process.wait(lab.PATIENCE)


def _crash(place):
    earlier = place.receipts()
    place.low = place.saved()
    os.kill(place.ask("status")["workers"][0]["pid"], signal.SIGKILL)
    place.wait_receipt(earlier)


def _start(place):
    place.wait_receipt(place.receipts_before)
    with contextlib.suppress(OSError):
        place.count("add")


def _prepare_start(place):
    place.receipts_before = place.receipts()


def _prepare_again(place):
    place.count("bump")  # only the worker's emergency file has it
    place.kill()
    place.wait_gone()
    _prepare_start(place)


BY_HAND = ("--checkpoint-interval", "0")


def operations(exec_works):
    """All of them, or those whose name and kind contain $LAB_OPERATION."""
    only = os.environ.get("LAB_OPERATION", "")
    return [operation for operation in _operations(exec_works) if only in str(operation)]


def _operations(exec_works):
    bump = lambda place: place.count("bump")
    add = lambda place: place.count("add")
    for kind in ("zero", "python"):
        yield Operation("first start", kind, _start, _prepare_start, launch=True, fresh=True)
        yield Operation("start after a kill", kind, _start, _prepare_again, BY_HAND, launch=True)
        yield Operation("checkpoint", kind, _checkpoint, options=BY_HAND)
        yield Operation("reload", kind, _reload, bump, BY_HAND)
        yield Operation("recreate", kind, _reload, bump, (*BY_HAND, "--reload", "recreate"))
        if exec_works:
            yield Operation("exec", kind, _reload, bump, (*BY_HAND, "--reload", "exec"))
        yield Operation("rollback", kind, _roll_back, _prepare_rollback, BY_HAND)
        yield Operation("crash restart", kind, _crash, add, BY_HAND)
        yield Operation("stop by signal", kind, _terminate, bump, BY_HAND)
        yield Operation("stop by command", kind, _shut_down, bump, BY_HAND)


def operation(name, kind):
    return next(found for found in _operations(False) if (found.name, found.kind) == (name, kind))


def exec_works():
    """Whether this supervisor has mode exec."""
    told = subprocess.run([lab.binary("zeroth-supervise"), "--help"], capture_output=True, text=True, check=False)
    return bool(re.search(r"--reload \S*\bexec\b", told.stdout))
