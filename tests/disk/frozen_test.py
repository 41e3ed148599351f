#!/usr/bin/env python3
"""The state's file system is frozen under a running supervisor: every write, fsync, open, rename and unlink there hangs. What
runs is asked, watched and reloaded as before, what needs the disk says so, and after the thaw nothing is lost or out of order.
Exits 77 where no image can be mounted."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "faults"))
import lab  # noqa: E402
from disks import loop_image  # noqa: E402

SOON = 5.0  # seconds for an answer that waits for no disk, which is given up after 10
LATE = 60.0  # for one that does

COUNTER = """
import os, zeroth
w = zeroth.worker(schema="counter/1")
@w.command("inc")
def inc():
    with w.atomic():
        S["n"] += 1
        return S["n"]
@w.command("get")
def get():
    return S["n"]
@w.command("die")
def die():
    os._exit(3)
S = w.restore({"n": 0})
for _ in w.every(3600): pass
"""


SILENT = "import signal; signal.pause()"


class Frozen(lab.Place):
    """A program, a counter if nothing else is said, whose state lies on a file system of its own."""

    def __init__(self, *options, code=COUNTER, **more):
        self.image = loop_image.LoopImage("ext4")
        self.is_frozen = False
        super().__init__(code, *options, root=self.image.mount, **more)

    @contextlib.contextmanager
    def freeze(self):
        subprocess.run(["fsfreeze", "--freeze", self.image.mount], check=True)
        self.is_frozen = True
        try:
            yield
        finally:
            self.thaw()

    def thaw(self):
        if self.is_frozen:
            subprocess.run(["fsfreeze", "--unfreeze", self.image.mount], check=True)
        self.is_frozen = False

    def answer_soon(self, command, **params):
        answer = self.request(command, SOON, **params)
        if not answer["success"]:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer["result"]

    @contextlib.contextmanager
    def asked_all_along(self):
        """ping and status are asked again and again until the block ends, and each is answered."""
        over, failed, asked = threading.Event(), [], []

        def ask():
            while not over.wait(0.02):
                try:
                    self.answer_soon("ping")
                    self.answer_soon("status")
                    asked.append(1)
                except (OSError, AssertionError) as error:
                    failed.append(error)
                    return

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
        if failed or not asked:
            raise AssertionError(f"not answered after {len(asked)} times: {failed}\n{self.told()}")

    def journal(self):
        """Lines of generations.jsonl; each must be whole."""
        with open(self.worker_folder + "/generations.jsonl") as file:
            return [json.loads(line) for line in file]

    def end(self):
        self.thaw()
        super().end()
        self.image.end()


class FrozenTest(unittest.TestCase):
    def check_journal(self, place):
        lines = place.journal()
        spawned = [line["generation"] for line in lines if line["event"] == "spawned"]
        self.assertEqual(spawned, list(range(1, len(spawned) + 1)))
        live = [line["generation"] for line in lines if line["event"] == "live"]
        self.assertEqual(live[-1], place.ask("status")["workers"][0]["generation"])
        return lines

    def test_all_but_what_needs_the_disk_goes_on(self):
        with Frozen("--checkpoint-interval", "100ms") as place:
            place.start().wait_ready()
            self.assertEqual(place.ask("inc"), 1)
            with place.freeze(), place.asked_all_along():
                self.assertEqual(place.answer_soon("inc"), 2)
                self.assertEqual(place.answer_soon("get"), 2)
                os.kill(place.process.pid, signal.SIGUSR1)  # the log is to be opened anew, which hangs as well
                # The reload is given up when its process could not be started, and says why.
                given_up = place.request("reload", LATE, force=True)["result"]
                self.assertEqual(given_up["verdict"], "abandoned", given_up)
                self.assertIn("the disk has not answered for", given_up["reason"])
                told = place.wait(lambda worker: worker["snapshot"]["degraded"])
                self.assertIn("has not answered for", told["snapshot"]["degraded"])
                self.assertEqual(told["state"], "ready")
                self.assertEqual(place.answer_soon("inc"), 3)
                refused = place.request("stop", LATE)
                self.assertIn("cannot be saved", refused["error"]["message"])
                self.assertEqual(place.answer_soon("inc"), 4)
            place.wait(lambda worker: worker["snapshot"]["degraded"] is None)
            self.assertEqual(place.ask("reload", force=True)["verdict"], "ok")
            self.assertEqual(place.ask("get"), 4)
            lines = self.check_journal(place)
            verdicts = [line["receipt"]["verdict"] for line in lines if line["event"] == "receipt"]
            self.assertEqual((verdicts[0], verdicts[-1]), ("ok", "ok"))
            self.assertIn("abandoned", verdicts)
            self.assertEqual(place.stop(LATE), 0, place.told())
            with open(place.state + "/supervisor.log") as log:
                text = log.read()
            self.assertLess(text.index('"verdict":"abandoned"'), text.rindex('"verdict":"ok"'))
            self.assertIn('"state":"stopped"', text.splitlines()[-1])
            place.start().wait_ready()
            self.assertEqual(place.ask("get"), 4)

    def test_a_crash_is_told_at_once_and_mended_after_the_thaw(self):
        with Frozen("--checkpoint-interval", "0") as place:
            place.start().wait_ready()
            for _ in range(3):
                place.ask("inc")
            place.ask("checkpoint")
            with place.freeze(), place.asked_all_along():
                with contextlib.suppress(OSError):
                    place.request("die", SOON)
                crashed = place.wait(lambda worker: worker["state"] != "ready", SOON)
                self.assertIn("exited with code 3", crashed["last_exit"]["meaning"])
                place.wait(lambda worker: worker["state"] == "backoff", LATE)  # a try that the disk did not answer
            place.wait(lambda worker: worker["state"] == "ready", LATE)
            self.assertEqual(place.ask("get"), 3)
            self.check_journal(place)
            self.assertEqual([name for name in os.listdir(place.worker_folder) if name.startswith("alive-")],
                             [f"alive-{place.ask('status')['workers'][0]['generation']}"])  # fmt: skip
            self.assertEqual(place.stop(LATE), 0, place.told())

    def test_the_crash_of_a_program_that_does_not_speak_is_told_at_once_as_well(self):
        with Frozen(code=SILENT, protocol=False) as place:
            place.start()
            pid = place.wait_ready()["pid"]
            with place.freeze(), place.asked_all_along():
                os.kill(pid, signal.SIGKILL)
                crashed = place.wait(lambda worker: worker["state"] != "ready", SOON)
                self.assertIn("SIGKILL", crashed["last_exit"]["meaning"])
                place.wait(lambda worker: worker["state"] == "backoff", LATE)
            place.wait(lambda worker: worker["state"] == "ready", LATE)
            self.assertEqual(place.stop(LATE), 0, place.told())

    def test_killed_while_it_is_frozen_it_goes_on_from_what_was_committed(self):
        with Frozen("--checkpoint-interval", "0") as place:
            place.start().wait_ready()
            place.ask("inc")
            place.ask("checkpoint")
            with place.freeze():
                place.answer_soon("inc")
                reload = threading.Thread(target=self.reload, args=(place,))
                reload.start()
                place.wait(lambda worker: worker["state"] == "ready", SOON)  # it is asked for
                os.kill(place.process.pid, signal.SIGKILL)  # what hangs in the kernel is let go by the thaw
                reload.join(LATE)
            place.process.wait(LATE)
            place.wait_gone()
            highest = max(line.get("generation", 0) for line in place.journal())
            place.start()
            worker = place.wait(lambda worker: worker["state"] == "ready", LATE)
            self.assertGreater(worker["generation"], highest)
            self.assertGreaterEqual(place.ask("get"), 1)
            place.stop(LATE)

    @staticmethod
    def reload(place):
        with contextlib.suppress(OSError, ValueError):
            place.request("reload", LATE, force=True)


def main():
    lab.own_mounts()
    lab.need("fsfreeze", "mkfs.ext4")
    try:
        loop_image.LoopImage("ext4").end()
    except loop_image.Unavailable as error:
        lab.skip(error)
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
