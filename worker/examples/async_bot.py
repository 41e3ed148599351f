"""An asyncio program without a port: two tasks that count at their own pace, and go on counting after every edit and crash.

    zeroth-supervise --protocol --watch worker/examples/async_bot.py -- python3 worker/examples/async_bot.py

Change GREETING and save: the counts go on.
"""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk"))  # where zeroth.py lies
import zeroth

GREETING = "tick"

w = zeroth.worker(schema="async_bot/1")


@w.command("pair", params={"pause": "seconds between the two halves"})
async def pair(pause=0.01):
    """Makes a pair; no saved state has half of one."""
    async with w.atomic():
        S["pairs"].append("left")
        await asyncio.sleep(pause)
        S["pairs"].append("right")
    return {"pairs": len(S["pairs"]) // 2}


S = w.restore({"ticks": 0, "pairs": []})


async def tick():
    async for _ in w.every(0.1):  # stands still while the state is handed over, is cancelled when the worker is to stop
        S["ticks"] += 1  # a cut falls where a task awaits, never in here
        w.beat(iteration=S["ticks"])
        if S["ticks"] % 10 == 0:
            print(f"{GREETING} {S['ticks']}", flush=True)


async def make_pairs():
    async for _ in w.every(1):
        await pair()


async def main():
    await asyncio.gather(tick(), make_pairs())


asyncio.run(main())
