#!/usr/bin/env python3
"""The C++ library: components, states of another schema, variables that change.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/cpp_parts_test.py [TEST…]; exits 77 without g++.
"""

import json
import os
import signal
import tempfile
import unittest

from cpp_support import CppSupervisor, main, program
from python_support import FakeSupervisor, RealSupervisor


def worker(*words, **more):
    return FakeSupervisor(command=[program("worker"), *words], **more)


class Parts(CppSupervisor):
    def __init__(self, *options):
        RealSupervisor.__init__(self, program("worker"), *options, name="program", command=["./program", "parts"])

    def state(self):
        """As the newest snapshot has it."""
        sequence = self.ask("checkpoint")["sequence"]
        return self.ask("snapshot", sequence=sequence)["state"]


class Components(unittest.TestCase):
    def test_they_start_in_order_and_stop_in_reverse_and_each_stands_for_itself(self):
        with worker("parts") as parts:
            parts.go()
            parts.wait_output("live")
            self.assertEqual(parts.told().splitlines(), [
                "cache starts with null", "zeroth: component broken did not start: no such host",
                "zeroth: component slow did not start: not done within 0.0 s", "last starts", "live"])  # fmt: skip
            parts.ask("stop", deadline_ms=20_000)
            self.assertEqual(parts.wait_exit(), 0)
            self.assertEqual(parts.told().splitlines()[5:], ["last stops", "zeroth: component slow did not stop in time", "cache stops"])

    def test_what_is_captured_is_a_part_of_the_state_and_comes_back(self):
        with worker("parts") as parts:
            parts.go()
            parts.wait_output("live")
            for value in (1, 2):
                parts.ask("call", command="put", params={"value": value})
            state = parts.hold()
            self.assertEqual(state, {"count": 0, "cache": [1, 2]})
        with worker("parts") as parts:
            parts.go(state, "parts/1")
            self.assertEqual((parts.summary["kept"]["names"], parts.summary["removed"]["count"]), (["count", "cache"], 0))
            parts.wait_output("live")
            self.assertIn("cache starts with [1,2]\n", parts.told())
            parts.ask("call", command="put", params={"value": 3})
            parts.lines.stream.close()
            self.assertEqual(parts.wait_exit(), 0)
            with open(parts.emergency) as file:
                self.assertEqual(json.load(file), {"count": 0, "cache": [1, 2, 3]})

    def test_a_cut_before_it_is_started_leaves_its_part_as_it_was_and_a_call_waits(self):
        with tempfile.TemporaryDirectory(prefix="zeroth-cpp-") as folder:
            path = os.path.join(folder, "fifo")
            os.mkfifo(path)
            with worker("parts", path) as parts:
                parts.go({"count": 0, "cache": [1]}, "parts/1")
                self.assertEqual(parts.ask("checkpoint", hold=False)["state"], {"count": 0, "cache": [1]})
                put = parts.send("call", command="put", params={"value": 2})
                cut = parts.send("checkpoint", hold=True, deadline_ms=20_000)
                parts.ask("ping")
                self.assertEqual(parts.answers, {})
                with open(path, "w") as fifo:
                    fifo.write("go")
                self.assertTrue(parts.answer(put)["success"])
                self.assertEqual(parts.answer(cut)["result"]["state"], {"count": 0, "cache": [1, 2]})
        with worker("parts", "fails") as parts:
            parts.go({"count": 0, "cache": [1]}, "parts/1")
            parts.wait_output("live")
            self.assertEqual(parts.hold(), {"count": 0, "cache": [1]})

    def test_one_that_cannot_be_captured_stays_as_it_was_and_save_says_so(self):
        for how, why in (("throws", "no memory of it"), ("hangs", "not done within 3.0 s")):
            with worker("parts", how) as parts:
                parts.go({"count": 0, "cache": [7]}, "parts/1")
                parts.wait_output("live")
                parts.ask("call", command="put", params={"value": 8})
                self.assertEqual(parts.ask("checkpoint", hold=False)["state"], {"count": 0, "cache": [7, 8]})
                parts.ask("call", command="spoil")
                call = parts.send("call", command="save")
                save = parts.event("save")
                self.assertEqual(parts.ask("checkpoint", hold=False)["state"], {"count": 0, "cache": [7, 8]})
                parts.lines.send({"id": save["id"], "success": True, "result": {"sequence": 9}, "error": None})
                self.assertEqual(parts.answer(call)["error"]["message"],
                                 f"save: component cache could not be captured, its part stays as it was: {why}")  # fmt: skip
                self.assertEqual(parts.hold(), {"count": 0, "cache": [7, 8]})
                self.assertEqual(parts.told().count(why), 1, "told once, not at every cut")

    def test_a_part_that_cannot_be_kept_fails_the_checkpoint_with_its_place(self):
        with worker("parts", "unfit") as parts:
            parts.go()
            parts.wait_output("live")
            parts.ask("call", command="spoil")
            error = parts.answer(parts.send("checkpoint", hold=False))["error"]
            self.assertEqual(error["message"], "/cache/1: text that is no UTF-8; use zeroth::Bytes")
            parts.ask("ping")

    def test_under_the_real_supervisor_it_goes_on_over_an_edit_and_a_kill(self):
        with Parts("--checkpoint-interval", "0") as real:
            real.wait_ready()
            real.ask("put", value=1)
            real.edit(program("worker"), "edited")
            reload = real.wait_ready(2)["last_reload"]
            self.assertEqual((reload["verdict"], reload["mode"]), ("ok", "overlap"))
            real.ask("put", value=2)
            real.ask("save")
            os.kill(real.wait_ready()["pid"], signal.SIGKILL)
            real.wait_ready(3)
            real.ask("put", value=3)
            self.assertEqual(real.state()["cache"], [1, 2, 3])


