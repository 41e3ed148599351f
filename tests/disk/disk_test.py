#!/usr/bin/env python3
"""A disk that does not answer, is full or lies, a machine without descriptors, and what a rollback must not forget: what
runs goes on, says what is wrong and how old the newest snapshot is, and saves again by itself."""

import contextlib
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "sdk"))
from python_support import RealSupervisor  # noqa: E402

PATIENCE = 90.0  # a disk is given up after 10 s

COUNTER = """
import zeroth
w = zeroth.worker(schema="counter/1")
S = w.restore({"n": 0, "ballast": "b" * BALLAST})
@w.command("inc")
def inc(by=1):
    with w.atomic():
        S["n"] += by
        return S["n"]
for _ in w.every(3600):
    pass
"""


class Counter(RealSupervisor):
    def __init__(self, *options, ballast=0):
        super().__init__(COUNTER.replace("BALLAST", str(ballast)), *options)

    def increment(self):
        return self.ask("inc")

    def answer(self, command, **params):
        """Whatever it is, and however long it takes."""
        lines = self.connect()
        with contextlib.closing(lines.stream):
            lines.send({"id": 1, "command": command, "params": params})
            return lines.next(PATIENCE)

    def snapshots(self):
        folder = self.folder + "/state/t/snapshots"
        return sorted(name for name in os.listdir(folder) if name.startswith("snapshot-"))

    def wait_until(self, accepts):
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.wait(accepts)
            except AssertionError:
                if time.monotonic() > until:
                    raise

    def wait_told(self, text):
        until = time.monotonic() + PATIENCE
        while text not in self.told():
            if time.monotonic() > until:
                raise AssertionError(f"{text!r} was not told: {self.told()}")
            select.select([], [], [], 0.05)

    def end(self):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


class Trace:
    """strace on all threads of a process, from now on until the end of the block."""

    def __init__(self, pid, *options):
        self.words = ["strace", "-f", "-p", str(pid), *options]

    def __enter__(self):
        self.process = subprocess.Popen(self.words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.said = b""
        while b"attached" not in self.said:
            piece = os.read(self.process.stderr.fileno(), 4096)
            if not piece:
                raise unittest.SkipTest(f"strace: {self.said.decode()}")
            self.said += piece
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(2)
        except subprocess.TimeoutExpired:  # it waits for a thread that it delays itself
            self.process.kill()
            self.process.wait()
        self.process.stderr.close()


def hanging(counter_):
    """fsync takes so long that it never ends by itself."""
    return Trace(counter_.process.pid, "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e",
                 "inject=fsync,fdatasync:delay_enter=600000000")  # fmt: skip


needs_strace = unittest.skipIf(shutil.which("strace") is None, "no strace")
needs_root = unittest.skipIf(os.geteuid() != 0, "needs root: a file system is mounted")


class Hanging(unittest.TestCase):
    @needs_strace
    def test_a_disk_that_does_not_answer_is_told_of_and_all_else_goes_on(self):
        with Counter("--checkpoint-interval", "100ms") as worker:
            worker.wait_ready()
            with hanging(worker):
                worker.increment()
                late = worker.wait_until(lambda told: told["snapshot"]["degraded"])
                self.assertIn("has not answered for", late["snapshot"]["degraded"])
                self.assertGreater(late["loss_window_s"], 5)
                self.assertEqual(worker.increment(), 2)
                # A reload that cannot be saved is given up, and who runs, runs on.
                receipt = worker.ask("reload", force=True)
                self.assertEqual(receipt["verdict"], "abandoned")
                self.assertIn("has not answered for", receipt["reason"])
                self.assertEqual(worker.increment(), 3)
                self.assertEqual(worker.answer("stop")["error"]["code"], "refused")
                worker.wait_ready()
            # The disk is back.
            worker.wait_until(lambda told: told["snapshot"]["degraded"] is None)
            self.assertEqual(worker.ask("reload", force=True)["verdict"], "ok")
            self.assertEqual(worker.increment(), 4)
            self.assertEqual(worker.end(), 0)

    @needs_strace
    def test_a_stop_ends_in_time_and_says_what_is_kept(self):
        with Counter("--checkpoint-interval", "0") as worker:
            worker.wait_ready()
            worker.increment()
            kept = worker.ask("checkpoint")["sequence"]
            worker.increment()
            with hanging(worker):
                worker.process.send_signal(signal.SIGTERM)
                # It has ended but for the thread that the disk, here strace, does not let go.
                worker.wait_told("what is kept is")
            self.assertEqual(worker.process.wait(PATIENCE), 1)
            self.assertRegex(worker.told(), rf"has not answered for 1\d s; what is kept is snapshot {kept}, \d+ \w+ old: /")
            self.assertIn(f"snapshot-{kept:020}.json", worker.told())

    @needs_strace
    def test_a_reload_that_went_while_the_disk_hangs_stands_and_warns(self):
        with Counter("--checkpoint-interval", "0") as worker:
            worker.wait_ready()
            worker.increment()
            with hanging(worker):
                receipt = worker.answer("reload", force=True)["result"]
                self.assertEqual(receipt["verdict"], "ok")
                self.assertIn("could not be made durable", receipt["warnings"][0])
                self.assertEqual(worker.increment(), 2)
            worker.wait_until(lambda told: told["snapshot"]["degraded"] is None)


class Full(unittest.TestCase):
    @needs_root
    def test_the_last_save_makes_room_for_itself(self):
        with Counter("--checkpoint-interval", "0", ballast=200_000) as worker:
            worker.wait_ready()
            for _ in range(4):
                worker.increment()
                worker.ask("checkpoint")
            worker.increment()
            disk = worker.folder + "/disk"
            self.assertEqual(worker.end(), 0)
            os.rename(worker.folder + "/state", disk + ".before")
            os.mkdir(worker.folder + "/state")
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1800k,mode=0700", "tmpfs", worker.folder + "/state"], check=True)
            try:
                shutil.copytree(disk + ".before", worker.folder + "/state", dirs_exist_ok=True)
                worker.log.close()
                worker.start()
                worker.wait_ready()
                worker.increment()
                worker.ask("checkpoint")  # two are known to be whole: without that none goes
                worker.increment()
                before = worker.snapshots()
                with contextlib.suppress(OSError), open(worker.folder + "/state/hog", "wb", buffering=0) as hog:
                    while True:
                        hog.write(b"h" * 4096)
                self.assertEqual(worker.end(), 0, worker.told())
                self.assertIn("saved and stopped", worker.told())
                after = worker.snapshots()
                self.assertGreater(after[-1], before[-1])
                self.assertNotIn(before[0], after)
                self.assertIn(before[-1], after)
            finally:
                subprocess.run(["umount", "-l", worker.folder + "/state"], check=True)


class Descriptors(unittest.TestCase):
    def test_without_a_free_one_states_are_saved_and_a_reload_is_told_why_it_was_not(self):
        with Counter("--checkpoint-interval", "0") as worker, contextlib.ExitStack() as opened:
            worker.wait_ready()

            def connect():
                lines = worker.connect()
                opened.enter_context(contextlib.closing(lines.stream))
                return lines

            asking = connect()

            def ask(command, **params):
                asking.send({"id": 1, "command": command, "params": params})
                return asking.next(PATIENCE)

            ask("ping")
            # The limit is drawn where no number above it is in use: one that is given up there would be of no use.
            highest, lowest_free = 1, 0
            while lowest_free < highest:
                another = connect()
                another.send({"id": 1, "command": "ping"})
                another.next(PATIENCE)  # so it has been accepted
                used = {int(name) for name in os.listdir(f"/proc/{worker.process.pid}/fd")}
                highest, lowest_free = max(used), next(number for number in range(4096) if number not in used)
            limit = resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, (lowest_free, limit[1]))

            self.assertTrue(ask("inc")["success"])
            saved = ask("checkpoint")
            self.assertTrue(saved["success"], saved)
            given_up = ask("reload", force=True)["result"]
            self.assertEqual(given_up["verdict"], "abandoned")  # that says nothing about the program
            self.assertIn("Too many open files", given_up["reason"])
            said = None  # a number or two may have become free
            while said is None:
                other = connect()
                with contextlib.suppress(TimeoutError):
                    said = other.next(0.2)
            self.assertIn("descriptors", said["error"]["message"])
            resource.prlimit(worker.process.pid, resource.RLIMIT_NOFILE, limit)
            self.assertEqual(ask("reload", force=True)["result"]["verdict"], "ok")
            opened.close()
            self.assertEqual(worker.increment(), 2)


