"""Lets a Python program hand its living state to the process that takes its place.

    import zeroth
    w = zeroth.worker(schema="shop/1")
    S = w.restore({"visits": {}})           # the state of the process before, or this default
    for _ in w.every(0.1):                  # or w.serve(...) for a server; both return when the worker is to stop
        with w.atomic():                    # the state is saved between such sections, never inside one
            S["visits"]["me"] = S["visits"].get("me", 0) + 1

In asyncio: `async for _ in w.every(0.1)`, `await w.serve_async(...)`, `async with w.atomic()`, `await w.save()`. Commands
run on the event loop, which stands still while the worker does: a cut falls where all tasks await, outside of sections.
When the worker is to stop, the tasks are cancelled and asyncio.run() ends in SystemExit.

More to register: command, component (start, stop, capture), on_stop, on_env, migrate. Without a supervisor the same
program simply runs. Python 3.9 or later, standard library only: copy this file.

What may be in the state: None, bool, int, float, str, bytes, list, tuple, set, dict with str keys, zeroth.Map (a dict
with any keys), datetime with a fixed offset. Anything else is refused when it is to be saved, with its place, and never
changed silently. A value that is reachable twice comes back as two values. Until `restore` returns, and up to `ready`,
the program must touch nothing outside of itself: the process before it is still at work.
"""

import array
import atexit
import base64
import collections
import contextlib
import contextvars
import datetime
import difflib
import errno
import fcntl
import hashlib
import inspect
import json
import math
import os
import re
import select
import signal
import socket
import stat
import sys
import threading
import time
import traceback

__all__ = ["worker", "Worker", "Map", "Error", "dumps", "loads"]


class Error(Exception):
    """What is answered to a request that fails: raise it in a command. `code` is one of the protocol's error codes."""

    def __init__(self, message, code="failed", hint=None, data=None):
        super().__init__(message)
        self.code, self.hint, self.data = code, hint, data


# ---- Values: strict JSON, and a tag for what JSON lacks


class Map(dict):
    """A dict whose keys may be any hashable value that can be saved: ints, tuples. A dict takes only str."""


_INT64, _UINT64 = 2**63, 2**64
_MAX_DEPTH = 120  # of the encoded state; a supervisor reads 128 levels, the message's own included
_SCALARS = frozenset((str, bool, type(None)))
_LEAVES = _SCALARS | {int, float}
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_ADVICE = (
    (datetime.date, "use str"), (datetime.timedelta, "use its total_seconds()"), (frozenset, "use set"),
    ((bytearray, memoryview), "use bytes"), (int, "use int"), (float, "use float"), (str, "use str"),
    (list, "use list"), (tuple, "use tuple"), (set, "use set"), (bytes, "use bytes"), (dict, "use dict or a map"),
)  # fmt: skip


class _Unfit(Error):
    """A value that cannot be saved or read; its place is put together on the way out."""

    def __init__(self, why):
        super().__init__(why)
        self.why, self.path = why, []

    def __str__(self):
        return "/" + "/".join(str(key).replace("~", "~0").replace("/", "~1") for key in self.path) + ": " + self.why


