#!/usr/bin/env python3
"""Each system call of the supervisor fails, once and from then on: nobody dies of it, `ping` is answered meanwhile, what was
answered as durable is on disk, and what failed says so."""

import concurrent.futures
import os
import random
import re
import signal
import sys
import threading
import time
import typing

import crash_points
import frames
import injection
import lab
from operations import Violated

ERRORS = "ENOSPC EIO EDQUOT EROFS EMFILE EINTR ENOMEM EAGAIN".split()
READ_ERRORS = "EIO EMFILE EINTR ENOMEM EAGAIN".split()  # opening to read needs no room
JOURNAL = "generations.jsonl"
PATIENCE = 5.0  # seconds a ping may take
SHORT = 28.0  # seconds after which the short form begins no further cell
EXITS = {1, 65, 66, 69, 75, 77, 78}  # exit_codes.h
INTERRUPTED = 20  # times in a row: no kernel interrupts a call for ever, and many are rightly repeated


class Cell(typing.NamedTuple):
    """An errno for one call, or from it on for all of that name."""

    call: injection.Call
    error: str
    onwards: bool

    def __str__(self):
        return f"{self.error} {'from then on' if self.onwards else 'once'} at {self.call}"

    def words(self, place):
        if not self.onwards:
            return self.call.inject(place, f"error={self.error}")
        if self.call.name == "write":  # the others of that name wake the loop, which cannot fail but by injection
            first = self.call._replace(ordinal=1)
            return [*first.inject(place, f"error={self.error}", self.more(1)), "-P", place.worker_folder + "/" + JOURNAL]
        return self.call.inject(place, f"error={self.error}", self.more(self.call.ordinal))

    def more(self, ordinal):
        return f"..{ordinal + INTERRUPTED}" if self.error == "EINTR" else "+"


class Lie(typing.NamedTuple):
    """A write that writes nothing and says it wrote so many bytes."""

    call: injection.Call
    bytes: int
    onwards = False

    def __str__(self):
        return f"says {self.bytes} bytes, writes none: {self.call}"

    def words(self, place):
        return self.call.inject(place, f"retval={self.bytes}")


class Pings:
    """Asks on a connection of its own, while the supervisor lives, and notes what took too long."""

    def __init__(self, place):
        self.place, self.late, self.over = place, None, threading.Event()
        self.thread = threading.Thread(target=self._ask, daemon=True)
        self.thread.start()

    def _ask(self):
        stream = None
        while not self.over.wait(0.05):
            since = time.monotonic()
            try:
                if stream is None:
                    stream = self.place.connect(2 * PATIENCE)
                stream.sendall(b'{"id":1,"command":"ping","params":{}}\n')
                if not stream.recv(4096):
                    raise ConnectionError
            except TimeoutError:
                pass
            except OSError:
                stream = stream and stream.close()
                continue  # it has not begun, or ended; who ended is judged elsewhere
            if (took := time.monotonic() - since) > PATIENCE:
                self.late = f"ping took {took:.1f} s"
        if stream is not None:
            stream.close()

    def end(self):
        self.over.set()
        self.thread.join()
        if self.late:
            raise injection.Late(self.late)


def check_end(place, operation, saved):
    """The supervisor ended: only a start and a stop may do that, with a code and a reason. `saved` was on disk before."""
    code = place.process.returncode
    if code < 0:
        raise Violated(f"died of {signal.Signals(-code).name}")
    stops = operation.name.startswith("stop")
    if not (stops or operation.launch) or code not in EXITS | {0}:
        raise Violated(f"ended with exit code {code}")
    last = (place.told().strip().splitlines() or [""])[-1]
    if code != 0 and not re.search(r"zeroth-supervise: .|snapshot|save|state|stopped", last):
        raise Violated(f"exit code {code} without a reason: {last!r}")
    if operation.launch and code == 0:
        raise Violated("a start that failed ended with exit code 0")
    if stops and code == 0 and not place.fits(place.saved()):
        raise Violated(f"a stop with exit code 0 saved {place.saved()}, not {place.low} to {place.high}")
    if operation.name == "stop by signal" and code == 1:
        check_unsaved(place, saved)
        place.low = min(place.low, saved)


def check_unsaved(place, saved):
    """A signal cannot be refused: what was not saved may be lost, if that is told and what is told to be kept is there."""
    line = r"stopped without a final snapshot: .*; (?:nothing of it is kept|what is kept is .* old: (.*))"
    told = re.findall(line, place.told())
    if not told:
        raise Violated("exit code 1, and nothing tells that it was not saved")
    try:
        kept = frames.read_snapshot(told[-1])[1][place.counts] if told[-1] else 0
    except (OSError, frames.Broken) as error:
        raise Violated(f"{told[-1]} was told to be kept: {error}") from None
    if kept < saved:
        raise Violated(f"{kept} is told to be kept, {saved} was on disk before")


