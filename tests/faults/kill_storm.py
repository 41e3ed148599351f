#!/usr/bin/env python3
"""Kill storm: SIGKILL and SIGSTOP at random moments for the worker, the supervisor or both, under edits, while an oracle
outside numbers its increments and compares each answer with what was acknowledged before.

`--broken acknowledge` runs a worker that answers before its state is durable, `--broken twice` one that applies what is
resent: the storm then succeeds only if it tells so.
"""

import os
import random
import select
import signal
import statistics
import sys
import threading
import time

import frames
import lab

SHORT, FULL, BROKEN = 45, 10_000, 400
SHORT_SECONDS = 30.0  # a slow machine ends the short form early
CHECK_EVERY = 100  # kills between two looks at what has leaked
MODULUS = 2**61 - 1
RECENT = 400  # applied numbers that the worker remembers by name, far more than fail in a row

WORKER = """
# {edition}
import zeroth
w = zeroth.worker(schema="storm/1")
@w.command("add", help="applies n and makes it durable; once: at most once")
def add(n, once):
    with w.atomic():
        if not once or n > S["last"] or {twice}:
            S["count"] += 1
            S["last"] = n
            S["sum"] = (S["sum"] * 31 + n) % {modulus}
            S["recent"] = [*S["recent"][-{recent}:], n]
        told = dict(S)
    if {durable}: w.save()
    return told
@w.command("edition")
def edition(): return {{"edition": {edition}}}
S = w.restore({{"count": 0, "last": 0, "sum": 0, "recent": []}})
for _ in w.every(0.05): pass
"""


def fold(total, numbers):
    for n in numbers:
        total = (total * 31 + n) % MODULUS
    return total


def applied_since(base, state):
    """The numbers that came after."""
    more = state["count"] - base["count"]
    return state["recent"][-more:] if more > 0 else []


class Oracle:
    """Sends numbered increments one after the other and judges each answer. Runs on a thread of its own."""

    def __init__(self, place, figures, seed):
        self.place, self.figures, self.random = place, figures, random.Random(seed)
        self.n = 0
        self.base = {"count": 0, "last": 0, "sum": 0}  # the last answer
        self.since = {}  # number -> the answers that said it was not applied; None once one left that open
        self.lost = self.twice = self.acknowledged = self.unknown = 0
        self.answered = threading.Condition()
        self.answered_for = 0.0  # when the newest answered request was sent
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.ending.is_set():
            self.n += 1
            once = self.random.random() < 0.5
            while not self.ending.is_set() and not self._send(once) and once:
                self.ending.wait(0.003)

    def _send(self, once):
        """True if answered."""
        began = time.monotonic()
        try:
            answer = self.place.request("add", 8.0, n=self.n, once=once)
        except (OSError, ValueError):
            answer = None
        if answer and answer["success"]:
            self._judge(answer["result"])
            with self.answered:
                self.answered_for = began
                self.answered.notify_all()
            return True
        self.unknown += 1
        denials = self.since.get(self.n, [])
        denied = denials is not None and answer is not None and self._not_executed(answer["error"])
        self.since[self.n] = [*denials, answer["error"]] if denied else None
        self.ending.wait(0.003)
        return False

    @staticmethod
    def _not_executed(error):
        executed = (error.get("data") or {}).get("executed")
        return executed == "no" or (error["code"] in ("unavailable", "busy") and executed is None)

    def _judge(self, told):
        """What was applied since the last answer must be this number and any of those of which nothing is known."""
        base, self.base = self.base, {key: told[key] for key in ("count", "last", "sum")}
        since, self.since = self.since, {}
        self.acknowledged += 1
        where = f"number {self.n}"
        new = applied_since(base, told)
        if told["count"] < base["count"] or fold(base["sum"], new) != told["sum"]:
            self.lost += 1
            self.figures.violated(where, f"acknowledged was {base}, now it is {told}")
            return
        double = [n for at, n in enumerate(new) if n <= base["last"] or n in new[:at]]
        if double:
            self.twice += len(double)
            self.figures.violated(where, f"applied twice: {double}, after {base}")
        if new != sorted(new):
            self.figures.violated(where, f"applied out of order: {new}")
        for n in new:
            if n != self.n and since.get(n):
                self.figures.violated(where, f"{n} was applied although the answer was {since[n]}")
        strange = [n for n in new if n != self.n and n not in since and n not in double]
        if strange or self.n not in new:
            self.figures.violated(where, f"applied since {base}: {new}, tried {list(since)}")

    def wait_answer(self, since, seconds=lab.PATIENCE):
        """Seconds from `since` until a request sent later was answered; None if none is."""
        with self.answered:
            if not self.answered.wait_for(lambda: self.answered_for > since, seconds):
                return None
        return time.monotonic() - since


