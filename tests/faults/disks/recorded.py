"""Runs of the real supervisor under strace, with what was acknowledged to whom at which point; and starts of it on other disks."""

import contextlib
import copy
import dataclasses
import json
import os
import shutil
import signal
import tempfile

import frames
import lab
from disks import trace
from disks.found import KEPT
from disks.storm import ZERO


@dataclasses.dataclass
class Known:
    """What has been acknowledged."""

    sequences: dict = dataclasses.field(default_factory=dict)  # by what
    pins: set = dataclasses.field(default_factory=set)
    last: int = 0
    generation: int = 0
    code: tuple = None  # (hash that runs, hash held back)
    disk: str = ""  # hash of the program on disk
    text: str = ""


NOTHING = Known()


class Wrong(Exception):
    """What was acknowledged and is not there."""


def code_of(worker):
    return worker["program_hash"], (worker["held_back"] or {}).get("hash")


def check_none_set_aside(worker):
    """What no power cut may do: make a snapshot that is named like one and is none."""
    if worker["snapshot"] and worker["snapshot"]["rejected"]:
        raise Wrong(f"set aside: {worker['snapshot']['rejected']}")


class Record:
    """`events`, `tells` {id of a request: what was known with its answer} and `numbers`, all that were ever saved."""

    def __init__(self, code, *options, name="program.py"):
        # In memory where that is possible: the log tells what was synced, and a busy disk would only make it slow.
        self.root = tempfile.mkdtemp(prefix="zeroth-replay-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.place = lab.Place(code, *options, name=name, root=self.root)
        self.known, self.tells, self.numbers = Known(text=code), {}, [0]
        self.log = self.place.folder + "/strace"

    def begin(self):
        self.place.start(*trace.command(self.log)).wait_ready()

    def finish(self):
        self.place.stop()
        self.place.wait_gone()
        self.events = trace.read(self.log, self.root)

    def ask(self, command, **params):
        """The answer's result; what is known with it is noted under the name that stands in the log, too."""
        name = f"told-{len(self.tells)}"
        with contextlib.closing(self.place.connect()) as stream:
            stream.sendall(json.dumps({"id": name, "command": command, "params": params}).encode() + b"\n")
            answer = json.loads(stream.makefile("rb").readline())
        if not answer["success"]:
            raise AssertionError(f"{command}: {answer['error']}\n{self.place.told()}")
        result = answer["result"]
        if result.get("verdict", "ok") != "ok":
            raise AssertionError(f"{command}: {result['reason']}")
        self.take(command, result)
        self.tells[name] = copy.deepcopy(self.known)
        return result

    def take(self, command, result):
        known = self.known
        if command == "checkpoint":
            known.sequences[result["sequence"]] = "a checkpoint"
        if command == "pin":
            known.pins.add(result["sequence"])
        if command in ("reload", "rollback"):
            if command == "rollback":
                known.generation = result["to"]  # of reloads the log becomes durable a moment after the answer
            for name in ("snapshot", "pinned"):
                if result.get(name):
                    known.sequences[result[name]] = f"the {name} of a {command}"
            if result.get("pinned"):
                known.pins.add(result["pinned"])
        if command == "add":
            known.last = result["last"]
            self.numbers.append(known.last)

    def start_on(self, tree, text, check):
        """`check(place, status of the worker)` once the supervisor is ready there; AssertionError if it never is."""
        shutil.rmtree(self.root)
        os.mkdir(self.root)
        for path, content in sorted(tree.items()):
            if content is None:
                os.mkdir(f"{self.root}/{path}", 0o700)
            else:
                with open(os.open(f"{self.root}/{path}", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                    file.write(content)
        self.place.edit(text)
        try:
            check(self.place, self.place.start().wait_ready())
        finally:
            for pid in self.place.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.place.process.wait(lab.PATIENCE)
            self.place.wait_gone()

    def end(self):
        self.place.end()
        shutil.rmtree(self.root, ignore_errors=True)


class Counting(Record):
    """A worker whose numbers are known exactly. `extra`: more members of its state, as Python."""

    def __init__(self, extra=""):
        super().__init__(lab.COUNTER_PY.replace('"last": 0', '"last": 0' + extra))

    def add(self):
        self.ask("add", n=self.known.last + 2)  # one bit flipped makes a number that was never saved

    def reload(self):
        self.known.text += "#\n"
        self.place.edit(self.known.text)
        self.ask("reload")

    def back_to(self, sequence):
        _, state = frames.read_snapshot(f"{self.place.snapshots}/snapshot-{sequence:020}.json")
        self.known.last = state["last"]
        self.ask("rollback", sequence=sequence, state_only=True)

    def check(self, known, asked):
        def check(place, worker):
            last = place.ask("get")["last"]
            if last not in (known.last, asked.last):
                raise Wrong(f"it goes on from {last}, acknowledged was {known.last}")
            check_none_set_aside(worker)

        return check


def run_counting(record):
    """Saves, reloads, pins, rollbacks of the state, prunings."""
    record.begin()
    record.add()
    record.add()
    first = record.ask("checkpoint")["sequence"]
    record.ask("pin", sequence=first)
    record.add()
    record.reload()
    for _ in range(4):
        record.add()
    record.back_to(first)
    record.add()
    for _ in range(7):
        record.add()
        record.ask("checkpoint")
    record.reload()
    record.back_to(frames.snapshots(record.place.snapshots)[KEPT - 1][0])  # which its own cut makes one too many
    record.reload()
    record.add()
    record.finish()


def run_large(record):
    record.begin()
    for _ in range(4):
        record.add()
    record.reload()
    record.add()
    record.ask("checkpoint")
    record.finish()


class Held(Record):
    """A Zero program that is rolled back: its code on disk is held back, what runs was kept."""

    def __init__(self):
        super().__init__(ZERO.format(strength=1), "--no-watch", name="program.zero")

    def edit(self, strength):
        self.known.text = ZERO.format(strength=strength)
        self.place.edit(self.known.text)

    def change(self, command, **params):
        self.known.disk = frames.xxh3(self.known.text.encode())
        self.ask(command, **params)
        # Since that answer; but that code is not held back any more becomes durable a moment after it.
        self.known.code = list(self.tells.values())[-1].code = None if "force" in params else self.told_code()
        self.ask("checkpoint")

    def told_code(self):
        return code_of(self.place.ask("status")["workers"][0])

    def check(self, known, asked):
        def check(_, worker):
            steady = known.code and asked.code and known.text == asked.text
            if steady and code_of(worker) not in (known.code, asked.code):
                raise Wrong(f"it runs and holds back {code_of(worker)}, acknowledged was {known.code}")
            check_none_set_aside(worker)

        return check


def run_held(record):
    record.begin()
    record.ask("checkpoint")
    for strength in (2, 3):
        record.edit(strength)
        record.change("reload")
    record.change("rollback", generation=1)
    record.change("reload", force=True)
    record.change("rollback", generation=2)
    record.edit(4)
    record.change("reload")
    record.finish()


# name: (what makes the place, what is recorded there)
RUNS = {
    "counting": (Counting, run_counting),
    "large": (lambda: Counting(', "text": "x" * 80_000'), run_large),  # a state that the worker writes itself
    "held": (Held, run_held),
}


def run(name):
    """The finished record of that name."""
    make, steps = RUNS[name]
    for again in (True, True, False):
        record = make()
        try:
            steps(record)
            return record
        except BaseException as error:
            record.end()
            if not again or "no answer within" not in str(error):
                raise
            print(f"{name} is recorded again: the machine was too slow under strace")
