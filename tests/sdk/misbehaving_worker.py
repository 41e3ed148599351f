"""A worker that speaks the protocol by hand and keeps a count, until it is told to misbehave: misbehaving_worker.py HOW

`begin` makes it misbehave in the way HOW; silent, garbage_first and refuses do so from the start.
"""

import json
import os
import select
import socket
import sys

HOW = sys.argv[1]
GIB = 1 << 30


class Channel:
    def __init__(self):
        self.socket, self.received = socket.socket(fileno=int(os.environ["ZEROTH_FD"])), b""

    def send(self, message):
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def drop(self):
        """Whole lines that are there to be read: answers to what was sent, of which nothing depends."""
        while select.select([self.socket], [], [], 0)[0]:
            self.received += self.socket.recv(1 << 16)
            self.received = self.received[self.received.rfind(b"\n") + 1 :]

    def answer(self, request, result):
        self.send({"id": request["id"], "success": True, "result": result, "error": None})

    def next(self):
        while b"\n" not in self.received:
            data = self.socket.recv(1 << 16)
            if not data:
                sys.exit(0)
            self.received += data
        line, self.received = self.received.split(b"\n", 1)
        return json.loads(line)


def stand_still(seconds=3600.0):
    select.select([], [], [], seconds)


def endless(channel):
    """2 GiB without the end of a line; whoever reads it hangs up long before."""
    for _ in range(2 * GIB >> 20):
        channel.socket.sendall(b"x" * (1 << 20))


def flood(channel):
    """2 GiB of events that nobody asked for, each as long as a line may be."""
    line = json.dumps({"event": "nonsense", "data": {"text": "x" * 1_000_000}}).encode() + b"\n"
    for _ in range(2 * GIB // len(line)):
        channel.socket.sendall(line)
    done(channel)


def shout(channel):
    """256 MiB on stdout, where all that a program prints is kept for a while."""
    for _ in range(GIB >> 22):
        os.write(1, (b"x" * 1023 + b"\n") * 1024)
    done(channel)


def pester(channel):
    """A million small messages, most of them wrong in some way, and answers to what nobody asked."""
    lines = [
        {"event": "beat", "data": {"iteration": 1, "metrics": {"a": 1}}}, {"event": "beat", "data": {"iteration": "many"}},
        {"id": 10**9, "success": True, "result": {}, "error": None}, {"id": "x", "success": False, "result": None, "error": {}},
        {"id": "save-x", "command": "no-such", "params": {}}, {"event": "log", "data": {"level": 7, "message": []}},
    ]  # fmt: skip
    block = b"".join(json.dumps(line).encode() + b"\n" for line in lines) * 1000
    for _ in range(1_000_000 // (len(lines) * 1000)):
        channel.socket.sendall(block)
        channel.drop()
    channel.send({"id": "last", "command": "no-such", "params": {}})
    while channel.next().get("id") != "last":
        continue
    done(channel)


def done(channel):
    stand_still(0.2)  # a beat that follows too soon on another is not sent on
    channel.send({"event": "beat", "data": {"iteration": 2, "status": "done"}})


AT_BEGIN = {
    "garbage": lambda channel: channel.socket.sendall(b"\x00\xff garbage\n"),
    "half": lambda channel: (channel.socket.sendall(b'{"id": 1, "succ'), channel.socket.close(), stand_still()),
    "endless": endless,
    "flood": flood,
    "shout": shout,
    "pester": pester,
    "ready_again": lambda channel: channel.send({"event": "ready", "data": {}}),
    "hangs": lambda channel: (channel.send({"event": "beat", "data": {"iteration": 1}}), stand_still()),
}


def serve(channel, state):
    began = False
    while True:
        request = channel.next()
        command, params = request.get("command"), request.get("params", {})
        if command == "restore":
            state = params.get("state") or state
            kept = {"count": 0, "names": []}
            channel.answer(request, {"kept": kept, "added": kept, "removed": kept, "renamed": kept, "warnings": []})
            channel.send({"event": "ready", "data": {}})
        elif command == "checkpoint":
            told = {"iteration": 0, "schema": "", "pause_ms": 0.1}
            if began and HOW == "lies":
                told["bytes"] = 2 * GIB  # and writes none of them
            elif began and HOW == "no_state":
                told["state"] = "what I like"
            else:
                told["state"] = state
            channel.answer(request, told)
        elif command == "call" and params["command"] == "begin":
            channel.answer(request, {})
            began = True
            if HOW in AT_BEGIN:
                AT_BEGIN[HOW](channel)
        elif command == "call":
            state["count"] += 1
            if HOW == "late" and began and params["params"].get("late"):
                stand_still(7)  # its deadline is 5 s
            channel.answer(request, {"count": state["count"]})
            if HOW == "twice":
                channel.answer(request, {"count": -1})
                channel.answer(dict(request, id=request["id"] + 10**6), {"count": -2})  # far from what may be asked meanwhile
        else:
            channel.answer(request, {})
            if command == "stop":
                return


def main():
    channel = Channel()
    if HOW == "silent":
        stand_still()
    if HOW == "garbage_first":
        channel.socket.sendall(b"hello, I am a worker\n")
    channel.send({"event": "hello", "data": {"protocol": 1, "name": HOW, "version": "", "pid": os.getpid()}})
    if HOW == "hangs_loading":
        stand_still()
    commands = [{"name": name, "help": "", "params": {}} for name in ("begin", "inc")]
    channel.send({"event": "loaded", "data": {"capabilities": ["checkpoint", "restore", "hold", "call"], "commands": commands, "schema": "",
                                              "program": {"path": __file__, "hash": ""}}})  # fmt: skip
    serve(channel, {"count": 0})


main()
