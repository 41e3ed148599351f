#!/usr/bin/env python3
"""Many workers under one supervisor: how long until all are ready, one that is killed until it is back, one rolling restart of all, and
what they cost from then on. Whatever the numbers: every worker goes on from its iteration.

    tests/bench/fleet.py [--workers 200] [--rate 10] [--seconds 10]

With `--rate 0` they stand still: nothing changes, so nothing is saved.
"""

import argparse
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("ZEROTH_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
TICKS = os.sysconf("SC_CLK_TCK")
PROGRAM = "state DAWN\nstate DUSK\nalign DAWN DUSK strength 0.7\nobserve convergence epsilon 0.0001\n"


class Fleet:
    """A fleet of Zero programs in a folder of its own."""

    def __init__(self, folder, count, rate):
        self.folder, self.count = folder, count
        lines = []
        for n in range(count):
            with open(f"{folder}/w{n}.zero", "w") as file:
                file.write(PROGRAM)
            lines.append(f'[worker.w{n}]\nprogram = "w{n}.zero"\nrate = {rate or 0.001}\n')
        with open(folder + "/fleet.toml", "w") as file:
            file.write("\n".join(lines))
        self.where = ["--state-dir", folder + "/state", "--runtime-dir", folder + "/run"]

    def start(self):
        words = [BIN + "/zeroth-supervise", "--name", "bench", *self.where, "--control-port", "off", "-q", "fleet.toml"]
        self.process = subprocess.Popen(words, cwd=self.folder, stdin=subprocess.DEVNULL)

    def ctl(self, *words):
        """The result of a command of zerothctl."""
        command = [BIN + "/zerothctl", "--timeout", "600", "--json", *words]
        env = dict(os.environ, ZEROTH_RUNTIME_DIR=self.folder + "/run", ZEROTH_STATE_DIR=self.folder + "/state")
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        with contextlib.suppress(ValueError):
            return json.loads(done.stdout)
        return {"workers": [], "told": done.stdout + done.stderr}

    def wait(self, accepts, seconds=600):
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            self.status = self.ctl("status")
            workers = {worker["name"]: worker for worker in self.status["workers"]}
            if len(workers) == self.count and accepts(workers):
                return workers
            select.select([], [], [], 0.02)
        raise SystemExit(f"not reached in {seconds} s: {self.ctl('status')}")

    def wait_all_live(self):
        return self.wait(lambda workers: all_ready(workers) and all(w["beat"] for w in workers.values()))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)


def all_ready(workers):
    return all(worker["state"] == "ready" for worker in workers.values())


def cpu_s(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def seconds_of(action):
    began = time.monotonic()
    result = action()
    return time.monotonic() - began, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--rate", type=float, default=10.0, help="iterations a second (default: 10)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long the cost is measured (default: 10)")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="zeroth-fleet-") as folder:
        fleet = Fleet(folder, told.workers, told.rate)
        fleet.start()
        try:
            return measure(fleet, told.seconds)
        finally:
            if fleet.process.poll() is None:
                fleet.stop()


def measure(fleet, seconds):
    started, workers = seconds_of(fleet.wait_all_live)
    print(f"{fleet.count} workers: all live after {started:.2f} s, {1000 * started / fleet.count:.1f} ms each; watched by {fleet.status['supervisor']['watch_mode']}")

    victim = workers[f"w{fleet.count // 2}"]
    os.kill(victim["pid"], signal.SIGKILL)
    back, after = seconds_of(lambda: fleet.wait(
        lambda now: all_ready(now) and now[victim["name"]]["pid"] not in (None, victim["pid"])))  # fmt: skip
    others = [name for name in workers if name != victim["name"] and after[name]["pid"] != workers[name]["pid"]]
    print(f"one killed: back after {1000 * back:.0f} ms, others restarted: {len(others)}")

    before = fleet.wait_all_live()
    rolled, receipt = seconds_of(lambda: fleet.ctl("rolling-restart"))
    after = fleet.wait_all_live()
    stale = [name for name in before if after[name]["pid"] == before[name]["pid"]]
    back_in_time = [name for name in before if after[name]["beat"]["iteration"] < before[name]["beat"]["iteration"]]
    print(f"rolling restart: {receipt.get('verdict')}, {rolled:.2f} s, {1000 * rolled / fleet.count:.1f} ms each; "
          f"not restarted: {len(stale)}, lost iterations: {len(back_in_time)}")  # fmt: skip

    pids = {"supervisor": [fleet.process.pid], "worker": [worker["pid"] for worker in after.values()]}
    spent = {who: -sum(map(cpu_s, of)) for who, of in pids.items()}
    select.select([], [], [], seconds)
    for who, of in pids.items():
        spent[who] += sum(map(cpu_s, of))
    share = {who: 100 * cpu / seconds / fleet.count for who, cpu in spent.items()}
    memory = {who: sum(map(memory_kb, of)) / fleet.count for who, of in pids.items()}
    print(f"for each worker over {seconds:.0f} s: the supervisor's part {share['supervisor']:.3f} % of a CPU and "
          f"{memory['supervisor']:.0f} kB, its own {share['worker']:.3f} % and {memory['worker']:.0f} kB")  # fmt: skip
    ended = fleet.stop()
    print(f"stopped: exit code {ended}")
    return 1 if others or stale or back_in_time or ended or receipt.get("verdict") != "ok" else 0


if __name__ == "__main__":
    sys.exit(main())
