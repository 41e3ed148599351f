"""A web shop that counts the visits of each session and keeps them over every edit and crash.

    zeroth-supervise --protocol --watch worker/examples/shop.py -- python3 worker/examples/shop.py
    curl http://127.0.0.1:8080/alice

Edit the greeting below, save, and ask again: the count goes on.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk"))  # where zeroth.py lies
import zeroth

w = zeroth.worker(schema="shop/1")  # says hello, before heavy imports

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@w.command("visits", params={"session": "whose; all if absent"})
def visits(session=None):
    """How often a session was here."""
    with w.atomic():
        return {"visits": sum(S["visits"].values()) if session is None else S["visits"].get(session, 0)}


S = w.restore({"visits": {}})  # the visits so far; on the first start, none


class Shop(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept alive
    disable_nagle_algorithm = True  # headers and body are two writes; the second need not wait for the client
    timeout = 30  # nobody may keep a section open for longer

    def do_GET(self):
        session = self.path.strip("/") or "nobody"
        with w.atomic():  # a cut falls before or behind: whoever has the answer is in the state
            S["visits"][session] = S["visits"].get(session, 0) + 1
            body = f"Welcome, {session}: visit {S['visits'][session]}\n".encode("utf-8", "replace")
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


w.serve(ThreadingHTTPServer, Shop, "http", default=("127.0.0.1", int(os.environ.get("PORT", "8080"))))
