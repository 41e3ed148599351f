"""What the fault laboratory shares: a place with a program under the real supervisor, the figures it prints, and what must
hold when nothing runs any more.

Each laboratory is a script: `name.py [--full] [--seed N]`. It prints one line a figure, `crash points: 412, violations: 0`, and
each violation with how to repeat it; exits 0 if there is none, 1 if there is one, 77 (skipped, with the reason) where the
machine lacks what it needs.
"""

import argparse
import contextlib
import fcntl
import functools
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SDK = os.path.join(SOURCE, "worker", "sdk")
BIN = os.environ.get("ZEROTH_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
PATIENCE = 30.0  # seconds until what must happen counts as never happening
SKIPPED = 77

# Counts in its living state: `add` makes it durable before it answers, `get` only tells.
COUNTER_PY = """
import zeroth
w = zeroth.worker(schema="counter/1")
@w.command("add", help="count one up, durably")
def add(n=None):
    with w.atomic():
        S["count"] += 1
        if n is not None: S["last"] = n
        told = dict(S)
    w.save()
    return told
@w.command("get", help="what is counted")
def get():
    return dict(S)
S = w.restore({"count": 0, "last": 0})
for _ in w.every(0.05): pass
"""


def binary(name):
    return os.path.join(BIN, name)


def arguments(description, more=lambda parser: None):
    """`more` adds what only one laboratory takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--full", action="store_true", help="everything instead of a sample")
    parser.add_argument("--seed", type=int, default=None, help="repeats a run")
    more(parser)
    told = parser.parse_args()
    told.seed = told.seed if told.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed: {told.seed}")
    return told


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def own_mounts():
    """Goes on in a mount namespace of its own: what is mounted ends with the laboratory, and no namespace that another one makes
    meanwhile keeps a file system alive that was unmounted here."""
    if os.geteuid() != 0:
        skip("needs root, to mount")
    unshare = ["unshare", "--mount"]
    if "ZEROTH_LAB_MOUNTS" in os.environ:
        return
    if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        skip("needs a mount namespace")
    os.environ["ZEROTH_LAB_MOUNTS"] = "own"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])


def need(*programs):
    """Skips, aloud, where a program is not installed."""
    missing = [name for name in programs if not shutil.which(name)]
    if missing:
        skip(f"needs {', '.join(missing)}")


@functools.cache
def no_strace():
    """Why strace cannot be used on a process that runs, "" if it can: ptrace may be forbidden (Yama, seccomp, a container)."""
    if not shutil.which("strace"):
        return "needs strace"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as target:
        words = ["strace", "-o", os.devnull, "-p", str(target.pid)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as strace:
            said = strace.stderr.readline().strip()
            strace.terminate()
    return "" if "attached" in said else f"strace may not attach: {said}"


def need_strace():
    """Skips, aloud, where it cannot be used."""
    if why := no_strace():
        skip(why)


class Figures:
    """Counts what was tried and what was violated; `end` prints the line and returns the exit code."""

    def __init__(self, what):
        self.what, self.tried, self.violations = what, 0, []

    def violated(self, where, what):
        self.violations.append(f"{where}: {what}")
        print(f"VIOLATION {where}: {what}", flush=True)

    def end(self, **more):
        figures = {self.what: self.tried, "violations": len(self.violations), **more}
        print(", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in figures.items()), flush=True)
        return 1 if self.violations or not self.tried else 0


class Place:
    """A folder with a program, its state and its runtime folder, and the supervisor that runs there, over several lives."""

    def __init__(self, code=COUNTER_PY, *options, name="program.py", root=None, protocol=True):
        """`root`: where the state lies instead of in the folder (another file system). `code` ends up in file `name`: a
        Zero program for `*.zero`, else a program of Python under `--protocol`."""
        self.folder = tempfile.mkdtemp(prefix="zeroth-lab-")
        self.mark = os.path.basename(self.folder)  # in the environment of all that is started here
        self.state, self.run = (root or self.folder) + "/state", self.folder + "/run"
        self.program, self.options, self.protocol = os.path.join(self.folder, name), list(options), protocol
        self.process = None
        self.edit(code)

    # ---- The program

    def edit(self, code):
        with open(self.program + ".new", "w") as file:
            file.write(code)
        os.rename(self.program + ".new", self.program)

    def words(self):
        words = [binary("zeroth-supervise"), "--name", "t", "--state-dir", self.state, "--runtime-dir", self.run, *self.options]
        if self.program.endswith((".zero", ".z")):
            return [*words, "--control-port", "off", self.program]
        protocol = ["--protocol"] if self.protocol else []
        return [*words, *protocol, "--watch", self.program, "--", sys.executable, self.program]

    def environment(self, **more):
        env = {name: value for name, value in os.environ.items() if not name.startswith(("ZEROTH_", "LISTEN_"))}
        return dict(env, PYTHONPATH=SDK, PYTHONDONTWRITEBYTECODE="1", NO_COLOR="1", ZEROTH_LAB=self.mark, **more)

    # ---- The supervisor

    def start(self, *prefix, **env):
        """`prefix`: a command that runs the supervisor as its last words (strace, faketime, prlimit). With one, `process` is
        the prefix's; see `supervisor_pid`."""
        with open(self.folder + "/log", "a") as log:
            self.process = subprocess.Popen([*prefix, *self.words()], cwd=self.folder, env=self.environment(**env),
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return self

    def connect(self, seconds=PATIENCE):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(seconds)
        try:
            stream.connect(self.run + "/control.sock")
        except OSError:
            stream.close()
            raise
        return stream

    def request(self, command, seconds=PATIENCE, /, **params):
        """The whole answer. OSError (TimeoutError included) if none comes."""
        with contextlib.closing(self.connect(seconds)) as stream:
            stream.sendall(json.dumps({"id": 1, "command": command, "params": params}).encode() + b"\n")
            with stream.makefile("rb") as lines:
                line = lines.readline()
        if not line.endswith(b"\n"):
            raise ConnectionError(f"{command}: the connection ended before the answer")
        return json.loads(line)

    def ask(self, command, /, **params):
        answer = self.request(command, **params)
        if not answer["success"]:
            raise AssertionError(f"{command}: {answer['error']}\n{self.told()}")
        return answer["result"]

    def wait(self, accepts, seconds=PATIENCE):
        """The worker's status as soon as `accepts` it; AssertionError with the log if it never does."""
        until, worker = time.monotonic() + seconds, None
        while time.monotonic() < until:
            try:
                worker = self.ask("status")["workers"][0]
                if accepts(worker):
                    return worker
            except (OSError, ValueError, KeyError, IndexError):
                if self.process.poll() is not None:
                    break
            select.select([], [], [], 0.01)
        raise AssertionError(f"the worker did not get there: {worker}\n{self.told()}")

    def wait_ready(self, generation=1):
        return self.wait(lambda worker: worker["state"] == "ready" and (worker["generation"] or 0) >= generation)

    def supervisor_pid(self):
        with open(self.run + "/pid") as file:
            return int(file.read())

    def kill(self):
        """SIGKILL to the supervisor (and its prefix); returns once it is gone, workers may still be ending."""
        for pid in {self.process.pid, *self._of("zeroth-supervise")}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self, seconds=PATIENCE):
        """SIGTERM to the supervisor; its exit code."""
        if self.process.poll() is None:
            for pid in self._of("zeroth-supervise"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        return self.process.wait(seconds)

    def told(self, last=4000):
        with open(self.folder + "/log", errors="replace") as file:
            return file.read()[-last:]

    # ---- What lies and what runs there

    @property
    def worker_folder(self):
        return self.state + "/t"

    @property
    def snapshots(self):
        return self.worker_folder + "/snapshots"

    def processes(self):
        """{pid: command line} of all that was started here and still runs; zombies are gone."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    if f"ZEROTH_LAB={self.mark}".encode() not in file.read().split(b"\0"):
                        continue
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    found[int(pid)] = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
            except OSError:
                continue
        return {pid: line for pid, line in found.items() if line}

    def _of(self, name):
        return [pid for pid, line in self.processes().items() if line.split(" ")[0].endswith("/" + name)]

    def wait_gone(self, seconds=PATIENCE):
        """Processes still there after at most so long."""
        until = time.monotonic() + seconds
        while (left := self.processes()) and time.monotonic() < until:
            select.select([], [], [], 0.01)
        return left

    def wait_alone(self, seconds=PATIENCE):
        """Processes once there are two, a supervisor and a worker; or after at most so long, however many."""
        until = time.monotonic() + seconds
        while len(there := self.processes()) != 2 and time.monotonic() < until:
            select.select([], [], [], 0.02)
        return there

    def leftovers(self):
        """Temporary files and held locks in the state and runtime folder, as sentences; asked when nothing runs."""
        found = []
        for root in (self.state, self.run):
            for folder, _, names in os.walk(root):
                for name in names:
                    path = os.path.join(folder, name)
                    if name.endswith(".tmp") or name.startswith(".restore-"):
                        found.append(f"temporary file {path}")
                    elif name == "lock" or name.startswith("alive-"):
                        with open(path) as file:
                            try:
                                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                            except BlockingIOError:
                                found.append(f"lock held on {path}")
        return found

    def end(self):
        """Kills what is left and removes the folder."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait(PATIENCE)
        self.wait_gone()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
