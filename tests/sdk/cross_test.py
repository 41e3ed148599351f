#!/usr/bin/env python3
"""What Python writes, Node reads and writes again, and Python finds unchanged: tests/sdk/cross_test.py

Exits 77 without Node 18 or newer.
"""

import datetime
import math
import os
import re
import shutil
import subprocess
import sys
import unittest

from python_support import SDK

sys.path.insert(0, SDK)
import zeroth

THROUGH_NODE = """
import { readFileSync, writeSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
const { decode, encode } = await import(pathToFileURL(process.argv[1]))
const state = decode(readFileSync(0, 'utf8'))
state.touched = (state.touched ?? 0) + 1
const bytes = Buffer.concat(encode(state).chunks)
for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at)
"""


def through_node(state):
    text = zeroth.dumps(state)
    command = ["node", "--input-type=module", "-e", THROUGH_NODE, os.path.join(SDK, "zeroth.mjs")]
    done = subprocess.run(command, input=text if isinstance(text, bytes) else text.encode(), capture_output=True, timeout=120)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode())
    return zeroth.loads(done.stdout)


def nested(depth):
    value = "bottom"
    for level in range(depth):
        value = {"deeper": value} if level % 2 else [value]
    return value


class Cross(unittest.TestCase):
    def test_every_kind_of_value(self):
        state = {
            "numbers": [0, -1, 2**53 - 1, 2**53, 2**53 + 1, 2**60, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**200, -(2**200)],
            "floats": [0.0, -0.0, 1.0, 1.5, -2.0, 1e300, 5e-324, 1e16, 0.1, math.inf, -math.inf],
            "text": ["", "emoji \U0001f600", "e\u0301", "\u2028", "\0", '"\\/'],
            "bytes": [b"", b"\0\xff\x80", bytes(range(256))],
            "plain": [None, True, False, [], {}],
            "tuples": ((1, (2, ())), [(3,)]),
            "sets": [{1, 2, 3}, {"a"}],
            "map": zeroth.Map({42: "a", (1, 2): None, "text": [1.0]}),
            "time": datetime.datetime(2026, 1, 31, 10, 2, 11, 123456, datetime.timezone.utc),
            "nested": nested(60),
            "$key": {"$f64": "no tag", "$$": 1, "__proto__": {"a": 1}, "constructor": 2},
        }
        back = through_node(state)
        self.assertEqual(back.pop("touched"), 1)
        self.assertEqual(list(back), list(state))
        for name, value in state.items():
            self.assertEqual(repr(back[name]), repr(value), name)

    def test_nan(self):
        self.assertTrue(math.isnan(through_node({"nan": math.nan})["nan"]))

    def test_a_million_small_entries(self):
        state = {"counts": {f"k{i}": i for i in range(200_000)}, "list": [i * 0.5 for i in range(800_000)]}
        back = through_node(state)
        self.assertEqual(back["counts"], state["counts"])
        self.assertEqual(repr(back["list"]), repr(state["list"]))


if __name__ == "__main__":
    node = shutil.which("node")
    version = subprocess.run([node, "--version"], capture_output=True, text=True).stdout if node else "none"
    found = re.match(r"v(\d+)", version)
    if not found or int(found.group(1)) < 18:
        print(f"SKIPPED: needs node 18 or newer, found {version.strip()}")
        sys.exit(77)
    unittest.main()
