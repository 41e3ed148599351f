#!/usr/bin/env python3
"""The laboratory itself: its reader agrees with the supervisor, refuses what is damaged, and its eyes see what is left."""

import os
import sys
import unittest

import frames
import lab


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
            before = place.leftovers()  # maybe that of a checkpoint that was under way
            with open(place.snapshots + "/.snapshot-9.1.tmp", "w"):
                self.assertEqual(len(place.leftovers()), len(before) + 1)


if __name__ == "__main__":
    os.chdir("/")
    sys.exit(unittest.main())
