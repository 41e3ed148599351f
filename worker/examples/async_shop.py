"""The web shop on asyncio: counts the visits of each session and keeps them over every edit and crash.

    zeroth-supervise --protocol --watch worker/examples/async_shop.py -- python3 worker/examples/async_shop.py
    curl http://127.0.0.1:8080/alice

Edit the greeting below, save, and ask again: the count goes on.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk"))  # where zeroth.py lies
import zeroth

w = zeroth.worker(schema="shop/1")  # says hello, before heavy imports

import asyncio


@w.command("visits", params={"session": "whose; all if absent"})
def visits(session=None):
    """How often a session was here."""
    return {"visits": sum(S["visits"].values()) if session is None else S["visits"].get(session, 0)}


S = w.restore({"visits": {}})  # the visits so far; on the first start, none


async def serve_one(reader, writer):
    """One connection, which is kept alive."""
    closes = False
    while not closes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        session = head[0].split(" ")[1].strip("/") or "nobody"
        async with w.atomic():  # a cut falls before or behind: whoever has the answer is in the state
            S["visits"][session] = S["visits"].get(session, 0) + 1
            body = f"Welcome, {session}: visit {S['visits'][session]}\n".encode("utf-8", "replace")
            closes = w.draining or any(line.lower() == "connection: close" for line in head)
            fields = ["HTTP/1.1 200 OK", "Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}"]
            fields += ["Connection: close"] if closes else []
            writer.write("\r\n".join([*fields, "", ""]).encode() + body)
            await asyncio.wait_for(writer.drain(), 30)  # nobody may keep a section open for longer


async def client(reader, writer):
    try:
        await serve_one(reader, writer)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, IndexError):
        pass  # it went away, or speaks no HTTP


asyncio.run(w.serve_async(client, "http", default=("127.0.0.1", int(os.environ.get("PORT", "8080")))))
