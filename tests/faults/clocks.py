#!/usr/bin/env python3
"""The clock set back a day and forward a year while things run (libfaketime), for the supervisor alone and for the worker as
well, and a supervisor, or everything, suspended for a minute under edits: no storm of restarts, no lost order, no second live
worker, and nothing pruned that should be kept.
"""

import concurrent.futures
import glob
import os
import random
import select
import signal
import subprocess
import sys

import frames
import lab

LIBRARIES = "/usr/lib/*/faketime/libfaketimeMT.so.1"
SUSPENDED, SUSPENDED_FULL = 15.0, 60.0  # seconds; heartbeats are missed after ten
KEPT = 5  # newest snapshots, whatever the clock says
WHOSE = ("supervisor", "both")
JUMPS = {"a day back": ["-86400"], "a year forward": ["+31536000"], "forward and back again": ["+31536000", "-86400", "+0"]}

BEATING = lab.COUNTER_PY.replace("for _ in w.every(0.05): pass", """for _ in w.every(0.05):
    with w.atomic(): S["turns"] = S.get("turns", 0) + 1
    w.beat(S["turns"])
""")  # fmt: skip


ZERO = "state LEFT\nstate RIGHT\nobserve convergence epsilon 0.0{}1\n"


def set_clock(path, offset):
    with open(path + ".new", "w") as file:
        file.write(offset + "\n")
    os.rename(path + ".new", path)


def expect(holds, what):
    if not holds:
        raise AssertionError(what)


def edit(place, number):
    place.edit(ZERO.format(number) if place.program.endswith(".zero") else BEATING + f"# edit {number}\n")


def wait_alone(place):
    """One supervisor and one worker."""
    left = place.wait_alone()
    expect(len(left) == 2, f"there run {left}")


class Life:
    """What must hold from moment to moment, whatever the clock says."""

    def __init__(self, place):
        self.place, self.added, self.sequence, self.pinned, self.restarts = place, 0, 0, None, 0
        self.seen = set()

    def add(self):
        """Counts one up, durably; what is counted then, which the newest snapshot has too."""
        if not self.place.program.endswith(".zero"):
            told = self.place.ask("add", n=self.added)["count"]
            envelope, state = frames.newest(self.place.snapshots)
            expect(state["count"] == told, f"snapshot {envelope['sequence']} has {state}, counted {told}")
            return told
        self.place.ask("state", name="LEFT", inject=1)
        self.place.ask("checkpoint")
        return round(self.place.ask("state", name="LEFT")["divergence"] + 1)  # it begins at -1 and stands still

    def look(self):
        """Counts on; the newest snapshots are kept in their order."""
        self.added += 1
        told = self.add()
        expect(told == self.added, f"counted {self.added}, got {told}")
        sequences = [sequence for sequence, _ in frames.snapshots(self.place.snapshots)]
        expect(sequences[0] > self.sequence, f"sequence {sequences[0]} after {self.sequence}")
        self.seen.update(sequences)
        missing = set(sorted(self.seen)[-KEPT:]) - set(sequences)
        expect(not missing, f"pruned of the newest {KEPT}: {missing}")
        expect(self.pinned is None or self.pinned in sequences, f"the pinned {self.pinned} was pruned")
        self.sequence = sequences[0]

    def pin(self):
        self.pinned = self.place.ask("checkpoint")["sequence"]
        self.place.ask("pin", sequence=self.pinned)

    def reload(self):
        generation = self.place.ask("status")["workers"][0]["generation"]
        edit(self.place, generation)
        after = self.place.wait_ready(generation + 1)
        expect(after["last_reload"]["verdict"] == "ok" and after["generation"] == generation + 1, f"the reload: {after}")
        wait_alone(self.place)

    def crash(self):
        before = self.place.ask("status")["workers"][0]
        os.kill(before["pid"], signal.SIGKILL)
        after = self.place.wait_ready(before["generation"] + 1)
        expect(after["generation"] == before["generation"] + 1, f"several restarts: {after}")
        wait_alone(self.place)

    def die(self, **env):
        self.place.kill()
        self.place.start(**env).wait_ready()
        wait_alone(self.place)