class Forgetting(unittest.TestCase):
    @needs_strace
    def test_a_rollback_is_durable_before_it_goes(self):
        with Counter("--checkpoint-interval", "0") as worker:
            worker.wait_ready()
            worker.increment()
            first = worker.ask("checkpoint")["sequence"]
            worker.increment()
            trace = worker.folder + "/trace"
            with Trace(worker.process.pid, "-o", trace, "-s", "400", "-e", "trace=write,sendto,sendmsg,fdatasync"):
                self.assertEqual(worker.ask("rollback", sequence=first, yes=True)["verdict"], "ok")
            with open(trace) as file:
                calls = [line for line in file if "fdatasync" in line or '\\"live\\"' in line or '\\"go\\"' in line]
            live = next(i for i, line in enumerate(calls) if '\\"live\\"' in line)
            go = next(i for i, line in enumerate(calls) if '\\"go\\"' in line)
            durable = [i for i, line in enumerate(calls) if "fdatasync" in line and "= 0" in line]
            self.assertTrue(any(live < i < go for i in durable), calls)
            self.assertEqual(worker.increment(), 2)


class Lies(unittest.TestCase):
    @needs_strace
    def test_a_write_that_was_none_is_no_snapshot(self):
        with Counter("--checkpoint-interval", "0") as worker:
            worker.wait_ready()
            worker.increment()
            kept = worker.ask("checkpoint")["sequence"]
            before = worker.snapshots()
            for call in range(1, 6):
                worker.increment()
                with Trace(worker.process.pid, "-o", "/dev/null", "-e", "trace=pwrite64", "-e",
                           f"inject=pwrite64:retval=10:when={call}"):  # fmt: skip
                    answer = worker.answer("checkpoint")
                if answer["success"]:
                    break  # it has no more calls than that
                self.assertIn("not what was written", answer["error"]["message"])
                self.assertEqual(worker.snapshots(), before)
            self.assertGreaterEqual(call, 3)
            self.assertGreater(worker.ask("checkpoint")["sequence"], kept)


if __name__ == "__main__":
    unittest.main(verbosity=2)
