#!/usr/bin/env python3
"""What a worker sees of our terminal, and what a person sees of a worker. Exit 77 without tmux."""

import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

from pane import COLUMNS, PATIENCE, ROWS, Pane

LOOKS = """
import os, sys
print("terminals:", sys.stdin.isatty(), sys.stdout.isatty(), sys.stderr.isatty())
print("size:", *os.get_terminal_size())
try:
    open("/dev/tty")
except OSError as error:
    print("tty:", error.strerror)
print("\\x1b[31mred\\x1b[0m \\x1b[2Jnot cleared")
sys.stderr.write("to stderr\\n")
"""
HELD = """
import sys, threading
for line in ("\\r 10% #", "\\r 90% #########"):
    sys.stdout.write(line)
    sys.stdout.flush()
GO = threading.Event()
import signal
signal.signal(signal.SIGUSR1, lambda *_: GO.set())
signal.signal(signal.SIGWINCH, lambda *_: None)
while not GO.wait(0.1):
    pass
sys.stdout.write("\\r100% ##########\\nthe end, without a line end")
sys.stdout.flush()
"""
ASKS = """
import os
print("typed at:", os.isatty(0), "in", *os.get_terminal_size())
while True:
    name = input("name? ")
    print("hello", name)
    if name == "die":
        os._exit(3)
"""


class Workers(unittest.TestCase):
    def setUp(self):
        self.pane = Pane()
        self.addCleanup(self.pane.close)

    def start(self, program, *options):
        self.pane.write("w.py", program)
        self.pane.run(" ".join(["zeroth-supervise", *options, "--watch w.py -- python3 w.py"]))

    def test_outputs_are_terminals(self):
        self.start(LOOKS)
        self.pane.wait(r"^w\.1 \S to stderr$")
        text = self.pane.text()
        self.assertRegex(text, r"(?m)^w\.1 \S terminals: False True True$")
        self.assertRegex(text, rf"(?m)^w\.1 \S size: {COLUMNS - 7} {ROWS}$")  # the prefix is ours
        self.assertRegex(text, r"(?m)^w\.1 \S tty: No such device")
        self.assertRegex(text, r"(?m)^w\.1 \S red \\x1b\[2Jnot cleared$")
        self.assertIn("\x1b[31mred", self.pane.text(colours=True))
        logs = self.pane.ctl("logs")
        self.assertRegex(logs, r"(?m)  red \\x1b\[2Jnot cleared$")
        self.assertNotIn("\x1b", logs)

    def test_the_last_lines_of_a_crash_are_shown_once(self):
        self.start("import sys\nprint('no database', file=sys.stderr)\nsys.exit(3)\n", "--max-failures 1", "--retry-failed 0")
        self.pane.wait(r"exited with code 3; giving up: 1 failure")
        self.assertEqual(len(re.findall("no database", self.pane.text())), 1)

    def test_progress_bar_and_end_without_line_end(self):
        self.start(HELD)
        self.pane.wait(r"^w\.1 \S  90% #########   ")
        self.pane.wait(r"^zeroth 0")
        pid = re.search(r"^PID +(\d+)", self.pane.ctl("status"), re.M).group(1)
        os.kill(int(pid), signal.SIGUSR1)
        self.pane.wait(r"^w\.1 \S the end, without a line end$")
        self.assertRegex(self.pane.text(), r"(?m)^w\.1 \S 100% ##########$")
        self.assertNotIn("10%", self.pane.text().replace("100%", ""))

    def test_raw_is_as_written(self):
        self.start(HELD, "--raw")
        self.pane.wait(r"^ 90% #########$")

    def test_typed_at_over_reload_and_crash(self):
        self.start(ASKS, "--stdin")
        self.pane.wait(rf"^typed at: True in {COLUMNS} {ROWS}\nname\?")
        self.pane.type("Bobx")
        self.pane.press("BSpace", "Enter")
        self.pane.wait(r"^name\? Bob\nhello Bob\n")
        self.pane.wait(r"^generation 1 started fresh, .* Ctrl-C saves and stops$")
        self.pane.write("w.py", ASKS.replace("hello", "good day"))
        self.pane.wait(r"generation 2 ")
        self.pane.type("Ann\n")
        self.pane.wait(r"^good day Ann\n")
        self.pane.type("die\n")
        self.pane.wait(r"generation 2 exited with code 3")
        self.pane.wait(r"generation 3  restarted")
        self.pane.type("Eve\n")
        self.pane.wait(r"^good day Eve\n")
        self.pane.type("q\n")  # no key
        self.pane.wait(r"^good day q\n")
        self.pane.press("C-c")
        self.pane.wait(r"stopped\n\$$")

    def test_end_of_what_is_typed(self):
        self.start("import sys\nprint('reads')\nprint(len(sys.stdin.read()))\n", "--stdin")
        self.pane.wait("^reads")
        self.pane.type("12345\n")
        self.pane.wait("^12345")
        self.pane.press("C-d")
        self.pane.wait(r"^6\n")


class WithoutTerminal(unittest.TestCase):
    def setUp(self):
        self.pane = Pane()  # for its folders
        self.addCleanup(self.pane.close)

    def run_once(self, program, *options, stdin=subprocess.DEVNULL):
        self.pane.write("w.py", program)
        process = subprocess.Popen(["zeroth-supervise", *options, "--no-watch", "--restart", "never", "--", "python3", "w.py"],
                                cwd=self.pane.work, env=self.pane.env | {"TERM": "xterm"}, stdin=stdin,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.__exit__, None, None, None)
        return process

    def until(self, stream, pattern):
        said = ""
        for line in stream:
            said += line
            if re.search(pattern, said, re.M):
                return said
        self.fail(f"ended before /{pattern}/:\n{said}")

    def test_no_escape_sequences_and_line_by_line(self):
        process = self.run_once(LOOKS.replace("os.get_terminal_size()", "()") + "\nimport signal\nsignal.pause()\n")
        said = self.until(process.stdout, "to stderr")
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
        self.assertRegex(said, r"(?m)^w\.1 \S terminals: False False False$")
        self.assertIn("\\x1b[31mred", said)
        self.assertNotIn("\x1b", said + out + err)
        self.assertNotIn("\r", said + out + err)

    def test_stdin_of_a_pipe_is_the_workers(self):
        process = self.run_once(ASKS.replace("os.get_terminal_size()", "()"), "--stdin", stdin=subprocess.PIPE)
        process.stdin.write("Bob\ndie\n")
        process.stdin.flush()
        self.assertIn("name? hello Bob", self.until(process.stdout, "hello die"))
        process.terminate()
        process.communicate(timeout=PATIENCE)


if __name__ == "__main__":
    if shutil.which("tmux") is None:
        print("skipped: there is no tmux")
        sys.exit(77)
    unittest.main(verbosity=2)
