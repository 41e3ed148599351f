"""What the four build daemons share: a cache that outlives edits, restarts and crashes, and a server that speaks JSON."""

import json
import os
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "sdk"))  # where zeroth.py lies
import zeroth

LIMIT = 10_000  # entries of a cache; the oldest goes first

w = zeroth.worker(schema="build/1")

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Cache:
    """What was made for a key, and how often that helped: a part of the living state."""

    def __init__(self):
        self.found, self.hits, self.misses = {}, 0, 0

    def start(self, part):
        if part is not None:
            self.found, self.hits, self.misses = part["found"], part["hits"], part["misses"]

    def capture(self):
        return {"found": self.found, "hits": self.hits, "misses": self.misses}

    def stop(self):
        asked = self.hits + self.misses
        share = f" ({100 * self.hits // asked} % from the cache)" if asked else ""
        print(f"{self.hits} hits, {self.misses} misses{share}, {len(self.found)} entries", flush=True)

    def get(self, key, make, holds=lambda made: True):
        """What was made for the key, if that `holds`; else it is made now."""
        with w.atomic():
            if key in self.found and holds(self.found[key]):
                self.hits += 1
                return self.found[key]
            self.misses += 1
        made = make()  # takes its time, so no section is open
        with w.atomic():
            self.found[key] = made
            if len(self.found) > LIMIT:
                del self.found[next(iter(self.found))]
        return made


cache = Cache()
w.component("cache", start=cache.start, stop=cache.stop, capture=cache.capture)


@w.command("cache")
def statistics():
    """How much is in the cache, and how often it helped."""
    with w.atomic():
        return {"entries": len(cache.found), "hits": cache.hits, "misses": cache.misses}


def serve(port, answer):
    """Answers each POST of a JSON object with answer(**object), until the daemon is to stop."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self):
            try:
                if self.headers.get_content_type() != "application/json":  # a web page cannot send this unasked
                    raise ValueError("expected application/json")
                status, result = 200, answer(**json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            except (TypeError, ValueError, OSError) as error:
                status, result = 400, {"error": f"{type(error).__name__}: {error}"}
            body = json.dumps(result).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    w.restore({})
    w.serve(ThreadingHTTPServer, Handler, "http", default=("127.0.0.1", port))


def ask(port, **question):
    """What the daemon on that port answers. If it dies meanwhile, the one that takes its place is asked."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps(question).encode(),
                                     {"Content-Type": "application/json"})  # fmt: skip
    for last in (False, True):
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except ConnectionError:
            if last:
                raise
