#!/usr/bin/env python3
"""A large program under the supervisor: large.py [--states N] (100,000). Prints what takes how long.

worker/examples/large.py writes it; its epsilon is edited, which must keep every state; a line in the middle is
misspelt, which must be reported with its place while `observe` goes on answering; it is repaired. Fails if one of these
does not come within the supervisor's own deadlines.
"""

import argparse
import os
import select
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../sdk"))
from python_support import EXAMPLES, RealSupervisor, binary, clean_environment

SLOW_MACHINE = 120.0  # s, also under a sanitizer and beside other tests


class Large(RealSupervisor):
    """zeroth-supervise on the text."""

    def __init__(self, text):
        super().__init__(text, name="large.zero")

    def start(self):
        self.log = open(self.folder + "/log", "a+")
        words = ["--state-dir", self.folder + "/state", "--runtime-dir", self.folder + "/run", self.program]
        self.process = subprocess.Popen([binary("zeroth-supervise"), *words], env=clean_environment(), stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log, start_new_session=True)

    def attempt(self, text):
        """Saves the text; ms until its receipt is told, and the receipt."""
        events = self.connect()
        events.send({"id": 1, "command": "events", "params": {"types": ["reload", "rejected"]}})
        events.next()
        began = time.monotonic()
        self.edit(text)
        while True:
            receipt = events.next(SLOW_MACHINE)
            if receipt is None:
                raise SystemExit(f"the supervisor ended\n{self.told()}")
            if "verdict" in receipt.get("data", {}):
                events.stream.close()
                return (time.monotonic() - began) * 1000, receipt["data"]


class Observer(threading.Thread):
    """Asks for an observation again and again."""

    def __init__(self, large):
        super().__init__(daemon=True)
        self.large, self.times, self.failure, self.done = large, [], None, threading.Event()
        self.start()

    def run(self):
        lines = self.large.connect()
        while not self.done.is_set():
            began = time.monotonic()
            lines.send({"id": 1, "command": "observe", "params": {}})
            answer = lines.next()
            if answer is None or not answer["success"]:
                self.failure = answer
                break
            self.times.append((time.monotonic() - began) * 1000)
            self.done.wait(0.01)
        lines.stream.close()

    def end(self, what):
        self.done.set()
        self.join()
        if self.failure or not self.times:
            raise SystemExit(f"observe, {what}: {self.failure}")
        times = sorted(self.times)
        print(f"observe, {what}: median {times[len(times) // 2]:.1f} ms, longest {times[-1]:.1f} ms of {len(times)}")


def resident_mb(pid):
    with open(f"/proc/{pid}/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def parts(receipt):
    return "  ".join(f"{name} {ms:.1f}" for name, ms in receipt["ms"].items() if ms)


def check(holds, *what):
    if not holds:
        raise SystemExit(f"large.py: {what}")


def run(text, states):
    lines = text.splitlines()
    with Large(text) as large:
        began = time.monotonic()
        large.wait_ready()
        print(f"start: {(time.monotonic() - began) * 1000:.0f} ms")
        observer = Observer(large)
        while len(observer.times) < 20 and observer.is_alive():
            select.select([], [], [], 0.01)
        observer.end("at rest")

        observer = Observer(large)
        ms, receipt = large.attempt(text.replace("epsilon 0.0000001", "epsilon 0.0000002"))
        check(receipt["verdict"] == "ok" and receipt["kept"]["count"] == states, receipt)
        observer.end("over the reload")
        print(f"edit of the epsilon: live after {ms:.0f} ms, {receipt['kept']['count']:,} kept; {parts(receipt)}")

        observer = Observer(large)
        middle = len(lines) // 2
        broken = lines[:middle] + [lines[middle].replace("align", "aling")] + lines[middle + 1 :]
        ms, receipt = large.attempt("\n".join(broken) + "\n")
        observer.end("while it does not compile")
        diagnostics = large.ask("status")["workers"][0]["rejected"]["diagnostics"]
        check(receipt["verdict"] == "rejected" and [each["line"] for each in diagnostics] == [middle + 1], diagnostics)
        print(f"a misspelt line: told after {ms:.0f} ms, {diagnostics[0]['line']}:{diagnostics[0]['column']}: {diagnostics[0]['message']}")

        ms, receipt = large.attempt(text)
        check(receipt["verdict"] == "ok" and receipt["kept"]["count"] == states, receipt)
        print(f"repaired, epsilon as before: live after {ms:.0f} ms; {parts(receipt)}")
        saved = large.ask("checkpoint")
        print(f"checkpoint: {saved['ms']:.1f} ms, {saved['bytes'] / 1e6:.1f} MB")
        pid = large.ask("status")["workers"][0]["pid"]
        print(f"resident: worker {resident_mb(pid):.0f} MB, supervisor {resident_mb(large.process.pid):.0f} MB")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--states", type=int, default=100_000)
    states = options.parse_args().states
    program = [sys.executable, os.path.join(EXAMPLES, "large.py"), str(states)]
    text = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    print(f"{states:,} states, {text.count('align '):,} alignments, {len(text) / 1e6:.1f} MB of text")
    run(text, states)


if __name__ == "__main__":
    main()
