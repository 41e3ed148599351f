#!/usr/bin/env python3
"""Errors of the disk while a worker runs: what a failed fsync of the folder leaves, and a state folder that may not be written
for a while. Exits 77 where strace may not attach."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "faults"))
import lab  # noqa: E402
from disk_test import Counter, Trace  # noqa: E402


def failing(worker, calls, error):
    """These calls on the folder of the snapshots, and on names in it, fail."""
    folder = worker.folder + "/state/t/snapshots"
    return Trace(worker.process.pid, "-o", "/dev/null", "-P", folder, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}")


def newest_reported(worker):
    return worker.ask("status")["workers"][0]["snapshot"]["sequence"]


class FolderFsync(unittest.TestCase):
    def test_what_may_be_forgotten_is_neither_reported_nor_undone(self):
        with Counter("--checkpoint-interval", "0") as worker:
            worker.wait_ready()
            worker.increment()
            before = worker.ask("checkpoint")["sequence"]
            worker.increment()
            with failing(worker, "fsync", "EIO"):
                refused = worker.answer("checkpoint")
            self.assertFalse(refused["success"], refused)
            self.assertIn("Input/output error", refused["error"]["message"])
            left = [int(name.removeprefix("snapshot-").removesuffix(".json")) for name in worker.snapshots()]
            self.assertEqual(left[-1], before + 1)  # it has its name
            self.assertEqual(newest_reported(worker), before)
            again = worker.ask("checkpoint")["sequence"]
            self.assertGreater(again, left[-1])
            self.assertEqual(newest_reported(worker), again)
            self.assertEqual(worker.end(), 0)


class NotWritable(unittest.TestCase):
    def check(self, error, told):
        with Counter("--checkpoint-interval", "100ms") as worker:
            worker.wait_ready()
            worker.increment()
            worker.wait_until(lambda status: status["snapshot"]["sequence"])
            before = worker.ask("checkpoint")["sequence"]
            with failing(worker, "openat,renameat2,linkat,unlinkat", error):
                self.assertEqual(worker.increment(), 2)
                late = worker.wait_until(lambda status: status["snapshot"]["degraded"])
                self.assertIn(told, late["snapshot"]["degraded"])
                self.assertEqual(late["state"], "ready")
                worker.wait_told(told)
                refused = worker.answer("checkpoint")
                self.assertIn(told, refused["error"]["message"])
                given_up = worker.ask("reload", force=True)
                self.assertEqual(given_up["verdict"], "abandoned")
                self.assertIn(told, given_up["reason"])
                self.assertEqual(worker.increment(), 3)
            mended = worker.wait_until(lambda status: status["snapshot"]["degraded"] is None)
            self.assertGreater(mended["snapshot"]["sequence"], before)
            self.assertEqual(worker.ask("reload", force=True)["verdict"], "ok")
            self.assertEqual(worker.increment(), 4)
            self.assertEqual(worker.end(), 0)

    def test_a_disk_that_is_read_only_for_a_while(self):
        self.check("EROFS", "Read-only file system")

    def test_a_folder_that_may_not_be_entered_for_a_while(self):
        self.check("EACCES", "Permission denied")


def main():
    lab.need_strace()
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
