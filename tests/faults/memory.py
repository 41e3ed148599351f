#!/usr/bin/env python3
"""A reload in a control group that is too small for two generations at once goes the other way, mode recreate, and says so; with
room for both it is overlap again. Nobody is killed for lack of memory, and the state is kept.
"""

import errno
import os
import sys
import threading

import lab

MEGABYTE = 1 << 20
BALLAST = 120  # megabytes that each generation takes beside its state
TIGHT, WIDE = 200, 600  # megabytes: limits

WORKER = f"""
import zeroth
ballast = bytearray(b"x") * {BALLAST * MEGABYTE}
w = zeroth.worker(schema="counter/1")
@w.command("add")
def add():
    with w.atomic():
        S["n"] += 1
        return S["n"]
S = w.restore({{"n": 0}})
for _ in w.every(3600): pass
"""


class Group:
    """A memory control group below ours, of either version; OSError where none can be made."""

    def __init__(self):
        with open("/proc/self/cgroup") as file:
            ours = dict(line.rstrip("\n").split(":", 2)[1:] for line in file)
        if "memory" in ours:
            above, self.limit = "/sys/fs/cgroup/memory" + ours["memory"], "memory.limit_in_bytes"
        else:
            above, self.limit = "/sys/fs/cgroup" + ours.get("", "/"), "memory.max"
        self.folder = f"{above}/zeroth-lab-{os.getpid()}"
        os.mkdir(self.folder)
        try:
            self.set(WIDE)
        except OSError:
            self.end()
            raise

    def set(self, megabytes):
        """Whether it is set: not while more is taken."""
        try:
            with open(f"{self.folder}/{self.limit}", "w") as file:
                file.write(str(megabytes * MEGABYTE))
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    def enter(self):
        """The prefix of a command that runs in it."""
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]

    def end(self):
        for _ in range(100):  # who has ended leaves a moment later
            try:
                return os.rmdir(self.folder)
            except OSError:
                threading.Event().wait(0.05)
        return print(f"left over: {self.folder}")


def reloads(place, group, figures):
    for count, (limit, mode) in enumerate([(WIDE, "overlap"), (TIGHT, "recreate"), (WIDE, "overlap")], 1):
        place.wait(lambda worker, limit=limit: group.set(limit))  # the generation before has ended
        figures.tried += 1
        if place.ask("add") != count:
            figures.violated(f"{limit} MB", "the count is not what it was")
        place.edit(WORKER + f"# {count}\n")
        told = place.wait(lambda worker, count=count: worker["last_reload"]["to"] > count and "mode_reason" in worker["last_reload"])
        receipt = told["last_reload"]
        if (receipt["verdict"], receipt["mode"]) != ("ok", mode):
            figures.violated(f"{limit} MB", receipt)
        if ("does not fit" in receipt["mode_reason"]) != (mode == "recreate"):
            figures.violated(f"{limit} MB", receipt["mode_reason"])
    if (restarts := place.ask("status")["workers"][0]["restarts"]) != 0:
        figures.violated("afterwards", f"{restarts} restarts")


def main():
    lab.arguments(__doc__)
    figures = lab.Figures("reloads with and without room for two")
    try:
        group = Group()
    except OSError as error:
        lab.skip(f"no memory control group can be made: {error}")
    try:
        with lab.Place(WORKER) as place:
            try:
                place.start(*group.enter()).wait_ready()
                reloads(place, group, figures)
            except AssertionError as error:
                figures.violated("all", error)
            place.stop()
            place.wait_gone()
    finally:
        group.end()
    return figures.end()


if __name__ == "__main__":
    sys.exit(main())
