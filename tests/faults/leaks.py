#!/usr/bin/env python3
"""The supervisor under valgrind through a short life: start, calls, reload, rejected reload, crash, rollback, broken clients,
stop, with a Python worker that overlaps and a Zero program that is recreated. No memory is lost, no error is made, and at exit
no descriptor is open but the three it was given.
"""

import os
import re
import signal
import subprocess
import sys

import lab

ZERO = "state LEFT\nstate RIGHT\nobserve convergence epsilon 0.00{}\n"
VALGRIND = ("valgrind", "--leak-check=full", "--show-leak-kinds=definite", "--errors-for-leak-kinds=definite", "--track-fds=yes")
PATIENCE = 120.0  # seconds; everything takes thirty times as long


def broken_clients(place):
    for line in (b"{", b"nonsense\n", b'{"id":1,"command":"status"}\n'):
        with place.connect() as stream:
            stream.sendall(line)  # and gone, without reading


def life(place, edited, broken):
    log = place.folder + "/valgrind"
    place.start(*VALGRIND, f"--log-file={log}")
    ready = lambda generation: place.wait(
        lambda worker: worker["state"] == "ready" and (worker["generation"] or 0) >= generation, PATIENCE)  # fmt: skip
    ready(1)
    place.ask("checkpoint")
    broken_clients(place)
    place.edit(edited)
    ready(2)
    place.edit(broken)
    place.wait(lambda worker: worker["rejected"], PATIENCE)
    place.edit(edited)
    os.kill(place.wait(lambda worker: worker["pid"])["pid"], signal.SIGKILL)
    ready(3)
    for command in ("status", "snapshots", "generations", "config", "env", "metrics", "version", "logs"):
        place.request(command)
    place.request("diff", a=1, b=2)
    place.ask("rollback", generation=1, state_only=True)
    ready(4)
    os.kill(place.process.pid, signal.SIGTERM)
    code = place.process.wait(PATIENCE)
    with open(log) as file:
        return code, file.read()


def judge(figures, name, code, told):
    if code != 0:
        figures.violated(name, f"exit {code}")
    errors = re.search(r"ERROR SUMMARY: ([\d,]+) errors", told)
    lost = re.search(r"definitely lost: ([\d,]+) bytes", told)
    opened = re.search(r"FILE DESCRIPTORS: (\d+) open \((\d+) std\)", told)
    if not errors or not opened or not (lost or "no leaks are possible" in told):
        return figures.violated(name, f"valgrind ended without a summary:\n{told[-3000:]}")
    mine = int(opened[1]) - int(opened[2]) - told.count("<inherited from parent>")
    if errors[1] != "0" or (lost and lost[1] != "0") or mine > 0:
        figures.violated(name, f"{errors[1]} errors, {lost[1] if lost else 0} bytes lost, {mine} descriptors open\n{told[-6000:]}")
    print(f"{name}: {errors[1]} errors, {lost[1] if lost else 0} bytes definitely lost, {mine} descriptors open at exit")


def main():
    lab.arguments(__doc__.split("\n")[0])
    lab.need("valgrind")
    figures = lab.Figures("lives")
    lives = {
        "python, overlap": (("program.py", lab.COUNTER_PY), lab.COUNTER_PY + "# edited\n", "not Python\n"),
        "zero, recreate": (("program.zero", ZERO.format(1), "--reload", "recreate"), ZERO.format(2), "state\n"),
    }
    for name, ((file, code, *options), edited, broken) in lives.items():
        figures.tried += 1
        with lab.Place(code, *options, name=file) as place:
            try:
                judge(figures, name, *life(place, edited, broken))
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                figures.violated(name, f"{error}\n{place.told()}")
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