class Migration(unittest.TestCase):
    def test_from_1_to_2_and_back_to_1(self):
        with worker("shop", "1") as first:
            _, loaded, _ = first.go()
            self.assertEqual(loaded["migrate"], ["shop/2"])
            first.ask("call", command="visit", params={"name": "anna"})
            one = first.ask("checkpoint", hold=True)
        with worker("shop", "2") as second:
            _, loaded, _ = second.go(one["state"], one["schema"])
            self.assertIs(loaded["migrate"], True)
            self.assertEqual(second.summary["kept"]["names"], ["list"])
            self.assertEqual(second.ask("call", command="visit", params={"name": "anna"}), 2)
            two = second.ask("checkpoint", hold=True)
            self.assertEqual(two["schema"], "shop/2")
            self.assertEqual(list(two["state"]), ["list"])
        with worker("shop", "1") as back:
            back.go(two["state"], two["schema"])
            self.assertEqual(back.ask("call", command="visit", params={"name": "anna"}), 3)

    def test_what_fails_or_leads_nowhere_is_refused_with_advice_and_another_state_may_come(self):
        for words, state, schema, message, hint in (
            (("2",), {}, "shop/0", "migrate from shop/0 to shop/2: no way from shop/0", "correct migrate, or start without"),
            (("2",), {"visits": 1}, "shop/1", "migrate from shop/1 to shop/2: /: expected an object, found an integer", "correct migrate"),
            (("2", "no object"), {"visits": {}}, "shop/1", "migrate from shop/1 to shop/2: it gave no object", "return the state"),
            (("1",), {}, "shop/3", "the kept state has schema shop/3, this program has shop/1", 'say with migrate("shop/3", …)'),
        ):
            with worker("shop", *words) as shop:
                shop.event("loaded")
                error = shop.answer(shop.send("restore", generation=1, schema=schema, state=state))["error"]
                self.assertEqual((error["code"], error["message"]), ("refused", message))
                self.assertTrue(error["hint"].startswith(hint), error)
                shop.ask("restore", generation=1, state=None)
                shop.event("ready")


class Environment(unittest.TestCase):
    def test_callbacks_hear_of_a_change_and_one_that_fails_hinders_nobody(self):
        with worker("settings", LEVEL="info", GONE="soon", SAME="1") as settings:
            _, loaded, ready = settings.go()
            self.assertIn("env", loaded["capabilities"])
            self.assertNotIn("capabilities", ready)
            names = {"LEVEL": "debug", "URL": "there", "SAME": "1", "OTHER": "x=y", "HANGS": "yes"}
            self.assertEqual(settings.ask("env", set=names, unset=["GONE", "NEVER"]), {
                "applied": ["GONE", "LEVEL", "NEVER", "OTHER", "SAME"],
                "failed": {"HANGS": "not done within 1.0 s", "URL": "cannot connect"}})  # fmt: skip
            self.assertEqual(settings.ask("call", command="heard"),
                             ["GONE: soon -> (none) unset", "LEVEL: info -> debug set", "URL: (none) -> there set"])  # fmt: skip
            self.assertEqual(settings.ask("call", command="all"), ["GONE=(none)", "HANGS=yes", "LEVEL=debug", "OTHER=x=y", "URL=there"])
            for name, value in {**names, "GONE": None}.items():
                self.assertEqual(settings.ask("call", command="shown", params={"name": name}), {"value": value})
            self.assertEqual(settings.ask("env", set={"LEVEL": "debug"}), {"applied": ["LEVEL"]})
            self.assertEqual(settings.ask("call", command="heard"), [], "nothing changed")

    def test_what_is_no_name_or_no_text_is_refused_and_changes_nothing(self):
        with worker("settings") as settings:
            settings.go()
            for params in ({"set": {"A=B": "1", "LEVEL": "1"}}, {"set": {"LEVEL": "1", "URL": 1}}, {"set": {"LEVEL": "a\0b"}},
                           {"set": []}, {"unset": "LEVEL"}, {"set": {"LEVEL": "1", "": "1"}}, {"unset": [1], "set": {"LEVEL": "1"}}):  # fmt: skip
                self.assertEqual(settings.answer(settings.send("env", **params))["error"]["code"], "bad_params", params)
            self.assertEqual(settings.ask("call", command="shown", params={"name": "LEVEL"}), {"value": None})


if __name__ == "__main__":
    main()