class Storm:
    def __init__(self, place, oracle, figures, seed):
        self.place, self.oracle, self.figures = place, oracle, figures
        self.random = random.Random(seed)
        self.edition, self.recoveries, self.broken = 0, [], None
        self.starts, self.leaks = 0, 0

    # ---- What is done to them

    def edit(self):
        self.edition += 1
        self.place.edit(worker_code(self.edition, self.broken))

    def pause(self, most):
        select.select([], [], [], self.random.random() * most)

    def signal(self, pids, number):
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def workers(self):
        """Children of the supervisor, in any stage of their lives."""
        pid = self.place.process.pid
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as file:
                return [int(child) for child in file.read().split()]
        except OSError:
            return []

    def kill_worker(self):
        children = self.workers()
        self.signal(children if self.random.random() < 0.5 else children[-1:], signal.SIGKILL)

    def kill_supervisor(self):
        self.signal([self.place.process.pid], signal.SIGKILL)
        self.place.process.wait(lab.PATIENCE)
        before = self.random.choice((0.0, 0.0, 0.0, 0.02, 0.3))  # mostly while the worker still writes its state
        self.pause(before)

    def kill_both(self):
        children = self.workers()
        if self.random.random() < 0.5:
            self.signal(children, signal.SIGKILL)
            self.pause(0.02)
            self.kill_supervisor()
        else:
            self.kill_supervisor()
            self.pause(0.02)
            self.signal(children, signal.SIGKILL)

    def stop_for_a_while(self):
        both = [*self.workers(), self.place.process.pid]
        pids = self.random.choice((both[:-1], both[-1:], both))
        self.signal(pids, signal.SIGSTOP)
        self.pause(0.5)
        if self.random.random() < 0.3:
            self.kill_worker()
        self.signal(pids, signal.SIGCONT)

    def strike(self):
        if self.random.random() < 0.25:
            self.edit()
            self.pause(0.15)
        actions = {self.kill_worker: 35, self.kill_supervisor: 30, self.kill_both: 15, self.stop_for_a_while: 20}
        action = self.random.choices(list(actions), list(actions.values()))[0]
        at = time.monotonic()
        action()
        if self.place.process.poll() is not None:
            self.check_end(action)
            self.place.start()
            self.starts += 1
        if self.random.random() < 0.25:
            return self.pause(0.2)  # the next one comes while this one is being recovered from
        taken = self.oracle.wait_answer(at if action != self.stop_for_a_while else time.monotonic())
        if taken is None:
            self.figures.violated(f"kill {self.figures.tried}", f"no recovery from {action.__name__}:\n{self.place.told()}")
        elif action != self.stop_for_a_while:
            self.recoveries.append(taken * 1000)
        self.pause(0.04)

    def check_end(self, action):
        code = self.place.process.returncode
        if code != -signal.SIGKILL:
            what = f"{action.__name__}: the supervisor had ended with {code}:\n{self.place.told()}"
            self.figures.violated(f"kill {self.figures.tried}", what)

    # ---- What must hold

    def check_quiet(self):
        """One supervisor, one worker, few descriptors, once it has come to rest."""
        where = f"after {self.figures.tried} kills"
        self.place.wait_ready()
        if len(there := self.place.wait_alone()) != 2:
            self.leak(where, f"processes {there}")
        fds = len(os.listdir(f"/proc/{self.place.process.pid}/fd"))
        if fds > 64:
            self.leak(where, f"{fds} descriptors")

    def leak(self, where, what):
        self.leaks += 1
        self.figures.violated(where, what)

    def check_rest(self):
        """Everything has ended: what lies there is the last answer and nothing else."""
        if self.place.processes():
            self.place.ask("edition")
        self.place.wait(lambda worker: self.place.ask("edition")["edition"] == self.edition)
        self.oracle.ending.set()
        self.oracle.thread.join(lab.PATIENCE)
        self.check_quiet()
        code = self.place.stop()
        if code != 0:
            self.figures.violated("the stop", f"exit {code}\n{self.place.told()}")
        for pid, line in self.place.wait_gone().items():
            self.leak("the end", f"process {pid} {line}")
        for line in self.place.leftovers():
            self.leak("the end", line)
        for folder, _, names in os.walk(self.place.state):
            for name in names:
                if name.endswith(".corrupt") or (name.startswith(("emergency-", "alive-")) and not name.endswith(".stale")):
                    self.leak("the end", os.path.join(folder, name))
        envelope, state = frames.newest(self.place.snapshots)
        base = self.oracle.base
        if state["count"] < base["count"] or fold(base["sum"], applied_since(base, state)) != state["sum"]:
            self.figures.violated("the end", f"snapshot {envelope['sequence']} has {state}, acknowledged was {base}")


