#!/usr/bin/env python3
"""A full disk, one without inodes, one that turned read-only, and removed folders: during a reload, a crash, a stop and a first
start, with a worker that overlaps and one that is recreated. The old worker serves on, status and log say why, SIGTERM ends with
what is kept told, and once there is room again everything goes on by itself, the edit that had to wait included.

The file systems are mounted in a mount namespace of its own: they end with this script.
"""

import contextlib
import itertools
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import frames
import lab

WORDS = {"full": "No space left", "inodes": "No space left", "read-only": "Read-only file system"}
DEADLINE = 20.0  # a stop: checkpoint 10 s, worker 3 s and once more, and a slow machine
TWO = ("--keep-bytes", "1B")  # the two newest are kept and nothing can be pruned to make room
EDITED = lab.COUNTER_PY + "# edited\n"


class Disk:
    """A small file system whose trouble can begin and end."""

    def __init__(self, trouble):
        self.trouble = trouble
        self.folder = tempfile.mkdtemp(prefix="zeroth-disk-")
        self.root = self.folder + "/root"
        os.mkdir(self.root)
        self.state = self.root + "/state"
        if trouble == "read-only":  # open files keep a tmpfs from turning read-only; an ext4 that meets an error does
            self._image()
        else:
            self._run("mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=100", "none", self.root)

    @staticmethod
    def _run(*words):
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise OSError(f"{words[0]}: {(done.stderr or done.stdout).strip()}")

    def _image(self):
        self.image = self.folder + "/image"
        self._run("truncate", "-s", "16M", self.image)
        self._run("mkfs.ext4", "-q", "-F", self.image)
        self._run("mount", "-o", "loop", self.image, self.root)

    def begin(self):
        if self.trouble == "full":
            with contextlib.suppress(OSError), open(self.root + "/ballast", "wb", buffering=0) as file:
                while file.write(bytes(4096)):
                    pass
        elif self.trouble == "inodes":
            with contextlib.suppress(OSError):
                for number in range(1000):
                    open(f"{self.root}/ballast-{number}", "x").close()
        elif self.trouble == "read-only":
            # As after an error of the disk.
            self._run("mount", "-o", "remount,abort", self.root)
        else:
            self.remove(self.state + ("/t/snapshots" if self.trouble == "snapshots removed" else ""))

    @staticmethod
    def remove(folder):
        """At once, so that nothing is made in it while it is removed."""
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, folder + ".away")
            shutil.rmtree(folder + ".away")

    def end(self):
        """There is room again; the disk that failed is replaced by a copy of it."""
        if self.trouble == "read-only":
            copy = self.folder + "/copy"
            shutil.copy(self.image, copy)
            self._run("umount", "-l", self.root)
            self._run("mount", "-o", "loop", copy, self.root)
            return
        for name in os.listdir(self.root):
            if name.startswith("ballast"):
                os.unlink(f"{self.root}/{name}")

    def discard(self):
        while os.path.ismount(self.root):
            self._run("umount", "-l", self.root)
        shutil.rmtree(self.folder)


def wait(accepts, what):
    until = time.monotonic() + lab.PATIENCE
    while not accepts():
        if time.monotonic() > until:
            raise AssertionError(what)
        select.select([], [], [], 0.01)


def trouble_begins(place, disk):
    """The place runs and has counted three, of which all was durable; then the trouble begins, and status tells it."""
    place.start().wait_ready()
    for n in (1, 2, 3):
        place.ask("add", n=n)
    before = place.ask("status")["workers"][0]
    disk.begin()
    if disk.trouble not in WORDS:
        return before
    answer = place.request("add", n=4)
    if answer["success"]:
        raise AssertionError(f"durable on such a disk: {answer}")
    if WORDS[disk.trouble] not in str(answer["error"]):
        raise AssertionError(f"the reason is not told: {answer['error']}")
    degraded = place.ask("status")["workers"][0]["snapshot"]["degraded"] or ""
    if WORDS[disk.trouble] not in degraded or WORDS[disk.trouble] not in place.told():
        raise AssertionError(f"status says {degraded!r}, log:\n{place.told()}")
    return before


def reloaded(worker):
    last = worker["last_reload"]
    return worker["state"] == "ready" and last["operation"] == "reload" and last["verdict"] == "ok"


def serves(place, count, pid=None):
    told = place.ask("get")
    if told["count"] < count:
        raise AssertionError(f"counted were {count}: {told}")
    now = place.ask("status")["workers"][0]
    if pid and now["pid"] != pid:
        raise AssertionError(f"another worker: {now['last_reload']}\n{place.told()}")


