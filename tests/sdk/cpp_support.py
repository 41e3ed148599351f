"""What the tests of the C++ library share: programs that are built, and run under a supervisor."""

import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from python_support import EXAMPLES, SOURCE, RealSupervisor

WORKER = os.path.join(SOURCE, "tests", "sdk", "cpp_worker.cpp")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]


def run(words, **more):
    done = subprocess.run(words, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def build_worker(folder, name):
    program = os.path.join(folder, name)
    cached = ["ccache"] if shutil.which("ccache") else []
    run([*cached, "g++", "-std=c++17", "-pthread", *WARNINGS, "-c", WORKER, "-o", program + ".o"])
    run(["g++", "-pthread", program + ".o", "-o", program])
    return program


def build_example(folder, name):
    """An example by the line that its own comment shows, with all warnings."""
    source = os.path.join(EXAMPLES, name + ".cpp")
    with open(source) as file:
        line = re.search(r"^//     (g\+\+ .*)$", file.read(), re.MULTILINE).group(1)
    program = os.path.join(folder, name)
    run(line.replace(f"-o {name} ", f"-o {program} ").split() + WARNINGS, cwd=SOURCE)
    return program


BUILT = {}  # name -> program


def program(name):
    """The test worker ("worker") or an example; built when the first test needs it."""
    if not BUILT:
        BUILT["folder"] = tempfile.mkdtemp(prefix="zeroth-cpp-")
        atexit.register(shutil.rmtree, BUILT["folder"])
    if name not in BUILT:
        BUILT[name] = (build_worker if name == "worker" else build_example)(BUILT["folder"], name)
    return BUILT[name]


def main():
    if shutil.which("g++") is None:
        print("SKIPPED: no g++")
        sys.exit(77)
    unittest.main()


class CppSupervisor(RealSupervisor):
    """zeroth-supervise on a copy of a built program. An edit puts such a copy in its place, with something behind what is
    loaded of it: the test worker looks there for its STEP."""

    def __init__(self, program, *options):
        super().__init__(program, *options, name="program", command=["./program"])

    def edit(self, program, behind=""):
        shutil.copy(program, self.program + ".new")
        with open(self.program + ".new", "a") as file:
            file.write(behind)
        os.rename(self.program + ".new", self.program)
