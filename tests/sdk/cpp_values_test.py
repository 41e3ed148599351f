#!/usr/bin/env python3
"""What the C++ library reads and writes of a state and of messages; what goes from Python over Node and C++ back to
Python comes unchanged: tests/sdk/cpp_values_test.py [TEST…]

Exits 77 without g++.
"""

import datetime
import json
import math
import random
import shutil
import struct
import subprocess
import sys
import unittest

from cpp_support import main, program
from cross_test import THROUGH_NODE, nested
from python_support import SDK

sys.path.insert(0, SDK)
import zeroth

EVERYTHING = {
    "numbers": [0, -1, 2**53 - 1, 2**53, 2**53 + 1, 2**60, -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**200, -(2**200)],
    "floats": [0.0, -0.0, 1.0, 1.5, -2.0, 1e300, 5e-324, 1e16, 0.1, math.inf, -math.inf],
    "text": ["", "emoji \U0001f600", "e\u0301", "\u2028", "\0", '"\\/', "\x7f", "\x1f\n"],
    "bytes": [b"", b"\0", b"\0\xff", b"\0\xff\x80", bytes(range(256))],
    "plain": [None, True, False, [], {}],
    "tuples": ((1, (2, ())), [(3,)]),
    "sets": [{1, 2, 3}, {"a"}, set()],
    "map": zeroth.Map({42: "a", (1, 2): None, "text": [1.0]}),
    "time": datetime.datetime(2026, 1, 31, 10, 2, 11, 123456, datetime.timezone.utc),
    "east": datetime.datetime(1, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=30))),
    "nested": nested(60),
    "many": {f"k{i}": i for i in range(20)},
    "$key": {"$f64": "no tag", "$$": 1, "__proto__": {"a": 1}, "constructor": 2},
}


class Values(unittest.TestCase):
    def through(self, text):
        """Exit code and output of the program that reads a state and writes it."""
        done = subprocess.run([program("worker"), "values"], input=text, capture_output=True, timeout=120)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode, done.stdout

    def back(self, text):
        code, text = self.through(text)
        self.assertEqual(code, 0, text[:500])
        return zeroth.loads(text)

    def same(self, state, back):
        self.assertEqual(list(back), list(state))
        for name, value in state.items():
            self.assertEqual(repr(back[name]), repr(value), name)

    def test_every_kind_of_value_from_python_and_back(self):
        back = self.back(zeroth.dumps(EVERYTHING))
        self.assertEqual(back.pop("touched"), 1)
        self.same(EVERYTHING, back)
        self.assertTrue(math.isnan(self.back(zeroth.dumps({"nan": math.nan}))["nan"]))

    @unittest.skipUnless(shutil.which("node"), "no node")
    def test_from_python_over_node_and_over_cpp(self):
        words = ["node", "--input-type=module", "-e", THROUGH_NODE, SDK + "/zeroth.mjs"]
        text = subprocess.run(words, input=zeroth.dumps(EVERYTHING), capture_output=True, timeout=120, check=True).stdout
        code, text = self.through(text)
        self.assertEqual(code, 0)
        text = subprocess.run(words, input=text, capture_output=True, timeout=120, check=True).stdout
        back = zeroth.loads(text)
        self.assertEqual(back.pop("touched"), 3)
        self.same(EVERYTHING, back)

    def test_floats_come_back_bit_for_bit(self):
        dice = random.Random(1)
        floats = [-0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e22, 2.0**53]
        floats += [value for value in (struct.unpack("<d", dice.randbytes(8))[0] for _ in range(20_000)) if math.isfinite(value)]
        back = self.back(zeroth.dumps({"f": floats}))["f"]
        self.assertEqual([struct.pack("<d", value) for value in back], [struct.pack("<d", value) for value in floats])

    def test_many_entries(self):
        state = {"counts": {f"k{i}": i for i in range(200_000)}, "list": [i * 0.5 for i in range(400_000)]}
        back = self.back(zeroth.dumps(state))
        self.assertTrue(back["counts"] == state["counts"] and back["list"] == state["list"])

    def test_what_means_nothing_is_refused_with_its_place(self):
        for text, why in (
            ('{"a":{"$what":1}}', "/a/$what: unknown tag"), ('{"$u64":"x"}', "/$u64: not a value of this tag"),
            ('{"$f64":"1"}', "/$f64: not a value of this tag"), ('{"$time":"today"}', "/$time: not a value of this tag"),
            ('{"$time":"2026-01-31T10:02:11.Z"}', "/$time: not a value of this tag"),
            ('{"a/b":[0,{"~":{"$bytes":"*"}}]}', "/a~1b/1/~0/$bytes: not a value of this tag"),
            ('{"$bytes":"AB=="}', "/$bytes: not a value of this tag"), ('{"$bytes":1}', "/$bytes: expected text, found an integer"),
            ('{"$tuple":[1],"x":2}', "/: the tag $tuple stands beside other members"),
            ('{"$map":[[1,"a"],[1,"b"]]}', "/$map: two of these are equal"), ('{"$set":[1,1]}', "/$set: two of these are equal"),
            ('{"a":1,"a":2}', "the key 'a' stands twice"), ('{"$$a":1,"$$a":2}', "the key '$a' stands twice"),
            ("9223372036854775808", "outside int64"), ("[1e400]", "/0: a number outside double"), ('["\\ud800"]', "half a surrogate"),
            ('["\\udc00\\ud800"]', "half a surrogate"), ("[NaN]", "no JSON"), ("[01]", "expected ',' or ']'"), ("[1.]", "no JSON"),
            ('{"a":1,}', "expected a key"), ("[1,]", "no JSON"), ("[] []", "unexpected text"), ("", "unexpected end"),
            ('["a', "without an end"), ('["\\x"]', "bad text"), ('["\\u12"]', "bad text"), ('["\n"]', "a control character"),
            ("[" * 129 + "]" * 129, "nested too deep"), ("[" * 121 + "]" * 121, "nested more than 120 deep"),
        ):  # fmt: skip
            code, said = self.through(text.encode())
            self.assertEqual((code, why in said.decode()), (1, True), (text, said))
        for broken in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"):
            self.assertEqual(self.through(b'["' + broken + b'"]')[0], 1, broken)
        for fine in ("[1e-400]", "[" * 120 + "]" * 120, ' {"a" : [ 1 , -0 , 0.5E+3 ] }\n', '["\\u00e9\\ud83d\\ude00"]'):
            self.assertEqual(json.loads(self.through(fine.encode())[1]).__class__, json.loads(fine).__class__, fine)

    def test_limits_of_a_message_do_not_count_its_state(self):
        deep, wide = "[" * 70 + "]" * 70, "[" + "1," * 20_000 + "1]"
        lines = ['{"params":{"state":%s}}' % deep, '{"params":{"state":%s}}' % wide, '{"params":{"other":%s}}' % deep,
                 '{"params":{"other":%s}}' % wide, '{"state":%s}' % deep, '{"x":{"params":{"state":%s}}}' % deep,
                 '{"params":{"a":1,"a":2}}', '{"params":{"state":{"a":1,"a":2}}}']  # fmt: skip
        done = subprocess.run([program("worker"), "messages"], input="\n".join(lines), capture_output=True, text=True, check=True)
        said = [line.split(": ")[-1].split(",")[0] for line in done.stdout.splitlines()]
        self.assertEqual(said, ["yes", "yes", "nested too deep", "too many members", "nested too deep", "nested too deep", "a", "a"])


if __name__ == "__main__":
    main()
