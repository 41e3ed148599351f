#!/usr/bin/env python3
"""The Python library in mode exec: a worker that becomes the next generation under its own pid, and says its state
before go. On a channel that is written out, and under the real supervisor.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/python_exec_test.py [TEST…]
"""

import http.client
import os
import socket
import unittest

from python_support import EXAMPLES, PATIENCE, FakeSupervisor, RealSupervisor

COUNTER = """
import os, zeroth
w = zeroth.worker(schema="counter/1", name="counter")
@w.command("inc", params={"by": "how much"})
def inc(by=1):
    with w.atomic():
        S["count"] += by
    return {"count": S["count"], "pid": os.getpid(), "generation": w.generation, "cause": w.cause, "changed": w.changed}
S = w.restore({"count": 0})
for _ in w.every(3600):
    pass
"""
BROKEN = "import zeroth\nw = zeroth.worker()\ndef f(:\n    pass\n"


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def reexec(worker, generation, **more):
    worker.emergency = os.path.join(worker.folder, f"emergency-{generation}.json")
    return worker.send("reexec", generation=generation, cause="edit", emergency_file=worker.emergency, **more)


def restored(worker, generation, state, schema):
    """From the hello of the new code to live; the pid of that hello."""
    hello = worker.event("hello")["data"]
    worker.event("loaded")
    worker.ask("restore", generation=generation, cause="edit", schema=schema, state=state)
    worker.event("ready")
    worker.ask("go")
    return hello["pid"]


def call(worker, command, **params):
    return worker.ask("call", command=command, params=params)


class Channel(unittest.TestCase):
    def test_it_becomes_the_next_generations_in_one_process(self):
        with FakeSupervisor(COUNTER) as worker:
            _, loaded, _ = worker.go()
            self.assertIn("reexec", loaded["capabilities"])
            self.assertEqual(call(worker, "inc", by=4)["count"], 4)
            for generation in (2, 3):
                state = worker.hold()
                write(worker.program, COUNTER.replace("+= by", f"+= {generation} * by"))
                reexec(worker, generation, changed=worker.program)
                self.assertEqual(restored(worker, generation, state, "counter/1"), worker.pid)
                answer = call(worker, "inc")
                self.assertEqual((answer["pid"], answer["generation"]), (worker.pid, generation))
                self.assertEqual((answer["cause"], answer["changed"]), ("edit", [worker.program]))
            self.assertEqual(call(worker, "inc", by=0)["count"], 4 + 2 + 3)
            worker.lines.stream.close()  # the supervisor is gone
            worker.wait_exit()
            with open(worker.emergency) as file:
                self.assertEqual(file.read(), '{"count":9}')

    def test_new_code_that_does_not_compile_is_refused_and_it_goes_on(self):
        with FakeSupervisor(COUNTER) as worker:
            worker.go()
            call(worker, "inc", by=4)
            module = os.path.join(worker.folder, "other.py")
            write(module, "def g(:\n")
            for program, changed, line in ((BROKEN, "", 3), (COUNTER, "/gone.py\n" + module, 1)):
                worker.hold()
                write(worker.program, program)
                error = worker.answer(reexec(worker, 2, changed=changed))["error"]
                self.assertEqual(error["message"], "the new code does not compile")
                found, = error["data"]["diagnostics"]
                self.assertEqual((found["file"], found["line"]), (module if changed else worker.program, line))
                worker.ask("resume")
            os.unlink(worker.program)
            worker.hold()
            self.assertIn("No such file", worker.answer(reexec(worker, 2))["error"]["message"])
            worker.ask("resume")
            answer = call(worker, "inc")
            self.assertEqual((answer["count"], answer["generation"]), (5, 1))

    def test_only_while_held(self):
        with FakeSupervisor(COUNTER) as worker:
            worker.go()
            self.assertEqual(worker.answer(reexec(worker, 2))["error"]["code"], "refused")
            self.assertEqual(call(worker, "inc")["count"], 1)

    def test_whoever_came_by_the_socket_does_not_announce_it(self):
        with FakeSupervisor(COUNTER, by_path=True) as worker:
            self.assertNotIn("reexec", worker.go()[1]["capabilities"])

    def test_lent_sockets_are_lent_again(self):
        with open(os.path.join(EXAMPLES, "shop.py")) as file:
            code = file.read()
        with socket.create_server(("127.0.0.1", 0)) as listener, FakeSupervisor(code, lend=listener) as worker:
            _, loaded, _ = worker.go()
            self.assertIn("reexec", loaded["capabilities"])

            def visit():
                connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=PATIENCE)
                connection.request("GET", "/me")
                answer = connection.getresponse().read()
                connection.close()
                return answer

            self.assertEqual(visit(), b"Welcome, me: visit 1\n")
            for generation in (2, 3):
                worker.ask("drain", deadline_ms=250)
                state = worker.hold()
                reexec(worker, generation)
                self.assertEqual(restored(worker, generation, state, "shop/1"), worker.pid)
                self.assertEqual(visit(), b"Welcome, me: visit %d\n" % generation)

    def test_the_state_may_be_asked_for_between_ready_and_go(self):
        with FakeSupervisor(COUNTER) as worker:
            worker.event("loaded")
            worker.ask("restore", generation=1, cause="start", schema="counter/1", state={"count": 7})
            worker.event("ready")
            self.assertEqual(worker.ask("checkpoint", hold=False, deadline_ms=10_000)["state"], {"count": 7})
            worker.ask("go")
            self.assertEqual(call(worker, "inc")["count"], 8)


class Supervised(unittest.TestCase):
    def test_edits_keep_pid_and_state_and_broken_ones_change_nothing(self):
        with RealSupervisor(COUNTER, "--reload", "exec", "--verify-restore") as supervisor:
            pid = supervisor.wait_ready()["pid"]
            supervisor.ask("inc", by=5)
            supervisor.edit(COUNTER.replace("+= by", "+= 10 * by"))
            worker = supervisor.wait_ready(2)
            self.assertEqual((worker["pid"], worker["last_reload"]["mode"]), (pid, "exec"))
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 15)
            supervisor.edit(BROKEN)
            worker = supervisor.wait(lambda w: (w["last_reload"] or {}).get("verdict") == "rejected" and w["state"] == "ready")
            self.assertEqual((worker["pid"], worker["generation"], worker["restarts"]), (pid, 2, 0))
            self.assertEqual(worker["rejected"]["diagnostics"][0]["line"], 3)
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 25)
            supervisor.kill_supervisor()
            supervisor.edit(COUNTER)
            supervisor.start()
            supervisor.wait_ready(4)
            self.assertEqual(supervisor.ask("inc", by=0)["count"], 25)


if __name__ == "__main__":
    unittest.main()
