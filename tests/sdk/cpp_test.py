#!/usr/bin/env python3
"""The C++ library: behaviour on the channel.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/cpp_test.py [TEST…]; exits 77 without g++.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import unittest

from cpp_support import WARNINGS, WORKER, main, program, run
from python_support import EXAMPLES, PATIENCE, FakeSupervisor, binary, clean_environment

def worker(*words, **more):
    return FakeSupervisor(command=[program("worker"), *words], **more)


class Compilers(unittest.TestCase):
    @unittest.skipUnless(shutil.which("clang++"), "no clang++")
    def test_clang_has_no_warnings_either(self):
        sources = [os.path.join(EXAMPLES, name) for name in ("orbit.cpp", "tally.cpp", "shop.cpp")] + [WORKER]
        for source, standard in zip(sources, ("c++17", "c++20", "c++17", "c++20")):
            run(["clang++", f"-std={standard}", "-fsyntax-only", *WARNINGS, source])


class Channel(unittest.TestCase):
    def test_all_conform(self):
        for words in ([program("worker")], [program("worker"), "kinds"], [program("worker"), "busy"], [program("orbit")], [program("tally")], [program("shop")]):
            done = subprocess.run([binary("zeroth-worker"), "conformance", "--", *words], env=clean_environment(PORT="0"),
                                  capture_output=True, text=True, timeout=120)  # fmt: skip
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertRegex(done.stdout, r"\b3\d rules hold, 0 failed, [0-3] skipped")

    def test_restore_keeps_adds_and_loses_nothing(self):
        old = {"balls": [{"x": 2.5, "v": 0.25, "name": "b", "gone": 1}, {"x": 3}], "pair": [{"$u64": "18446744073709551615"}, 7], "old": {"$set": [1]}}
        with worker("kinds") as kinds:
            _, loaded, _ = kinds.go(old, "kinds/1")
            self.assertEqual(loaded["initial"]["fresh"], "[2]")
            self.assertEqual(loaded["initial"]["by_number"], '{"$map":[[-1,{"$set":["a","b"]}]]}')
            counts = {key: kinds.summary[key]["names"] for key in ("kept", "added", "removed", "renamed")}
            self.assertEqual(counts, {"kept": ["balls", "pair"], "added": ["by_number", "bits", "mixed", "any", "fresh"],
                                      "removed": ["old"], "renamed": []})  # fmt: skip
            self.assertEqual(kinds.summary["warnings"], ["/balls: 1 members that this program does not read are dropped",
                                                         "1 no longer among the defaults: kept as they are"])  # fmt: skip
            state = kinds.hold()
            self.assertEqual(state, {
                "balls": [{"x": 2.5, "v": 0.25, "name": "b"}, {"x": 3.0, "v": 0.5, "name": None}],
                "pair": [{"$u64": "18446744073709551615"}, 7], "by_number": {"$map": [[-1, {"$set": ["a", "b"]}]]},
                "bits": {"$$bits": [True, False]}, "mixed": {"$tuple": [-5, "x", {"$tuple": [True, 1]}]},
                "any": [None, {"$bytes": "YWI="}], "old": {"$set": [1]}, "fresh": [2], "seen": True})  # fmt: skip
        with worker("kinds") as kinds:
            kinds.go(state, "kinds/1")
            self.assertEqual(kinds.hold(), state)

    def test_a_state_that_does_not_fit_is_refused_and_the_process_goes_on(self):
        for state, schema, why in (
            ({}, "kinds/0", "the kept state has schema kinds/0, this program has kinds/1"),
            ({"balls": [{"x": "far"}]}, "kinds/1", "/balls/0/x: expected a number, found text"),
            ({"balls": {}}, "kinds/1", "/balls: expected an array, found an object"),
            ({"pair": [1]}, "kinds/1", "/pair: 1 items, fewer than the variable has"),
            ({"pair": [1, 2, 3]}, "kinds/1", "/pair/2: more items than the variable has"),
            ({"pair": [1, -1]}, "kinds/1", "/pair/1: -1 is outside the range of the variable"),
            ({"mixed": {"$tuple": [300, "", {"$tuple": [True, 0]}]}}, "kinds/1", "/mixed: 300 is outside the range of the variable"),
            ({"by_number": {"$map": [[1, {"$nothing": 0}]]}}, "kinds/1", "/by_number/$map/0/1/$nothing: unknown tag"),
        ):  # fmt: skip
            with worker("kinds") as kinds:
                kinds.event("loaded")
                refusal = kinds.answer(kinds.send("restore", generation=1, schema=schema, state=state))["error"]
                self.assertEqual((refusal["code"], refusal["message"]), ("refused", why))
                kinds.ask("restore", generation=1, state=None)
                kinds.event("ready")

    def test_a_cut_waits_for_the_section_of_another_thread_and_holds(self):
        with tempfile.TemporaryDirectory(prefix="zeroth-cpp-") as folder:
            path = os.path.join(folder, "fifo")
            os.mkfifo(path)
            with worker("sections", path) as sections:
                sections.go()
                sections.wait_output("late begins")
                cut = sections.send("checkpoint", hold=True, deadline_ms=10_000)
                with self.assertRaises(socket.timeout):
                    sections.answer(cut, 0.2)
                with open(path, "w") as fifo:
                    fifo.write("leave")
                self.assertEqual(sections.answer(cut)["result"]["state"], {"steps": 2, "late": 0})
                sections.ask("ping")
                self.assertNotIn("late was in", sections.told())
                sections.ask("resume")
                sections.wait_output("late was in")
                self.assertEqual(sections.hold(), {"steps": 2, "late": 1})

    def test_a_section_that_does_not_end_fails_the_cut_by_name(self):
        with worker("hang") as hang:
            hang.go()
            hang.wait_output("inside")
            error = hang.answer(hang.send("checkpoint", hold=True, deadline_ms=100))["error"]
            self.assertIn("slow one", error["message"])
            hang.ask("ping")

    def test_no_cut_ever_falls_into_a_section(self):
        with worker("busy") as busy:
            busy.go()
            last = 0
            for _ in range(200):
                counts = busy.hold()["counts"]
                self.assertEqual(counts["a"], counts["b"])
                self.assertGreaterEqual(counts["a"], last)
                last = counts["a"]
                busy.ask("resume")
            busy.ask("stop", deadline_ms=5000)  # threads that catch no Stopped stand still
            self.assertEqual(busy.wait_exit(), 0, busy.told())

    def test_commands(self):
        with worker() as counter:
            _, loaded, _ = counter.go()
            self.assertEqual([each["name"] for each in loaded["commands"]], ["inc", "inc_saved", "fail", "nothing"])
            self.assertEqual(counter.ask("call", command="inc", params={"by": 2}), {"count": 2})
            self.assertEqual(counter.event("beat")["data"], {"iteration": 2, "metrics": {"count": 2.0}, "status": "counts"})
            self.assertEqual(counter.ask("call", command="nothing"), {})
            for params, code, message, hint in (
                ({"command": "inc", "params": {"bi": 2}}, "bad_params", "inc: no parameter is called 'bi'", "did you mean 'by'?"),
                ({"command": "inc", "params": {"by": "x"}}, "bad_params", "/by: expected an integer, found text", None),
                ({"command": "fail"}, "not_found", "no such thing", "look elsewhere"),
                ({"command": "ink"}, "unknown_command", "unknown command 'ink'", "did you mean 'inc'?"),
            ):
                error = counter.answer(counter.send("call", **params))["error"]
                self.assertEqual((error["code"], error["message"], error.get("hint")), (code, message, hint))

    def test_save_in_a_command_is_answered_by_the_cut_it_waits_for(self):
        with worker() as counter:
            counter.go()
            call = counter.send("call", command="inc_saved", params={})
            save = counter.event("save")
            later = counter.send("call", command="inc", params={})
            self.assertEqual(counter.ask("checkpoint", hold=False, deadline_ms=1000)["state"], {"count": 1})
            counter.lines.send({"id": save["id"], "success": True, "result": {"sequence": 9}, "error": None})
            self.assertEqual(counter.answer(call)["result"], {"sequence": 9, "count": 1})
            self.assertEqual(counter.answer(later)["result"], {"count": 2})

    def test_large_states_go_through_the_file_both_ways(self):
        with worker(LARGE="100000") as counter:
            counter.go()
            path = os.path.join(counter.folder, "draft")
            with open(path, "wb") as file:
                file.write(b"#" * 4096)
            result = counter.ask("checkpoint", hold=False, deadline_ms=5000, state_file={"path": path, "offset": 4096})
            self.assertNotIn("state", result)
            with open(path, "rb") as file:
                text = file.read()
            self.assertEqual((text[:4096], len(text)), (b"#" * 4096, 4096 + result["bytes"]))
            self.assertEqual(json.loads(text[4096:])["many"], list(range(100_000)))
            with worker(LARGE="1") as next_one:
                next_one.event("loaded")
                next_one.ask("restore", generation=2, state_file={"path": path, "offset": 4096, "length": result["bytes"]})
                next_one.event("ready")
                next_one.ask("go")
                again = next_one.ask("checkpoint", hold=True, deadline_ms=5000, state_file={"path": path, "offset": 4096})
                with open(path, "rb") as file:
                    self.assertEqual((again["bytes"], file.read()), (result["bytes"], text))

    def test_unchanged_is_said_only_of_what_the_supervisor_calls_durable(self):
        with worker() as counter:
            counter.go()

            def take(hold=False, **more):
                return counter.ask("checkpoint", hold=hold, deadline_ms=5000, **more)

            self.assertIn("state", take(durable=True), "nothing was answered before")
            unchanged = take(durable=True)
            self.assertIs(unchanged["unchanged"], True)
            self.assertNotIn("state", unchanged)
            self.assertEqual(unchanged["schema"], "counter/1")
            self.assertIn("state", take(), "the answer before was lost")
            counter.ask("call", command="inc")
            self.assertEqual(take(durable=True)["state"], {"count": 1})
            self.assertIn("state", take(hold=True, durable=True), "a cut is always given")

    def test_a_state_that_cannot_be_saved_fails_the_checkpoint_only(self):
        with worker(BAD="1") as counter:
            counter.go()
            for hold in (False, True):
                error = counter.answer(counter.send("checkpoint", hold=hold, deadline_ms=1000))["error"]
                self.assertEqual(error["message"], "/names/a~1b: text that is no UTF-8; use zeroth::Bytes")
            self.assertEqual(counter.ask("call", command="inc", params={"by": 2}), {"count": 2})

    def test_by_path_behind_a_wrapper(self):
        with worker(by_path=True) as counter:
            hello, _, _ = counter.go()
            self.assertEqual((hello["key"], hello["pid"]), ("secret", counter.pid))
            self.assertEqual(counter.told(), "start of generation 1\n")
            with open(counter.alive) as file, self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_components_stop_in_reverse_order(self):
        with worker() as counter:
            counter.go()
            counter.hold()
            counter.ask("stop", deadline_ms=5000)
            self.assertEqual(counter.wait_exit(), 0)
            self.assertEqual(counter.told(), "start of generation 1\nsecond 0\nfirst\n")

    def test_sigterm_is_the_default_unless_the_channel_ended(self):
        with worker() as counter:
            counter.go()
            os.kill(counter.pid, signal.SIGTERM)
            self.assertEqual(counter.wait_exit(), -signal.SIGTERM)
            self.assertFalse(os.path.exists(counter.emergency))
        ends = [lambda each: each.lines.stream.shutdown(socket.SHUT_RDWR), lambda each: os.kill(each.pid, signal.SIGTERM)]
        for first, then in (ends, reversed(ends)):
            with worker() as counter:
                counter.go({"count": 7})
                first(counter)
                then(counter)
                self.assertEqual(counter.wait_exit(), 0)
                with open(counter.emergency) as file:
                    self.assertEqual(json.load(file), {"count": 7})

    def test_without_a_supervisor_the_program_just_runs(self):
        done = subprocess.run([program("worker"), "alone"], env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "starts\n3 not saved\nbye\n", "zeroth: component part did not stop: cannot stop\n"))


if __name__ == "__main__":
    main()
