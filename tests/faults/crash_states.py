#!/usr/bin/env python3
"""What a disk may hold after a power cut at each moment of a recorded run: whatever had been acknowledged is found there. The
states are made from a strace log of the real supervisor, with all orders of what no fsync had covered; a reader of our own looks
at each, and the real supervisor starts on a sample. In full then the same with fsyncs taken out of the log, with the pruning moved
before the fsync and with a reader that takes each checksum for right: all of which has to be noticed."""

import dataclasses
import fnmatch
import os
import random
import sys
import time
from unittest import mock

import frames
import lab
from disks import crash_model, recorded, trace
from disks.found import Disk

STARTS, STARTS_IN_FULL = 3, 150  # a recording
SUBSETS, SUBSETS_IN_FULL = 6, 200  # at random, where not all can be tried
MIXES, MIXES_IN_FULL = 1, 10  # of files of which some are torn, some whole
LOOKED = 12.0  # seconds at a recording's states in the short form, which takes its moments in random order

# What no fsync reaches, or the first one after a folder was made there: (recording, path, made folder).
MUTANTS = {
    "no fsync of snapshot files": ("counting", "state/t/snapshots/.snapshot-*", None),
    "no fsync of the snapshot folder": ("counting", "state/t/snapshots", None),
    "no fsync of pins.json": ("counting", "state/t/.pins.json.*", None),
    "no fsync of generations.jsonl": ("counting", "state/t/generations.jsonl", None),
    "no fsync of the worker's folder": ("counting", "state/t", None),
    "no fsync of the worker's folder when snapshots/ is made": ("counting", "state/t", "state/t/snapshots"),
    "no fsync of the state folder": ("counting", "state", None),
    "no fsync of the state folder's parent": ("counting", "", "state"),
    "no fsync of a kept program": ("held", "state/t/programs/*", None),
    "no fsync of programs/": ("held", "state/t/programs", None),
}


def without_fsync(events, path, made):
    """The events without those fsyncs, and how many were taken out."""
    left, taken, waits = [], 0, made is not None
    for event in events:
        waits = waits and not (event.what == "mkdir" and event.path == made)
        if event.what == "fsync" and fnmatch.fnmatchcase(event.path, path) and not waits and not (made and taken):
            taken += 1
        else:
            left.append(event)
    return left, taken


def pruned_before_fsync(events):
    """The same run, had each pruning come before the fsync of the folder that makes the newer snapshot durable."""
    moved, taken = [], 0
    for event in events:
        before = [other for other in events if other.what == "fsync" and other.path.endswith("/snapshots") and other.end < event.begin]
        if event.what == "unlink" and "/snapshots/snapshot-" in event.path and before:
            event = dataclasses.replace(event, begin=before[-1].begin - 0.5, end=before[-1].begin - 0.25)
            taken += 1
        moved.append(event)
    return sorted(moved, key=lambda event: event.begin), taken


class States:
    """All states of one recording, each once for each thing that was acknowledged by then."""

    def __init__(self, events, tells, seed, full):
        self.recording = crash_model.Recording(events)
        self.random = random.Random(seed)
        self.subsets, self.mixes = (SUBSETS_IN_FULL, MIXES_IN_FULL) if full else (SUBSETS, MIXES)
        self.moments = list(self.recording.moments)
        if not full:
            self.random.shuffle(self.moments)
        self.tells = [(event.begin, tells[event.told]) for event in events if event.what == "told" and event.told in tells]

    def __iter__(self):
        """(moment, known, asked, tree): what had been acknowledged, and what would be next."""
        seen = set()
        for moment in self.moments:
            moment += 0.1  # just behind it
            told = [known for begin, known in self.tells if begin < moment]
            known = told[-1] if told else recorded.NOTHING
            asked = self.tells[len(told)][1] if len(told) < len(self.tells) else known
            cut = crash_model.Cut(self.recording, moment)
            for kept in cut.subsets(self.random, self.subsets):
                for torn_of in self._torn():
                    tree = cut.tree(kept, torn_of)
                    key = (len(told), frozenset(tree.items()))
                    if key not in seen:
                        seen.add(key)
                        yield moment, known, asked, tree

    def _torn(self):
        ways = [lambda inode, torn=torn: torn for torn in crash_model.TORN]
        for _ in range(self.mixes):
            mix = {}
            ways.append(lambda inode, mix=mix: mix.setdefault(id(inode), self.random.choice(crash_model.TORN)))
        return ways


def first_wrong(states):
    """What is wrong with the first state that violates anything, or None."""
    for moment, known, asked, tree in states:
        if wrong := Disk(tree).wrong(known, asked):
            return f"line {moment:.0f}: {wrong[0]}"
    return None


