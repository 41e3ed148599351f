"""One system call of a real supervisor, killed or failed: strace on one thread at a time.

strace counts `when=N` per name and per thread, so the supervisor runs with one pool thread (UV_THREADPOOL_SIZE is libuv's
word for it, ZEROTH_POOL_THREADS that of a supervisor which chooses by itself) and strace watches either that or the main
thread, never both (nor the one that writes supervisor.log): the N-th call of one run is the N-th call of the next. Workers are not traced. `calls_of` lists what the supervisor calls during an operation, `execute` does it with something injected.
"""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
import typing

import lab
from operations import Violated

MAIN, POOL = "main", "pool"
AFTERWARDS = 0.2  # seconds for what an operation still does when it was answered: the commit, the old worker's end

# Calls with an effect that somebody else can see, or that fail for want of something. Between two of them a kill finds the
# same world, so one kill before each is every kill.
CALLS = (
    "openat write pwrite64 fsync fdatasync rename renameat2 linkat unlink unlinkat mkdir mkdirat rmdir flock ftruncate fallocate"
    " sendto sendmsg clone clone3 vfork kill pidfd_send_signal bind chmod exit_group"
).split()

# What may fail for want of room, of a descriptor, or of luck. A read-only openat may too.
FALLIBLE = (
    "openat write pwrite64 fsync fdatasync rename renameat2 linkat unlink unlinkat mkdir flock ftruncate fallocate clone"
).split()


class Call(typing.NamedTuple):
    thread: str
    name: str
    ordinal: int  # of its name in its thread
    of_path: int  # of those also of its path, where there is one
    path: typing.Optional[str]  # `{folder}` is the place's, `{next}` the next generation, `{pid}` the supervisor
    text: str

    def __str__(self):
        return f"{self.thread} {self.name}:when={self.of_path if self.path else self.ordinal} {self.text[:140]}"

    def inject(self, place, what, more=""):
        """strace's words that do `what` to this call, and to `more`: `+` are all later ones of its name, `..9` those up to 9."""
        words = ["-y", "-e", f"trace={self.name}", "-e"]
        if not self.path or more:
            return [*words, f"inject={self.name}:{what}:when={self.ordinal}{more}"]
        path = self.path.format(folder=place.folder, next=place.next, pid=place.process.pid if place.process else 0)
        return [*words, f"inject={self.name}:{what}:when={self.of_path}", "-P", path]


def has_effect(name, text):
    """Whether somebody else can see that it happened: libuv waking its loop is nobody's business."""
    if name == "openat":
        return "O_CREAT" in text
    return name != "write" or bool(re.match(r"\d+</", text))


def may_fail(name, text):
    """Whether to let it fail: reading what lies in /proc and /etc is left out, and waking the loop."""
    if name == "openat":
        return "O_CREAT" in text or not re.search(r'"/(proc|etc|dev|lib|usr|sys)/', text)
    return has_effect(name, text)


class Missed(Exception):
    """Something else was hit, as the calls came in another order: nothing can be told from this attempt."""


class Late(Violated):
    """It counts only if it repeats itself: strace stops each call of its thread, which takes its time on a busy machine."""


def alone():
    """Goes on in a pid namespace of its own where it may: the supervisor looks through /proc, under strace call by call, and
    nothing outlives the laboratory."""
    unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.getpid() != 2 and subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        main = os.path.abspath(sys.modules["__main__"].__file__)
        # The shell is the namespace's first process and reaps what nobody else does; the laboratory is the second.
        os.execvp(unshare[0], [*unshare, "sh", "-c", '"$@" & wait $!', "sh", sys.executable, "-B", main, *sys.argv[1:]])


class Strace:
    """strace on a thread that runs; `end` lets it go on alone."""

    def __init__(self, tid, log, *words):
        self.process = subprocess.Popen(["strace", "-o", log, *words, "-p", str(tid)], stderr=subprocess.PIPE, text=True)
        if "attached" not in (line := self.process.stderr.readline()):
            self.end()
            raise AssertionError(f"strace: {line}")

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:  # it waits for a thread that waits for a child which strace has stopped
            self.process.kill()
            self.process.wait(lab.PATIENCE)
        self.process.stderr.close()


