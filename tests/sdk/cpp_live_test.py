#!/usr/bin/env python3
"""The C++ library's servers, and all of it under the real supervisor.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/cpp_live_test.py [TEST…]; exits 77 without g++.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
import unittest

from cpp_support import CppSupervisor, main, program
from python_support import PATIENCE, FakeSupervisor

# Longer than a client of a loaded machine takes from connecting to asking: a connection without a question is closed then.
DRAIN_MS = 10_000


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Line:
    """One connection of the line protocol of tally.cpp."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.file = self.stream.makefile("rw", newline="\n")

    def ask(self, text):
        """The answer's number; None if the connection was closed before the first byte of it."""
        try:
            self.file.write(text + "\n")
            self.file.flush()
            answer = self.file.readline()
        except ConnectionError:
            return None
        if answer and not answer.endswith("\n"):
            raise RuntimeError(f"half an answer: {answer!r}")
        return int(answer.split(": ")[1]) if answer else None

    def close(self):
        with contextlib.suppress(OSError):
            self.file.close()
        self.stream.close()


class Client(threading.Thread):
    """Counts under a name of its own, over one connection or over a new one each time. A reused connection that closes
    before the first byte of an answer is the client's to retry, once; retries are counted."""

    def __init__(self, port, name, keeps, end):
        super().__init__(daemon=True)
        self.port, self.name_asked, self.keeps, self.end = port, name, keeps, end
        self.acknowledged = self.answers = self.retries = 0
        self.failures, self.progress = [], threading.Condition()
        self.start()

    def run(self):
        line = None
        while not self.end.is_set():
            reused = line is not None
            try:
                line = line or Line(self.port)
                count = line.ask(self.name_asked)
            except Exception as error:  # whatever it is, the user saw it
                count = self.failures.append(repr(error))
            if count is None:
                self.retries += reused
                if not reused:
                    self.failures.append("a new connection was closed without an answer")
            elif count <= self.acknowledged:
                self.failures.append(f"{count} after {self.acknowledged}: an acknowledged count was lost")
            else:
                with self.progress:
                    self.acknowledged, self.answers = count, self.answers + 1
                    self.progress.notify_all()
            if line is not None and (count is None or not self.keeps):
                line.close()
                line = None
        if line is not None:
            line.close()

    def wait_for(self, answers):
        with self.progress:
            return self.progress.wait_for(lambda: self.answers >= answers or self.failures, PATIENCE)


class Crowd:
    def __init__(self, port, count=8):
        self.end = threading.Event()
        self.clients = [Client(port, f"{'kept' if keeps else 'new'}{number}", keeps, self.end) for number in range(count) for keeps in (True, False)]

    def each_answered(self, more):
        for client, answers in [(client, client.answers + more) for client in self.clients]:
            if not client.wait_for(answers):
                raise AssertionError(f"{client.name_asked} gets no answers")

    def leave(self):
        self.end.set()
        for client in self.clients:
            client.join(PATIENCE)
        answers, retries = sum(each.answers for each in self.clients), sum(each.retries for each in self.clients)
        print(f"{answers} answers, {retries} retries", file=sys.stderr)
        return [failure for client in self.clients for failure in client.failures]


class Serving(unittest.TestCase):
    def test_kept_and_new_connections_over_drain_cut_and_hand_over(self):
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        with contextlib.ExitStack() as opened:
            opened.enter_context(listener)
            worker = opened.enter_context(FakeSupervisor(command=[program("tally")], lend=listener, LISTEN_FDNAMES="tally"))
            _, _, ready = worker.go()
            self.assertIn("drain", ready["capabilities"])
            crowd = Crowd(listener.getsockname()[1])
            for turn in range(20):
                crowd.each_answered(5)
                worker.ask("drain", deadline_ms=DRAIN_MS)
                state = worker.hold()
                if turn % 2 == 0:  # the hand-over is abandoned
                    worker.ask("resume")
                    continue
                successor = opened.enter_context(FakeSupervisor(command=[program("tally")], lend=listener, LISTEN_FDNAMES="tally"))
                successor.go(state, "tally/1")
                worker.ask("stop", deadline_ms=3000)
                self.assertEqual(worker.wait_exit(), 0, worker.told())
                worker = successor
            crowd.each_answered(5)
            self.assertEqual(crowd.leave(), [])
            counts = worker.hold()["counts"]
            for client in crowd.clients:
                self.assertLessEqual(client.acknowledged, counts[client.name_asked])
                self.assertLessEqual(counts[client.name_asked], client.acknowledged + client.retries)

    def test_a_socket_that_is_lent_on_the_channel(self):
        command = ["env", "LISTEN_FDNAMES=tally", program("tally")]
        with socket.create_server(("127.0.0.1", 0)) as listener, FakeSupervisor(command=command, by_path=True) as worker:
            socket.send_fds(worker.lines.stream, [b"\n"], [listener.fileno()])
            worker.go()
            line = Line(listener.getsockname()[1])
            self.assertEqual(line.ask("lent 2"), 2)
            line.close()

    def test_idle_connections_are_closed_at_the_deadline_and_half_requests_are_not(self):
        with socket.create_server(("127.0.0.1", 0)) as listener, \
                FakeSupervisor(command=[program("tally")], lend=listener, LISTEN_FDNAMES="tally") as worker:  # fmt: skip
            worker.go()
            idle = Line(listener.getsockname()[1])
            self.assertEqual(idle.ask("idle"), 1)
            self.assertEqual(worker.ask("drain", deadline_ms=50)["closed"], 1)
            self.assertEqual(idle.stream.recv(1), b"")
            idle.close()
            late = Line(listener.getsockname()[1])  # waits in the queue until it is accepted again
            late.file.write("late\n")
            late.file.flush()
            worker.hold()
            worker.ask("resume")
            self.assertEqual(late.file.readline(), "late: 1\n")
            late.close()

    def test_many_connections_are_open_when_it_stops(self):
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listener, \
                FakeSupervisor(command=[program("tally")], lend=listener, LISTEN_FDNAMES="tally") as worker:  # fmt: skip
            worker.go()
            lines = [Line(listener.getsockname()[1]) for _ in range(50)]
            self.assertEqual([line.ask("all") for line in lines], list(range(1, 51)))
            worker.ask("stop", deadline_ms=3000)
            self.assertEqual([line.stream.recv(1) for line in lines], [b""] * 50)
            self.assertEqual(worker.wait_exit(), 0)
            for line in lines:
                line.close()


