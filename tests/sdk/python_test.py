#!/usr/bin/env python3
"""The Python library: behaviour on the channel, servers, and all of it under the real supervisor.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/python_test.py [TEST…]
"""

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import unittest

from python_support import EXAMPLES, PATIENCE, FakeSupervisor, RealSupervisor, clean_environment, conforms

COUNTER = """
import zeroth
w = zeroth.worker(schema="counter/1", name="counter")
@w.command("inc", params={"by": "how much"})
def inc(by=1):
    with w.atomic():
        S["count"] += by
        w.beat(iteration=S["count"])
    return {"count": S["count"]}
@w.command("inc_saved")
def inc_saved():
    inc()
    return {"sequence": w.save(), "count": S["count"]}
S = w.restore({"count": 0})
for _ in w.every(3600):
    pass
"""


class Channel(unittest.TestCase):
    def test_examples_conform(self):
        for example in ("shop.py", "bot.py"):
            conforms(self, example)

    def test_restore_keeps_adds_and_loses_nothing(self):
        code = 'import zeroth\nw = zeroth.worker(schema="s/1")\nS = w.restore({"a": 1, "b": [2]})\nw.ready()\nw._wait(lambda: False)\n'
        with FakeSupervisor(code) as worker:
            _, loaded, _ = worker.go({"a": 5, "old": {"$u64": "9223372036854775808"}}, "s/1")
            self.assertEqual(loaded["initial"], {"a": "1", "b": "[2]"})
            counts = {key: worker.summary[key]["names"] for key in ("kept", "added", "removed", "renamed")}
            self.assertEqual(counts, {"kept": ["a"], "added": ["b"], "removed": ["old"], "renamed": []})
            self.assertEqual(worker.hold(), {"a": 5, "old": {"$u64": "9223372036854775808"}, "b": [2]})
        with FakeSupervisor(code) as worker:
            worker.event("loaded")
            refusal = worker.answer(worker.send("restore", generation=1, schema="s/0", state={}))["error"]
            self.assertEqual((refusal["code"], "s/0" in refusal["message"]), ("refused", True))

    def test_a_cut_waits_for_the_section_of_another_thread_and_holds(self):
        code = """
import sys, threading, zeroth
w = zeroth.worker()
leave = threading.Event()
@w.command("leave")
def _():
    leave.set()
S = w.restore({"steps": 0, "late": 0})
def inside():
    with w.atomic():
        with w.atomic():
            S["steps"] += 1
        print("inside", flush=True)
        threading.Thread(target=late).start()
        open(sys.argv[0] + ".fifo").read()
        S["steps"] += 1
def late():
    print("late begins", flush=True)
    with w.atomic():
        S["late"] += 1
        print("late was in", flush=True)
w.ready()
threading.Thread(target=inside).start()
w._wait(lambda: False)
"""
        with FakeSupervisor(code) as worker:
            os.mkfifo(worker.program + ".fifo")
            worker.go()
            worker.wait_output("late begins")
            cut = worker.send("checkpoint", hold=True, deadline_ms=10_000)
            with self.assertRaises(socket.timeout):
                worker.answer(cut, 0.2)
            with open(worker.program + ".fifo", "w") as fifo:
                fifo.write("leave")
            self.assertEqual(worker.answer(cut)["result"]["state"], {"steps": 2, "late": 0})
            worker.ask("ping")
            self.assertNotIn("late was in", worker.told())
            worker.ask("resume")
            worker.wait_output("late was in")
            self.assertEqual(worker.hold(), {"steps": 2, "late": 1})

    def test_a_section_that_does_not_end_fails_the_cut_by_name(self):
        code = """
import threading, zeroth
w = zeroth.worker()
w.restore({}); w.ready()
def hang():
    with w.atomic():
        print("inside", flush=True)
        threading.Event().wait()
threading.Thread(target=hang, name="slow one", daemon=True).start()
w._wait(lambda: False)
"""
        with FakeSupervisor(code) as worker:
            worker.go()
            worker.wait_output("inside")
            error = worker.answer(worker.send("checkpoint", hold=True, deadline_ms=100))["error"]
            self.assertIn("slow one", error["message"])
            worker.ask("ping")

    def test_save_in_a_command_is_answered_by_the_cut_it_waits_for(self):
        with FakeSupervisor(COUNTER) as worker:
            worker.go()
            call = worker.send("call", command="inc_saved", params={})
            save = worker.event("save")
            self.assertEqual(worker.ask("checkpoint", hold=False, deadline_ms=1000)["state"], {"count": 1})
            worker.lines.send({"id": save["id"], "success": True, "result": {"sequence": 9}, "error": None})
            self.assertEqual(worker.answer(call)["result"], {"sequence": 9, "count": 1})

    def test_large_states_go_through_the_file(self):
        code = COUNTER.replace('{"count": 0}', '{"count": 0, "many": list(range(100_000))}')
        with FakeSupervisor(code) as worker:
            worker.go()
            path = os.path.join(worker.folder, "draft")
            with open(path, "wb") as file:
                file.write(b"#" * 4096)
            result = worker.ask("checkpoint", hold=False, deadline_ms=5000, state_file={"path": path, "offset": 4096})
            self.assertNotIn("state", result)
            with open(path, "rb") as file:
                text = file.read()
            self.assertEqual((text[:4096], len(text)), (b"#" * 4096, 4096 + result["bytes"]))
            self.assertEqual(json.loads(text[4096:])["many"], list(range(100_000)))

    def test_a_state_that_cannot_be_saved_fails_the_checkpoint_only(self):
        with FakeSupervisor(COUNTER.replace('{"count": 0}', '{"count": 0, "visits": {}}')
                            .replace("for _ in", 'S["visits"][42] = 1\nfor _ in')) as worker:  # fmt: skip
            worker.go()
            for hold in (False, True):
                error = worker.answer(worker.send("checkpoint", hold=hold, deadline_ms=1000))["error"]
                self.assertEqual(error["message"], "/visits: key 42 is int; use str or a map")
            self.assertEqual(worker.ask("call", command="inc", params={"by": 2}), {"count": 2})
            self.assertEqual(worker.answer(worker.send("call", command="inc", params={"bi": 2}))["error"]["code"], "bad_params")

    def test_unchanged_is_said_only_of_what_the_supervisor_calls_durable(self):
        with FakeSupervisor(COUNTER) as worker:
            worker.go()
            take = lambda **params: worker.ask("checkpoint", hold=False, deadline_ms=1000, **params)  # noqa: E731
            self.assertEqual(take(durable=True)["state"], {"count": 0}, "nothing was answered before")
            unchanged = take(durable=True)
            self.assertIs(unchanged["unchanged"], True)
            self.assertLessEqual({"iteration", "schema", "pause_ms"}, set(unchanged))
            self.assertNotIn("state", unchanged)
            self.assertEqual(take()["state"], {"count": 0}, "the answer before was lost")
            worker.ask("call", command="inc", params={"by": 2})
            self.assertEqual(take(durable=True)["state"], {"count": 2})
            held = worker.ask("checkpoint", hold=True, deadline_ms=1000, durable=True)
            self.assertEqual(held["state"], {"count": 2}, "a cut is always given")

    def test_by_path_behind_a_wrapper(self):
        code = COUNTER.replace("S = ", 'import os\nprint(sorted(n for n in os.environ if n[:7] == "ZEROTH_"), flush=True)\nS = ')
        with FakeSupervisor(code, by_path=True) as worker:
            hello, _, _ = worker.go()
            self.assertEqual((hello["key"], hello["pid"]), ("secret", worker.pid))
            self.assertIn("['ZEROTH_CAUSE', 'ZEROTH_GENERATION']", worker.told())
            with open(worker.alive) as file, self.assertRaises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_components_stop_in_reverse_order(self):
        code = COUNTER.replace("for _", """
@w.on_stop
def first(): print("first", flush=True)
@w.on_stop
def second():
    with w.atomic(): print("second", S["count"], flush=True)
for _""")  # fmt: skip
        with FakeSupervisor(code) as worker:
            worker.go()
            worker.hold()
            worker.ask("stop", deadline_ms=5000)
            self.assertEqual(worker.wait_exit(), 0)
            self.assertEqual(worker.told(), "second 0\nfirst\n")

    def test_sigterm_is_the_default_unless_the_channel_ended(self):
        with FakeSupervisor(COUNTER) as worker:
            worker.go()
            os.kill(worker.pid, signal.SIGTERM)
            self.assertEqual(worker.wait_exit(), -signal.SIGTERM)
            self.assertFalse(os.path.exists(worker.emergency))
        ends = [lambda worker: worker.lines.stream.shutdown(socket.SHUT_RDWR), lambda worker: os.kill(worker.pid, signal.SIGTERM)]
        for first, then in (ends, reversed(ends)):
            with FakeSupervisor(COUNTER) as worker:
                worker.go({"count": 7})
                first(worker)
                then(worker)
                self.assertEqual(worker.wait_exit(), 0)
                with open(worker.emergency) as file:
                    self.assertEqual(json.load(file), {"count": 7})

    def test_without_a_supervisor_the_program_just_runs(self):
        code = ("import zeroth\nw = zeroth.worker()\nS = w.restore({'n': 0})\nw.on_stop(lambda: print('bye'))\n"
                "for _ in w.every(0):\n  with w.atomic(): S['n'] += 1\n  w.beat(iteration=S['n'])\n"
                "  if S['n'] == 3: break\nprint(S['n'], w.save())\n")  # fmt: skip
        run = subprocess.run([sys.executable, "-c", code], env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual((run.returncode, run.stdout, run.stderr), (0, "3 None\nbye\n", ""))


class Client(threading.Thread):
    """Asks over one kept-alive connection until told to end. A reused connection that closes before the first byte of a
    response is the client's to retry, once; retries are counted."""

    def __init__(self, port, session, end):
        super().__init__(daemon=True)
        self.port, self.session, self.end = port, session, end
        self.acknowledged, self.retries, self.failures = 0, 0, []
        self.progress = threading.Condition()
        self.start()

    def run(self):
        connection, reused = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE), False
        while not self.end.is_set():
            try:
                connection.request("GET", "/" + self.session)
                response = connection.getresponse()
                body = response.read()
            except (http.client.RemoteDisconnected, ConnectionError) as error:
                connection.close()
                if not reused:
                    self.failures.append(repr(error))
                self.retries, reused = self.retries + 1, False
                continue
            if response.status != 200 or not body.endswith(b"\n"):
                self.failures.append((response.status, body))
            with self.progress:
                self.acknowledged += 1
                self.progress.notify_all()
            reused = connection.sock is not None
        connection.close()

    def wait_for(self, count):
        with self.progress:
            return self.progress.wait_for(lambda: self.acknowledged >= count or self.failures, PATIENCE)