def jump(place, offsets, env, clock):
    life = Life(place)
    place.start(**env).wait_ready()
    life.pin()
    for _ in range(KEPT + 2):
        life.look()
    for offset in offsets:
        set_clock(clock, offset)
        for step in (lambda: None, life.reload, life.crash, lambda: life.die(**env)):
            step()
            for _ in range(2):
                life.look()
    status = place.ask("status")["workers"][0]
    expect(status["state"] == "ready" and not status["snapshot"]["degraded"], f"at the end {status}")
    expect(place.stop() == 0, f"the stop failed\n{place.told()}")
    set_clock(clock, "+0")
    place.start(**env).wait_ready()
    life.look()
    expect(place.stop() == 0, f"the last stop failed\n{place.told()}")


def check_faked(clock, env):
    """The clock of a program is indeed another one; else nothing was tested."""
    set_clock(clock, "-86400")
    words = [sys.executable, "-c", "import time; print(time.time())"]
    told = float(subprocess.run(words, env=dict(os.environ, **env), capture_output=True, check=True).stdout)
    real = float(subprocess.run(words, capture_output=True, check=True).stdout)
    set_clock(clock, "+0")
    return 80_000 < real - told < 90_000


def jumps(figures, whose_of):
    """`whose_of`: gives whose clocks a change is tried with."""
    found = glob.glob(LIBRARIES)
    if not found:
        print("SKIPPED: jumps of the clock need libfaketime")
        return
    for change, offsets in JUMPS.items():
        for whose in whose_of():
            figures.tried += 1
            cell = f"{change}, {whose}"
            # Python's own sleep fails under libfaketime: there the worker is a Zero program, which stands still.
            program = ("program.py", BEATING, "--env", "LD_PRELOAD=")
            if whose == "both":
                program = ("program.zero", ZERO.format(0), "--rate", "0.001", "--checkpoint-interval", "0")
            name, code, *options = program
            with lab.Place(code, *options, "--backoff-max", "100ms", name=name) as place:
                clock = place.folder + "/clock"
                env = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": "1",
                       "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1", "FAKETIME_DONT_RESET": "1"}  # fmt: skip
                try:
                    expect(check_faked(clock, env), "libfaketime does not change the clock here")
                    jump(place, offsets, env, clock)
                except (AssertionError, OSError, subprocess.SubprocessError) as error:
                    figures.violated(cell, f"{error}\n{place.told()}")


def suspend(place, seconds, whose):
    """Edits, and the worker's own turns, go on while the supervisor stands still; or everything stands still."""
    place.start().wait_ready()
    place.ask("add", n=1)
    before = place.ask("status")["workers"][0]
    pids = [place.process.pid] if whose == "supervisor" else [place.process.pid, before["pid"]]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for number in range(10):
        edit(place, number)
        select.select([], [], [], seconds / 10)
    # The worker first, so that nobody is asked who cannot answer yet.
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)
    place.wait(lambda worker: (worker["beat"]["iteration"] or 0) > (before["beat"]["iteration"] or 0))
    after = place.wait_ready(2)
    wait_alone(place)
    after = place.ask("status")["workers"][0]
    expect(after["restarts"] == 0, f"restarted: {after}")
    expect(after["generation"] == 2 and after["last_reload"]["verdict"] == "ok", f"ten edits: {after['last_reload']}")
    receipts = place.ask("generations")["generations"]
    expect(len(receipts) == 2, f"generations: {receipts}")
    told = place.ask("add", n=2)
    expect(told["count"] == 2, f"counted {told}")
    expect(place.stop() == 0, "the stop failed")


def suspended(figures, seconds, whose):
    figures.tried += 1
    with lab.Place(BEATING) as place:
        try:
            suspend(place, seconds, whose)
        except Exception as error:  # in a thread of its own nobody else tells it
            figures.violated(f"suspended, {whose}", f"{error!r}\n{place.told()}")


def main():
    told = lab.arguments(__doc__.split("\n")[0])
    figures = lab.Figures("clock cells")
    chance = random.Random(told.seed)
    with concurrent.futures.ThreadPoolExecutor() as beside:
        for whose in ("supervisor", "everything"):
            beside.submit(suspended, figures, SUSPENDED_FULL if told.full else SUSPENDED, whose)
        jumps(figures, (lambda: WHOSE) if told.full else lambda: [chance.choice(WHOSE)])
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
