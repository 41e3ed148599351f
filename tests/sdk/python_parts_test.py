#!/usr/bin/env python3
"""The Python library: components, states of another schema, variables that change, commands in help.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/python_parts_test.py [TEST…]
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import unittest

from python_support import PATIENCE, FakeSupervisor, RealSupervisor, binary, clean_environment

PARTS = """
import sys, zeroth
w = zeroth.worker(schema="parts/1")
class Cache:
    def __init__(self): self.found = {}
    def start(self, part):
        print("cache starts with", part, flush=True)
        self.found = part or {}
    def capture(self):
        with w.atomic():
            return dict(self.found)
    def stop(self): print("cache stops", flush=True)
cache = Cache()
def fail(): raise ValueError("no luck")
w.component("cache", start=cache.start, stop=cache.stop, capture=cache.capture)
w.component("broken", start=fail, stop=lambda: print("broken stops", flush=True))
w.component("clock", start=lambda: print("clock starts", flush=True), stop=fail)
w.component("slow", stop=lambda: __import__("threading").Event().wait(), deadline=0.1)
S = w.restore({"count": 0})
print("state", sorted(S), flush=True)
@w.command("put")
def put(key): cache.found[key] = len(cache.found)
@w.command("spoil")
def spoil(): cache.found = None
@w.command("save")
def save(): return {"sequence": w.save()}
for _ in w.every(3600): pass
"""


class Components(unittest.TestCase):
    def test_they_start_in_order_and_stop_in_reverse_each_by_itself(self):
        with FakeSupervisor(PARTS) as worker:
            worker.event("loaded")
            worker.ask("restore", generation=1, schema="parts/1", state={"count": 1, "cache": {"a": 0}})
            worker.event("ready")
            self.assertNotIn("starts", worker.told(), "before go nothing is started")
            worker.ask("go")
            self.assertIn("broken", worker.event("log")["data"]["message"])
            worker.wait_output("clock starts")
            self.assertLess(worker.told().index("cache starts with {'a': 0}"), worker.told().index("ValueError: no luck"))
            worker.hold()
            worker.ask("stop", deadline_ms=10_000)
            self.assertEqual(worker.wait_exit(), 0)
            end = worker.told().split("clock starts\n")[1]
            places = [end.index(what) for what in ("slow did not shut down", "ValueError: no luck", "cache stops")]
            self.assertEqual(places, sorted(places))
            self.assertNotIn("broken stops", end, "what did not start is not stopped")

    def test_each_part_of_the_state_goes_on_and_is_kept_where_it_cannot_be_captured(self):
        with FakeSupervisor(PARTS) as worker:
            worker.event("loaded")
            state = {"count": 1, "cache": {"a": 0}}
            summary = worker.ask("restore", generation=1, schema="parts/1", state=state)
            self.assertEqual(summary["kept"]["names"], ["count", "cache"])
            worker.event("ready")
            self.assertEqual(worker.ask("checkpoint", hold=False, deadline_ms=9000)["state"], state, "not started yet")
            worker.ask("go")
            worker.ask("call", command="put", params={"key": "b"})
            state["cache"]["b"] = 1
            self.assertEqual(worker.hold(), state)
            worker.ask("resume")
            worker.ask("call", command="spoil", params={})
            call = worker.send("call", command="save", params={})
            save = worker.event("save")
            self.assertEqual(worker.ask("checkpoint", hold=False, deadline_ms=9000)["state"], state)
            worker.lines.send({"id": save["id"], "success": True, "result": {"sequence": 3}, "error": None})
            self.assertIn("component cache could not be captured", worker.answer(call)["error"]["message"])

    def test_a_part_and_a_default_of_one_name_are_refused(self):
        code = PARTS.split("w.component")[0] + 'w.component("cache", capture=cache.capture)\nw.restore({"cache": 0})\n'
        run = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE)
        self.assertIn("two parts of the state are called 'cache'", run.stderr)

    def test_without_a_supervisor_they_start_and_stop_too(self):
        code = PARTS.split("w.component")[0] + 'w.component("cache", cache.start, cache.stop, cache.capture)\nw.restore({})\nw.ready()\n'
        run = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "cache starts with None\ncache stops\n", ""))

    def test_they_go_on_over_an_edit(self):
        code = PARTS.replace("sys, zeroth", "zeroth").split('w.component("broken"')[0] + PARTS[PARTS.index("S = w.restore"):]
        with RealSupervisor(code) as supervisor:
            supervisor.wait_ready()
            supervisor.ask("put", key="kept")
            supervisor.edit(code.replace('"cache starts', '"cache goes on'))
            supervisor.wait_ready(2)
            supervisor.ask("put", key="more")
            self.assertIn("cache goes on with {'kept': 0}", supervisor.told())
            sequence = supervisor.ask("save")["sequence"]
            self.assertEqual(supervisor.ask("snapshot", sequence=sequence)["state"]["cache"], {"kept": 0, "more": 1})


ONE = """
import zeroth
w = zeroth.worker(schema="shop/1", migrate={"shop/2": lambda state: {"visits": sum(state["by_name"].values())}})
S = w.restore({"visits": 0})
@w.command("visits")
def visits(): return S
for _ in w.every(3600): pass
"""
TWO = """
import zeroth
w = zeroth.worker(schema="shop/2")
@w.migrate
def migrate(schema, state):
    assert schema == "shop/1"
    return {"by_name": {"unknown": state["visits"]}}
