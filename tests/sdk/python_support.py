"""What the tests of the Python library share: a supervisor that is written out, and the real one."""

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SDK = os.path.join(SOURCE, "worker", "sdk")
EXAMPLES = os.path.join(SOURCE, "worker", "examples")
BIN = os.environ.get("ZEROTH_BIN_DIR", os.path.join(SOURCE, "build", "release", "bin"))
PATIENCE = 20.0


def binary(name):
    return os.path.join(BIN, name)


def clean_environment(**more):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ZEROTH_", "LISTEN_"))}
    return dict(env, PYTHONPATH=SDK, PYTHONDONTWRITEBYTECODE="1", **more)


def conforms(test, example):
    words = [binary("zeroth-worker"), "conformance", "--", sys.executable, os.path.join(EXAMPLES, example)]
    run = subprocess.run(words, env=clean_environment(PORT="0"), capture_output=True, text=True, timeout=120)
    test.assertEqual(run.returncode, 0, run.stdout + run.stderr)
    test.assertRegex(run.stdout, r"\b(32|33) rules hold, 0 failed, [01] skipped")


class Lines:
    """Messages of a stream socket, each awaited with a deadline."""

    def __init__(self, stream):
        self.stream, self._bytes = stream, b""

    def send(self, message):
        self.stream.sendall(json.dumps(message).encode() + b"\n")

    def next(self, seconds=PATIENCE):
        """The next message; None at the end of the stream, socket.timeout if it does not come."""
        self.stream.settimeout(seconds)
        while b"\n" not in self._bytes:
            data = self.stream.recv(1 << 16)
            if not data:
                return None
            self._bytes += data
        line, self._bytes = self._bytes.split(b"\n", 1)
        return json.loads(line)


class FakeSupervisor:
    """The supervisor's end of the channel of one process that runs `code`; optionally with a lent listening socket."""

    def __init__(self, code="", lend=None, by_path=False, command=None, **more):
        """`command` runs instead of Python with the code; `more`: variables for it."""
        self.folder = tempfile.mkdtemp(prefix="zeroth-py-")
        self.emergency = os.path.join(self.folder, "emergency-1.json")
        self.alive = os.path.join(self.folder, "alive-1")
        self.program = os.path.join(self.folder, "program.py")
        with open(self.program, "w") as file:
            file.write(code)
        env = clean_environment(ZEROTH_GENERATION="1", ZEROTH_CAUSE="start", ZEROTH_EMERGENCY_FILE=self.emergency, **more)
        self._beside, self.answers, self.events, self._last = [], {}, [], 0
        words = ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *(command or [sys.executable, "-u", self.program])]
        self.output = open(os.path.join(self.folder, "output"), "w+")
        actions = [(os.POSIX_SPAWN_DUP2, self.output.fileno(), 1), (os.POSIX_SPAWN_DUP2, self.output.fileno(), 2)]
        if by_path:
            self._start_by_path(words, dict(env, LISTEN_FDS="1", LISTEN_PID="1", LISTEN_FDNAMES="http"), actions)
            return
        ours, theirs = socket.socketpair()
        first = 3
        if lend is not None:
            env.update(LISTEN_FDS="1", LISTEN_FDNAMES=env.get("LISTEN_FDNAMES", "http"))
            # First out of the way, so that neither is overwritten by the other.
            actions += [(os.POSIX_SPAWN_DUP2, lend.fileno(), 90), (os.POSIX_SPAWN_DUP2, theirs.fileno(), 91)]
            actions += [(os.POSIX_SPAWN_DUP2, 90, 3), (os.POSIX_SPAWN_DUP2, 91, 4), (os.POSIX_SPAWN_CLOSE, 90)]
            actions += [(os.POSIX_SPAWN_CLOSE, 91)]
            first = 4
        else:
            actions += [(os.POSIX_SPAWN_DUP2, theirs.fileno(), 91), (os.POSIX_SPAWN_DUP2, 91, 3)]
            actions += [(os.POSIX_SPAWN_CLOSE, 91)]
        self.pid = os.posix_spawnp("sh", words, dict(env, ZEROTH_FD=str(first)), file_actions=actions)
        theirs.close()
        self.lines = Lines(ours)

    def _start_by_path(self, words, env, actions):
        path = os.path.join(self.folder, "worker.sock")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(PATIENCE)
            # A number that is no socket, as behind a wrapper that closes what it does not know.
            env = dict(env, ZEROTH_FD="77", ZEROTH_SOCKET=path, ZEROTH_KEY="secret", ZEROTH_ALIVE=self.alive)
            self.pid = os.posix_spawnp("sh", words, env, file_actions=actions)
            self.lines = Lines(listener.accept()[0])

    def send(self, command, /, **params):
        self._last += 1
        self.lines.send({"id": self._last, "command": command, "params": params})
        return self._last

    def answer(self, request, seconds=PATIENCE):
        while request not in self.answers:
            message = self.lines.next(seconds)
            if message is None:
                raise AssertionError("the worker ended: " + self.told())
            if "success" in message:
                self.answers[message["id"]] = message
            else:
                self.events.append(message)
        return self.answers.pop(request)

    def ask(self, command, /, **params):
        answer = self.answer(self.send(command, **params))
        if not answer["success"]:
            raise AssertionError(f"{command}: {answer['error']}")
        return answer["result"]

    def event(self, name, seconds=PATIENCE):
        """The next message of this name, event or request; what else came before it is left for later."""
        while True:
            for index, message in enumerate(self.events):
                if name in (message.get("event"), message.get("command")):
                    return self.events.pop(index)
            message = self.lines.next(seconds)
            if message is None:
                raise AssertionError(f"no {name}: " + self.told())
            if "success" in message:
                self.answers[message["id"]] = message
            else:
                self.events.append(message)

    def go(self, state=None, schema=""):
        """Takes the worker from hello to live; the data of its hello, its loaded and its ready."""
        hello, loaded = self.event("hello")["data"], self.event("loaded")["data"]
        self.summary = self.ask("restore", generation=1, cause="start", schema=schema, state=state)
        ready = self.event("ready")["data"]
        self.ask("go")
        return hello, loaded, ready

    def hold(self):
        return self.ask("checkpoint", hold=True, deadline_ms=10_000)["state"]

    def wait_output(self, text):
        """Until the program printed `text`, which it does when an event that is waited for has happened."""
        until = time.monotonic() + PATIENCE
        while text not in self.told():
            if time.monotonic() > until:
                raise AssertionError(f"{text!r} was not printed: " + self.told())
            select.select([], [], [], 0.01)

    def told(self):
        with open(os.path.join(self.folder, "output")) as file:
            return file.read()

    def wait_exit(self):
        fd = os.pidfd_open(self.pid)
        try:
            if not select.select([fd], [], [], PATIENCE)[0]:
                raise AssertionError("it does not end: " + self.told())
        finally:
            os.close(fd)
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lines.stream.close()
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        self.output.close()
        shutil.rmtree(self.folder)