def _writes_log(pid, tid):
    """The thread of supervisor.log, which nobody waits for."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{tid}/comm") as file:
        return file.read() == "log\n"
    return True  # it is gone


def threads(place):
    """{MAIN: tid, POOL: tid} of the running supervisor."""
    pid = place.process.pid
    others = [int(tid) for tid in os.listdir(f"/proc/{pid}/task") if int(tid) != pid and not _writes_log(pid, tid)]
    if len(others) > 1:
        raise AssertionError(f"the supervisor has {len(others)} pool threads, which cannot be counted: ZEROTH_POOL_THREADS=1 was not heard")
    return {MAIN: pid, **({POOL: others[0]} if others else {})}


def tracer(place):
    try:
        with open(f"/proc/{place.process.pid}/status") as file:
            return int(re.search(r"TracerPid:\s*(\d+)", file.read())[1])
    except OSError:
        return 0


def free(place):
    """Ends the strace that started the supervisor, which runs on."""
    if pid := tracer(place):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + lab.PATIENCE
    while tracer(place) and time.monotonic() < until:
        select.select([], [], [], 0.002)


def _launch(place, log, words):
    place.start("strace", "-D", "-o", log, *words)


def _launch_for_pool(place, log, words):
    """The main thread waits behind the making of the pool's thread until strace watches that one."""
    _launch(place, os.devnull, ["-e", "trace=clone3", "-e", "inject=clone3:delay_exit=60000000:when=1"])
    until = time.monotonic() + lab.PATIENCE
    while place.process.poll() is None and POOL not in threads(place):
        if time.monotonic() > until:
            raise AssertionError("the supervisor made no pool thread")
        select.select([], [], [], 0.002)
    strace = Strace(threads(place)[POOL], log, *words)
    free(place)
    return strace


def log_of(place):
    return f"{place.traces}/log"


def execute(place, operation, thread, words):
    """Runs a prepared operation with strace on one thread; the supervisor's end may cut it short. Returns the log's path."""
    log, strace = log_of(place), None
    if not operation.launch:
        strace = Strace(threads(place)[thread], log, *words(place))
    elif thread == POOL:
        strace = _launch_for_pool(place, log, words(place))
    else:
        _launch(place, log, words(place))
    try:
        with contextlib.suppress(OSError):
            operation.run(place)
        with contextlib.suppress(subprocess.TimeoutExpired):
            place.process.wait(AFTERWARDS)
    finally:
        strace.end() if strace else free(place)
    return log


def calls_of(operation, names=CALLS, wanted=has_effect):
    """The wanted calls that the supervisor makes during the operation, thread by thread, as one run of each shows."""
    found = []
    for thread in (MAIN, POOL):
        with operation.place() as place:
            operation.prepare(place)
            log = execute(place, operation, thread, lambda _: ["-y", "-e", "trace=" + ",".join(names), "-e", "signal=none"])
            found += _parse(log, place, thread, operation.launch, wanted)
    return found


def _template(path, place, launch):
    """The path as another run of it has it; None if that cannot be told."""
    path = path.replace(place.folder, "{folder}").replace(f"alive-{place.next}", "alive-{next}")
    path = re.sub(rf"\b{place.process.pid}\b", "{pid}", path)
    return None if re.search(r"[0-9a-f]{32}", path) or (launch and "{pid}" in path) else path


def _parse(log, place, thread, launch, wanted):
    counted, found = {}, []
    with open(log, errors="replace") as file:
        for match in filter(None, (re.match(r"(\w+)\((.*)", line) for line in file)):
            name, text = match[1], match[2].strip()
            told = re.match(r'AT_FDCWD\S*, "([^"]*)"|\d+<(/[^>]*)>', text) if name in ("openat", "write") else None
            path = _template(told[1] or told[2], place, launch) if told else None
            for key in {(name, None), (name, path)}:
                counted[key] = counted.get(key, 0) + 1
            if wanted(name, text):
                found.append(Call(thread, name, counted[name, None], counted[name, path], path, text))
    return found