class Serving(unittest.TestCase):
    def test_16_kept_alive_clients_over_drain_cut_and_hand_over(self):
        for example in ("shop.py", "async_shop.py"):
            with self.subTest(example):
                self.serves_16_kept_alive_clients(example)

    def serves_16_kept_alive_clients(self, example):
        with open(os.path.join(EXAMPLES, example)) as file:
            code = file.read()
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        port, end = listener.getsockname()[1], threading.Event()
        worker = FakeSupervisor(code, lend=listener)
        worker.__enter__()
        _, loaded, _ = worker.go()
        self.assertIn("drain", loaded["capabilities"])
        clients = [Client(port, f"s{number}", end) for number in range(16)]

        def each_answered(more):
            for client, count in [(client, client.acknowledged + more) for client in clients]:
                self.assertTrue(client.wait_for(count), worker.told())

        for turn in range(20):
            each_answered(5)
            worker.ask("drain", deadline_ms=250)
            state = worker.hold()
            if turn % 2 == 0:  # the hand-over is abandoned
                worker.ask("resume")
                continue
            successor = FakeSupervisor(code, lend=listener)
            successor.__enter__()
            successor.go(state, "shop/1")
            worker.ask("stop", deadline_ms=3000)
            self.assertEqual(worker.wait_exit(), 0, worker.told())
            worker.__exit__()
            worker = successor
        each_answered(5)
        end.set()
        for client in clients:
            client.join(PATIENCE)
        visits = worker.hold()["visits"]
        worker.__exit__()
        listener.close()
        total, retries = sum(client.acknowledged for client in clients), sum(client.retries for client in clients)
        print(f"{total} answers, {retries} retries", file=sys.stderr)
        self.assertEqual([client.failures for client in clients], [[]] * 16)
        for client in clients:
            self.assertGreaterEqual(visits[client.session], client.acknowledged)
            self.assertLessEqual(visits[client.session], client.acknowledged + client.retries)

    def test_a_socket_that_is_lent_on_the_channel(self):
        with open(os.path.join(EXAMPLES, "shop.py")) as file:
            code = file.read()
        with socket.create_server(("127.0.0.1", 0)) as listener, FakeSupervisor(code, by_path=True) as worker:
            socket.send_fds(worker.lines.stream, [b"\n"], [listener.fileno()])
            worker.go()
            connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=PATIENCE)
            connection.request("GET", "/lent")
            self.assertEqual(connection.getresponse().read(), b"Welcome, lent: visit 1\n")
            connection.close()

    def test_idle_connections_are_closed_at_the_deadline(self):
        with open(os.path.join(EXAMPLES, "shop.py")) as file:
            code = file.read()
        with socket.create_server(("127.0.0.1", 0)) as listener, FakeSupervisor(code, lend=listener) as worker:
            worker.go()
            connection = http.client.HTTPConnection("127.0.0.1", listener.getsockname()[1], timeout=PATIENCE)
            connection.request("GET", "/idle")
            self.assertEqual(connection.getresponse().read(), b"Welcome, idle: visit 1\n")
            self.assertEqual(worker.ask("drain", deadline_ms=50)["closed"], 1)
            self.assertEqual(connection.sock.recv(1), b"")
            connection.close()


