#!/usr/bin/env python3
"""Env file saved -> applied: by the callback of a running worker in Python and in Node, and by a reload with its state of one that
does not listen. The save is done when its rename returns; the worker, once it has the value, writes it into a pipe.

    tests/bench/env.py [--rounds 50]

Each row is edited once a turn. Prints ms; ends with 1 if a value never came.
"""

import argparse
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("ZEROTH_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
PATIENCE = 30.0
WITHIN = 100.0  # ms, what the project promises a worker that listens

PYTHON = """
import os, zeroth
w = zeroth.worker(schema="bench/1")
S = w.restore({"seen": 0})
mark = open(os.environ["MARK"], "w", buffering=1)
def told(old, new):
    S["seen"] += 1
    print(new, file=mark)
LISTEN
print(os.environ["VALUE"], file=mark)
for _ in w.every(1.0): pass
"""

NODE = """
import fs from 'node:fs'
import { worker } from './zeroth.mjs'
const w = await worker({ schema: 'bench/1' })
const S = await w.restore({ seen: 0 })
const tell = value => fs.appendFileSync(process.env.MARK, value + '\\n')
w.onEnv('VALUE', (old, value) => { S.seen += 1; tell(value) })
await w.ready()
tell(process.env.VALUE)
"""


class Row:
    def __init__(self, name, folder, file, text, command):
        self.name, self.times = name, []
        self.folder = os.path.join(folder, name.replace(" ", "-"))
        os.makedirs(self.folder + "/code")
        for library in ("zeroth.py", "zeroth.mjs"):
            shutil.copy(os.path.join(SOURCE, "worker/sdk", library), self.folder + "/code")
        with open(f"{self.folder}/code/{file}", "w") as out:
            out.write(text)
        os.mkfifo(self.folder + "/mark")
        self.marks = os.open(self.folder + "/mark", os.O_RDWR | os.O_NONBLOCK)
        self.edit(0)
        env = {key: value for key, value in os.environ.items() if not key.startswith("ZEROTH_")}
        self.output = open(self.folder + "/output", "w+")
        words = ["--state-dir", self.folder + "/state", "--runtime-dir", self.folder + "/run", "--env-file", self.folder + "/.env"]
        self.process = subprocess.Popen([BIN + "/zeroth-supervise", *words, "--watch", file, "--", *command, file], env=dict(env, MARK=self.folder + "/mark"),
                                        cwd=self.folder + "/code", stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output)  # fmt: skip

    def edit(self, value):
        """The moment at which the file has the value."""
        with open(self.folder + "/.env.new", "w") as file:
            file.write(f"VALUE={value}\n")
        os.rename(self.folder + "/.env.new", self.folder + "/.env")
        return time.monotonic()

    def wait(self, value):
        heard, until = b"", time.monotonic() + PATIENCE
        while f"{value}\n".encode() not in heard:
            if not select.select([self.marks], [], [], max(0, until - time.monotonic()))[0]:
                self.output.flush()
                with open(self.output.name) as file:
                    raise SystemExit(f"{self.name}: {value} did not come within {PATIENCE:.0f} s\n{file.read()[-3000:]}")
            heard += os.read(self.marks, 4096)
        return time.monotonic()

    def round(self, value):
        began = self.edit(value)
        self.times.append((self.wait(value) - began) * 1000)

    def stop(self):
        self.process.terminate()
        self.process.wait(PATIENCE)
        self.output.close()
        os.close(self.marks)


def quantile(times, part):
    return sorted(times)[int(part * (len(times) - 1) + 0.5)]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=50)
    options = options.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="zeroth-env-") as folder:
        try:
            listening = PYTHON.replace("LISTEN", 'w.on_env("VALUE")(told)')
            rows.append(Row("Python, callback", folder, "worker.py", listening, [sys.executable]))
            if node := shutil.which("node"):
                rows.append(Row("Node, callback", folder, "worker.mjs", NODE, [node]))
            else:
                print("SKIPPED: Node, which is not there")
            rows.append(Row("Python, by a reload", folder, "worker.py", PYTHON.replace("LISTEN", ""), [sys.executable]))
            for row in rows:
                row.wait(0)
            for value in range(1, options.rounds + 1):
                for row in rows:
                    row.round(value)
        finally:
            for row in rows:
                row.stop()
    print(f"env file saved -> applied, ms, {options.rounds} rounds, turn by turn")
    for row in rows:
        late = sum(time_ms > WITHIN for time_ms in row.times)
        print(f"{row.name:22} median {quantile(row.times, 0.5):7.2f}  p95 {quantile(row.times, 0.95):7.2f}  most {max(row.times):7.2f}"
              f"  over {WITHIN:.0f} ms: {late}")  # fmt: skip


if __name__ == "__main__":
    main()
