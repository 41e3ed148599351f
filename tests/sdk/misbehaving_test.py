#!/usr/bin/env python3
"""Workers that break the protocol, all in one fleet under the real supervisor: each gets a clear verdict, and nobody else
notices, least of all one that is asked all the while. The supervisor's memory stays what it was.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/misbehaving_test.py [TEST…]
"""

import os
import re
import subprocess
import sys
import threading
import time
import unittest

from python_support import PATIENCE, RealSupervisor, binary, clean_environment

WORKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "misbehaving_worker.py")
MUCH = 160 << 10  # KiB that the supervisor's memory may grow by: 64 MiB may wait for a worker; what is sent is 2 GiB
LONG = 240.0  # s for 2 GiB to be read on a machine with other things to do
FROM_THE_START = ("silent", "garbage_first", "hangs_loading")
LATER = ("garbage", "half", "endless", "flood", "shout", "pester", "hangs", "late", "twice", "lies", "ready_again")


def member(name):
    timeout = 'start_timeout = "2s"' if name in FROM_THE_START else ""
    command = ", ".join(f'"{word}"' for word in (sys.executable, "-u", WORKER, name))
    return f"[worker.{name}]\ncommand = [{command}]\nprotocol = true\ncheckpoint_interval = 0\n{timeout}\n"


