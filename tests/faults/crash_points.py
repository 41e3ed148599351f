#!/usr/bin/env python3
"""SIGKILL of the supervisor before each of its system calls, and of either worker at each of its messages: the next start goes
on from what was answered or later, with one live generation and nothing left over."""

import concurrent.futures
import contextlib
import json
import os
import random
import re
import select
import signal
import sys
import time
import typing

import frames
import injection
import lab
import operations
from operations import Violated

AT_ONCE = 3  # operations; most of a point is waiting
SAMPLE = 3  # points of an operation in the short form
SHORT = 30.0  # seconds after which the short form begins no further point
POINTS_A_STOP = 8  # a clean stop after so many points of one place


def check_disk(place):
    """What lies there while nothing runs: every file with the name of a snapshot is one."""
    if left := place.wait_gone():
        raise Violated(f"still running: {left}")
    for _, path in frames.snapshots(place.snapshots):
        try:
            frames.read_snapshot(path)
        except frames.Broken as error:
            raise Violated(f"{os.path.basename(path)}: {error}") from None


def check_running(place, tidy=True):
    """The place goes on: what is counted, by whom, and, if all is to be `tidy`, what lies about."""
    worker = place.wait_ready()
    count = place.counted()
    if not place.fits(count):
        raise Violated(f"counts {count}, not {place.low} to {place.high} {sorted(place.allowed)}")
    place.low = place.high = count
    if told := place.lives():
        raise Violated("; ".join(told))
    # One that retires, or starts because of a remembered change, is there for a moment.
    until = time.monotonic() + lab.PATIENCE
    while len(running := place.workers()) != 1:
        if time.monotonic() > until:
            raise Violated(f"{len(running)} workers: {running}")
        select.select([], [], [], 0.01)
    if tidy and (rejected := worker["snapshot"]["rejected"]):
        raise Violated(f"rejected: {rejected}")
    left = [name for folder in (place.worker_folder, place.snapshots, place.run) for name in os.listdir(folder)]
    left = [name for name in left if not name.endswith(f".{place.process.pid}.tmp")]  # being written now
    if tidy and (left := [name for name in left if re.search(r"\.tmp$|^\.restore-|^emergency-\d+\.json$", name)]):
        raise Violated(f"left: {left}")


def check_stop(place, tidy=True):
    """A clean stop leaves nothing but the state."""
    code = place.stop()
    if code != 0:
        raise Violated(f"stop: exit code {code}")
    left = place.wait_gone() or place.leftovers() or os.listdir(place.run)
    if left and tidy:
        raise Violated(f"left after a stop: {left}")
    check_disk(place)
    if not place.fits(place.saved()):
        raise Violated(f"stopped with {place.saved()}, not {place.low} to {place.high}")
    place.process = None


def kill_supervisor(place, operation, call):
    """True if the kill happened and everything was checked; False if that call was not reached."""
    operation.prepare(place)
    injection.execute(place, operation, call.thread, lambda place: call.inject(place, "signal=SIGKILL"))
    killed = place.process.poll() == -signal.SIGKILL
    if place.process.poll() is not None:
        check_disk(place)
        place.start()
    check_running(place)
    return killed


class Message(typing.NamedTuple):
    """At which of its messages, counted from the operation's beginning, which worker kills itself."""

    role: str  # old or new
    message: int
    after: bool  # it was sent

    def __str__(self):
        return f"the {self.role} worker {'after' if self.after else 'before'} its message {self.message}"


def kill_worker(place, operation, point):
    """As kill_supervisor. Only what was saved must be there."""
    operation.prepare(place)
    place.low = place.saved()
    for name in ("die", "died"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.note(name))
    with open(place.note("die.new"), "w") as file:
        generation = place.next if point.role == "new" else place.next - 1
        json.dump({"generation": generation, "message": point.message, "after": point.after}, file)
    os.rename(place.note("die.new"), place.note("die"))
    with contextlib.suppress(OSError, AssertionError):  # a refusal is an answer too
        operation.run(place)
    os.unlink(place.note("die"))
    killed = os.path.exists(place.note("died"))
    place.low = min(place.low, place.saved())
    if place.process.poll() is not None:
        check_disk(place)
        place.start()
    elif killed:
        with open(place.note("died")) as file:
            pid = int(file.read())
        place.wait(lambda worker: worker["state"] == "ready" and worker["pid"] not in (pid, None))
    check_running(place)
    return killed


