"""Reload storms on one worker, and what was acknowledged to them: one thread that does one thing at a time, so that at most one
of them is neither known to have happened nor known not to have."""

import json
import os
import random
import threading

import frames
import lab
from disks.found import KEPT, parse

ZERO = "state LEFT\nstate RIGHT\nalign LEFT RIGHT strength 0.{strength}\nobserve convergence epsilon 0.0001\n"


class Refused(Exception):
    """Told to be undone: nothing has changed."""


class Unanswered(Exception):
    """Told to be unknown: the worker did not answer in time."""


class Storm:
    """Kept over all cuts of one place. Between `begin` and `finish` a thread asks; otherwise nobody touches it."""

    def __init__(self, place, seed):
        self.place, self.random = place, random.Random(seed)
        self.sequences, self.pins = {}, set()  # acknowledged; by what
        # Highest that was gone back with. Of one that was reloaded only, the log becomes durable a moment after the answer.
        self.generation = 0
        self.unsure = None  # what was asked last and is not answered
        self.wrong = []  # what failed before the power did
        self.asked = 0
        self.cuts = 0  # of the power, also while it was starting
        self.power_off, self.enough, self.thread = threading.Event(), threading.Event(), None

    def begin(self):
        self.power_off.clear()
        self.enough.clear()
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def finish(self):
        """Returns once the thread has ended: the place was killed, or this is enough."""
        if self.thread:
            self.thread.join()
        self.thread = None

    def _run(self):
        steps, weights = zip(*self.steps())
        while not (self.power_off.is_set() or self.enough.is_set()):
            step = self.random.choices(steps, weights)[0]
            self.unsure = step.__name__
            try:
                step()
            except Refused:
                pass
            except Unanswered:
                return
            except Exception as error:  # whatever it is: it is told, or the power was cut under it
                if not self.power_off.is_set():
                    self.wrong.append(f"{step.__name__} failed before the power did: {error!r}")
                return
            self.asked += 1
            self.unsure = None

    def ask(self, command, **params):
        answer = self.place.request(command, **params)
        if self.power_off.is_set():
            raise OSError("nobody gets an answer without power")
        if answer["success"]:
            return answer["result"]
        if answer["error"]["code"] in ("refused", "not_found"):
            raise Refused
        if answer["error"]["code"] == "timeout":
            raise Unanswered
        raise OSError(answer["error"]["message"])

    # ---- What both kinds of worker do

    def checkpoint(self):
        answer = self.ask("checkpoint")
        self.sequences[answer["sequence"]] = f"a checkpoint of {answer['bytes']} bytes"

    def pin(self):
        found = frames.snapshots(self.place.snapshots)
        if not found:
            return
        sequence = self.random.choice(found)[0]
        self.ask("pin", sequence=sequence)
        self.pins.add(sequence)

    def unpin(self):
        if len(self.pins) < 4:
            return
        sequence = self.random.choice(sorted(self.pins))
        self.pins.discard(sequence)
        self.ask("unpin", sequence=sequence)

    def take_receipt(self, receipt):
        if receipt["verdict"] != "ok" or receipt["warnings"]:
            raise OSError(f"{receipt['operation']}: {receipt['reason']} {receipt['warnings']}")
        if receipt["operation"] == "rollback":
            self.generation = receipt["to"]
        for name in ("snapshot", "pinned"):
            if receipt.get(name):
                self.sequences[receipt[name]] = f"the {name} of a {receipt['operation']}"
        if receipt.get("pinned"):
            self.pins.add(receipt["pinned"])

    # ---- What must hold on the disk, read without the project's code

    def check_disk(self, violated):
        valid, numbers = set(), set()
        for sequence, path in frames.snapshots(self.place.snapshots):
            numbers.add(sequence)
            try:
                frames.read_snapshot(path)
                valid.add(sequence)
            except frames.Broken as error:
                violated(f"{os.path.basename(path)} is broken: {error}")
        for sequence in sorted(self.sequences.keys() - valid):
            newer = sum(other > sequence for other in valid)
            if sequence in self.pins or newer < KEPT:
                violated(f"snapshot {sequence}, {self.sequences[sequence]}, was acknowledged and is "
                         f"{'broken' if sequence in numbers else 'gone'}; {newer} newer ones")
        for sequence in self.sequences.keys() - valid:
            del self.sequences[sequence]  # pruned, or told
        self._check_pins(violated)
        self._check_log(violated)

    def _check_pins(self, violated):
        try:
            with open(self.place.worker_folder + "/pins.json") as file:
                pins = {entry["sequence"] for entry in json.load(file)["pins"]}
        except FileNotFoundError:
            pins = set()
        except ValueError as error:
            return violated(f"pins.json: {error}")
        if lost := self.pins - pins:
            violated(f"pins of {sorted(lost)} were acknowledged and are gone")
        self.pins = pins  # with those of a pin or a rollback that was not answered

    def _check_log(self, violated):
        try:
            with open(self.place.worker_folder + "/generations.jsonl", "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        torn = [number for number, line in enumerate(lines, 1) if line and not parse(line)]
        if len(torn) > self.cuts:  # each may tear the line that is the last one then
            ends = [(line[:30], line[-30:], len(line)) for line in map(lambda number: lines[number - 1], torn)]
            violated(f"generations.jsonl: lines {torn} cannot be read after {self.cuts} cuts: {ends}")

    def check_started(self, violated):
        """What the supervisor made of it, once it is ready."""
        worker = self.place.ask("status")["workers"][0]
        if worker["snapshot"] and worker["snapshot"]["rejected"]:
            violated(f"set aside: {worker['snapshot']['rejected']}")
        if worker["generation"] <= self.generation:
            violated(f"generation {worker['generation']} was given out again: {self.generation} had been acknowledged")
        self.check_state(worker, violated)
        self.unsure = None


class CountingStorm(Storm):
    """Numbers that are acknowledged after their `save`. Nothing else changes the state, so it is known exactly."""

    def __init__(self, seed, root):
        super().__init__(lab.Place(lab.COUNTER_PY, "--checkpoint-interval", "100ms", root=root), seed)
        self.number, self.last, self.aimed, self.edits = 0, 0, None, 0

    def steps(self):
        return [(self.add, 50), (self.checkpoint, 8), (self.edit_and_reload, 8), (self.edit, 4), (self.pin, 8),
                (self.unpin, 3), (self.rollback, 8)]

    def add(self):
        self.number += 1
        try:
            self.ask("add", n=self.number)
        except OSError as error:
            # Cut off by a reload that did not wait for it: whether it counts is not told, but can be asked.
            if "the worker is gone" not in str(error):
                raise
            if self.ask("get")["last"] != self.number:
                raise Refused from None
        self.last = self.number

    def edit(self):
        self.edits += 1
        self.place.edit(f"{lab.COUNTER_PY}# {self.edits}\n")

    def edit_and_reload(self):
        self.edit()
        receipt = self.ask("reload")
        if receipt["verdict"] != "unchanged":  # else the watch was quicker
            self.take_receipt(receipt)

    def rollback(self):
        found = frames.snapshots(self.place.snapshots)
        if not found:
            return
        sequence, path = self.random.choice(found)
        try:
            _, state = frames.read_snapshot(path)
        except FileNotFoundError:
            return  # pruned
        self.aimed = state["last"]
        self.take_receipt(self.ask("rollback", sequence=sequence, state_only=True))
        self.last, self.aimed = self.aimed, None

    def check_state(self, worker, violated):
        allowed = {self.last}
        if self.unsure == "add":
            allowed.add(self.number)
        if self.unsure == "rollback" and self.aimed is not None:
            allowed.add(self.aimed)
        found = self.place.ask("get")["last"]
        if found not in allowed:
            violated(f"the state says {found}, acknowledged was {self.last}; unanswered: {self.unsure}")
        self.last, self.aimed = found, None


class HeldBackStorm(Storm):
    """A Zero program whose code is rolled back: what is held back, and the kept code that runs instead."""

    def __init__(self, seed, root):
        super().__init__(lab.Place(ZERO.format(strength=1), "--checkpoint-interval", "100ms", "--no-watch", root=root,
                                   name="program.zero"), seed)
        self.edits, self.code = 0, None  # (hash that runs, hash held back) as told after the last acknowledged change

    def steps(self):
        return [(self.checkpoint, 30), (self.edit_and_reload, 15), (self.release, 4), (self.pin, 8), (self.unpin, 3),
                (self.rollback, 25)]

    def edit_and_reload(self):
        self.edits += 1
        self.place.edit(ZERO.format(strength=self.edits + 1))
        self.take_receipt(self.ask("reload"))
        self.code = self.told()

    def release(self):
        self.take_receipt(self.ask("reload", force=True))
        self.code = None  # known a moment later only, like the generation

    def rollback(self):
        sequence = self.random.choice([sequence for sequence, _ in frames.snapshots(self.place.snapshots)] or [0])
        self.take_receipt(self.ask("rollback", sequence=sequence))
        self.code = self.told()

    def told(self):
        worker = self.place.ask("status")["workers"][0]
        return worker["program_hash"], (worker["held_back"] or {}).get("hash")

    def check_state(self, worker, violated):
        found = self.told()
        if self.unsure in (None, "checkpoint", "pin", "unpin") and self.code and found != self.code:
            violated(f"code {found[0]} runs and {found[1]} is held back, acknowledged was {self.code}")
        self.code = found