class Fleet(RealSupervisor):
    def __init__(self, names):
        super().__init__("".join(member(name) for name in names), name="fleet.toml", command=[])

    def start(self):
        self.log = open(self.folder + "/log", "a+")
        words = [binary("zeroth-supervise"), "--state-dir", self.folder + "/state", "--runtime-dir", self.folder + "/run"]
        self.process = subprocess.Popen([*words, self.program], cwd=self.folder, env=clean_environment(), stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=self.log, start_new_session=True)  # fmt: skip

    def one(self, name):
        return next(worker for worker in self.ask("status")["workers"] if worker["name"] == name)

    def wait_one(self, name, accepts, seconds=PATIENCE):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                worker = self.one(name)
                if accepts(worker):
                    return worker
            except (OSError, KeyError, StopIteration):
                worker = None  # not listening yet
            threading.Event().wait(0.05)
        raise AssertionError(f"{name} did not get there: {worker}\n{self.told()[-3000:]}")

    def peak(self):
        """KiB of memory that the supervisor ever had."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1))


class Steady(threading.Thread):
    """Asks one worker again and again, and expects each answer to count one more."""

    def __init__(self, fleet, name):
        super().__init__(daemon=True)
        self.fleet, self.worker, self.count, self.longest, self.problems, self.ended = fleet, name, 0, 0.0, [], threading.Event()

    def run(self):
        while not self.ended.is_set():
            began = time.monotonic()
            try:
                count = self.fleet.ask("inc", worker=self.worker)["count"]
            except Exception as error:  # whatever it is, the client saw it
                self.problems.append(repr(error)[:300])
                continue
            self.longest = max(self.longest, time.monotonic() - began)
            self.count += 1
            if count != self.count:
                self.problems.append(f"{count} instead of {self.count}")
                self.count = count
            self.ended.wait(0.01)


class Misbehaving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fleet = Fleet(["healthy", *FROM_THE_START, *LATER])
        cls.addClassCleanup(cls.fleet.__exit__)
        for name in ("healthy", *LATER):
            cls.fleet.wait_one(name, lambda worker: worker["state"] == "ready", 60)
        cls.peak, cls.healthy = cls.fleet.peak(), cls.fleet.one("healthy")
        cls.steady = Steady(cls.fleet, "healthy")
        cls.steady.start()

    @classmethod
    def tearDownClass(cls):
        cls.steady.ended.set()
        cls.steady.join(PATIENCE)
        print(f"{cls.steady.count} answers beside it, the longest after {cls.steady.longest:.2f} s; "
              f"memory grew by {cls.fleet.peak() - cls.peak} KiB to {cls.fleet.peak()} KiB", file=sys.stderr)  # fmt: skip

    def tearDown(self):
        """In any case: the healthy one is who it was and missed nothing, and the memory did not grow."""
        healthy = self.fleet.one("healthy")
        self.assertEqual([healthy[key] for key in ("pid", "generation", "restarts", "state")],
                         [self.healthy["pid"], 1, 0, "ready"])  # fmt: skip
        self.assertEqual(self.steady.problems, [])
        self.assertLess(self.fleet.peak() - self.peak, MUCH)

    def begin(self, name):
        self.fleet.ask("inc", worker=name)
        self.fleet.ask("checkpoint", worker=name)
        self.fleet.ask("begin", worker=name)

    def expect_restarted(self, name, why):
        """Killed with a reason, and going on from its state."""
        worker = self.fleet.wait_one(name, lambda worker: worker["state"] == "ready" and worker["generation"] == 2, 60)
        self.assertEqual(worker["restarts"], 1)
        self.assertRegex(worker["last_exit"]["meaning"], why)
        self.assertEqual(self.fleet.ask("inc", worker=name)["count"], 2)
        return worker

    def expect_lives_on(self, name, count):
        worker = self.fleet.one(name)
        self.assertEqual((worker["state"], worker["generation"], worker["restarts"]), ("ready", 1, 0))
        self.assertEqual(self.fleet.ask("inc", worker=name)["count"], count)

    def test_who_never_speaks_or_never_loads_is_ended_at_the_deadline_and_tried_again(self):
        for name, why in (("silent", "no hello within 2 s"), ("hangs_loading", "(not loaded|no hello) within 2 s"),
                          ("garbage_first", "not a message on the channel")):  # fmt: skip
            worker = self.fleet.wait_one(name, lambda worker: worker["last_exit"] and worker["restarts"] > 0)
            self.assertRegex(worker["last_exit"]["meaning"], why)
            self.assertIn(worker["state"], ("backoff", "starting", "failed"))
            self.assertEqual(self.fleet.ask("snapshots", worker=name)["total"], 0)

    def test_garbage_on_the_channel(self):
        self.begin("garbage")
        self.expect_restarted("garbage", "not a message on the channel")

    def test_half_a_message_and_an_end(self):
        self.begin("half")
        self.expect_restarted("half", "closed its channel")

    def test_two_gigabytes_without_the_end_of_a_line(self):
        self.begin("endless")
        self.expect_restarted("endless", "longer than 1 MiB")

    def test_what_comes_at_the_wrong_time(self):
        self.begin("ready_again")
        self.expect_restarted("ready_again", "a second ready")

    def test_two_gigabytes_of_events(self):
        self.begin("flood")
        self.fleet.wait_one("flood", lambda worker: worker["beat"] and worker["beat"].get("status") == "done", LONG)
        self.expect_lives_on("flood", 2)

    def test_much_on_stdout(self):
        self.begin("shout")
        self.fleet.wait_one("shout", lambda worker: worker["beat"] and worker["beat"].get("status") == "done", LONG)
        self.expect_lives_on("shout", 2)

    def test_a_million_messages_that_are_wrong(self):
        self.begin("pester")
        self.fleet.wait_one("pester", lambda worker: worker["beat"] and worker["beat"].get("status") == "done", LONG)
        self.expect_lives_on("pester", 2)

    def test_who_hangs_is_found_by_its_missing_beat(self):
        self.begin("hangs")
        self.expect_restarted("hangs", ".")
        self.assertRegex(self.fleet.told(), r"hangs\W.*unhealthy: no beat for")

    def test_an_answer_that_comes_too_late_is_nobodys_answer(self):
        self.begin("late")
        with self.assertRaisesRegex(AssertionError, "'timeout'.*no answer within 5 s.*'executed': 'unknown'"):
            self.fleet.ask("inc", worker="late", late=True)
        self.fleet.wait_one("late", lambda worker: worker["state"] == "ready")
        self.assertIn(self.patiently("late"), (3, 4))  # what was late was done; a question may be late behind it
        self.assertEqual(self.fleet.one("late")["generation"], 1)

    def patiently(self, name):
        """The answer to a question that may wait behind what is late."""
        try:
            return self.fleet.ask("inc", worker=name)["count"]
        except AssertionError:
            return self.fleet.ask("inc", worker=name)["count"]

    def test_an_answer_that_comes_twice_is_counted_once(self):
        for count in range(1, 20):
            self.assertEqual(self.fleet.ask("inc", worker="twice")["count"], count)

    def test_a_snapshot_that_was_never_written_is_refused_and_the_one_before_stays(self):
        self.begin("lies")
        for _ in range(2):
            with self.assertRaisesRegex(AssertionError, "announced 2147483648 bytes and wrote 0"):
                self.fleet.ask("checkpoint", worker="lies")
        worker = self.fleet.one("lies")
        self.assertIn("announced 2147483648 bytes", worker["snapshot"]["degraded"])
        os.kill(worker["pid"], 9)
        self.expect_restarted("lies", "SIGKILL")


if __name__ == "__main__":
    unittest.main()