def recovers(place, count):
    """Without being asked to; then all is as ever, a reload included."""
    place.wait(lambda worker: not worker["snapshot"]["degraded"] and worker["state"] == "ready")
    wait(lambda: (frames.newest(place.snapshots) or (0, {"count": 0}))[1]["count"] >= count, f"not saved again\n{place.told()}")
    generation = place.ask("status")["workers"][0]["generation"]
    place.edit(EDITED + "# once more\n")
    place.wait(lambda worker: (worker["generation"] or 0) > generation and reloaded(worker))
    serves(place, count)
    stop(place, 0)


def stop(place, *expected):
    """Its exit code."""
    began = time.monotonic()
    code = place.stop(lab.PATIENCE)
    taken = time.monotonic() - began
    if code not in expected or taken > DEADLINE:
        raise AssertionError(f"the stop gave {code}, not {expected[0]}, after {taken:.1f} s:\n{place.told()}")
    left = place.wait_gone()
    if left:
        raise AssertionError(f"left after the stop: {left}")
    return code


def during_a_reload(place, disk):
    before = trouble_begins(place, disk)
    counted = 4 if disk.trouble in WORDS else 3
    place.edit(EDITED)
    ended = place.wait(lambda worker: worker["last_reload"]["operation"] == "reload" and worker["state"] == "ready")
    receipt = ended["last_reload"]
    why = WORDS.get(disk.trouble, "No such file")
    if receipt["verdict"] != "abandoned" or why not in receipt["reason"]:
        raise AssertionError(f"the reload: {receipt}")
    serves(place, counted, before["pid"])
    disk.end()
    place.wait(reloaded)
    recovers(place, counted)


def during_a_crash(place, disk):
    """The worker is back from what is kept, at the latest when there is room again; where nothing is, only if it is told to
    begin anew."""
    before = trouble_begins(place, disk)
    os.kill(before["pid"], signal.SIGKILL)
    with contextlib.suppress(AssertionError):
        place.wait(lambda worker: worker["generation"] and worker["generation"] > 1, 3.0)
    told = place.told()
    here = place.ask("status")["workers"][0]
    if here["state"] != "ready" and WORDS.get(disk.trouble, "No such file") not in told:
        raise AssertionError(f"why it is not there is not told: {here['state']}\n{told}")
    kept = 3 if disk.trouble in WORDS else 0
    disk.end()
    if here["state"] == "failed" and not kept:
        place.ask("restart", fresh=True)
    place.wait_ready(2)
    serves(place, kept)
    place.ask("add", n=5)
    recovers(place, kept)


def during_a_stop(place, disk):
    trouble_begins(place, disk)
    gone = disk.trouble not in WORDS
    code = stop(place, 0 if gone else 1, 1)
    kept, told = frames.snapshots(place.snapshots), place.told()
    if code and kept and (kept[0][1] not in told or " old" not in told):
        raise AssertionError(f"age or path of {kept[0][1]} is not told:\n{told}")
    disk.end()
    place.start().wait_ready()
    counted = 3 if kept else 0  # a folder that is removed takes its states with it, if there is no time to save again
    serves(place, counted)
    recovers(place, counted)


def during_a_first_start(place, disk):
    disk.begin()
    place.start()
    with contextlib.suppress(AssertionError):
        place.wait_ready()
    code = place.process.poll()
    told = place.told()
    if code is not None and (code <= 0 or (disk.trouble in WORDS and WORDS[disk.trouble] not in told)):
        raise AssertionError(f"the start gave {code} and said:\n{told}")
    disk.end()
    if code is not None:
        if left := place.wait_gone():
            raise AssertionError(f"left after the failed start: {left}")
        place.start().wait_ready()
    place.wait(lambda worker: not worker["snapshot"]["degraded"])
    place.ask("add", n=1)
    recovers(place, 1)


MOMENTS = (during_a_reload, during_a_crash, during_a_stop, during_a_first_start)
TROUBLES = ("full", "inodes", "read-only", "snapshots removed", "all removed")
MODES = ("overlap", "recreate")


def main():
    told = lab.arguments(__doc__.split("\n")[0])
    chance = random.Random(told.seed)
    figures = lab.Figures("disk cells")
    for moment, trouble in itertools.product(MOMENTS, TROUBLES):
        for mode in MODES if told.full else [chance.choice(MODES)]:
            figures.tried += 1
            disk = Disk(trouble)
            try:
                with lab.Place(lab.COUNTER_PY, "--reload", mode, *TWO, root=disk.root) as place:
                    moment(place, disk)
            except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
                figures.violated(f"{trouble}, {moment.__name__.replace('_', ' ')}, {mode}", error)
            finally:
                disk.discard()
    return figures.end()


if __name__ == "__main__":
    lab.own_mounts()
    sys.exit(main())
