#!/usr/bin/env python3
"""The laboratory itself: its reader agrees with the supervisor, refuses what is damaged, and its eyes see what is left."""

import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import crash_points
import frames
import injection
import lab
import operations


needs_strace = unittest.skipIf(lab.no_strace(), lab.no_strace())


class Laboratory(unittest.TestCase):
    def test_reader_agrees_with_the_supervisor(self):
        with lab.Place() as place:
            place.start().wait_ready()
            self.assertEqual(place.ask("add", n=7), {"count": 1, "last": 7})
            sequence = place.ask("checkpoint")["sequence"]
            envelope, state = frames.newest(place.snapshots)
            self.assertEqual((envelope["sequence"], state), (sequence, {"count": 1, "last": 7}))
            self.assertEqual(place.stop(), 0)
            self.assertEqual((place.wait_gone(), place.leftovers()), ({}, []))

    def test_reader_refuses_each_changed_byte(self):
        with lab.Place() as place:
            place.start().wait_ready()
            place.ask("add", n=7)
            place.stop()
            _, path = frames.snapshots(place.snapshots)[0]
            with open(path, "rb") as file:
                data = file.read()
            for at in [*range(0, len(data), 97), data.index(b'"count"'), len(data) - 1]:
                with open(path, "wb") as file:
                    file.write(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
                with self.assertRaises(frames.Broken, msg=f"byte {at}"):
                    frames.read_snapshot(path)

    def test_eyes_see_a_process_a_temporary_file_and_a_lock(self):
        with lab.Place() as place:
            place.start().wait_ready()
            self.assertGreaterEqual(len(place.processes()), 2)
            self.assertTrue(any("lock held" in line for line in place.leftovers()))
            place.kill()
            place.wait_gone()
            with open(place.snapshots + "/.snapshot-9.1.tmp", "w"):
                self.assertTrue(any(line.endswith("snapshot-9.1.tmp") for line in place.leftovers()))

    def test_where_strace_may_not_attach_it_is_skipped_aloud(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}"):
            with open(folder + "/strace", "w") as file:
                file.write("#!/bin/sh\necho 'strace: attach: ptrace(PTRACE_SEIZE, 1): Operation not permitted' >&2\nexit 1\n")
            os.chmod(folder + "/strace", 0o755)
            for laboratory in ("crash_points", "crash_states", "error_cells"):
                words = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), laboratory + ".py")]
                ran = subprocess.run(words, capture_output=True, text=True, timeout=lab.PATIENCE, check=False)
                self.assertEqual(ran.returncode, lab.SKIPPED, ran.stdout + ran.stderr)
                self.assertRegex(ran.stdout, "(?m)^SKIPPED: strace may not attach: .*Operation not permitted")

    @needs_strace
    def test_crash_points_find_a_lost_state_and_a_life_too_many(self):
        def lose(place):
            for _, path in frames.snapshots(place.snapshots):
                os.unlink(path)
            for name in os.listdir(place.worker_folder):
                if name.startswith("emergency-"):
                    os.unlink(f"{place.worker_folder}/{name}")

        def live_on(place):
            with open(place.note("lives"), "a") as file:
                file.write("999 1\n")

        operation = operations.operation("checkpoint", "python")
        fsync = injection.Call(injection.POOL, "fsync", 1, 1, None, "")
        for break_it, told in ((lose, "counts 0"), (live_on, "had an effect after generation 999")):
            with operation.place() as place, mock.patch.object(crash_points, "check_disk", break_it):
                place.start().wait_ready()
                place.count("add")
                with self.assertRaisesRegex(operations.Violated, told):
                    crash_points.kill_supervisor(place, operation, fsync)

    @needs_strace
    def test_error_cells_find_a_rename_that_only_says_so(self):
        operation = operations.operation("checkpoint", "python")
        rename = injection.Call(injection.POOL, "renameat2", 1, 1, None, "")
        with operation.place() as place:
            operation.prepare(place)
            with self.assertRaisesRegex(operations.Violated, "was acknowledged"):
                injection.execute(place, operation, injection.POOL, lambda place: rename.inject(place, "retval=0"))


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(unittest.main())
