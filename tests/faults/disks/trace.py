"""What strace saw of the files below a folder, as events in order, with the bytes that were written."""

import dataclasses
import os
import re

CALLS = ("openat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,write,pwrite64,writev,sendto,sendmsg,"
         "lseek,ftruncate,fallocate,fsync,fdatasync")
_CALL = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_UNFINISHED = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)$")
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_FOLDER_AND_NAME = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2})*)>, )?"((?:\\x[0-9a-f]{2})*)"')
_DESCRIPTOR = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})*)>")
ANSWER = b'{"id":"told-'


def command(into):
    """To be put before the words of the program that is recorded."""
    return ["strace", "-f", "-qq", "-y", "-xx", "-s", str(1 << 26), "-o", into, "-e", f"trace={CALLS}"]


@dataclasses.dataclass
class Event:
    """`what`: create, mkdir, rename, link, unlink, write, size, fsync or told; it has its effect between the moments `begin` and
    `end`, which are line numbers. Paths are relative to the recorded folder, "" is that folder."""

    what: str
    begin: int
    end: int
    path: str = ""
    to: str = ""  # rename, link
    offset: int = -1  # write; -1: at the end. size: the least or the exact size
    data: bytes = b""  # write
    exact: bool = False  # size: truncated there
    told: str = ""  # the id of the request that is answered


def _bytes(text):
    return bytes.fromhex(text.replace("\\x", ""))


def _calls(lines):
    """(begin, end, name, arguments, result) of each call that ended, in the order of their begins."""
    open_calls, found = {}, []
    for number, line in enumerate(lines):
        line = line.rstrip("\n")
        if match := _UNFINISHED.match(line):
            open_calls[match[1]] = (number, line[: -len(" <unfinished ...>")])
            continue
        begin = number
        if match := _RESUMED.match(line):
            begin, first = open_calls.pop(match[1])
            line = first + match[2]
        if match := _CALL.match(line):
            found.append((begin, number, match[2], match[3], int(match[4])))
    return sorted(found)


def read(path, root):
    """The events below the folder `root`."""
    with open(path) as file:
        calls = _calls(file)
    known, places, events = {root}, {}, []  # places: where the next write goes, of files of which it is not the end

    def inside(name):
        return name == root or name.startswith(root + "/")

    for begin, end, call, arguments, result in calls:
        if result < 0:
            continue
        strings = [_bytes(text) for text, cut in _STRING.findall(arguments)]
        descriptor = _DESCRIPTOR.match(arguments)
        on = _bytes(descriptor[2]).decode(errors="replace") if descriptor else ""
        named = [os.path.normpath(os.path.join(_bytes(folder).decode(), _bytes(name).decode()))
                 for folder, name in _FOLDER_AND_NAME.findall(arguments)] if call not in _ON_DESCRIPTOR else []
        event = Event("", begin, end)
        if call in ("write", "writev", "sendto", "sendmsg"):
            event.data = b"".join(strings)[:result]
            if event.data.startswith(ANSWER):
                event.what, event.told = "told", event.data.split(b'"')[3].decode()
                events.append(event)
                continue
            event.what, event.path = "write", on
            if on in places:
                event.offset = places[on]
                places[on] += result
        elif call == "lseek":
            places[on] = result
            continue
        elif call == "pwrite64":
            event.what, event.path, event.data = "write", on, strings[0][:result]
            event.offset = int(arguments.rsplit(", ", 1)[1])
        elif call in ("ftruncate", "fallocate"):
            numbers = arguments.split(", ")
            event.what, event.path, event.exact = "size", on, call == "ftruncate"
            event.offset = int(numbers[1]) if event.exact else int(numbers[2]) + int(numbers[3])
        elif call in ("fsync", "fdatasync"):
            event.what, event.path = "fsync", on
        elif call == "openat":
            event.path = named[0]
            if "O_TRUNC" in arguments and named[0] in known:
                event.what, event.offset, event.exact = "size", 0, True
            elif "O_CREAT" in arguments and named[0] not in known:
                event.what = "create"
        elif call.startswith("mkdir"):
            event.what, event.path = "mkdir", named[0]
        elif call.startswith(("rename", "link")):
            event.what, event.path, event.to = call[:6] if call.startswith("rename") else "link", *named[:2]
        else:
            event.what, event.path = "unlink", named[0]
        if not event.what or not inside(event.path):
            continue
        if event.what in ("create", "mkdir"):
            known.add(event.path)
        if event.what in ("rename", "unlink"):
            known.discard(event.path)
        if event.to:
            known.add(event.to)
            event.to = os.path.relpath(event.to, root)
        event.path = os.path.relpath(event.path, root).removeprefix(".") if event.path == root else event.path[len(root) + 1 :]
        events.append(event)
    return events


_ON_DESCRIPTOR = {"lseek", "write", "writev", "sendto", "sendmsg", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync"}