class Supervised(unittest.TestCase):
    def test_the_state_goes_on_over_edit_crash_supervisor_death_and_rollback(self):
        with CppSupervisor(program("worker"), "--checkpoint-interval", "1h") as supervisor:
            supervisor.wait_ready()
            self.assertEqual(supervisor.ask("inc", by=5)["count"], 5)
            supervisor.edit(program("worker"), "STEP 10\n")
            worker = supervisor.wait_ready(2)
            self.assertEqual((worker["mode"], worker["last_reload"]["verdict"]), ("overlap", "ok"))
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 15)
            saved = supervisor.ask("inc_saved")
            self.assertEqual(saved["count"], 25)
            os.kill(worker["pid"], signal.SIGKILL)
            generation = supervisor.wait_ready(3)["generation"]
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 35, "from the save")
            supervisor.kill_supervisor()
            supervisor.start()
            generation = supervisor.wait_ready(generation + 1)["generation"]
            self.assertEqual(supervisor.ask("inc", by=0)["count"], 35, "from the emergency file")
            self.assertIn("had saved itself", supervisor.told())
            receipt = supervisor.ask("rollback", sequence=saved["sequence"], state_only=True)
            self.assertEqual(receipt["verdict"], "ok", receipt)
            supervisor.wait_ready(generation + 1)
            self.assertEqual(supervisor.ask("inc", by=0)["count"], 25, "from the save again")

    def test_a_program_that_fails_leaves_the_old_process_at_work(self):
        with CppSupervisor(program("worker")) as supervisor:
            pid = supervisor.wait_ready()["pid"]
            supervisor.ask("inc", by=3)
            supervisor.edit("/bin/false")
            supervisor.wait(lambda worker: (worker["last_reload"] or {}).get("verdict") == "rejected")
            self.assertEqual(supervisor.wait_ready()["pid"], pid)
            self.assertEqual(supervisor.ask("inc", by=1)["count"], 4)

    def test_clients_of_a_server_that_is_edited_lose_nothing(self):
        port = free_port()
        with CppSupervisor(program("tally"), "--listen", f"tally={port}", "--drain-timeout", f"{DRAIN_MS}ms") as supervisor:
            supervisor.wait_ready()
            crowd = Crowd(port)
            for generation in range(2, 12):
                crowd.each_answered(5)
                supervisor.edit(program("tally"), f"edit {generation}\n")
                worker = supervisor.wait_ready(generation)
                self.assertEqual((worker["mode"], worker["last_reload"]["verdict"]), ("overlap", "ok"), supervisor.told())
            crowd.each_answered(5)
            self.assertEqual(crowd.leave(), [], supervisor.told())
            self.assertGreaterEqual(supervisor.ask("count")["count"], sum(client.acknowledged for client in crowd.clients))

    def test_the_simulation_goes_on_where_it_was(self):
        with CppSupervisor(program("orbit"), "--checkpoint-interval", "1h") as supervisor:
            worker = supervisor.wait(lambda each: each["state"] == "ready" and (each["beat"]["iteration"] or 0) > 20)
            self.assertAlmostEqual(worker["beat"]["metrics"]["years"], worker["beat"]["iteration"] / 100)
            self.assertEqual([each["name"] for each in supervisor.ask("planets")], ["venus", "earth", "mars"])
            before = supervisor.ask("kick", name="earth", by=0.1)["energy"]
            supervisor.edit(program("orbit"), "an edit\n")
            receipt = supervisor.wait_ready(2)["last_reload"]
            self.assertEqual((receipt["verdict"], receipt["kept"]["count"], receipt["iteration_lost"] or 0), ("ok", 4, 0), receipt)
            beaten = supervisor.wait(lambda each: (each["beat"]["iteration"] or 0) > worker["beat"]["iteration"])["beat"]
            self.assertAlmostEqual(beaten["metrics"]["energy"], before, delta=abs(before) * 0.01)


if __name__ == "__main__":
    main()
