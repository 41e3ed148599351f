"""Which contents a disk may have after a power cut, by what POSIX promises: what an fsync covered is there; of the rest each
operation on a folder by itself is there or not, in any order, and each file's data is whole, missing, torn or zeroed."""

import os

TORN = ("full", "none", "torn", "zeroed", "late")
ALL_SUBSETS = 5  # up to so many undecided operations all subsets are tried


class Inode:
    def __init__(self, is_folder):
        self.is_folder = is_folder
        self.changes = []  # events: of a file's data, or (event, inode) of a folder's names
        self.synced = []  # (begin, end) of each fsync


class Recording:
    """The events, each with the inode it changed at its time."""

    def __init__(self, events):
        self.events = events
        self.contents = {}
        self.root = Inode(True)
        self.moments = sorted({moment for event in events for moment in (event.begin, event.end)})
        self.inodes = [self.root]
        now = {"": self.root}  # path: inode, as the programs saw it
        for event in events:
            if event.what == "told":
                continue
            if event.what in ("create", "mkdir"):
                now[event.path] = Inode(event.what == "mkdir")
                self.inodes.append(now[event.path])
            inode = now.get(event.path)
            if inode is None:
                continue  # a file that has no name any more
            if event.what == "fsync":
                inode.synced.append((event.begin, event.end))
            elif event.what in ("write", "size"):
                inode.changes.append(event)
            else:
                now[os.path.dirname(event.path)].changes.append((event, inode))
                if event.what in ("rename", "unlink"):
                    del now[event.path]
                if event.to:
                    assert os.path.dirname(event.to) == os.path.dirname(event.path), event
                    now[event.to] = inode


def _covered(inode, moment):
    """What ended before this moment is durable at `moment`."""
    return max((begin for begin, end in inode.synced if end < moment), default=-1)


def _apply(data, event):
    if event.what == "size":
        if event.exact:
            del data[event.offset :]
        data.extend(bytes(max(0, event.offset - len(data))))
        return
    offset = len(data) if event.offset < 0 else event.offset
    data.extend(bytes(max(0, offset - len(data))))
    data[offset : offset + len(event.data)] = event.data


def _content(begun, covered, torn):
    """A file's data: what an fsync covered, and of the rest what `torn` says."""
    safe = [event for event in begun if event.end <= covered]
    loose = [event for event in begun if event.end > covered]
    data = bytearray()
    for event in safe:
        _apply(data, event)
    if not loose or torn == "none":
        return bytes(data)
    if torn == "full" or torn == "zeroed":
        kept = bytes(data)
        for event in loose:
            _apply(data, event)
        # Blocks are there, their content is not.
        return bytes(data) if torn == "full" else (kept + bytes(max(0, len(data) - len(kept))))[: len(data)]
    if torn == "late":  # the last got there before the first
        for event in loose[len(loose) // 2 :]:
            _apply(data, event)
        return bytes(data)
    for event in loose[: len(loose) // 2]:
        _apply(data, event)
    half = loose[len(loose) // 2]
    if half.what == "write":
        whole = bytearray(data)
        _apply(whole, half)
        at = (len(data) if half.offset < 0 else half.offset) + len(half.data) // 2
        data = whole[:at] + data[at:]
    return bytes(data)


class Cut:
    """The power goes at `moment`: what had begun before it may have happened, what an fsync covered has."""

    def __init__(self, recording, moment):
        self.recording, self.moment = recording, moment
        self.undecided = []  # (folder, event)
        for inode in recording.inodes:
            if inode.is_folder:
                covered = _covered(inode, moment)
                self.undecided += [(inode, event) for event, _ in inode.changes if event.begin < moment and event.end > covered]

    def content(self, inode, torn):
        """The same bytes object for the same content: states are compared by it."""
        covered = _covered(inode, self.moment)
        begun = [event for event in inode.changes if event.begin < self.moment]
        key = (id(inode), torn, covered, len(begun))
        if key not in self.recording.contents:
            self.recording.contents[key] = _content(begun, covered, torn)
        return self.recording.contents[key]

    def subsets(self, random, more):
        """Sets of undecided operations that got onto the disk: all of them while these are few; else none, all, all but one,
        one alone, and `more` at random."""
        names = [event.begin for _, event in self.undecided]
        if len(names) <= ALL_SUBSETS:
            return [{name for at, name in enumerate(names) if bits >> at & 1} for bits in range(1 << len(names))]
        everything = set(names)
        found = [set(), everything]
        for name in names:
            found += [{name}, everything - {name}]
        return found + [{name for name in names if random.random() < 0.5} for _ in range(more)]

    def tree(self, kept, torn_of):
        """{path: bytes, or None for a folder}; `torn_of(inode)`: how its data got there."""
        undecided = {id(event): event.begin in kept for _, event in self.undecided}
        found, waiting = {}, [("", self.recording.root)]
        while waiting:
            path, folder = waiting.pop()
            names = {}
            for event, inode in folder.changes:
                if event.begin >= self.moment or not undecided.get(id(event), True):
                    continue
                name = os.path.basename(event.path)
                if event.what in ("rename", "unlink") and names.get(name) is inode:
                    del names[name]
                if event.what in ("create", "mkdir"):
                    names[name] = inode
                elif event.to:
                    names[os.path.basename(event.to)] = inode
            for name, inode in names.items():
                inner = f"{path}/{name}" if path else name
                found[inner] = None if inode.is_folder else self.content(inode, torn_of(inode))
                if inode.is_folder:
                    waiting.append((inner, inode))
        return found
