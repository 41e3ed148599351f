"""What the files of a state folder say, read without the project's code, and what of the acknowledged is missing there."""

import fnmatch
import json
import os
import tempfile

import frames

KEPT = 5  # newest snapshots that no pruning takes (snapshot.md)
CHECKED = {}  # (name, content): (envelope, state), or why it is broken


def read(name, content):
    key = (name, content)
    if key not in CHECKED:
        with tempfile.TemporaryDirectory(prefix="zeroth-found-") as folder:
            with open(f"{folder}/{name}", "wb") as file:
                file.write(content)
            try:
                CHECKED[key] = frames.read_snapshot(f"{folder}/{name}")
            except frames.Broken as error:
                CHECKED[key] = error
    return CHECKED[key]


def parse(line):
    try:
        value = json.loads(line)
        return value if isinstance(value, dict) else {}
    except ValueError:
        return {}


class Disk:
    """`tree`: {path below the state folder's parent: bytes, or None for a folder}."""

    def __init__(self, tree):
        self.tree = tree
        self.valid, self.broken = {}, {}
        for path, content in tree.items():
            folder, name = os.path.split(path)
            if folder == "state/t/snapshots" and (match := frames.NAME.fullmatch(name)):
                outcome = read(name, content)
                (self.broken if isinstance(outcome, frames.Broken) else self.valid)[int(match[1])] = outcome
        self.live = {}
        self.generation = max([envelope["generation"] for envelope, _ in self.valid.values()], default=0)
        for path in tree:
            if fnmatch.fnmatchcase(path, "state/t/alive-*"):
                self.generation = max(self.generation, int(path.rsplit("-", 1)[1]))
        for line in map(parse, (tree.get("state/t/generations.jsonl") or b"").split(b"\n")):
            if line.get("event") == "live":
                self.live = line
            if line.get("event") == "released":
                self.live = dict(self.live, held_back=None)
            self.generation = max(self.generation, line.get("generation", 0))

    def last(self):
        """The number that a start goes on from: the newest valid snapshot that no rollback has put aside."""
        aside = self.live.get("put_aside") or {"after": 0, "to": 0}
        usable = [sequence for sequence in self.valid if not aside["after"] < sequence <= aside["to"]]
        return self.valid[max(usable)][1].get("last", 0) if usable else 0

    def code(self, disk):
        """(hash of what runs after a start, hash of what is held back) with code of the hash `disk` on disk."""
        held = (self.live.get("held_back") or {}).get("hash")
        if held != disk:
            return disk, None
        kept = self.tree.get(f"state/t/programs/{self.live['program_hash']}.zero")
        return (self.live["program_hash"], held) if kept and frames.xxh3(kept) == self.live["program_hash"] else (disk, None)

    def pins(self):
        text = self.tree.get("state/t/pins.json")
        return set() if text is None else {entry["sequence"] for entry in json.loads(text)["pins"]}

    def wrong(self, known, asked):
        """Sentences. `known`: what was acknowledged; `asked`: what will be, if that happens which was asked for and not answered."""
        said = [f"snapshot {sequence} is broken: {why}" for sequence, why in self.broken.items()]
        for sequence, by in known.sequences.items():
            newer = sum(other > sequence for other in self.valid)
            if sequence not in self.valid and (newer < KEPT or sequence in known.pins & asked.pins):
                said.append(f"snapshot {sequence}, acknowledged by {by}, is missing; {newer} newer ones")
        try:
            if lost := (known.pins & asked.pins) - self.pins():
                said.append(f"pins of {sorted(lost)} are missing")
        except ValueError as error:
            said.append(f"pins.json: {error}")
        if self.generation < known.generation:
            said.append(f"generation {known.generation} was acknowledged, {self.generation} is the highest that is known")
        if self.last() not in (known.last, asked.last):
            said.append(f"a start goes on from {self.last()}, acknowledged was {known.last}")
        promised = known.code and asked.code
        if promised and self.code(known.disk) not in (known.code, asked.code) and self.code(asked.disk) != asked.code:
            said.append(f"a start runs and holds back {self.code(known.disk)}, acknowledged was {known.code}")
        return said
