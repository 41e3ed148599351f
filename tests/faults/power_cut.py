#!/usr/bin/env python3
"""The power is cut at random moments of reload storms on ext4 and XFS: what was acknowledged is there afterwards, whole, and the
supervisor goes on from it. In full then the same with fsyncs that do nothing, which has to be noticed."""

import contextlib
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile

import lab
from disks.loop_image import LoopImage, Unavailable
from disks.storm import CountingStorm, HeldBackStorm

CUTS, CUTS_IN_FULL = 6, 500
CUTS_A_DISK = 5  # then everything begins on an empty disk
MUTANT_CUTS = 30  # until which a mutant must have been noticed
EARLY = 0.2  # of the cuts come while the supervisors are starting
AT_REST = 0.5  # of them right after the last answer, before another fsync can cover for a missing one

# What does nothing: fsyncs of what has such a path. `None`: all, by libeatmydata.
MUTANTS = {
    "no fsync at all (libeatmydata)": None,
    "no fsync of snapshot files": "*/snapshots/.snapshot-*",
    "no fsync of the snapshot folder": "*/snapshots",
    "no fsync of pins.json": "*/.pins.json.*",
}
FILTER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "disks", "fsync_filter.c")


def pause(seconds):
    """A random moment is what is tested here; nothing is waited for."""
    select.select([], [], [], seconds)


def kill_all(place):
    """Also what is being started right now."""
    while left := place.processes():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    place.process.wait(lab.PATIENCE)


class Disk:
    """Both storms on one image, over some cuts."""

    def __init__(self, image, seed, violated, start):
        """`violated(what)` is told each violation; `start(place)` starts its supervisor."""
        self.image, self.random, self.tell, self.start = image, random.Random(seed), violated, start
        image.make()
        self.storms = [CountingStorm(seed, image.mount + "/counting"), HeldBackStorm(seed, image.mount + "/held")]

    def violated(self, storm):
        return lambda what: self.tell(f"{type(storm).__name__}: {what}")

    def start_all(self, check):
        for storm in self.storms:
            self.start(storm.place)
        for storm in self.storms if check else ():
            try:
                storm.place.wait_ready()
                storm.check_started(self.violated(storm))
            except (AssertionError, OSError) as error:
                self.violated(storm)(f"it does not go on: {error}")

    def cut(self):
        early = self.random.random() < EARLY
        self.start_all(check=not early)
        if not early:
            for storm in self.storms:
                storm.begin()
        pause(self.random.uniform(0, 0.6 if early else 1.2))
        if self.random.random() < AT_REST:
            for storm in self.storms:
                storm.enough.set()
            for storm in self.storms:
                storm.finish()
        for storm in self.storms:
            storm.power_off.set()
            storm.cuts += 1
        self.image.cut()
        for storm in self.storms:
            kill_all(storm.place)
        for storm in self.storms:
            storm.finish()
        self.image.power_on()
        for storm in self.storms:
            for what in storm.wrong:
                self.violated(storm)(what)
            storm.wrong.clear()
            storm.check_disk(self.violated(storm))

    def last_start(self):
        self.start_all(check=True)
        for storm in self.storms:
            if storm.place.stop() != 0:
                self.violated(storm)(f"it does not stop: {storm.place.told()}")
            for what in [*storm.place.wait_gone().values(), *storm.place.leftovers()]:
                self.violated(storm)(f"left behind: {what}")

    def end(self):
        for storm in self.storms:
            storm.power_off.set()
            storm.place.end()
            storm.finish()


def cut_often(kind, cuts, seed):
    figures = lab.Figures(f"power cuts on {kind}")
    acknowledged = 0
    with LoopImage(kind) as image:
        while figures.tried < cuts:
            now = seed + figures.tried
            disk = Disk(image, now, lambda what: figures.violated(f"{kind}, cut {figures.tried}", what), lab.Place.start)
            try:
                for _ in range(min(CUTS_A_DISK, cuts - figures.tried)):
                    figures.tried += 1
                    disk.cut()
                disk.last_start()
                acknowledged += sum(storm.asked for storm in disk.storms)
            finally:
                disk.end()
    return figures.end(acknowledged=acknowledged)


def is_noticed(kind, seed, start):
    """Whether the cuts of such a supervisor violate anything."""
    found = []
    with LoopImage(kind) as image:
        for number in range(0, MUTANT_CUTS, CUTS_A_DISK):
            disk = Disk(image, seed + number, found.append, start)
            try:
                for _ in range(CUTS_A_DISK):
                    disk.cut()
                    if found:
                        return found[0]
            finally:
                disk.end()
    return None


def try_mutants(kind, seed):
    """[name of each that was not noticed], and how many there were."""
    missed, tried = [], 0
    with tempfile.TemporaryDirectory(prefix="zeroth-filter-") as folder:
        library = folder + "/fsync_filter.so"
        compiler = shutil.which("cc")
        if compiler:
            subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, FILTER, "-ldl"], check=True)
        for name, pattern in MUTANTS.items():
            if not (compiler if pattern else shutil.which("eatmydata")):
                print(f"SKIPPED mutant '{name}': needs {'a C compiler' if pattern else 'eatmydata'}")
                continue
            if pattern:
                start = lambda place: place.start(LD_PRELOAD=library, LAB_NO_FSYNC=pattern)
            else:
                start = lambda place: place.start("eatmydata")
            tried += 1
            noticed = is_noticed(kind, seed, start)
            print(f"mutant on {kind}, {name}: {'caught: ' + noticed.splitlines()[0] if noticed else 'NOT CAUGHT'}", flush=True)
            if not noticed:
                missed.append(name)
    return missed, tried


def main():
    told = lab.arguments(__doc__)
    failed, usable, missed, tried = 0, [], [], 0
    for kind in ("ext4", "xfs"):
        try:
            LoopImage(kind).end()
        except Unavailable as error:
            print(f"SKIPPED {kind}: {error}")
            continue
        usable.append(kind)
        failed |= cut_often(kind, CUTS_IN_FULL if told.full else CUTS, told.seed)
    if not usable:
        lab.skip("no file system whose power can be cut can be mounted here")
    for kind in usable if told.full else ():
        lost, of = try_mutants(kind, told.seed)
        missed, tried = missed + lost, tried + of
    if told.full:
        print(f"mutants: {tried}, caught: {tried - len(missed)}")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    lab.own_mounts()
    sys.exit(main())
