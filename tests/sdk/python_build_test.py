#!/usr/bin/env python3
"""The example of four build daemons, whose caches are living state: worker/examples/build under the real supervisor, on
ports of the test's own, with scripts/health-check.

ZEROTH_BIN_DIR=build/release/bin tests/sdk/python_build_test.py [TEST…]
"""

import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.request

from python_support import EXAMPLES, SOURCE, binary, clean_environment

DAEMONS = ("discovery", "setup", "compilation", "orchestrator")
PATIENCE = 60.0


class Fleet:
    """The fleet in a folder and on ports of its own."""

    def __init__(self, name="build"):
        self.folder = tempfile.mkdtemp(prefix="zeroth-build-")
        with contextlib.ExitStack() as opened:
            sockets = [opened.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in DAEMONS]
            self.ports = dict(zip(DAEMONS, (one.getsockname()[1] for one in sockets)))
        shutil.copytree(os.path.join(EXAMPLES, "build"), self.path("code"), ignore=shutil.ignore_patterns("__pycache__"))
        with open(self.path("code/fleet.toml")) as file:
            text = file.read().replace('name = "build"', f'name = "{name}"')
        for number, port in enumerate(self.ports.values(), 3001):
            text = text.replace(str(number), str(port))
        with open(self.path("code/fleet.toml"), "w") as file:
            file.write(text)
        self.env = clean_environment(ZEROTH_STATE_DIR=self.path("state"), ZEROTH_RUNTIME_DIR=self.path("run"))
        self.log = open(self.path("log"), "a+")
        self.process = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self):
        self.process = subprocess.Popen([binary("zeroth-supervise"), self.path("code/fleet.toml")], env=self.env,
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True)  # fmt: skip

    def ctl(self, *words, fails=False):
        run = subprocess.run([binary("zerothctl"), *words], env=self.env, capture_output=True, text=True, timeout=2 * PATIENCE)
        if run.returncode != 0 and not fails:
            raise AssertionError(f"{words}: {run.stdout}{run.stderr}\n{self.told()}")
        return run.stdout

    def workers(self):
        with contextlib.suppress(ValueError, KeyError):
            return {worker["name"]: worker for worker in json.loads(self.ctl("--json", "status", fails=True))["workers"]}
        return {}

    def wait(self, accepts):
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            workers = self.workers()
            if workers and accepts(workers):
                return workers
            select.select([], [], [], 0.1)
        raise AssertionError("the fleet did not get there: " + self.told())

    def wait_ready(self):
        return self.wait(lambda workers: all(worker["state"] == "ready" for worker in workers.values()))

    def cache(self, name):
        return json.loads(self.ctl("--json", "cache", f"worker={name}"))

    def health(self):
        env = dict(self.env, ZEROTH_BIN_DIR=os.path.dirname(binary("zerothctl")))
        run = subprocess.run([os.path.join(SOURCE, "scripts", "health-check")], env=env, capture_output=True, text=True, timeout=PATIENCE)
        return run.returncode, run.stdout

    def build(self, root, out, **more):
        question = json.dumps({"root": root, "out": out, **more}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['orchestrator']}", question, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)

    def told(self):
        with open(self.path("log")) as file:
            return file.read()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        self.log.close()
        shutil.rmtree(self.folder)


class Project:
    """Sources that print what they are; each edit is another content."""

    def __init__(self, folder, modules=8):
        self.root, self.out, self.edits, self.modules = os.path.join(folder, "project"), os.path.join(folder, "app.pyz"), 0, modules
        os.mkdir(self.root)
        self.write("__main__", "import " + ", ".join(f"m{n}" for n in range(modules)) + "\nprint(m0.VALUE)\n")
        for number in range(modules):
            self.write(f"m{number}", f"VALUE = 'module {number}'\n")

    def write(self, name, text):
        path = os.path.join(self.root, name + ".py")
        with open(path + ".new", "w") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def edit(self):
        self.edits += 1
        self.write("m0", f"VALUE = 'edit {self.edits}'\n")

    def run(self):
        return subprocess.run([sys.executable, self.out], capture_output=True, text=True, timeout=PATIENCE).stdout


class Builder(threading.Thread):
    """Edits and builds, again and again, until it is told to end."""

    def __init__(self, fleet, project):
        super().__init__(daemon=True)
        self.fleet, self.project, self.end = fleet, project, threading.Event()
        self.built, self.failures, self.progress = 0, [], threading.Condition()

    def run(self):
        while not self.end.is_set():
            self.project.edit()
            try:
                result = self.fleet.build(self.project.root, self.project.out)
                again = self.fleet.build(self.project.root, self.project.out)
                if result != {"files": 1 + self.project.modules, "errors": []} or again != result:
                    self.failures.append((result, again))
            except Exception as error:
                self.failures.append(repr(error))
            with self.progress:
                self.built += 1
                self.progress.notify_all()

    def wait_more(self, count):
        with self.progress:
            wanted = self.built + count
            assert self.progress.wait_for(lambda: self.built >= wanted, PATIENCE), (self.failures, self.fleet.told())


