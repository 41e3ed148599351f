#!/usr/bin/env python3
"""The Python library on asyncio's event loop, and with many threads.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/python_asyncio_test.py [TEST…]
"""

import asyncio
import os
import signal
import socket
import sys
import unittest

from python_support import EXAMPLES, FakeSupervisor, RealSupervisor, clean_environment, conforms

LOOP = """
import asyncio, threading, zeroth
w = zeroth.worker(schema="loop/1")
S = w.restore({"left": 0, "right": 0, "calls": 0})
turns = 0
async def turn():
    while True:
        async with w.atomic():
            S["left"] += 1
            await asyncio.sleep(0)
            async with w.atomic():
                await asyncio.sleep(0)
            S["right"] += 1
async def plain():
    global turns
    while True:
        S["left"] += 1
        sum(range(100_000))  # takes long enough for another thread to run meanwhile
        S["right"] += 1
        turns += 1
        await asyncio.sleep(0)
@w.command("turns")
def get(): return {"turns": turns, "thread": threading.current_thread().name}
@w.command("add")
async def add():
    async with w.atomic():
        async with w.atomic():
            S["calls"] += 1
            await asyncio.sleep(0)
        await asyncio.create_task(part())
    return S["calls"]
async def part():
    async with w.atomic():
        await asyncio.sleep(0)
@w.command("add_saved")
async def add_saved():
    await add()
    return {"sequence": await w.save()}
@w.command("in_section")
async def in_section():
    async with w.atomic():
        await w.save()
async def main():
    try:
        w.ready()
        await asyncio.gather(*(turn() for _ in range(8)), plain())
    finally:
        print("cleaned up", flush=True)
asyncio.run(main())
print("not reached")
"""


class Loop(unittest.TestCase):
    def test_examples_conform(self):
        for example in ("async_shop.py", "async_bot.py"):
            conforms(self, example)

    def call(self, worker, command):
        return worker.ask("call", command=command, params={})

    def test_no_cut_falls_into_a_section_or_between_two_awaits_and_nothing_runs_while_held(self):
        with FakeSupervisor(LOOP) as worker:
            worker.go()
            for hold in (True, False) * 20:
                state = worker.ask("checkpoint", hold=hold, deadline_ms=20_000)["state"]
                self.assertEqual(state["left"], state["right"])
                if hold:
                    worker.ask("ping")
                    late = worker.send("call", command="turns", params={})
                    worker.ask("resume")
                    turns = worker.answer(late)["result"]
                    self.assertEqual(turns["thread"], "MainThread")
            self.assertGreater(self.call(worker, "turns")["turns"], turns["turns"])

    def test_nothing_of_a_held_loop_is_seen_until_it_goes_on(self):
        code = LOOP.replace("turns += 1", "turns += 1\n        if turns % 10 == 0: print(turns, flush=True)")
        with FakeSupervisor(code) as worker:
            worker.go()
            worker.wait_output("10\n")
            worker.hold()
            before = worker.told()
            for _ in range(50):
                worker.ask("ping")
            self.assertEqual(worker.told(), before)
            worker.ask("resume")
            worker.wait_output(before + str(10 * (before.count("\n") + 1)) + "\n")
            worker.hold()
            before = worker.told()
            worker.ask("stop", deadline_ms=10_000)
            self.assertEqual(worker.wait_exit(), 0)
            self.assertEqual(worker.told(), before + "cleaned up\n")

    def test_calls_are_part_of_the_cut_that_follows_them(self):
        with FakeSupervisor(LOOP) as worker:
            worker.go()
            for round in range(20):
                calls = [worker.send("call", command="add", params={}) for _ in range(5)]
                cut = worker.send("checkpoint", hold=True, deadline_ms=20_000)
                state = worker.answer(cut)["result"]["state"]
                self.assertEqual((state["calls"], state["left"] == state["right"]), (5 * round + 5, True))
                self.assertTrue(all(worker.answer(call)["success"] for call in calls))
                worker.ask("resume")

    def test_save_is_answered_by_the_cut_that_it_waits_for(self):
        with FakeSupervisor(LOOP) as worker:
            worker.go()
            call = worker.send("call", command="add_saved", params={})
            save = worker.event("save")
            self.assertEqual(worker.ask("checkpoint", hold=False, deadline_ms=20_000)["state"]["calls"], 1)
            worker.lines.send({"id": save["id"], "success": True, "result": {"sequence": 9}, "error": None})
            self.assertEqual(worker.answer(call)["result"], {"sequence": 9})
            refusal = worker.answer(worker.send("call", command="in_section", params={}))["error"]
            self.assertIn("save() inside atomic()", refusal["message"])

    def test_without_a_hold_sections_end_before_the_program_does(self):
        code = LOOP.replace("S[\"right\"] += 1\nasync", "S[\"right\"] += 1\n            assert S['left'], print('torn')\nasync")
        with FakeSupervisor(code) as worker:
            worker.go()
            worker.ask("stop", deadline_ms=10_000)
            self.assertEqual(worker.wait_exit(), 0)
            self.assertEqual(worker.told(), "cleaned up\n")

    def test_a_stop_before_it_is_live_ends_it_quietly(self):
        code = """
import asyncio, zeroth
w = zeroth.worker()
async def main():
    w.restore({})
    open(__file__ + ".fifo").read()
    w.ready()
asyncio.run(main())
"""
        for restored in (True, False):
            with FakeSupervisor(code) as worker:
                os.mkfifo(worker.program + ".fifo")
                worker.event("loaded")
                if restored:
                    worker.ask("restore", generation=1, schema="", state=None)
                worker.ask("stop", deadline_ms=20_000)
                if restored:
                    with open(worker.program + ".fifo", "w") as fifo:
                        fifo.write("go on")
                self.assertEqual((worker.wait_exit(), worker.told()), (0, ""))

    def test_a_callback_that_blocks_fails_the_cut(self):
        code = LOOP.replace("turns += 1", "import select; print('blocks', flush=True); select.select([], [], [])")
        with FakeSupervisor(code) as worker:
            worker.go()
            worker.wait_output("blocks")
            refusal = worker.answer(worker.send("checkpoint", hold=True, deadline_ms=100))["error"]
            self.assertRegex(refusal["message"], "event loop|section of thread MainThread")
            worker.ask("ping")

    def test_what_dies_with_its_supervisor_saves_itself(self):
        with FakeSupervisor(LOOP) as worker:
            worker.go()
            self.call(worker, "add")
            worker.lines.stream.shutdown(socket.SHUT_RDWR)
            self.assertEqual(worker.wait_exit(), 0)
            with open(worker.emergency) as file:
                self.assertIn('"calls":1', file.read())


