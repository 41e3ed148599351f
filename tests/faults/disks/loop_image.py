"""A file system in a file, mounted over a loop device, whose power can be cut."""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time

SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN = _IOR('X', 125, u32), the same number for ext4 and XFS
NO_LOG_FLUSH = struct.pack("I", 2)  # what the journal holds in memory only is lost, as without power
# Small, but XFS takes none below 300 MB; sparse, so a fresh one costs a fifth of a second.
MAKE = {"ext4": ("64M", ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1"]), "xfs": ("320M", ["mkfs.xfs", "-q", "-f"])}
UNMOUNT_WAIT = 30.0  # seconds for what was killed to let go of the mount


class Unavailable(Exception):
    """Why this machine cannot mount such an image."""


def _run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise Unavailable(f"{words[0]}: {(done.stderr or done.stdout).strip()}")


class LoopImage:
    """Mounted at `mount` until `end`, which also detaches the loop device, whatever happened before."""

    def __init__(self, kind):
        self.kind = kind
        # In memory where that is possible: what is tested is the order of the writes, not the speed of a disk.
        self.folder = tempfile.mkdtemp(prefix="zeroth-image-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        self.image, self.mount, self.mounted = self.folder + "/image", self.folder + "/mount", False
        os.mkdir(self.mount)
        try:
            self.make()
        except BaseException:
            self.end()
            raise

    def make(self):
        """A fresh, empty file system."""
        size, words = MAKE[self.kind]
        if not shutil.which(words[0]):
            raise Unavailable(f"{words[0]} is not installed")
        self._unmount()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.image)
        _run("truncate", "-s", size, self.image)
        _run(*words, self.image)
        self._mount()

    def _mount(self):
        _run("mount", "-o", "loop", "-t", self.kind, self.image, self.mount)
        self.mounted = True

    def _unmount(self):
        until = time.monotonic() + UNMOUNT_WAIT
        while self.mounted:
            try:
                _run("umount", self.mount)
                self.mounted = False
            except Unavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def cut(self):
        """From here on nothing gets onto the disk any more: each write, fsync and rename fails with EIO."""
        folder = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, SHUTDOWN, NO_LOG_FLUSH)
        finally:
            os.close(folder)

    def power_on(self):
        """Mounts again what the disk holds; the journal is replayed. Nobody may use the mount any more."""
        self._unmount()
        self._mount()

    def end(self):
        try:
            self._unmount()
        except Unavailable:
            subprocess.run(["umount", "-l", self.mount], capture_output=True)
        # mount detaches the loop device with the last user; one that is left behind would keep the image's space.
        for line in subprocess.run(["losetup", "-j", self.image], capture_output=True, text=True).stdout.splitlines():
            subprocess.run(["losetup", "-d", line.split(":")[0]], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