class RealSupervisor:
    """zeroth-supervise on a program that lies in a folder of the test."""

    def __init__(self, code, *options, name="program.py", command=None):
        """`command` runs the program in another way than `python3 program.py`, in the program's folder."""
        self.folder = tempfile.mkdtemp(prefix="zeroth-py-")
        self.program, self.options = os.path.join(self.folder, name), options
        self.command = command or [sys.executable, self.program]
        self.edit(code)
        self.start()

    def edit(self, code):
        with open(self.program + ".new", "w") as file:
            file.write(code)
        os.rename(self.program + ".new", self.program)

    def start(self):
        words = [binary("zeroth-supervise"), "--name", "t", "--state-dir", self.folder + "/state", "--runtime-dir"]
        words += [self.folder + "/run", *self.options, "--protocol", "--watch", self.program, "--"]
        self.log = open(self.folder + "/log", "a+")
        env = clean_environment(npm_config_update_notifier="false", npm_config_cache=self.folder + "/npm")
        self.process = subprocess.Popen(words + self.command, cwd=self.folder, env=env,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
                                        start_new_session=True)  # fmt: skip

    def connect(self):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(PATIENCE)
        try:
            stream.connect(self.folder + "/run/control.sock")
        except OSError:
            stream.close()
            raise
        return Lines(stream)

    def ask(self, command, /, **params):
        lines = self.connect()
        with contextlib.closing(lines.stream):
            lines.send({"id": 1, "command": command, "params": params})
            answer = lines.next()
        if answer is None or not answer["success"]:
            raise AssertionError(f"{command}: {answer}\n{self.told()}")
        return answer["result"]

    def wait(self, accepts):
        """The worker's status as soon as `accepts` it; looked at after each event, and every 100 ms."""
        until, events = time.monotonic() + PATIENCE, None
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if events is None:
                    events = self.connect()
                    events.send({"id": 0, "command": "events", "params": {}})
                worker = self.ask("status")["workers"][0]
                if accepts(worker):
                    events.stream.close()
                    return worker
                events.next(0.1)
            except (OSError, KeyError, IndexError):
                select.select([], [], [], 0.02)  # not listening yet, or nothing happened
        if events is not None:
            events.stream.close()
        raise AssertionError("the worker did not get there: " + self.told())

    def wait_ready(self, generation=1):
        return self.wait(lambda worker: worker["state"] == "ready" and (worker["generation"] or 0) >= generation)

    def kill_supervisor(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def told(self):
        with open(self.folder + "/log") as file:
            return file.read()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        self.log.close()
        shutil.rmtree(self.folder)