def dumps(value):
    """JSON text (bytes) that loads() turns into an equal value of the same types; an Error names what cannot be."""
    try:
        text = json.dumps(_encode(value, 0, False), ensure_ascii=False, check_circular=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:
        _encode(value, 0, True)  # says where
        raise


def loads(text):
    """The value of what dumps(), or a library for another language, gave."""
    return _decode(json.loads(text, parse_constant=_refuse_constant))


def _encode(value, depth, strict):
    """What json.dumps writes; `value` itself where nothing in it needs a tag. `strict` looks at every string."""
    kind = type(value)
    if kind is str:
        if strict:
            _check_text(value)
        return value
    if kind in _SCALARS:
        return value
    if kind is int:
        return value if -_INT64 <= value < _INT64 else _encode_large(value)
    if kind is float:
        return value if math.isfinite(value) else {"$f64": str(value)}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is datetime.datetime:
        return {"$time": _encode_time(value)}
    if depth >= _MAX_DEPTH:
        raise _Unfit(f"nested more than {_MAX_DEPTH} deep; does a value contain itself?")
    if kind is list:
        return _encode_list(value, depth + 1, strict)
    if kind is dict:
        return _encode_dict(value, depth + 1, strict)
    if kind is tuple:
        return {"$tuple": _encode_list(list(value), depth + 2, strict)}
    if kind is set:
        return {"$set": _encode_list(_in_order(value), depth + 2, strict)}
    if kind is Map:
        return {"$map": [_encode_list(list(pair), depth + 3, strict) for pair in value.items()]}
    advice = next((text for base, text in _ADVICE if isinstance(value, base)), "use dict, list, str and numbers")
    raise _Unfit(f"{kind.__name__} cannot be saved as it is; {advice}")


def _uniform(values, strict):
    """Whether all can be written as they are, found out without looking at each in Python."""
    kinds = set(map(type, values))
    if kinds <= _SCALARS:
        return not strict or str not in kinds
    if not kinds <= _LEAVES or (strict and str in kinds):
        return False
    if kinds == {int}:
        return -_INT64 <= min(values) and max(values) < _INT64
    if kinds == {float}:
        return all(map(math.isfinite, values))
    for value in values:
        kind = type(value)
        if kind is int and not -_INT64 <= value < _INT64 or kind is float and not math.isfinite(value):
            return False
    return True


def _encode_list(values, depth, strict):
    if _uniform(values, strict):
        return values
    return [_within(key, _encode, item, depth, strict) for key, item in enumerate(values)]


def _encode_dict(value, depth, strict):
    if not set(map(type, value)) <= {str}:
        key = next(key for key in value if type(key) is not str)
        raise _Unfit(f"key {repr(key)[:60]} is {type(key).__name__}; use str or a map")
    if strict:
        for key in value:
            _check_text(key)
    plain_keys = "$" not in "".join(value)
    if plain_keys and _uniform(value.values(), strict):
        return value
    return {
        key if plain_keys or key[:1] != "$" else "$" + key: _within(key, _encode, item, depth, strict)
        for key, item in value.items()
    }


def _within(key, step, *arguments):
    try:
        return step(*arguments)
    except _Unfit as unfit:
        unfit.path.insert(0, key)
        raise


def _in_order(values):
    try:
        return sorted(values)  # the same set gives the same text
    except TypeError:
        return list(values)


def _check_text(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _Unfit(f"{ascii(text)[:60]} holds half a surrogate pair; use bytes") from None


def _encode_large(value):
    try:
        return {"$u64" if 0 <= value < _UINT64 else "$int": str(value)}
    except ValueError as error:
        raise _Unfit(f"int of {value.bit_length()} bits: {error}") from None


def _encode_time(value):
    if type(value.tzinfo) is not datetime.timezone:
        raise _Unfit("datetime without a fixed offset cannot be saved as it is; use .astimezone(datetime.timezone.utc)")
    text = value.isoformat()
    if _TIME.fullmatch(text) is None:
        raise _Unfit(f"datetime {text} has an offset with seconds; use .astimezone(datetime.timezone.utc)")
    return text[:-6] + "Z" if text.endswith("+00:00") else text


def _decode(value):
    kind = type(value)
    if kind is list:
        if set(map(type, value)) <= _LEAVES:
            return value
        return [_within(key, _decode, item) for key, item in enumerate(value)]
    if kind is not dict:
        return value
    if "$" not in "".join(value):
        if set(map(type, value.values())) <= _LEAVES:
            return value
        return {key: _within(key, _decode, item) for key, item in value.items()}
    if len(value) == 1:
        (tag, content), = value.items()
        if tag[:1] == "$" and tag[:2] != "$$":
            return _within(tag, _untag, tag, content)
    for key in value:
        if key[:1] == "$" and key[:2] != "$$":
            raise _Unfit(f"the tag {key} stands beside other members")
    return {key[1:] if key[:1] == "$" else key: _within(key, _decode, item) for key, item in value.items()}


def _untag(tag, content):
    try:
        if tag == "$f64":
            return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
        if tag in ("$u64", "$int") and re.fullmatch(r"-?[0-9]+", content):
            return int(content)
        if tag == "$bytes":
            return base64.b64decode(content, validate=True)
        if tag == "$time":
            return _decode_time(content)
        if tag == "$tuple":
            return tuple(_decode(list(content)))
        if tag == "$set":
            return _all_different(set(_decode(list(content))), content)
        if tag == "$map":
            return _all_different(Map((_decode(key), _decode(item)) for key, item in content), content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _Unfit(f"not a value of this tag ({error})") from None
    raise _Unfit("unknown tag")


def _all_different(found, content):
    if len(found) != len(content):
        raise _Unfit("two of these are equal in Python")
    return found


def _decode_time(text):
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError("expected a time like 2026-01-31T10:02:11.123Z")
    seconds, fraction, offset = match.groups()
    offset = "+00:00" if offset in "Zz" else offset
    return datetime.datetime.fromisoformat(seconds.upper() + (fraction or ".0").ljust(7, "0") + offset)


def _refuse_constant(name):
    raise ValueError(f"{name} is no JSON")


def _finite(text):
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is no double")
    return value


# ---- The worker

_MAX_LINE = 1 << 20
_INLINE_BYTES, _INLINE_MEMBERS = 64 * 1024, 1_000  # a larger state goes through the offered file
_BEAT_GAP = 0.1
_PATIENCE = 8.0  # for an open section when the supervisor is gone; the next one waits 10 s for the emergency file
_LEAVE = 1.0  # for the program to end by itself once it was told to stop
_TERM_WAIT = 500  # ms that the end of the channel may come later than the SIGTERM of the same death
_REQUEST = 4.0  # that a call or an env waits for what is under way; the supervisor gives it 5 s
_CALLBACK = 2.0  # for what a program does about one changed variable
_KNOWN = ("restore", "go", "drain", "checkpoint", "resume", "stop", "reexec", "call", "env", "ping")
_AT_ONCE = ("restore", "go", "resume", "stop", "reexec", "ping")  # the others wait until the worker is live

# Stages of a worker: each leads to the next, Held also back to Live, and each to Stopping.
LOADING, LOADED, RESTORED, READY, LIVE, HELD, STOPPING = range(7)

# Of the asyncio task that runs: the outermost section it is in, the connection and the call that it serves.
_SECTION, _CONNECTION, _CALL = (contextvars.ContextVar(name, default=None) for name in ("section", "connection", "call"))


def worker(schema="", name="", version="", migrate=None):
    """Says hello to the supervisor, if there is one. Call it once, before heavy imports.

    A kept state of another schema is refused, unless `migrate` leads to this one: a function (old_schema, state) ->
    state, or {old_schema: function(state) -> state}. A rollback needs a way back in the older program.
    """
    return Worker(schema, name, version, migrate)


class Worker:
    """One process under a supervisor. A thread of its own reads the channel; every method may be called on any thread.

    generation, cause, changed (files whose change led to this process) and folder (of the worker's own; None without a
    supervisor) tell why it runs.
    """

    def __init__(self, schema, name, version, migrate):
        env = os.environ
        self.schema, self._migrate = schema, migrate
        self.generation = int(env.get("ZEROTH_GENERATION") or 0)
        self.cause = env.get("ZEROTH_CAUSE") or "start"
        self.changed = [path for path in env.get("ZEROTH_CHANGED", "").split("\n") if path]
        self.folder = env.get("ZEROTH_WORKER_DIR")
        self._emergency_file = env.pop("ZEROTH_EMERGENCY_FILE", None)
        self._cond = threading.Condition()  # over all that follows
        self._stage = LOADING
        self._cutting = False  # a cut waits for the open section, or is taken
        self._owner, self._depth = None, 0  # thread inside a section; on that of the event loop, several may be open
        self._loop = self._loop_thread = self._pulse = None  # asyncio's, and what is set when something changed
        self._loop_blocked = self._loop_left = False
        self._awaiting = 0  # tasks that wait for a change
        self._was_live = False
        self._draining = False
        self._calling = False
        self._calls = {}  # id of a call that runs on the event loop -> how often it waits for a save
        self._defaults = self._state = None
        self._iteration = None
        self._answered = None  # digest of the state in the last answer to a checkpoint
        self._saves, self._save_number = {}, 0  # id -> the answer, or None
        self._connections = {}  # socket accepted by w.serve -> whether it is in the middle of a request
        self._doors = []
        self._commands, self._announced = {}, 0  # name -> (what is announced, function); how many have been
        self._components = []
        self._started = False
        self._on_changed, self._env_announced = [], False  # (variable or None for any, function)
        self._reader = threading.Thread(target=self._serve_channel, name="zeroth", daemon=True)
        self._beat_at = -math.inf
        self._send_lock = threading.Lock()
        self._received = bytearray()
        self._waiting = collections.deque()
        self._late = threading.local()  # components may enter sections while stopping
        self._program = os.path.abspath(getattr(sys.modules.get("__main__"), "__file__", None) or sys.argv[0] or "-")
        number = env.get("ZEROTH_FD")
        self._channel, self._lent = _connect(env)
        inherited = self._channel is not None and str(self._channel.fileno()) == number
        argv = getattr(sys, "orig_argv", None) if inherited else None
        self._again = (argv, os.getcwd()) if argv and os.path.isfile(self._program) else None
        atexit.register(self._at_exit)
        os.register_at_fork(after_in_child=self._after_fork)
        if self._channel is None:
            return
        name = name or env.get("ZEROTH_WORKER") or os.path.splitext(os.path.basename(self._program))[0]
        hello = {"protocol": 1, "name": name, "version": version, "pid": os.getpid()}
        key = env.pop("ZEROTH_KEY", None)
        self._event("hello", dict(hello, key=key) if key else hello)
        self._take_over_sigterm()

    @property
    def supervised(self):
        return self._channel is not None

    # ---- Before go

    def restore(self, default):
        """Says that all code is loaded and blocks until the state is here; gives it. Call it once.

        `default` is a dict, one entry for each part of the state. Entries that the kept state lacks are added from it;
        kept ones that it lacks stay. Without a supervisor, and on a fresh start, the state is `default`.
        """
        if type(default) is not dict:
            raise TypeError("the state is a dict, one entry for each of its parts")
        if self._state is not None or self._stage != LOADING:
            raise RuntimeError("restore is called once")
        for part in self._parts():
            if part.name in default:
                raise ValueError(f"two parts of the state are called {part.name!r}")
        self._defaults = default
        self._attach()
        if self._channel is None:
            self._state, self._stage = default, RESTORED
            return default
        initial = {key: text.decode() if len(text) <= 64 else hashlib.sha256(text).hexdigest()
                   for key, text in ((key, _within(key, dumps, value)) for key, value in default.items())}  # fmt: skip
        self._stage = LOADED
        migrate = True if callable(self._migrate) else list(self._migrate or ())
        self._event("loaded", {
            "capabilities": self._capabilities(), "commands": self._new_commands(), **({"migrate": migrate} if migrate else {}),
            "schema": self.schema, "program": {"path": self._program, "hash": _hash_of(self._program)},
            "initial": initial if len(initial) <= _INLINE_MEMBERS else None})  # fmt: skip
        self._reader.start()
        self._wait(lambda: self._stage >= RESTORED)
        return self._state

    def _capabilities(self):
        self._env_announced = bool(self._on_changed)
        more = [name for name, can in (("reexec", self._again), ("env", self._on_changed)) if can]
        return ["checkpoint", "restore", "hold", "drain", "call", *more]

    def ready(self):
        """Says that the program could go, and blocks until it may: then it is live, and its components are started.

        `serve` and `every` call it.
        """
        self._attach()
        with self._cond:
            if self._stage == LOADING or self._stage == LOADED:
                raise RuntimeError("restore comes before ready")
            if self._stage >= READY:
                return self._wait(lambda: self._started)
            self._stage = READY if self.supervised else LIVE
        if self.supervised:
            more = {"capabilities": self._capabilities()} if self._on_changed and not self._env_announced else {}
            self._event("ready", {"commands": self._new_commands(), **more})
        self._wait(lambda: self._stage >= LIVE)
        for component in self._components:
            self._start(component)
        self._started = True
        self._notify()

    # ---- While live

    def atomic(self):
        """A section that no cut falls into, of one thread at a time. It may be nested. While held, entering it waits.

        What is answered to a client because of a change belongs inside. Nothing in it may wait for another section.
        Those of asyncio's tasks (`async with`) keep cuts and other threads out, not each other.
        """
        return _Section(self)

    def every(self, seconds):
        """Turns of a program without a port, `seconds` apart: waits while held, ends when the worker is to stop.

        Turns that were missed are not made up for. For `for` and `async for`.
        """
        return _Turns(self, seconds)

    def serve(self, server_class, handler_class, name="http", default=("127.0.0.1", 8080)):
        """Serves until the worker is to stop, on the socket that was lent as `name`, or else on `default`.

        For classes of socketserver and http.server. Says ready. Before a cut nothing more is accepted, what was asked is
        answered with `Connection: close`, and connections without a request are closed at the deadline.
        """
        lent = self._lent.take(name)
        server = server_class(default, _handler_of(self, handler_class), bind_and_activate=False)
        server.daemon_threads = True
        self._watch_connections(server)
        if lent is None:
            server.allow_reuse_address = True
            with _naming(default):
                server.server_bind()
        else:
            server.socket.close()
            server.socket = socket.socket(fileno=lent)
            server.server_address = server.socket.getsockname()
            if hasattr(handler_class, "parse_request") and isinstance(server.server_address, tuple):
                server.server_name, server.server_port = server.server_address[:2]
        door = _Door(server)
        self._doors.append(door)
        try:
            self.ready()
            if lent is None:
                server.server_activate()
            while self._stage != STOPPING:
                with self._cond:
                    self._cond.wait_for(lambda: self._accepting() or self._stage == STOPPING)
                door.accept_while(self._accepting)
        finally:
            server.socket.close()

    async def serve_async(self, client, name="http", default=("127.0.0.1", 8080), **options):
        """The same on asyncio's event loop. Does not return: it is cancelled when the worker is to stop.

        `client` is the coroutine function (reader, writer) of asyncio.start_server, whose connection is closed when it
        returns, or the protocol factory of loop.create_server; `options` are those of loop.connect_accepted_socket. At
        the deadline of a drain, connections outside of a section see the end of what they read; `draining` says that
        each should be closed after its answer.
        """
        loop, lent = self._attach(), self._lent.take(name)
        listener = socket.socket(fileno=lent) if lent is not None else _bound(default)
        door = _AsyncDoor(self, loop, listener, _factory_of(client, loop), options)
        self._doors.append(door)
        try:
            self.ready()
            if lent is None:
                listener.listen(128)
            listener.setblocking(False)  # another process may take the connection first
            door.wake()
            await loop.create_future()
        finally:
            self._doors.remove(door)
            loop.remove_reader(listener)
            listener.close()

    @property
    def draining(self):
        return self._draining

    def save(self):
        """Saves the state now; gives the snapshot's number once it is durable, and None without a supervisor.

        In asyncio: `await w.save()`. Not inside a section: the state is cut between sections.
        """
        if self._attach() is not None:
            return self._save_async()
        if self._channel is None:
            return None
        request = self._ask_save(self._owner == threading.get_ident())
        if threading.current_thread() is self._reader:
            self._serve_channel(lambda: self._saved(request))
        # Else its thread serves the channel meanwhile.
        with self._cond:
            self._cond.wait_for(lambda: self._saved(request))
        return self._sequence(request)

    async def _save_async(self):
        if self._channel is None:
            return None
        call, section = _CALL.get(), _SECTION.get()
        request = self._ask_save(section is not None and section.is_open)
        self._call_waits(call, 1)
        try:
            await self._until(lambda: self._saved(request))
            return self._sequence(request)
        finally:
            self._saves.pop(request, None)
            self._call_waits(call, -1)

    def _ask_save(self, inside):
        with self._cond:
            if inside:
                raise RuntimeError("save() inside atomic(): the state is cut between such sections")
            if not self._was_live:
                raise RuntimeError("save() before ready(): the worker is not live yet")
            if self._stage == STOPPING:
                raise self._stopped()
            self._save_number += 1
            request = f"save-{self._save_number}"
            self._saves[request] = None
        self._send({"id": request, "command": "save", "params": {}})
        return request

    def _saved(self, request):
        """What follows a save must not run while held: it goes on at resume, or with its answer at stop."""
        return self._stage == STOPPING or (self._saves[request] is not None and self._stage != HELD)

    def _sequence(self, request):
        answer = self._saves.pop(request)  # None: none came before the stop
        if answer is None:
            raise self._stopped()
        if not answer.get("success"):
            error = answer.get("error") or {}
            raise Error(error.get("message", "not saved"), error.get("code", "failed"), error.get("hint"))
        if answer["uncaptured"]:
            raise Error("; ".join(answer["uncaptured"]))
        return answer["result"]["sequence"]

    def beat(self, iteration=None, metrics=None, status=None):
        """A heartbeat. At most ten a second are sent, and only while live; the next snapshot has the iteration too."""
        if iteration is not None:
            self._iteration = int(iteration)
        now = time.monotonic()
        if self._channel is None or self._stage != LIVE or now - self._beat_at < _BEAT_GAP:
            return
        self._beat_at = now
        self._event("beat", {"iteration": self._iteration, "metrics": metrics or {}, "status": status})

    def log(self, message, level="info", **fields):
        """A line for the supervisor's log; to stderr without one."""
        if self._channel is None:
            print(f"{level}: {message}", *(f"{key}={value}" for key, value in fields.items()), file=sys.stderr)
        else:
            self._event("log", {"level": level, "message": str(message), "fields": json.loads(dumps(fields))})

    # ---- What a program registers

    def command(self, name, params=None, help=""):
        """Registers a function for `zerothctl` and other clients; it is called with the params as keyword arguments.

        Its result goes to the client, an Error refuses. `params` is {name: description}. Register before ready(). In
        asyncio it runs on the event loop and may be a coroutine function; no cut falls before its end.
        """

        def register(function):
            line = help or (inspect.getdoc(function) or "").split("\n")[0]
            info = {"name": name, "help": line, "params": params or {}}
            self._commands[name] = (info, function)
            return function

        return register

    def component(self, name, start=None, stop=None, capture=None, deadline=2.0):
        """Registers a part of the program that begins and ends with it. Before ready(), with `capture` before restore().

        After go, start() of one after the other on the thread of ready(); at stop, stop() of those that were started, in
        reverse, each on a thread of its own and for `deadline` seconds. At each cut capture() gives the entry `name` of
        the state, and start(part) is then given what that was (None: nothing yet). Each stands for itself: an error is
        told and the others go on (SystemExit ends the worker). What could not be captured stays as it was, and save()
        raises. In asyncio, what needs the event loop belongs in try and finally around the program's main().
        """
        if self._started or (capture and self._defaults is not None):
            raise RuntimeError(f"component {name!r} is registered too late")
        if any(name == other.name for other in self._components):
            raise ValueError(f"two components are called {name!r}")
        self._components.append(_Component(name, start, stop, capture, deadline))

    def on_stop(self, function=None, deadline=2.0):
        """Registers what shuts a component down; the last registered goes first, each has `deadline` seconds."""
        if function is None:
            return lambda function: self.on_stop(function, deadline)
        self._components.append(_Component(None, None, function, None, deadline))
        return function

    def on_env(self, name=None):
        """Registers function(old, new) for the variable `name`, or function(name, old, new) for all; None is unset.

        It is called between sections when os.environ has changed, for at most 2 s, on a thread of its own; in asyncio,
        what it begins on the event loop by call_soon_threadsafe comes after it.
        """
        if callable(name):
            return self.on_env()(name)

        def register(function):
            self._on_changed.append((name, function))
            return function

        return register

    def migrate(self, function):
        """Registers the `migrate` of worker(). Before restore()."""
        self._migrate = function
        return function

    def _new_commands(self):
        infos = [info for info, _ in self._commands.values()]
        fresh, self._announced = infos[self._announced :], len(infos)
        return fresh

    # ---- Waiting

    def _wait(self, condition):
        """Until `condition` holds; SystemExit if the worker is to stop."""
        with self._cond:
            self._block(lambda: condition() or self._stage == STOPPING)
            if self._stage == STOPPING:
                raise self._stopped()

    def _block(self, condition):
        """Waits, with _cond. An event loop on this thread stands still meanwhile."""
        if threading.get_ident() != self._loop_thread:
            return self._cond.wait_for(condition)
        self._loop_blocked = True
        self._cond.notify_all()
        try:
            self._cond.wait_for(condition)
        finally:
            self._loop_blocked = False

    def _move(self, stage):
        with self._cond:
            self._stage = stage
            self._notify()
        self._on_loop(self._stand_still)
        for door in self._doors:
            door.wake()

    def _notify(self):
        """Whoever waits looks again."""
        with self._cond:
            self._cond.notify_all()
        if self._awaiting:
            self._on_loop(self._look_again)

    def _accepting(self):
        return self._stage == LIVE and not self._draining and not self._cutting

    def _gate_open(self):
        return not self._cutting and self._stage not in (READY, HELD)

    def _try_enter(self, inside):
        """Into a section, `inside` of another or not; whether it is entered."""
        me = threading.get_ident()
        with self._cond:
            if not inside:
                late = getattr(self._late, "component", False)
                if self._stage == STOPPING and not late:
                    raise self._stopped()
                if self._owner not in (None, me) or not (late or self._gate_open()):
                    return False
            self._owner, self._depth = me, self._depth + 1
            return True

    def _leave(self):
        with self._cond:
            self._depth -= 1
            if self._depth:
                return
            self._owner = None
            self._notify()
            if not self._gate_open() or self._stage == STOPPING:
                self._on_loop(self._stand_still)

    # ---- asyncio

    def _attach(self):
        """The event loop that runs on this thread, or None. From now on it stands still whenever the worker does."""
        asyncio = sys.modules.get("asyncio")
        try:
            loop = asyncio and asyncio.get_running_loop()
        except RuntimeError:
            return None
        if loop is not None and loop is not self._loop:
            if self._loop is not None and self._loop.is_running():
                raise RuntimeError("a worker has one event loop at a time")
            self._loop, self._loop_thread, self._pulse = loop, threading.get_ident(), asyncio.Event()
        return loop

    def _on_loop(self, function, *arguments):
        """Calls it soon; on the event loop, if there is one and it runs."""
        with contextlib.suppress(RuntimeError):  # closed
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)

    async def _until(self, condition):
        self._awaiting += 1  # before it looks, so that no change is missed
        try:
            while not condition():
                await self._pulse.wait()
        finally:
            self._awaiting -= 1

    def _look_again(self):
        self._pulse.set()
        self._pulse.clear()

    def _stand_still(self):
        """On the event loop: blocks it while nothing may happen, once its sections are closed. Ends it at stop."""
        with self._cond:
            if self._loop_left or (self._depth and self._owner == self._loop_thread):
                return
            self._block(self._gate_open)
            if self._stage == STOPPING:
                raise self._stopped()

    def _stands_still(self):
        return self._loop is None or self._loop_blocked or not self._loop.is_running()

    def _stopped(self):
        """What ends whoever would enter a section, or wait, in a worker that stops. The event loop itself ends once."""
        asyncio = sys.modules.get("asyncio")
        if self._loop is not None and threading.get_ident() == self._loop_thread:
            if asyncio.current_task(self._loop) is not None:
                self._on_loop(self._stand_still)
                return asyncio.CancelledError()
            self._loop_left = True
        return SystemExit(0)

    def _call_waits(self, call, more):
        with self._cond:
            if call in self._calls:
                self._calls[call] += more
                self._notify()

    # ---- The channel

    def _send(self, message):
        text = json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        self._send_line(text.encode(errors="replace"))

    def _send_line(self, line):
        with self._send_lock, contextlib.suppress(OSError):  # the reading side sees the end
            if self._channel is not None:
                self._channel.sendall(line + b"\n")

    def _event(self, name, data):
        self._send({"event": name, "data": data})

    def _answer(self, request, result):
        self._send({"id": request, "success": True, "result": result, "error": None})

    def _refuse(self, request, code, message, hint=None, data=None):
        error = {"code": code, "message": message, **({"hint": hint} if hint else {})}
        if data is not None:
            error["data"] = data
        self._send({"id": request, "success": False, "result": None, "error": error})

    def _refuse_for(self, request, error):
        if isinstance(error, Error):
            return self._refuse(request, error.code, str(error), error.hint, error.data)
        self._refuse(request, "failed", f"{type(error).__name__}: {error}")

    def _serve_channel(self, until=lambda: False):
        """Executes what comes, in order, until the channel ends."""
        while not until():
            line = self._next_line()
            if line is None:
                return self._on_channel_end()
            if line:
                self._on_line(line)

    def _next_line(self):
        too_long = False
        while True:
            end = self._received.find(b"\n")
            if end >= 0:
                line = bytes(self._received[:end])
                del self._received[: end + 1]
                if not too_long and len(line) <= _MAX_LINE:
                    return line
                too_long = False
                self._refuse(None, "bad_request", "a line over 1 MiB")
                continue
            if len(self._received) > _MAX_LINE:
                too_long = True
                self._received.clear()
            try:
                space = socket.CMSG_SPACE(4 * 64)  # lent sockets
                data, ancillary, _, _ = self._channel.recvmsg(1 << 16, space, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                return None
            self._lent.receive(ancillary)
            if not data:
                return None
            self._received += data

    def _on_line(self, line):
        repeated = []

        def members(pairs):
            found = dict(pairs)
            if len(found) != len(pairs):
                repeated.append(True)
            return found

        try:
            message = json.loads(line, object_pairs_hook=members, parse_constant=_refuse_constant, parse_float=_finite)
            if not isinstance(message, dict):
                raise ValueError("not a JSON object")
        except (ValueError, RecursionError) as error:
            return self._refuse(None, "bad_request", str(error))
        request, command, params = message.get("id"), message.get("command"), message.get("params")
        if repeated:
            return self._refuse(request, "bad_request", "a member stands twice")
        if isinstance(message.get("event"), str):
            return
        if isinstance(message.get("success"), bool):
            with self._cond:
                if type(request) is str and request in self._saves:
                    uncaptured = [part.problem for part in self._parts() if part.problem]
                    self._saves[request] = dict(message, uncaptured=uncaptured)
                    self._notify()
            return
        if type(request) not in (str, int) or not isinstance(command, str) or not isinstance(params or {}, dict):
            return self._refuse(request, "bad_request", "expected id, command and params")
        self._on_request(request, command, params or {})

    def _on_request(self, request, command, params):
        if command not in _KNOWN:
            near = difflib.get_close_matches(command, _KNOWN, 1)
            return self._refuse(request, "unknown_command", f"unknown command {ascii(command[:60])}",
                                f"did you mean '{near[0]}'?" if near else None)  # fmt: skip
        # A call that came while one waits for its save comes after it; a cut does not wait for such a call.
        asked_early = self._stage == READY and command == "checkpoint" and not params.get("hold")
        waits = self._stage != LIVE or (self._calling and command == "call")
        if waits and not asked_early and command not in _AT_ONCE:
            self._waiting.append((request, command, params))
            return
        try:
            getattr(self, "_on_" + command)(request, params)
        except Exception as error:
            self._refuse_for(request, error)
        if not self._calling or command == "resume":
            self._take_waiting()

    def _take_waiting(self):
        for _ in range(len(self._waiting)):
            if self._stage == LIVE and self._waiting:
                self._on_request(*self._waiting.popleft())

    def _on_ping(self, request, params):
        self._answer(request, {})

    def _on_restore(self, request, params):
        if self._stage != LOADED:
            raise Error("restore was sent before", "refused")
        state, file = params.get("state"), params.get("state_file")
        if file is not None:
            state = loads(_read_part(file["path"], file["offset"], file["length"]))
        elif state is not None:
            state = _decode(state)
        kept_schema = params.get("schema")
        if state is not None and kept_schema and self.schema and kept_schema != self.schema:
            state = self._migrated(kept_schema, state)
        if state is not None and type(state) is not dict:
            raise Error("the kept state is no dict", "refused")
        default = self._defaults
        fresh, known = state is None, {*default, *(part.name for part in self._parts())}
        old = [] if fresh else [name for name in state if name in known or not default]
        new = [name for name in default if not fresh and name not in state]
        gone = [] if fresh or not default else [name for name in state if name not in known]
        self._state = default if fresh else state
        for name in new:
            state[name] = default[name]
        counts = {"kept": old, "added": new, "removed": gone, "renamed": []}
        warnings = [f"{len(gone)} no longer among the defaults: kept as they are"] if gone else []
        summary = {key: {"count": len(names), "names": names[:20]} for key, names in counts.items()}
        self._answer(request, dict(summary, warnings=warnings))
        self._move(RESTORED)

    def _migrated(self, schema, state):
        """The state in the form of this program."""
        migrate, way = self._migrate, f"from {schema} to {self.schema}"
        if not callable(migrate) and schema not in (migrate or ()):
            raise Error(f"the kept state has schema {schema}, this program has {self.schema}", "refused",
                        f"register a way {way} with migrate, or start without the kept state: restart --fresh")  # fmt: skip
        try:
            state = migrate(schema, state) if callable(migrate) else migrate[schema](state)
        except Exception as error:
            traceback.print_exc()
            place = traceback.extract_tb(error.__traceback__)[-1]
            last = traceback.format_exception_only(type(error), error)[-1].strip()
            raise Error(f"migrate {way}: {place.filename}:{place.lineno}: {last}", "refused",
                        "the kept state is as it was: correct migrate, or start without it: restart --fresh") from None  # fmt: skip
        if type(state) is not dict:
            raise Error(f"migrate {way} gave {type(state).__name__}, not a dict", "refused")
        return state

    def _on_go(self, request, params):
        if self._stage != READY:
            raise Error("go without ready", "refused")
        self._was_live = True
        self._answer(request, {})
        self._move(LIVE)

    def _on_drain(self, request, params):
        with self._cond:
            self._draining = True
        self._answer(request, {"closed": self._drain(params.get("deadline_ms", 250) / 1000)})

    def _on_resume(self, request, params):
        self._draining = False
        self._answer(request, {})
        self._move(LIVE if self._stage == HELD else self._stage)

    def _on_checkpoint(self, request, params):
        begin, hold = time.monotonic(), bool(params.get("hold"))
        self._close_gate(params.get("deadline_ms", 10_000) / 1000 * 0.9)
        try:
            text = self._encode_state()
            if hold:
                self._move(HELD)
        finally:
            self._open_gate()
        result = {"iteration": self._iteration, "schema": self.schema, "pause_ms": (time.monotonic() - begin) * 1000}
        # Only the supervisor knows what became of the last answer: `durable` says that it is the newest snapshot.
        digest = hashlib.sha256(text).digest()
        if params.get("durable") is True and not hold and digest == self._answered:
            return self._answer(request, dict(result, unchanged=True))
        self._answered = digest
        file, members = params.get("state_file"), sum(map(text.count, (b",", b"[", b"{")))
        if file is not None and (len(text) > _INLINE_BYTES or members > _INLINE_MEMBERS):
            try:
                _write_part(file["path"], file["offset"], text)
            except OSError as error:
                if hold:
                    self._move(LIVE)
                raise Error(f"{file['path']}: {error.strerror}") from None
            return self._answer(request, dict(result, bytes=len(text)))
        head = json.dumps({"id": request, "success": True, "error": None, "result": result}, separators=(",", ":"))
        line = head.encode()[:-2] + b',"state":' + text + b"}}"
        if len(line) > _MAX_LINE:
            if hold:
                self._move(LIVE)
            raise Error(f"the state has {len(text)} bytes and no file is offered", "bad_params", "offer state_file")
        self._send_line(line)

    def _close_gate(self, patience):
        """What was asked is answered, no section may begin, and none is open; an Error if that takes too long.

        A call that waits for its save is not waited for.
        """
        until = time.monotonic() + patience
        with self._cond:
            answered = self._cond.wait_for(lambda: all(self._calls.values()), patience)
            self._cutting = answered
            self._on_loop(self._stand_still)
            rest = max(0.0, until - time.monotonic())
            if answered and self._cond.wait_for(lambda: self._owner is None and self._stands_still(), rest):
                return
            names = [thread.name for thread in threading.enumerate() if thread.ident == self._owner]
            late = f"an atomic section of thread {''.join(names)} did" if self._owner else "the event loop's callback did"
        self._open_gate()
        raise Error(f"{late if answered else 'a command did'} not end within {patience:.1f} s")

    def _open_gate(self):
        with self._cond:
            self._cutting = False
            self._notify()
        for door in self._doors:
            door.wake()

    def _encode_state(self):
        for part in self._parts():
            if part.runs:  # else it was given nothing yet
                self._capture(part)
        try:
            return dumps(self._state)
        except RuntimeError as error:  # dictionary changed size during iteration
            raise Error(f"the state changed while it was saved ({error}); change it only inside atomic()") from None

    def _on_call(self, request, params):
        name, arguments = params.get("command"), params.get("params") or {}
        with self._cond:
            if not self._cond.wait_for(lambda: self._started, _REQUEST):
                raise Error("the components are still starting", "unavailable")
        if name not in self._commands:
            near = difflib.get_close_matches(str(name), self._commands, 1)
            raise Error(f"unknown command {ascii(str(name)[:60])}", "unknown_command",
                        f"did you mean '{near[0]}'?" if near else None)  # fmt: skip
        function = self._commands[name][1]
        try:
            inspect.signature(function).bind(**arguments)
        except TypeError as error:
            raise Error(f"{name}: {error}", "bad_params") from None
        if self._loop is not None and self._loop.is_running():
            with self._cond:
                self._calls[request] = 0
            call = self._call_async(request, function, arguments)
            return self._on_loop(lambda: self._loop.create_task(call))
        self._calling = True
        try:
            self._answer_call(request, function(**arguments))
        except Exception as error:
            if not isinstance(error, Error):
                traceback.print_exc()
            raise
        finally:
            self._calling = False

    async def _call_async(self, request, function, arguments):
        _CALL.set(request)
        try:
            result = function(**arguments)
            self._answer_call(request, await result if inspect.isawaitable(result) else result)
        except BaseException as error:
            if not isinstance(error, Error):
                traceback.print_exc()
            self._refuse_for(request, error)
            if not isinstance(error, Exception):
                raise
        finally:
            with self._cond:
                del self._calls[request]
                self._cond.notify_all()

    def _answer_call(self, request, result):
        result = dumps(result)
        head = json.dumps({"id": request, "success": True, "error": None}, separators=(",", ":")).encode()
        line = head[:-1] + b',"result":' + (b"{}" if result == b"null" else result) + b"}"
        if len(line) > _MAX_LINE:
            raise Error("the answer has more than 1 MiB", "bad_params", "limit")
        self._send_line(line)

    def _on_env(self, request, params):
        """Sets all, then tells the callbacks. What fails is named; it stops neither the others nor the worker."""
        changes = {**dict.fromkeys(params.get("unset") or ()), **(params.get("set") or {})}
        before, failed = dict(os.environ), {}

        def attempt(name, function, *arguments):
            try:
                self._bounded(function, _CALLBACK, *arguments)
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"

        self._close_gate(_REQUEST)
        try:
            for name, new in changes.items():
                attempt(name, _set_variable, name, new)
            for name, old, new in [(name, before.get(name), new) for name, new in changes.items() if name not in failed]:
                for meant, function in self._on_changed if new != old else ():
                    if meant in (None, name):
                        attempt(name, function, *((old, new) if meant else (name, old, new)))
        finally:
            self._open_gate()
        applied = [name for name in changes if name not in failed]
        self._answer(request, {"applied": applied, **({"failed": failed} if failed else {})})

    # ---- Components

    def _parts(self):
        return [component for component in self._components if component.capture]

    def _bounded(self, function, seconds, *arguments):
        """What it gives, on a thread of its own that may enter sections; a TimeoutError after `seconds`."""
        return self._prepared(function, *arguments)(seconds)

    def _prepared(self, function, *arguments):
        """The same, begun when what this gives is called with the seconds; the thread is there already."""
        begin, outcome = threading.Event(), []

        def run():
            self._late.component = True
            begin.wait()
            try:
                outcome.append((function(*arguments), None))
            except BaseException as error:
                outcome.append((None, error))

        def finish(seconds):
            begin.set()
            thread.join(max(0.0, seconds))
            if not outcome:
                raise TimeoutError(f"not done within {seconds:.1f} s")
            (result, error), = outcome
            if error is not None:
                raise error if isinstance(error, Exception) else RuntimeError(repr(error))
            return result

        thread = threading.Thread(target=run, name="zeroth component", daemon=True)
        thread.start()
        return finish

    def _start(self, component):
        if component.start is None:
            return
        late = threading.Timer(component.deadline, _complain, [f"{component} is still starting"])
        late.daemon = True
        late.start()
        try:
            component.start(*([self._state.get(component.name)] if component.capture else []))
            component.runs = True
        except Exception as error:
            traceback.print_exc()
            self.log(f"{component} did not start: {type(error).__name__}: {error}", "error")
        finally:
            late.cancel()

    def _capture(self, component):
        before, component.problem = component.problem, None
        try:
            self._state[component.name] = self._bounded(component.capture, component.deadline)
        except Exception as error:
            component.problem = f"{component} could not be captured: {type(error).__name__}: {error}"
            if component.problem != before:  # once, not at every cut
                self.log(component.problem, "error")

    # ---- Servers

    def _drain(self, seconds):
        """Accepts nothing more and waits for what is open; idle connections are closed when `seconds` are over.

        How many connections were closed.
        """
        for door in self._doors:
            door.close(max(0.0, seconds))
        with self._cond:
            before = len(self._connections)
            self._cond.wait_for(lambda: not self._connections, max(0.0, seconds))
            for connection, busy in self._connections.items():
                if not busy:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RD)  # what has come already is answered
            self._cond.wait_for(lambda: not self._connections, _BEAT_GAP)
            return max(0, before - len(self._connections))

    def _watch_connections(self, server):
        """Every connection counts from the moment it is accepted until it is closed."""
        process, shut_down = server.process_request, server.shutdown_request

        def process_request(connection, address):
            self._note_connection(connection, True)
            process(connection, address)

        def shutdown_request(connection):
            shut_down(connection)
            self._note_connection(connection, None)

        server.process_request, server.shutdown_request = process_request, shutdown_request

    def _begin_request(self, connection):
        with self._cond:
            self._connections[connection] = True
            self._wait(lambda: self._stage == LIVE and not self._cutting)

    def _note_connection(self, connection, busy):
        """`busy` None: it is closed."""
        with self._cond:
            self._connections.pop(connection, None)
            if busy is not None:
                self._connections[connection] = busy
            self._cond.notify_all()

    # ---- The end

    def _on_stop(self, request, params):
        if self._stage == STOPPING:
            return self._answer(request, {})
        stops = [(component, self._prepared(component.stop)) for component in self._to_stop()]
        # Not a daemon: the interpreter, which the program leaves once it sees the stage, waits for this thread. From
        # then on no thread may be started.
        seconds = params.get("deadline_ms", 3_000) / 1000
        ending = threading.Thread(target=self._end, args=(seconds, stops), daemon=False)
        self._answer(request, {})
        ending.start()
        self._move(STOPPING)

    def _to_stop(self):
        return [component for component in reversed(self._components) if component.runs and component.stop]

    def _end(self, seconds, stops):
        """Lets what was answered out, shuts down the components, and lets the program end by itself; then ends it."""
        until = time.monotonic() + 0.8 * seconds
        with self._cond:
            self._cond.wait_for(lambda: self._stage == STOPPING)
            self._cond.wait_for(lambda: True not in self._connections.values(), min(_LEAVE, 0.2 * seconds))
        for component, stop in stops:
            try:
                stop(min(component.deadline, until - time.monotonic()))
            except TimeoutError as error:
                _complain(f"{component} did not shut down: {error}")
            except Exception:
                traceback.print_exc()
        leave = min(until, time.monotonic() + _LEAVE)
        others = [each for each in threading.enumerate() if not each.daemon and each is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, leave - time.monotonic()))
        if not any(thread.is_alive() for thread in others):
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(0)

    def _on_reexec(self, request, params):
        """Becomes the next generation in this process, once its code was looked at; the hello of that is the answer."""
        if self._stage != HELD or not self._again:
            raise Error("reexec without a hold", "refused")
        changed = params.get("changed") or ""
        for path in dict.fromkeys([self._program, *changed.split("\n")]):
            _check_code(path, needed=path == self._program)
        told = {"FD": self._channel.fileno(), "GENERATION": params["generation"], "CAUSE": params.get("cause", "edit"),
                "EMERGENCY_FILE": params["emergency_file"], "CHANGED": changed,
                "CHANGED_MORE": params.get("changed_more") or ""}  # fmt: skip
        env = dict(os.environ, **{"ZEROTH_" + name: str(value) for name, value in told.items()})
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        argv, folder = self._again
        here = os.getcwd()
        os.set_inheritable(self._channel.fileno(), True)
        try:
            os.chdir(folder)
            os.execvpe(argv[0], argv, dict(env, **self._lent.environment()))
        except OSError as error:
            os.chdir(here)
            os.set_inheritable(self._channel.fileno(), False)
            raise Error(f"{argv[0]}: {error.strerror}") from None

    def _on_channel_end(self):
        """The supervisor is gone. Ends this process; what was live saves itself first."""
        with self._cond:
            if self._stage == STOPPING:
                return
            held = self._stage == HELD
        if not self._was_live or self._emergency_file is None:
            os._exit(0)
        try:
            if not held:
                self._close_gate(_PATIENCE)
            _replace_file(self._emergency_file, self._encode_state())
        except Exception as error:
            _complain(f"the supervisor is gone and the state could not be saved: {error}")
            os._exit(1)
        os._exit(0)

    def _channel_ended(self, wait_ms=0):
        ends = select.poll()
        ends.register(self._channel, 0)
        return bool(ends.poll(wait_ms))

    def _take_over_sigterm(self):
        """A supervisor's death sends SIGTERM too: then the end of the channel counts. Else it does what it did."""
        before = signal.getsignal(signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread() or before in (signal.SIG_IGN, None):
            return

        def on_term(number, frame):
            if self._channel is not None and self._channel_ended(_TERM_WAIT):
                return
            if callable(before):
                before(number, frame)
            else:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(signal.SIGTERM, on_term)

    def _at_exit(self):
        if self._channel is None:
            for component in self._to_stop():
                try:
                    component.stop()
                except Exception:
                    traceback.print_exc()
        elif self._was_live and self._stage != STOPPING and self._channel_ended():
            threading.Event().wait(_PATIENCE)  # the other thread saves the state and ends the process

    def _after_fork(self):
        """A forked child is no worker."""
        if self._channel is not None:
            os.close(self._channel.detach())
        self._channel, self._stage, self._components, self._loop = None, LIVE, [], None
        self._cond, self._cutting = threading.Condition(), False
        if self._owner != threading.get_ident():
            self._owner, self._depth = None, 0


def _complain(message):
    with contextlib.suppress(Exception):
        print(f"zeroth: {message}", file=sys.stderr, flush=True)


class _Component:
    def __init__(self, name, start, stop, capture, deadline):
        self.name, self.start, self.stop, self.capture, self.deadline = name, start, stop, capture, deadline
        self.runs = start is None  # it is to be stopped
        self.problem = None  # of the last capture

    def __str__(self):
        return f"component {self.name}" if self.name else str(getattr(self.stop, "__name__", self.stop))


class _Section:
    """Of one thread (`with`), or of one task of the event loop (`async with`)."""

    def __init__(self, worker):
        self._worker = worker
        self.is_open = False

    def __enter__(self):
        worker = self._worker
        with worker._cond:
            if not worker._try_enter(worker._owner == threading.get_ident()):
                worker._block(lambda: worker._try_enter(False))

    def __exit__(self, *_):
        self._worker._leave()

    async def __aenter__(self):
        worker, outer = self._worker, _SECTION.get()
        worker._attach()
        inside = outer is not None and outer.is_open
        await worker._until(lambda: worker._try_enter(inside))
        self.is_open = True
        if not inside:
            _SECTION.set(self)
            self._busy(True)

    async def __aexit__(self, *_):
        self.is_open = False
        if _SECTION.get() is self:
            self._busy(False)
        self._worker._leave()

    def _busy(self, busy):
        connection = _CONNECTION.get()
        if connection in self._worker._connections:
            self._worker._note_connection(connection, busy)


class _Turns:
    """What w.every gives."""

    def __init__(self, worker, seconds):
        self._worker, self._seconds = worker, seconds

    def __iter__(self):
        worker = self._worker
        worker.ready()
        due = time.monotonic()
        while True:
            with worker._cond:
                while worker._stage != LIVE or time.monotonic() < due:
                    if worker._stage == STOPPING:
                        return
                    worker._cond.wait(max(0.0, due - time.monotonic()) if worker._stage == LIVE else None)
            yield
            due = max(due + self._seconds, time.monotonic())

    async def __aiter__(self):
        self._worker.ready()
        due = time.monotonic()
        while True:
            await sys.modules["asyncio"].sleep(max(0.0, due - time.monotonic()))
            yield
            due = max(due + self._seconds, time.monotonic())


# ---- Connections of w.serve and w.serve_async


@contextlib.contextmanager
def _naming(address):
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, f"{errno.errorcode.get(error.errno)}: {error.strerror}: {address}") from None


def _bound(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with _naming(address):
        listener.bind(address)
    return listener


class _Door:
    """The listening socket of one server."""

    def __init__(self, server):
        self.server = server
        self.lock = threading.Lock()  # held while accepting
        self._wakes, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._wakes.setblocking(False)

    def wake(self):
        with contextlib.suppress(OSError):
            self._wakes.send(b"!")

    def close(self, seconds):
        """Returns when no accept is under way any more."""
        self.wake()
        if self.lock.acquire(timeout=seconds):
            self.lock.release()

    def accept_while(self, allowed):
        server, poll = self.server, select.poll()
        server.timeout = 0
        server.socket.setblocking(False)  # another process may take the connection first
        poll.register(server.socket, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while allowed():
            if any(fd == self._woken.fileno() for fd, _ in poll.poll()):
                with contextlib.suppress(OSError):
                    self._woken.recv(4096)
            with self.lock:
                if allowed():
                    server.handle_request()


class _AsyncDoor:
    """The listening socket of one asyncio server."""

    def __init__(self, worker, loop, listener, factory, options):
        self._worker, self._loop, self._listener = worker, loop, listener
        self._factory, self._options = factory, options

    def wake(self):
        self._worker._on_loop(self._look)

    def close(self, seconds):
        closed = threading.Event()
        self.wake()
        self._worker._on_loop(closed.set)
        closed.wait(seconds)

    def _look(self):
        if self._listener.fileno() < 0:
            return
        if self._worker._accepting():
            self._loop.add_reader(self._listener, self._accept)
        else:
            self._loop.remove_reader(self._listener)

    def _accept(self):
        if not self._worker._accepting():
            return
        try:
            connection = self._listener.accept()[0]
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:  # no descriptor is left
            _complain(f"accept: {error}")
            self._loop.remove_reader(self._listener)
            self._loop.call_later(_LEAVE, self._look)
            return
        connection = _Connection(self._worker, connection)
        self._loop.create_task(self._connect(connection))

    async def _connect(self, connection):
        _CONNECTION.set(connection)  # also for all that this begins
        try:
            await self._loop.connect_accepted_socket(self._factory, connection, **self._options)
        except BaseException as error:
            connection.close()
            if not isinstance(error, OSError):  # of a client that went away
                raise


class _Connection(socket.socket):
    """Counts from the moment it is accepted until it is closed."""

    def __init__(self, worker, accepted):
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.setblocking(False)
        self._worker = worker
        worker._note_connection(self, False)

    def close(self):
        super().close()
        self._worker._note_connection(self, None)


def _factory_of(client, loop):
    """A protocol factory for the coroutine function of a server of streams; any other is one already."""
    if not inspect.iscoroutinefunction(client):
        return client
    asyncio = sys.modules["asyncio"]

    async def serve(reader, writer):
        try:
            with contextlib.suppress(ConnectionError):
                await client(reader, writer)
        finally:
            writer.close()

    return lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(loop=loop), serve, loop=loop)


def _handler_of(worker, handler_class):
    """The program's handler, which tells the worker when a request begins. Requests that begin while held wait."""

    class Handler(handler_class):
        def setup(self):
            worker._begin_request(self.request)
            super().setup()

    class HttpHandler(handler_class):
        _zeroth_status = 200

        def handle_one_request(self):
            worker._note_connection(self.request, False)
            super().handle_one_request()

        def parse_request(self):
            worker._begin_request(self.request)
            return super().parse_request()

        def send_response_only(self, code, message=None):
            self._zeroth_status = code
            super().send_response_only(code, message)

        def send_header(self, keyword, value):
            super().send_header(keyword, "close" if worker._draining and keyword.lower() == "connection" else value)

        def end_headers(self):
            if worker._draining and self._zeroth_status >= 200 and not self.close_connection:
                self.send_header("Connection", "close")
            super().end_headers()

    chosen = HttpHandler if hasattr(handler_class, "handle_one_request") else Handler
    chosen.__name__ = chosen.__qualname__ = handler_class.__name__
    return chosen


# ---- Environment, descriptors, files


class _Lent:
    """Listening sockets of the supervisor, by name: inherited, or received on the channel in their order."""

    def __init__(self, names, inherited):
        self._names, self._fds = names, dict(zip(names, inherited))
        self._count = 0  # of received ones
        above = 3 + 2 * len(inherited)
        self._copies = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above) for fd in inherited]  # the program may close them

    def environment(self):
        """Variables for a program that this process becomes; the descriptors they mean are put in place."""
        for fd, copy in enumerate(self._copies, 3):
            os.dup2(copy, fd, inheritable=True)
        count, names = str(len(self._copies)), ":".join(self._names)
        return {"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": names} if self._copies else {}

    def receive(self, ancillary):
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                for fd in fds:
                    self._count += 1
                    known = self._count <= len(self._names)
                    self._fds[self._names[self._count - 1] if known else str(self._count)] = fd

    def take(self, name):
        """The descriptor, which is then the caller's; None if there is none of that name."""
        return self._fds.pop(name, None)