S = w.restore({"by_name": {}})
@w.command("visits")
def visits(): return S
for _ in w.every(3600): pass
"""


class Migration(unittest.TestCase):
    def test_from_one_schema_to_the_next_and_back(self):
        state, schema = {"visits": 7}, "shop/1"
        for code, named, announced in ((TWO, "shop/2", True), (ONE, "shop/1", ["shop/2"]), (TWO, "shop/2", True)):
            with FakeSupervisor(code) as worker:
                _, loaded, _ = worker.go(state, schema)
                self.assertEqual((loaded["migrate"], loaded["schema"]), (announced, named))
                state, schema = worker.hold(), named
                self.assertEqual(state, {"visits": 7} if schema == "shop/1" else {"by_name": {"unknown": 7}})
        with FakeSupervisor(TWO) as worker:  # its own schema is left as it is
            worker.go({"by_name": {"a": 1}}, "shop/2")
            self.assertEqual(worker.hold(), {"by_name": {"a": 1}})

    def test_an_error_in_it_refuses_the_restore_with_its_place(self):
        with FakeSupervisor(TWO) as worker:
            worker.event("loaded")
            refusal = worker.answer(worker.send("restore", generation=1, schema="shop/1", state={"visitors": 7}))["error"]
            line = 1 + TWO.split("\n").index('    return {"by_name": {"unknown": state["visits"]}}')
            self.assertEqual(refusal["message"], f"migrate from shop/1 to shop/2: {worker.program}:{line}: KeyError: 'visits'")
            self.assertEqual(refusal["code"], "refused")
            self.assertIn("correct migrate", refusal["hint"])
        for code, says in ((ONE, "the kept state has schema shop/3, this program has shop/1"),
                           (TWO.replace('{"by_name": {"un', '[] and {"by_name": {"un').replace('"shop/1"', '"shop/3"', 1),
                            "migrate from shop/3 to shop/2 gave list, not a dict")):  # fmt: skip
            with FakeSupervisor(code) as worker:
                worker.event("loaded")
                refusal = worker.answer(worker.send("restore", generation=1, schema="shop/3", state={"visits": 7}))["error"]
                self.assertIn(says, refusal["message"])


    def test_edits_go_from_one_to_the_next_and_back_and_an_error_changes_nothing(self):
        with RealSupervisor(ONE.replace('{"visits": 0}', '{"visits": 7}')) as supervisor:
            supervisor.wait_ready()
            supervisor.edit(TWO)
            supervisor.wait_ready(2)
            self.assertEqual(supervisor.ask("visits"), {"by_name": {"unknown": 7}})
            supervisor.edit(ONE.replace("by_name", "by_session"))
            worker = supervisor.wait(lambda worker: worker["rejected"] or worker["last_reload"]["verdict"] == "abandoned")
            self.assertIn("KeyError: 'by_session'", json.dumps(worker["last_reload"]))
            self.assertEqual(supervisor.ask("visits"), {"by_name": {"unknown": 7}})
            supervisor.edit(ONE)
            supervisor.wait(lambda worker: worker["last_reload"]["verdict"] == "ok" and worker["generation"] > 3)
            self.assertEqual(supervisor.ask("visits"), {"visits": 7})


ENV = """
import os, threading, zeroth
w = zeroth.worker()
@w.on_env
def any_of_them(name, old, new): S["told"].append([name, new])
@w.on_env("COLOUR")
def colour(old, new):
    with w.atomic():
        S["told"].append(["COLOUR", old, new, os.environ.get("COLOUR")])
@w.on_env("BAD")
def bad(old, new): raise ValueError("not " + new)
@w.on_env("EXIT")
def leave(old, new): raise SystemExit(3)
S = w.restore({"told": []})
@w.command("told")
def told():
    taken, S["told"] = S["told"], []
    return taken
@w.command("get")
def get(name): return os.environ.get(name)
@w.command("section")
def section():
    entered = threading.Event()
    def stay():
        with w.atomic():
            entered.set()
            open("leave").read()
            S["told"].append("section ends")
    threading.Thread(target=stay).start()
    entered.wait()
