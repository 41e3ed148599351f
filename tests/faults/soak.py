#!/usr/bin/env python3
"""A soak of 20 minutes (short: 20 s): reloads, crashes, rejected edits, floods of output and saves without a pause. Once warm, the
supervisor's memory and its open descriptors do not grow: the first and the last third of the samples are compared.

`--broken` lets somebody else's memory grow with the supervisor's, to show that a slope is told.
"""

import contextlib
import json
import os
import signal
import statistics
import sys
import time

import lab

SHORT, FULL, BROKEN = 20.0, 1200.0, 20.0  # seconds
# The allocator gives back what is free; else the highest burst of output that ever waited is what is measured.
GIVE_BACK = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "0", "MALLOC_MMAP_THRESHOLD_": "65536"}
PAST = 1000  # generations that were
WARM = 0.25  # of the time: caches, logs and lists fill up to their limits
# kB between the thirds: the allocator's own breathing. A leak of 100 bytes for each line of output would be a hundred times that.
MOST = 384

WORKER = (
    lab.COUNTER_PY.replace("import zeroth\n", "import os, zeroth\n", 1).replace("@w.command(\"get\"", """@w.command("flood")
def flood(lines):
    for n in range(lines): print(n, "x" * 100)
    print("y" * 20_000, flush=True)
    return {"lines": lines}
@w.command("die")
def die(): os._exit(3)
@w.command("get\"""")
)  # fmt: skip


def sample(place):
    """(anonymous memory in kB, descriptors). A file being written or a client just gone holds a descriptor for a moment: the least of
    several looks is what stays open."""
    pid = place.process.pid
    with open(f"/proc/{pid}/smaps_rollup") as file:
        anonymous = next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))
    descriptors = []
    for _ in range(20):
        place.ask("ping")
        descriptors.append(len(os.listdir(f"/proc/{pid}/fd")))
    return anonymous, min(descriptors)


def long_past(place):
    """A supervisor holds the newest thousand receipts: they are there from the start, so that they do not count as growth."""
    place.start().wait_ready()
    place.edit(WORKER + "# past\n")
    place.wait_ready(2)
    place.stop()
    path = place.worker_folder + "/generations.jsonl"
    with open(path) as file:
        lines = [json.loads(line) for line in file]
    with open(path, "a") as file:
        for generation in range(3, 3 + PAST):
            for line in lines[-3:]:
                number = {"receipt": dict(line["receipt"], to=generation)} if "receipt" in line else {"generation": generation}
                file.write(json.dumps(dict(line, **number), separators=(",", ":")) + "\n")


class Soak:
    def __init__(self, place, generation):
        self.place, self.generation, self.count = place, generation, 0

    def reload(self):
        self.place.edit(WORKER + f"# edit {self.generation}\n")
        self.ready()

    def ready(self):
        self.generation = self.place.wait_ready(self.generation + 1)["generation"]

    def kill(self):
        os.kill(self.place.ask("status")["workers"][0]["pid"], signal.SIGKILL)
        self.ready()

    def die(self):
        with contextlib.suppress(OSError):
            self.place.request("die")
        self.ready()

    def rejected(self):
        self.place.edit(f"not Python {self.generation}\n")
        self.generation = self.place.wait(lambda worker: worker["rejected"])["generation"]

    def save(self):
        for _ in range(10):
            self.count += 1
            self.place.ask("add", n=self.count)

    def flood(self):
        self.place.ask("flood", lines=3000)

    def broken_client(self):
        with self.place.connect() as stream:
            stream.sendall(b'{"id":1,"command":"events"}\n{')

    def round(self):
        for step in (self.save, self.flood, self.reload, self.kill, self.flood, self.rejected, self.reload, self.die,
                     self.broken_client, self.save):  # fmt: skip
            step()
        told = self.place.ask("get")
        if told["count"] != self.count:
            raise AssertionError(f"counted {self.count}: {told}")
        self.place.wait_alone()


def thirds(values, of=statistics.median):
    """The first and the last third, each as one value."""
    part = max(1, len(values) // 3)
    return of(values[:part]), of(values[-part:])


def more(parser):
    parser.add_argument("--broken", action="store_true", help="something grows: must be told")
    parser.add_argument("--seconds", type=float, help="for how long")


def main():
    told = lab.arguments(__doc__.split("\n")[0], more)
    seconds = told.seconds or (FULL if told.full else BROKEN if told.broken else SHORT)
    figures = lab.Figures("rounds")
    samples, hoard = [], []
    with lab.Place(WORKER, "--max-failures", "0", "--backoff-max", "50ms", "-q") as place:
        long_past(place)
        first = place.start(**GIVE_BACK).wait_ready()["generation"]
        soak, began = Soak(place, first), time.monotonic()
        try:
            while time.monotonic() < began + seconds or len(samples) < 6:
                soak.round()
                figures.tried += 1
                if time.monotonic() < began + WARM * seconds:
                    continue
                anonymous, descriptors = sample(place)
                hoard += [0] * told.broken * 200
                samples.append((anonymous + len(hoard), descriptors + len(hoard) // 200))
            if place.stop() != 0:
                figures.violated("the stop", place.told())
        except (AssertionError, OSError) as error:
            figures.violated(f"round {figures.tried}", f"{error}\n{place.told()}")
    first_memory, last_memory = thirds([memory for memory, _ in samples] or [0])
    first_descriptors, last_descriptors = thirds([descriptors for _, descriptors in samples] or [0], min)
    if last_memory - first_memory > MOST:
        figures.violated("memory", f"from {first_memory} to {last_memory} kB: {[memory for memory, _ in samples]}")
    if last_descriptors > first_descriptors:
        figures.violated("descriptors", f"from {first_descriptors} to {last_descriptors}")
    if told.broken:
        print(f"what grows was {'caught' if figures.violations else 'NOT caught'}")
        return 0 if figures.violations else 1
    return figures.end(
        generations=soak.generation, seconds=round(seconds), memory_kB=f"{first_memory:.0f} to {last_memory:.0f}",
        descriptors=f"{first_descriptors:.0f} to {last_descriptors:.0f}",
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