def _is_socket(fd, listening):
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            return False
        with contextlib.closing(socket.socket(fileno=os.dup(fd))) as copy:
            return copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == int(listening)
    except OSError:
        return False


def _connect(env):
    """The channel, or None without a supervisor, and the lent sockets. Children of this process shall see neither."""
    number, path = env.pop("ZEROTH_FD", ""), env.pop("ZEROTH_SOCKET", "")
    alive = env.pop("ZEROTH_ALIVE", "")
    count, pid = env.pop("LISTEN_FDS", ""), env.pop("LISTEN_PID", "")
    names = [name for name in env.pop("LISTEN_FDNAMES", "").split(":") if name]
    inherited = number.isdecimal() and _is_socket(int(number), listening=False)
    lent = []
    # A wrapper that kept our descriptors open may run us as its child: then $LISTEN_PID is the wrapper's.
    if count.isdecimal() and (pid == str(os.getpid()) or inherited):
        lent = [fd for fd in range(3, 3 + int(count)) if _is_socket(fd, listening=True)]
        for fd in lent:
            os.set_inheritable(fd, False)
    names = names or (["unknown"] * len(lent) if len(lent) != 1 else ["http"])
    if inherited:
        os.set_inheritable(int(number), False)
        channel = socket.socket(fileno=int(number))
        channel.setblocking(True)
        return channel, _Lent(names, lent)
    if not path:
        env.pop("ZEROTH_KEY", None)
        return None, _Lent(names, lent)
    if alive:  # the supervisor's own lock is on a descriptor that did not get here
        fcntl.flock(os.open(alive, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), fcntl.LOCK_SH)
    channel = socket.socket(socket.AF_UNIX)
    channel.connect(path)
    return channel, _Lent(names, lent)