SERVER = """
import asyncio, zeroth
w = zeroth.worker(schema="lines/1")
S = w.restore({"lines": 0})
%s
asyncio.run(w.serve_async(%s, "http"))
"""
STREAMS = """
async def client(reader, writer):
    while line := await reader.readline():
        async with w.atomic():
            S["lines"] += 1
            writer.write(b"%d%s " % (S["lines"], b"!"[not w.draining:]) + line)
            await writer.drain()
"""
PROTOCOL = """
class Lines(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data):
        with w.atomic():
            S["lines"] += 1
            self.transport.write(b"%d%s " % (S["lines"], b"!"[not w.draining:]) + data)
"""


class Servers(unittest.TestCase):
    def test_streams_and_protocols_are_drained_and_go_on(self):
        for server in (SERVER % (STREAMS, "client"), SERVER % (PROTOCOL, "Lines")):
            with socket.create_server(("127.0.0.1", 0)) as listener, FakeSupervisor(server, lend=listener) as worker:
                _, loaded, _ = worker.go()
                self.assertIn("drain", loaded["capabilities"])

                def ask(connection, line):
                    connection.sendall(line + b"\n")
                    return connection.recv(100)

                first = socket.create_connection(listener.getsockname(), 20)
                self.assertEqual(ask(first, b"a"), b"1 a\n")
                drained, lines = worker.send("drain", deadline_ms=1000), 1
                answer = b""
                while b"!" not in answer:  # what is open is served on
                    answer, lines = ask(first, b"b"), lines + 1
                    self.assertIn(answer, (b"%d b\n" % lines, b"%d! b\n" % lines))
                second = socket.create_connection(listener.getsockname(), 20)  # waits in the queue
                second.sendall(b"c\n")
                self.assertEqual(worker.answer(drained)["result"]["closed"], 1)
                self.assertEqual(first.recv(1), b"", "idle at the deadline")
                self.assertEqual(worker.hold(), {"lines": lines})
                worker.ask("resume")
                self.assertEqual(second.recv(100), b"%d c\n" % (lines + 1))
                self.assertEqual(worker.ask("drain", deadline_ms=100)["closed"], 1)
                worker.hold()
                worker.ask("stop", deadline_ms=9000)
                self.assertEqual((worker.wait_exit(), worker.told()), (0, ""))
                first.close()
                second.close()

    def test_without_a_supervisor_it_serves_on_its_own_address(self):
        code = "import sys\n" + (SERVER % (STREAMS, "client")).replace('"http")', '"http", ("127.0.0.1", int(sys.argv[1])))')
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            held = asyncio.run(outcome(code, port))
            self.assertIn(f"EADDRINUSE: Address already in use: ('127.0.0.1', {port})", held)
        self.assertEqual(asyncio.run(served(code, port)), b"1 x\n")