for _ in w.every(3600): pass
"""


class Variables(unittest.TestCase):
    def call(self, worker, command, **params):
        return worker.ask("call", command=command, params=params)

    def test_callbacks_are_told_and_one_that_fails_leaves_the_others(self):
        with FakeSupervisor(ENV, COLOUR="red", GONE="here") as worker:
            _, loaded, ready = worker.go()
            self.assertIn("env", loaded["capabilities"])
            self.assertNotIn("capabilities", ready, "nothing was registered since")
            changes = {"BAD": "x", "EXIT": "y", "COLOUR": "blue", "NEW": "1", "a=b": "no"}
            answer = worker.ask("env", set=changes, unset=["GONE"])
            self.assertEqual(answer["applied"], ["GONE", "COLOUR", "NEW"])
            self.assertEqual(answer["failed"]["BAD"], "ValueError: not x")
            self.assertEqual(set(answer["failed"]), {"BAD", "EXIT", "a=b"})
            self.assertEqual(self.call(worker, "told"), [["GONE", None], ["BAD", "x"], ["EXIT", "y"],
                                                         ["COLOUR", "blue"], ["COLOUR", "red", "blue", "blue"], ["NEW", "1"]])  # fmt: skip
            for name, value in (("BAD", "x"), ("COLOUR", "blue"), ("GONE", {})):
                self.assertEqual(self.call(worker, "get", name=name), value)
            self.assertEqual(worker.ask("env", set={"COLOUR": "blue"}, unset=[]), {"applied": ["COLOUR"]})
            self.assertEqual(self.call(worker, "told"), [], "it was so before")

    def test_they_are_told_between_sections(self):
        with FakeSupervisor(ENV.replace('"leave"', '__file__ + ".fifo"')) as worker:
            os.mkfifo(worker.program + ".fifo")
            worker.go()
            self.call(worker, "section")
            change = worker.send("env", set={"COLOUR": "blue"}, unset=[])
            with self.assertRaises(socket.timeout):
                worker.answer(change, 0.2)
            with open(worker.program + ".fifo", "w") as fifo:
                fifo.write("leave")
            self.assertTrue(worker.answer(change)["success"])
            self.assertEqual([entry[0] for entry in self.call(worker, "told")], ["s", "COLOUR", "COLOUR"])

    def test_without_a_callback_it_is_not_announced_and_one_more_is(self):
        with FakeSupervisor("import zeroth\nw = zeroth.worker()\nw.restore({})\nw.on_env(print)\nfor _ in w.every(9): pass\n") as worker:
            _, loaded, ready = worker.go()
            self.assertNotIn("env", loaded["capabilities"])
            self.assertIn("env", ready["capabilities"])


    def test_an_edit_of_the_env_file_reaches_the_process_that_runs(self):
        if "--env-file" not in subprocess.run([binary("zeroth-supervise"), "--help"], capture_output=True, text=True).stdout:
            self.skipTest("no --env-file")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "env")

            def write(text):
                with open(path + ".new", "w") as file:
                    file.write(text)
                os.rename(path + ".new", path)

            write("COLOUR=red\nGONE=here\n")
            with RealSupervisor(ENV, "--env-file", path) as supervisor:
                pid = supervisor.wait_ready()["pid"]
                write("COLOUR=blue\nBAD=x\n")
                supervisor.wait(lambda _: supervisor.ask("get", name="GONE") == {})
                told = supervisor.ask("told")
                self.assertIn(["COLOUR", "red", "blue", "blue"], told)
                self.assertIn(["GONE", None], told)
                self.assertEqual(supervisor.ask("get", name="BAD"), "x", "also where a callback failed")
                self.assertEqual(supervisor.wait_ready()["pid"], pid)


class Commands(unittest.TestCase):
    def test_they_stand_in_help_with_their_params(self):
        code = ('import zeroth\nw = zeroth.worker()\n@w.command("paint", params={"colour": "of the wall"})\n'
                'def paint(colour="red"):\n    """Paints the wall."""\n    return {"painted": colour}\n'
                'S = w.restore({})\n@w.command("late", help="Registered after restore.")\ndef late(): return {}\n'
                "for _ in w.every(3600): pass\n")  # fmt: skip
        with RealSupervisor(code) as supervisor:
            supervisor.wait_ready()
            env = clean_environment(ZEROTH_STATE_DIR=supervisor.folder + "/state", ZEROTH_RUNTIME_DIR=supervisor.folder + "/run")
            ctl = lambda *words: subprocess.run([binary("zerothctl"), *words], env=env, capture_output=True, text=True, timeout=60)  # noqa: E731
            shown = ctl("help").stdout
            self.assertRegex(shown, r"paint +Paints the wall\.")
            self.assertRegex(shown, r"late +Registered after restore\.")
            shown = ctl("help", "paint").stdout
            self.assertRegex(shown, r"^usage: zerothctl paint \[colour=VALUE\]\nPaints the wall\.\n +colour +of the wall\n$")
            self.assertIn("did you mean 'paint'?", ctl("help", "paintt").stderr)
            self.assertEqual(json.loads(ctl("--json", "paint", "colour=blue").stdout), {"painted": "blue"})


if __name__ == "__main__":
    unittest.main()