class Supervised(unittest.TestCase):
    def test_the_state_goes_on_over_edit_and_both_kinds_of_kill(self):
        with RealSupervisor(COUNTER, "--checkpoint-interval", "1h") as supervisor:
            supervisor.wait_ready()
            self.assertEqual(supervisor.ask("inc", by=5)["count"], 5)
            supervisor.edit(COUNTER.replace("+= by", "+= 10 * by"))
            pid = supervisor.wait_ready(2)["pid"]
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 15)
            self.assertEqual(supervisor.ask("inc_saved")["count"], 25)
            os.kill(pid, signal.SIGKILL)
            generation = supervisor.wait_ready(3)["generation"]
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 35, "from the save")
            supervisor.kill_supervisor()
            supervisor.start()
            supervisor.wait_ready(generation + 1)
            self.assertEqual(supervisor.ask("inc", by=0)["count"], 35, "from the emergency file")
            self.assertIn("had saved itself", supervisor.told())

    def test_code_that_fails_leaves_the_old_process_at_work(self):
        with RealSupervisor(COUNTER) as supervisor:
            pid = supervisor.wait_ready()["pid"]
            supervisor.ask("inc", by=3)
            supervisor.edit("import zeroth\nw = zeroth.worker()\nraise ValueError('no')\n")
            supervisor.wait(lambda worker: (worker["last_reload"] or {}).get("verdict") == "rejected")
            self.assertEqual(supervisor.wait_ready()["pid"], pid)
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 4)


if __name__ == "__main__":
    unittest.main()