class Outcome:
    """The operation, whose requests may now be refused: looks while the fault is still there."""

    def __init__(self, operation, cell):
        self.operation, self.cell, self.launch = operation, cell, operation.launch

    def run(self, place):
        refused = ""
        try:
            self.operation.run(place)
        except AssertionError as error:
            refused = str(error).splitlines()[0]
        except TimeoutError:
            raise Violated("no answer") from None
        if refused.startswith("checkpoint:") and self.cell.onwards and place.process.poll() is None:
            if not place.ask("status")["workers"][0]["snapshot"]["degraded"]:
                raise Violated(f"{refused}, and status tells no degraded")


def inject(place, operation, cell):
    """Runs the prepared operation with the cell's fault; whether it was reached."""
    pings, violated = Pings(place), None
    try:
        injection.execute(place, Outcome(operation, cell), cell.call.thread, cell.words)
    except Violated as error:
        violated = error
    finally:
        pings.end()
    with open(injection.log_of(place), errors="replace") as file:
        hit = [line for line in file if line.endswith("(INJECTED)\n")]
    if any(line.startswith("write(") and not re.match(r"write\(\d+</", line) for line in hit):
        raise injection.Missed  # a write that wakes the loop, which can fail by injection only
    if violated:
        raise violated
    return bool(hit)


def fail(place, operation, cell):
    """True if the call was reached and everything was checked."""
    operation.prepare(place)
    saved = place.saved()
    reached = inject(place, operation, cell)
    if place.process.poll() is not None:
        check_end(place, operation, saved)
        crash_points.check_disk(place)
        place.start()
    elif cell.onwards and place.ask("status")["workers"][0]["state"] == "failed":
        place.ask("restart")  # it gave up, which status tells, and would be tried again in a minute
    if cell.error == "EIO" and "snapshot set aside" in place.told():
        place.low = 0  # the disk did not give the newest one back, and that was told
    crash_points.check_running(place, tidy=False)  # what could not be removed waits for the next start
    return reached


def lie(place, operation, cell):
    """What was whole on disk before is there afterwards, and only that is restored."""
    operation.prepare(place)
    place.count("add") if place.kind != "zero" else place.save()
    before = place.saved()
    try:
        reached = inject(place, operation, cell)
    except Violated:
        reached = True  # that it is not there is what a lie does
    for pid in sorted(place.processes(), reverse=True):  # the worker first: it must not save itself
        os.kill(pid, signal.SIGKILL)
    place.process.wait(lab.PATIENCE)
    place.wait_gone()
    place.low = place.high = place.saved()
    if place.low < before and not place.allowed:
        raise Violated(f"{before} was whole on disk, now {place.low}")
    broken = [name for name in map(os.path.basename, broken_files(place))]
    place.start()
    rejected = str(place.wait_ready()["snapshot"]["rejected"])
    if missed := [name for name in broken if name not in rejected and os.path.exists(f"{place.snapshots}/{name}")]:
        raise Violated(f"not rejected: {missed}")
    if not place.fits(count := place.counted()):
        raise Violated(f"counts {count}, {place.low} was whole on disk")
    return reached


def broken_files(place):
    for _, path in frames.snapshots(place.snapshots):
        try:
            frames.read_snapshot(path)
        except frames.Broken:
            yield path


class Cells(crash_points.Laboratory):
    """The cells of one operation."""

    what = "error cells"

    def all_points(self):
        calls = injection.calls_of(self.operation, injection.FALLIBLE, injection.may_fail)
        for cell in self.sample([*self.cells(calls)]):
            self.point(cell, lambda: fail(self.place, self.operation, cell), 3)
        if not self.operation.launch and self.operation.name != "rollback":  # which may go back behind a whole one
            for cell in self.sample([*self.lies(calls)], 1):
                self.point(cell, lambda: lie(self.place, self.operation, cell))
                self.leave()  # where something stays rejected

    def cells(self, calls):
        """A worker of Python is slow to start and asks the supervisor for the same: of its calls one errno each."""
        persistent = set()
        for call in calls:
            reads = call.name == "openat" and "O_CREAT" not in call.text
            errors = READ_ERRORS if reads else ERRORS
            for error in errors if self.operation.kind == "zero" else [self.random.choice(errors)]:
                yield Cell(call, error, False)
                once_for_all = (call.name, error) if call.name == "write" else (call, error)
                if once_for_all not in persistent and (call.name != "write" or JOURNAL in (call.path or "")):
                    persistent.add(once_for_all)
                    yield Cell(call, error, True)

    @staticmethod
    def lies(calls):
        for call in calls:
            wrote = re.search(r"= (\d+)$", call.text)
            if call.name in ("pwrite64", "write") and wrote and "<unfinished" not in call.text:
                for size in sorted({min(10, int(wrote[1])), int(wrote[1])}):
                    yield Lie(call, size)

    def settle(self):
        """Now and then a stop and a start, after which nothing may lie about."""
        self.since_stop += 1
        if self.operation.fresh or self.since_stop % crash_points.POINTS_A_STOP == 0 or not self.full:
            crash_points.check_stop(self.place, tidy=False)
            self.place.start()
            crash_points.check_running(self.place)
        if self.operation.fresh:
            self.leave()


def main():
    lab.need_strace()
    injection.alone()
    told = lab.arguments(__doc__)
    return crash_points.run_all(Cells, told, SHORT)


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(main())
