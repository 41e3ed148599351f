"""A program without a port: it counts, and goes on counting after every edit and crash.

    zeroth-supervise --protocol --watch worker/examples/bot.py -- python3 worker/examples/bot.py

Change STEP and save: the next line goes on from the last one.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk"))  # where zeroth.py lies
import zeroth

STEP = 1

w = zeroth.worker(schema="bot/1")
S = w.restore({"ticks": 0})

for _ in w.every(0.1):  # stands still while the state is handed over, ends when the worker is to stop
    with w.atomic():  # the state is saved between such sections
        S["ticks"] += STEP
        w.beat(iteration=S["ticks"])  # shown by zerothctl status
        if S["ticks"] % 10 == 0:
            print(f"tick {S['ticks']}", flush=True)