class Builds(unittest.TestCase):
    def test_caches_outlive_a_kill_a_rolling_restart_and_the_fleet(self):
        with Fleet() as fleet, tempfile.TemporaryDirectory() as folder:
            workers = fleet.wait_ready()
            table = fleet.ctl("status")
            for name, port in fleet.ports.items():
                self.assertEqual(workers[name]["listen"], [f"127.0.0.1:{port}"])
                self.assertRegex(table, rf"{name} +ready +{workers[name]['pid']} .*127\.0\.0\.1:{port}")
            project = Project(folder)
            self.assertEqual(fleet.build(project.root, project.out), {"files": 9, "errors": []})
            self.assertEqual(project.run(), "module 0\n")
            self.assertEqual(fleet.cache("compilation"), {"entries": 9, "hits": 0, "misses": 9})
            fleet.ctl("checkpoint", "compilation")

            os.kill(workers["compilation"]["pid"], signal.SIGKILL)
            fleet.wait(lambda now: now["compilation"]["generation"] == 2 and now["compilation"]["state"] == "ready")
            self.assertEqual(fleet.cache("compilation"), {"entries": 9, "hits": 0, "misses": 9})
            project.edit()
            self.assertEqual(fleet.build(project.root, project.out), {"files": 9, "errors": []})
            self.assertEqual(project.run(), "edit 1\n")
            self.assertEqual(fleet.cache("compilation"), {"entries": 10, "hits": 8, "misses": 10})

            builder = Builder(fleet, project)
            builder.start()
            builder.wait_more(2)
            hits = {name: fleet.cache(name)["hits"] for name in DAEMONS}
            for _ in range(2):
                fleet.ctl("rolling-restart")
                builder.wait_more(2)
                now = {name: fleet.cache(name)["hits"] for name in DAEMONS}
                self.assertTrue(all(now[name] > hits[name] for name in DAEMONS), (hits, now))
                hits = now
            builder.end.set()
            builder.join(PATIENCE)
            self.assertEqual(builder.failures, [], fleet.told())
            self.assertEqual(project.run(), f"edit {project.edits}\n")
            last = {name: fleet.cache(name) for name in DAEMONS}

            code, shown = fleet.health()
            self.assertEqual(code, 0, shown)
            for name, port in fleet.ports.items():
                self.assertRegex(shown, rf"(?m)^{name} +up +pid \d+ +127\.0\.0\.1:{port} +\d+ hits, \d+ misses, \d+ entries$")
            fleet.ctl("stop", "setup")
            code, shown = fleet.health()
            self.assertEqual((code, len(re.findall(r"(?m)^\w+ +up ", shown))), (1, 3), shown)
            self.assertRegex(shown, r"(?m)^setup +down +pid - +\S+ +stopped$")

            pids = [worker["pid"] for worker in fleet.workers().values() if worker["pid"]]
            fleet.ctl("shutdown")
            self.assertEqual(fleet.process.wait(PATIENCE), 0)
            self.assertEqual([pid for pid in pids if os.path.exists(f"/proc/{pid}")], [])
            self.assertEqual(os.listdir(fleet.path("run")), [])
            self.assertEqual(fleet.health()[0], 3)
            for name, cache in last.items():
                statistics = rf"{name}\.\d+ │ {cache['hits']} hits, {cache['misses']} misses \(\d+ % from the cache\), {cache['entries']} entries"
                self.assertRegex(fleet.told(), statistics)

            fleet.start()
            fleet.wait(lambda now: now["orchestrator"]["waits_for"])  # setup stays stopped
            fleet.ctl("start-all")
            fleet.wait_ready()
            self.assertEqual({name: fleet.cache(name) for name in DAEMONS}, last)

    def test_mistakes_are_told(self):
        with Fleet() as fleet, tempfile.TemporaryDirectory() as folder:
            fleet.wait_ready()
            project = Project(folder)
            project.write("m1", "def f(:\n")
            for _ in range(2):
                errors = fleet.build(project.root, project.out)["errors"]
                self.assertEqual(len(errors), 1)
                self.assertIn(f"{project.root}/m1.py:1: ", errors[0])
            self.assertFalse(os.path.exists(project.out))
            with self.assertRaises(urllib.error.HTTPError) as refused:
                fleet.build(project.root, project.out, profil="debug")
            self.assertIn("unexpected keyword argument 'profil'", refused.exception.read().decode())
            refused.exception.close()

    def test_two_fleets_side_by_side(self):
        with Fleet("one") as one, Fleet("two") as two, tempfile.TemporaryDirectory() as folder:
            project = Project(folder)
            for fleet in (one, two):
                fleet.wait_ready()
            self.assertEqual(one.build(project.root, project.out)["errors"], [])
            self.assertEqual((one.cache("compilation")["misses"], two.cache("compilation")["misses"]), (9, 0))
            one.ctl("shutdown")
            one.process.wait(PATIENCE)
            self.assertEqual(two.build(project.root, project.out)["errors"], [])
            self.assertEqual(two.health()[0], 0)


if __name__ == "__main__":
    unittest.main()