def kill_zero(place, operation, point):
    """As kill_worker, from outside: sendto is a message of zeroth-worker, and nothing the supervisor ever calls."""
    operation.prepare(place)
    place.low = place.saved()
    old = place.ask("status")["workers"][0]["pid"]
    log, whom = f"{place.traces}/killed", ([], old) if point.role == "old" else (["-f"], place.process.pid)
    words = ["-e", "trace=sendto", "-e", f"inject=sendto:signal=SIGKILL:when={point.message}"]
    strace = injection.Strace(whom[1], log, *whom[0], *words)
    try:
        with contextlib.suppress(OSError, AssertionError):  # a refusal is an answer too
            operation.run(place)
    finally:
        strace.end()
    with open(log, errors="replace") as file:
        killed = re.search(r"^(\d*)\s*\+\+\+ killed by SIGKILL", file.read(), re.M)
    place.low = min(place.low, place.saved())
    if place.process.poll() is not None:
        check_disk(place)
        place.start()
    elif killed:
        pid = int(killed[1] or old)
        place.wait(lambda worker: worker["state"] == "ready" and worker["pid"] not in (pid, None))
    check_running(place)
    return bool(killed)


class Laboratory:
    """What is tried of one operation, point by point, over as many places as it takes."""

    what = "crash points"

    def __init__(self, operation, told, until):
        self.operation, self.until, self.place = operation, until, None
        self.figures = lab.Figures(f"{self.what} of {operation}")
        self.random = random.Random(f"{told.seed} {operation}")
        self.full, self.not_reached, self.since_stop = told.full, 0, 0  # not reached: twice, and not counted

    def sample(self, points, size=SAMPLE):
        """In random order also if it is all of them: whatever time is left for them, what was tried says something of all."""
        return self.random.sample(points, len(points) if self.full else min(size, len(points)))

    def run(self):
        try:
            self.all_points()
        except AssertionError as error:  # in what is to be repeated, with nothing injected
            self.figures.violated(str(self.operation), error)
        finally:
            self.leave()
        return self

    def all_points(self):
        for call in self.sample(injection.calls_of(self.operation)):
            self.point(call, lambda: kill_supervisor(self.place, self.operation, call))
        if self.operation.launch:
            return  # no worker before the operation
        zero = self.operation.kind == "zero"
        kill = kill_zero if zero else kill_worker
        roles = ("old",) if self.operation.name.startswith(("stop", "checkpoint")) else ("old", "new")
        last = 10 if self.full else 3
        points = [Message(role, message, after) for role in roles for message in range(1, last) for after in ((False,) if zero else (False, True))]
        over = set()
        for point in points if self.full else self.sample(points, 2):
            if point.role not in over and not self.point(point, lambda: kill(self.place, self.operation, point), 1):
                over.add(point.role)  # that was its last message

    def point(self, where, what, attempts=2):
        """True if it was reached, well or not."""
        if time.monotonic() > self.until:
            return False
        for attempt in range(1, attempts + 1):
            try:
                with self.a_place():
                    reached = what()
                    self.settle()
            except injection.Missed:
                reached = False
                self.leave()
            except (Violated, AssertionError, OSError, KeyError, TypeError) as error:  # all of them are told
                reached = not isinstance(error, injection.Late) or attempt == attempts
                if reached:
                    self.figures.violated(f"{self.operation}: {where}", f"{error}\n--- log\n{self.place.told(2500)}\n---")
                self.leave()
            if reached:
                self.figures.tried += 1
                return True
        if attempts > 1:
            self.not_reached += 1
            print(f"not reached: {self.operation}: {where}", flush=True)
        return False

    @contextlib.contextmanager
    def a_place(self):
        if self.place is None:
            self.place, self.since_stop = self.operation.place(), 0
        yield self.place

    def settle(self):
        """After an operation: every place is stopped now and then, a fresh one always."""
        self.since_stop += 1
        place = self.place
        if place.process.poll() is not None:  # the operation was to stop it
            check_disk(place)
            place.start()
            check_running(place)
        if self.operation.fresh or self.since_stop % POINTS_A_STOP == 0 or not self.full:
            check_stop(place)
        if self.operation.fresh:
            self.leave()

    def leave(self):
        if self.place is not None:
            self.place.end()
            self.place = None


def run_all(laboratory, told, seconds, at_once=AT_ONCE):
    """Each operation in a laboratory of that class, several at once; prints their figures and the sum, returns the exit code.
    Ends after $LAB_MINUTES in full."""
    exec_works = operations.exec_works()
    if not exec_works:
        print("SKIPPED: mode exec: this supervisor has none")
    until = time.monotonic() + (60 * float(os.environ.get("LAB_MINUTES", "110")) if told.full else seconds)
    total = lab.Figures(laboratory.what)
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        all_of_them = [laboratory(operation, told, until) for operation in operations.operations(exec_works)]
        random.Random(told.seed).shuffle(all_of_them)  # the short form may not come to the last ones
        for done in pool.map(laboratory.run, all_of_them):
            if done.figures.tried:
                done.figures.end(not_reached=done.not_reached)
            total.tried += done.figures.tried
            total.violations += done.figures.violations
    return total.end()


def main():
    lab.need_strace()
    injection.alone()
    told = lab.arguments(__doc__)
    return run_all(Laboratory, told, SHORT)


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(main())