def _check_code(path, needed):
    """An Error with diagnostics if the Python file does not compile; where it is `needed`, also if it is not there."""
    if not needed and not path.endswith(".py"):
        return
    try:
        with open(path, "rb") as file:
            code = file.read()
        if not path.endswith((".pyc", ".pyz")):
            compile(code, path, "exec", dont_inherit=True)
    except OSError as error:
        if needed:
            raise Error(f"{path}: {error.strerror}") from None
    except (SyntaxError, ValueError) as error:
        line, column, text = (getattr(error, name, None) for name in ("lineno", "offset", "text"))
        message = getattr(error, "msg", None) or str(error)
        found = {"file": path, "line": line or 0, "column": column or 1, "length": 1, "severity": "error",
                 "message": message, "help": "", "source": (text or "").rstrip("\n"),
                 "source_column": column or 1}  # fmt: skip
        raise Error("the new code does not compile", data={"diagnostics": [found]}) from None


def _set_variable(name, value):
    if value is None:
        os.environ.pop(name, None)
    else:
        os.environ[name] = value


def _hash_of(path):
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()
    except OSError:
        return ""


def _read_part(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        text = file.read(length)
    if len(text) != length:
        raise Error(f"{path}: shorter than announced")
    return text


def _write_part(path, offset, text):
    with open(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "wb", buffering=0) as file:
        file.seek(offset)
        _write_all(file, text)


def _write_all(file, text):
    rest = memoryview(text)
    while rest:
        rest = rest[file.write(rest) :]


def _replace_file(path, text):
    """All of it or nothing, also over a power cut."""
    beside = path + ".tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(beside, flags, 0o600), "wb", buffering=0) as file:
        _write_all(file, text)
        os.fsync(file.fileno())
    os.rename(beside, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    os.fsync(folder)
    os.close(folder)
