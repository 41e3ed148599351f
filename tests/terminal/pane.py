"""A tmux pane with a shell in it, driven and read as a person would: what is typed, what the screen shows."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time

SOURCE = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = os.environ.get("ZEROTH_BIN_DIR", str(SOURCE / "build/release/bin"))
PATIENCE = float(os.environ.get("ZEROTH_PATIENCE", "60"))
COLUMNS, ROWS = 100, 30

# What differs from run to run, and what stands for it.
VARIES = [
    (r"^\d\d:\d\d:\d\d\b", "TIME"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "DATE"),
    (r"\bpid \d+", "pid N"),
    (r"\b(iteration|snapshot) [\d,]+", r"\1 N"),
    (r"[\d,]+ bytes", "N bytes"),
    (r"\([\d,]+ lost\)", "(N lost)"),
    (r"[\d.,]+ (ms|s)\b", "DURATION"),
]
# Of the status line: everything but the generation changes all the time.
STATUS_LINE = re.compile(r"^generation \d+   (?!restart|greeting)")


class Pane:
    def __init__(self, **environment):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="zeroth-"))
        for name in ("state", "run", "work"):
            (self.folder / name).mkdir(mode=0o700)
        self.work = self.folder / "work"
        self.clears = environment.get("TERM") != "dumb"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ZEROTH_") and k not in ("NO_COLOR", "TMUX")}
        self.env = inherited | {"ZEROTH_CONTROL_PORT": "off", "PATH": f"{BIN}:{os.environ['PATH']}", "XDG_STATE_HOME": str(self.folder / "state"),
                                "XDG_RUNTIME_DIR": str(self.folder / "run"), "LC_ALL": "C.UTF-8"}
        shell = " ".join(["exec env PS1='$ '", *(f"{k}={v}" for k, v in environment.items()), "bash --norc --noprofile"])
        self.tmux("-f", "/dev/null", "-u", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), shell, cwd=self.work)
        try:
            self.wait(r"^\$$")
        except AssertionError:
            self.close()
            raise

    def close(self):
        subprocess.run(["zerothctl", "stop"], env=self.env, capture_output=True)
        self.tmux("kill-server")
        shutil.rmtree(self.folder)

    def tmux(self, *words, cwd=None):
        done = subprocess.run(["tmux", "-S", str(self.folder / "tmux"), *words], env=self.env, cwd=cwd, text=True,
                              capture_output=True, timeout=PATIENCE)
        return done.stdout

    # ---- What is typed

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def run(self, command):
        """Types a command on a screen that shows nothing else."""
        if self.clears:
            self.press("clear", "Enter")
            self.wait(r"\A\$$")
        self.type(command)
        self.press("Enter")

    def resize(self, columns, rows=ROWS):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    # ---- What is seen

    def text(self, colours=False, joined=False):
        shown = self.tmux("capture-pane", "-p", *(["-e"] if colours else []), *(["-J"] if joined else []))
        return "\n".join(line.rstrip() for line in shown.rstrip().split("\n"))

    def wait(self, pattern, gone=False, colours=False):
        """Until the screen shows it, or does not; the match."""
        end, pause = time.monotonic() + PATIENCE, threading.Event()
        while True:
            text = self.text(colours)
            found = re.search(pattern, text, re.M)
            if (found is None) == gone:
                return found
            if time.monotonic() > end:
                raise AssertionError(f"waited {PATIENCE:.0f} s for the screen {'not ' if gone else ''}to show /{pattern}/:\n{text}")
            pause.wait(0.05)

    def lines(self):
        """The screen without the status line, wrapped lines joined, with what varies replaced."""
        lines = [line for line in self.text(joined=True).replace(str(self.folder), "FOLDER").split("\n") if not STATUS_LINE.match(line)]
        for pattern, stands in VARIES:
            lines = [re.sub(pattern, stands, line) for line in lines]
        return lines

    # ---- Other programs

    def write(self, name, text):
        (self.work / name).write_text(text)

    def ctl(self, *words):
        done = subprocess.run(["zerothctl", *words], env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        return done.stdout
