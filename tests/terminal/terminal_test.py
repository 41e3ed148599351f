#!/usr/bin/env python3
"""zeroth-supervise in a tmux pane: the whole screen is compared, with times, pids and paths replaced. Exit 77 without tmux."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

from pane import COLUMNS, SOURCE, Pane

GREETING = (SOURCE / "worker/examples/greeting.zero").read_text()
STATUS = r"^generation \d+   (?:the newest edit is rejected   )?iteration [\d,]+   [\d.,]+/s   convergence "


class OnScreen(unittest.TestCase):
    environment = {}

    def setUp(self):
        self.pane = Pane(**self.environment)
        self.addCleanup(self.pane.close)

    def start_greeting(self, *options):
        self.pane.write("greeting.zero", GREETING)
        self.pane.run(" ".join(["zeroth-supervise", *options, "greeting.zero"]))
        self.pane.wait(r"^generation 1 started fresh, .*")


class Greeting(OnScreen):
    def setUp(self):
        super().setUp()
        self.start_greeting()

    def after_start(self, *expected):
        self.assertEqual(
            [line for line in self.pane.lines() if line],
            ["$ zeroth-supervise greeting.zero",
             "zeroth 0.1.0  greeting.zero  pid N  overlap   control FOLDER/run/zeroth/greeting/control.sock",
             "generation 1 started fresh, DURATION   h help  r restart  f fresh  s snapshot  u undo  q quit", *expected])

    def test_first_screen(self):
        status = self.pane.wait(STATUS + r"0\.\d{6} \S   saved (now|\d+ s ago)   watching 1 file$")
        self.assertLess(len(status.group()), COLUMNS)
        self.after_start()

    def test_edit_broken_edit_and_repair(self):
        self.pane.write("greeting.zero", GREETING + "state FRIEND\n")
        self.pane.wait("generation 2  greeting.zero changed")
        self.pane.write("greeting.zero", GREETING + "state FRIEND\nalign HELLO WROLD strength 0.1\n")
        self.pane.wait("did you mean 'WORLD'")
        self.pane.wait("^generation 2   the newest edit is rejected   iteration ")
        self.pane.write("greeting.zero", GREETING + "state FRIEND\n")
        self.pane.wait("compiles again after")
        self.pane.wait("^generation 2   iteration ")
        self.after_start(
            "TIME  generation 2  greeting.zero changed   kept 2  added FRIEND   iteration N   pause DURATION   total DURATION",
            "TIME  generation 3 rejected, 2 goes on",
            f"greeting.zero:{GREETING.count(chr(10)) + 2}:13: error: unknown state 'WROLD'",
            "    align HELLO WROLD strength 0.1",
            "                ^~~~~",
            "    help: did you mean 'WORLD' (line 10)?",
            "TIME  greeting.zero compiles again after DURATION, content as running")

    def test_crash(self):
        self.pane.wait(STATUS + ".*saved")
        worker = json.loads(self.pane.ctl("--json", "status"))["workers"][0]
        os.kill(worker["pid"], signal.SIGKILL)
        self.pane.wait("^generation 2   iteration ")
        text = "".join(self.pane.lines())
        self.assertRegex(text, r"TIME  generation 1 killed by SIGKILL; going on from snapshot N \(DURATION old\)")
        self.assertRegex(text, r"TIME  generation 2  restarted   kept 2   iteration N (\(N lost\) )? *total DURATION")

    def test_keys(self):
        self.pane.wait(STATUS)
        self.pane.press("h")
        self.pane.wait("^  q  quit")
        self.pane.press("r")
        self.pane.wait("generation 2  restart ")
        self.pane.press("s")
        self.pane.wait("^snapshot [0-9]+ saved")
        self.pane.press("x")
        self.pane.wait("^no key 'x'")
        self.pane.press("Up")  # a cursor key is no key of ours and no text
        self.pane.press("l")
        self.pane.wait("^the worker has written nothing yet")
        self.pane.wait("^generation 2   iteration ")
        self.after_start(
            "  h  help      this",
            "  r  restart   a fresh process with the living state, also if nothing changed",
            "  f  fresh     a fresh process without state; asks, and pins the present one",
            "  s  snapshot  save the living state now",
            "  u  undo      back to the code and state of the generation before; asks, and pins the present one",
            "  l  logs      the last 20 lines of the worker's output",
            "  q  quit      save and stop, as Ctrl-C does; twice: stop at once",
            "TIME  generation 2  restart   kept 2   iteration N   pause DURATION   total DURATION",
            "snapshot N saved, N bytes",
            "no key 'x'; h lists them",
            "the worker has written nothing yet")
        self.pane.press("q")
        self.check_stopped()

    def test_undo_and_fresh_ask_first(self):
        self.pane.wait(STATUS)
        self.pane.press("u")
        self.pane.wait("^no undo: there is no generation before this one$")
        self.pane.write("greeting.zero", GREETING + "state FRIEND\n")
        self.pane.wait("generation 2  greeting.zero changed")
        self.pane.press("u")
        self.pane.wait(r"^back to generation 1 and its code, .* left behind and pinned\? \[y/N\]$")
        self.pane.press("n")
        self.pane.wait("^nothing was changed$")
        self.pane.press("u")
        self.pane.wait(r"(?s)nothing was changed.*\[y/N\]$")
        self.pane.press("y")
        self.pane.wait("generation 3  rolled back to generation 1")
        self.pane.wait(r"^  the state before is pinned: zerothctl rollback --sequence \d+ goes back to it$")
        self.pane.press("f")
        self.pane.wait(r"^start without state; the present one is left behind and pinned\? \[y/N\]$")
        self.pane.press("y")
        self.pane.wait("generation 4 ")
        self.pane.press("q")
        self.check_stopped()

    def check_stopped(self):
        self.pane.wait(r"^go on from here: zeroth-supervise greeting.zero\n\$$")
        self.assertRegex("".join(self.pane.lines()),
                         r"TIME  saved and stopped; snapshot N of DATE in FOLDER/state/zeroth/greeting/greeting/snapshots")
        self.check_own_modes()

    def check_own_modes(self):
        self.pane.run("stty -a | grep -oE -e '-?(icanon|echo)\\b'")
        self.pane.wait(r"\A.*\nicanon\necho\n\$$")

    def test_interrupted(self):
        self.pane.wait(STATUS)
        self.pane.press("C-c")
        self.check_stopped()

    def test_crash_of_ours_gives_the_terminal_back(self):
        self.pane.wait(STATUS)
        os.kill(json.loads(self.pane.ctl("--json", "status"))["pid"], signal.SIGABRT)
        self.pane.wait("^.*Aborted.*")
        self.check_own_modes()

    def test_narrower_and_wider(self):
        self.pane.wait(STATUS)
        self.pane.resize(50)
        found = self.pane.wait(r"^generation 1   iteration [\d,]+   [\d.,]+/s$")
        self.assertLess(len(found.group()), 50)
        self.assertEqual(len(re.findall("^generation 1   iteration", self.pane.text(), re.M)), 1)
        self.pane.resize(120)
        self.pane.wait(STATUS + r".*watching 1 file$")
        self.assertEqual(len(re.findall("^generation 1   iteration", self.pane.text(), re.M)), 1)

    def test_suspended_and_continued(self):
        self.pane.wait(STATUS)
        self.pane.press("C-z")
        self.pane.wait(r"Stopped +zeroth-supervise greeting.zero\n\$$")
        self.check_own_modes()
        self.pane.run("fg")
        self.pane.wait(STATUS)
        self.pane.press("s")
        self.pane.wait("^snapshot [0-9]+ saved")

    def test_watch_observe(self):
        self.pane.tmux("new-window", "zerothctl observe --watch")
        found = self.pane.wait(r"\A[\u2581-\u2588]{4,}\nIteration +\d+\n")
        self.pane.wait(re.escape(found.group()), gone=True)  # drawn again
        self.assertEqual(len(re.findall("^Iteration", self.pane.text(), re.M)), 1)

    def test_watch_in_a_pipe(self):
        for verb, member in (("observe", "iteration"), ("status", "workers")):
            with subprocess.Popen(["zerothctl", verb, "--watch"], env=self.pane.env, stdout=subprocess.PIPE) as watching:
                for _ in range(2):
                    self.assertIn(member, json.loads(watching.stdout.readline()))
                watching.terminate()


class InTheBackground(OnScreen):
    def test_the_shell_has_the_terminal_until_fg(self):
        self.pane.write("greeting.zero", GREETING)
        self.pane.run("stty tostop; zeroth-supervise greeting.zero &")
        self.pane.wait("^generation 1 started fresh, .*Ctrl-C saves and stops$")
        self.pane.type("echo sum $((40 + 2))")
        self.pane.press("Enter")
        self.pane.wait("^sum 42")
        self.assertNotIn("iteration", self.pane.text())
        self.pane.press("fg", "Enter")
        self.pane.wait(STATUS)
        self.pane.press("s")
        self.pane.wait("^snapshot [0-9]+ saved")


class Dumb(OnScreen):
    environment = {"TERM": "dumb"}

    def test_no_status_line_no_colour(self):
        self.start_greeting()
        self.pane.press("h")
        self.pane.wait("^  q  quit")
        self.pane.write("greeting.zero", "state\n")
        self.pane.wait("generation 2 rejected")
        self.assertNotIn("\x1b", self.pane.text(colours=True))
        self.assertIsNone(re.search(STATUS, self.pane.text(), re.M))


if __name__ == "__main__":
    if shutil.which("tmux") is None:
        print("skipped: there is no tmux")
        sys.exit(77)
    unittest.main(verbosity=2)