def look_at_all(name, record, told, figures):
    """Returns a sample of the states to start on."""
    sample, starts, printed = [], STARTS_IN_FULL if told.full else STARTS, set()
    choose, until = random.Random(told.seed), time.monotonic() + LOOKED
    for number, (moment, known, asked, tree) in enumerate(States(record.events, record.tells, told.seed, told.full)):
        if not told.full and time.monotonic() > until:
            break
        figures.tried += 1
        record.latest.append(tree)
        for wrong in Disk(tree).wrong(known, asked):
            figures.violations.append(wrong)
            if wrong not in printed and len(printed) < 10:
                print(f"VIOLATION {name}, line {moment:.0f} of the log: {wrong}", flush=True)
            printed.add(wrong)
        at = number if number < starts else choose.randrange(number + 1)
        if at < starts:
            sample[at : at + 1] = [(moment, known, asked, tree)]
    return sample


def start_on(record, sample, name, figures):
    """The real supervisor on each of these states."""
    for moment, known, asked, tree in sample:
        if len(figures.violations) > 2:
            return  # each one that does not get ready takes half a minute
        figures.tried += 1
        try:
            record.start_on(tree, known.text or record.known.text, record.check(known, asked))
        except (recorded.Wrong, AssertionError, OSError) as error:
            figures.violated(f"{name}, started on line {moment:.0f} of the log", str(error))


def rotten(tree):
    """The state with one bit flipped in the newest snapshot: what a disk that lies hands out. None without an older one."""
    names = sorted(path for path in tree if frames.NAME.fullmatch(os.path.basename(path)))
    if len(names) < 2:
        return None
    data = bytearray(tree[names[-1]])
    at = data.find(b'"last":') + len(b'"last":')
    data[at] ^= 1  # another digit
    return dict(tree, **{names[-1]: bytes(data)})


def start_on_rotten(record, sample, figures):
    """The real supervisor passes over such a snapshot, says so, and goes on from an older one."""

    def check(place, worker):
        if (last := place.ask("get")["last"]) not in record.numbers:
            raise recorded.Wrong(f"it goes on from {last}, which was never saved")
        if not worker["snapshot"]["rejected"]:
            raise recorded.Wrong("it does not tell what it passed over")

    for tree in [tree for state in sample if (tree := rotten(state[-1]))][:2]:
        figures.tried += 1
        try:
            record.start_on(tree, record.known.text, check)
        except (recorded.Wrong, AssertionError, OSError) as error:
            figures.violated("started on a rotten snapshot", str(error))


def checksum_mutant(record):
    """Whether a reader that takes each checksum for right is noticed on rotten snapshots, and the right one is not."""
    states = [tree for latest in record.latest if (tree := rotten(latest))]

    def never_saved():
        return sum(Disk(tree).last() not in record.numbers for tree in states)

    right = never_saved()
    with mock.patch.object(frames, "checksum_is_right", return_value=True), mock.patch("disks.found.CHECKED", {}):
        return right == 0 and never_saved() > 0


def try_mutants(records, told):
    """Names of those that are not noticed, and how many there were."""
    changed = {name: (recording, *without_fsync(records[recording].events, path, made))
               for name, (recording, path, made) in MUTANTS.items()}
    changed["pruning before the fsync of the folder"] = ("counting", *pruned_before_fsync(records["counting"].events))
    missed = []
    for name, (recording, events, taken) in changed.items():
        noticed = taken and first_wrong(States(events, records[recording].tells, told.seed, told.full))
        print(f"mutant, {name} ({taken} changed): {'caught, ' + noticed if noticed else 'NOT CAUGHT'}", flush=True)
        if not noticed:
            missed.append(name)
    noticed = checksum_mutant(records["counting"])
    print(f"mutant, checksum not checked: {'caught' if noticed else 'NOT CAUGHT'}")
    if not noticed:
        missed.append("checksum not checked")
    return missed, len(changed) + 1


def main():
    told = lab.arguments(__doc__)
    lab.need_strace()
    figures, started = lab.Figures("post-crash states"), lab.Figures("starts on post-crash states")
    records = {}
    try:
        for name in recorded.RUNS:
            records[name] = recorded.run(name)
            sample = look_at_all(name, records[name], told, figures)
            start_on(records[name], sample, name, started)
            if name == "counting":
                start_on_rotten(records[name], sample, started)
        missed, tried = try_mutants(records, told) if told.full else ([], 0)
    finally:
        for record in records.values():
            record.end()
    failed = figures.end() | started.end()
    if told.full:
        print(f"mutants: {tried}, caught: {tried - len(missed)}")
    return 1 if failed or missed else 0


if __name__ == "__main__":
    sys.exit(main())