def worker_code(edition, broken):
    return WORKER.format(edition=edition, modulus=MODULUS, recent=RECENT, twice=broken == "twice", durable=broken != "acknowledge")


def more(parser):
    parser.add_argument("--kills", type=int, help=f"how many (default {SHORT}, in full {FULL})")
    parser.add_argument("--broken", choices=("acknowledge", "twice"), help="a worker that is wrong: must be told")


def main():
    told = lab.arguments(__doc__.split("\n")[0], more)
    kills = told.kills or (FULL if told.full else BROKEN if told.broken else SHORT)
    until = None if told.kills or told.full else time.monotonic() + SHORT_SECONDS
    figures = lab.Figures("kills")
    options = ("--max-failures", "0", "--backoff-max", "100ms", "-q")
    with lab.Place(worker_code(0, told.broken), *options) as place:
        oracle = Oracle(place, figures, told.seed)
        storm = Storm(place, oracle, figures, told.seed)
        storm.broken = told.broken
        place.start().wait_ready()
        oracle.thread.start()
        while figures.tried < kills and not (until and time.monotonic() > until):
            figures.tried += 1
            storm.strike()
            if figures.tried % CHECK_EVERY == 0:
                storm.check_quiet()
                print(f"{figures.tried} kills, {oracle.acknowledged} acknowledged", flush=True)
            if told.broken and figures.violations:
                break
        if not told.broken:
            storm.check_rest()
        oracle.ending.set()
        oracle.thread.join(lab.PATIENCE)
    if told.broken:
        caught = "caught" if figures.violations else "NOT caught"
        print(f"the worker that is broken ({told.broken}) was {caught} after {figures.tried} kills")
        return 0 if figures.violations else 1
    recovery = sorted(storm.recoveries) or [0.0]
    return figures.end(
        acknowledged=oracle.acknowledged, acknowledged_lost=oracle.lost, applied_twice=oracle.twice, leaks=storm.leaks,
        unanswered=oracle.unknown, edits=storm.edition, supervisors=storm.starts + 1,
        recovery_median_ms=round(statistics.median(recovery)), recovery_p99_ms=round(recovery[int(len(recovery) * 0.99)]),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