async def start(code, port):
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(port), env=clean_environment(),
                                                stderr=asyncio.subprocess.PIPE)  # fmt: skip


async def outcome(code, port):
    process = await start(code, port)
    return (await asyncio.wait_for(process.communicate(), 20))[1].decode()


async def served(code, port):
    process = await start(code, port)
    for _ in range(1000):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
    writer.write(b"x\n")
    answer = await asyncio.wait_for(reader.readline(), 20)
    writer.close()
    process.send_signal(signal.SIGKILL)
    await process.communicate()
    return answer


THREADS = """
import threading, zeroth
w = zeroth.worker(schema="threads/1")
S = w.restore({"left": 0, "right": 0})
def run():
    while True:
        with w.atomic():
            S["left"] += 1
            with w.atomic():
                S["right"] += 1
w.ready()
for _ in range(16): threading.Thread(target=run, daemon=True).start()
%s
"""


class Threads(unittest.TestCase):
    def test_no_cut_falls_into_the_section_of_any_thread_or_task(self):
        tasks = """
import asyncio
async def turn():
    while True:
        async with w.atomic():
            S["left"] += 1
            await asyncio.sleep(0)
            S["right"] += 1
        await asyncio.sleep(0)
async def main(): await asyncio.gather(turn(), turn())
asyncio.run(main())
"""
        for rest in ("w._wait(lambda: False)", tasks):
            with FakeSupervisor(THREADS % rest) as worker:
                worker.go()
                before = {"left": 0}
                cuts = 0
                while cuts < 20 or before["left"] < 100:
                    cuts += 1
                    state = worker.ask("checkpoint", hold=cuts % 2 == 1, deadline_ms=20_000)["state"]
                    self.assertEqual(state["left"], state["right"])
                    self.assertGreaterEqual(state["left"], before["left"])
                    before = state
                    if cuts % 2 == 1:
                        worker.ask("resume")
                worker.hold()
                worker.ask("stop", deadline_ms=9000)
                self.assertEqual((worker.wait_exit(), worker.told()), (0, ""))


class Supervised(unittest.TestCase):
    def test_the_bot_goes_on_over_edits_and_a_kill_in_each_mode(self):
        with open(os.path.join(EXAMPLES, "async_bot.py")) as file:
            code = file.read().replace("tick {", "TICK {")
        for mode in ("overlap", "recreate", *(["exec"] if sys.version_info >= (3, 10) else [])):  # sys.orig_argv
            with self.subTest(mode), RealSupervisor(code, "--reload", mode) as supervisor:
                supervisor.wait(lambda worker: ((worker["beat"] or {}).get("iteration") or 0) >= 3)
                pairs = supervisor.ask("pair")["pairs"]
                supervisor.edit(code.replace("S[\"ticks\"] += 1", "S[\"ticks\"] += 1000"))
                worker = supervisor.wait_ready(2)
                self.assertEqual((worker["last_reload"]["verdict"], worker["mode"]), ("ok", mode), supervisor.told())
                ticks = supervisor.wait(lambda worker: worker["beat"]["iteration"] >= 1003)["beat"]["iteration"]
                self.assertGreaterEqual(ticks % 1000, 3)
                self.assertGreater(supervisor.ask("pair")["pairs"], pairs)
                supervisor.ask("checkpoint")
                os.kill(worker["pid"], signal.SIGKILL)
                supervisor.wait_ready(3)
                self.assertGreater(supervisor.ask("pair")["pairs"], pairs + 1)
                self.assertNotIn("Traceback", supervisor.told())


if __name__ == "__main__":
    unittest.main()
