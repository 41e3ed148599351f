#!/usr/bin/env python3
"""What the Python library writes of a state, and reads back: tests/sdk/python_values_test.py [TEST…]"""

import collections
import datetime
import enum
import json
import math
import random
import struct
import sys
import unittest

from python_support import SDK

sys.path.insert(0, SDK)
import zeroth


def nested(depth, kind):
    value = kind()
    for _ in range(depth - 1):
        value = {"a": value} if kind is dict else [value] if kind is list else (value,)
    return value


class Values(unittest.TestCase):
    def same(self, value):
        """`value` comes back equal and of the same types all the way down."""
        text = zeroth.dumps(value)
        back = zeroth.loads(text)
        self.assertEqual(back, value)
        self.assertEqual(repr(back), repr(value))
        return json.loads(text)

    def test_what_json_has_stays_as_it_is(self):
        for value in (None, True, False, 0, -(2**63), 2**63 - 1, 1.0, "", "e\u0301 \U0001f600 \u2028 \0", [], {}):
            self.assertEqual(self.same(value), value)

    def test_tags(self):
        for value, text in (
            (2**63, {"$u64": "9223372036854775808"}), (2**64 - 1, {"$u64": "18446744073709551615"}),
            (2**64, {"$int": "18446744073709551616"}), (-(2**63) - 1, {"$int": "-9223372036854775809"}),
            (2**200, {"$int": str(2**200)}), (math.inf, {"$f64": "inf"}), (-math.inf, {"$f64": "-inf"}),
            (b"\0\xff", {"$bytes": "AP8="}), ((1, (2,)), {"$tuple": [1, {"$tuple": [2]}]}), ({3, 1, 2}, {"$set": [1, 2, 3]}),
            (zeroth.Map({42: "a", (1, 2): None}), {"$map": [[42, "a"], [{"$tuple": [1, 2]}, None]]}),
            ({"$a": 1, "$$b": 2, "c": 3}, {"$$a": 1, "$$$b": 2, "c": 3}), ({"$f64": "nan"}, {"$$f64": "nan"}),
        ):  # fmt: skip
            self.assertEqual(self.same(value), text)
        self.assertEqual(json.loads(zeroth.dumps(math.nan)), {"$f64": "nan"})
        self.assertTrue(math.isnan(zeroth.loads(b'{"$f64":"nan"}')))

    def test_times_keep_offset_and_microseconds(self):
        utc, east = datetime.timezone.utc, datetime.timezone(datetime.timedelta(hours=5, minutes=30))
        self.assertEqual(self.same(datetime.datetime(2026, 1, 31, 10, 2, 11, 123456, utc)), {"$time": "2026-01-31T10:02:11.123456Z"})
        self.assertEqual(self.same(datetime.datetime(1, 1, 1, tzinfo=east)), {"$time": "0001-01-01T00:00:00+05:30"})
        self.assertEqual(zeroth.loads(b'{"$time":"2026-01-31T10:02:11.5Z"}').microsecond, 500_000)

    def test_floats_come_back_bit_for_bit(self):
        dice = random.Random(1)
        floats = [-0.0, 5e-324, 1.7976931348623157e308, 0.1, 1e22, 2.0**53]
        floats += [value for value in (struct.unpack("<d", dice.randbytes(8))[0] for _ in range(20_000)) if math.isfinite(value)]
        back = zeroth.loads(zeroth.dumps({"f": floats}))["f"]
        self.assertEqual([struct.pack("<d", value) for value in back], [struct.pack("<d", value) for value in floats])

    def test_depth_and_size(self):
        for kind in (dict, list, tuple):
            self.same(nested(60, kind))
            with self.assertRaisesRegex(zeroth.Error, "nested more than 120 deep"):
                zeroth.dumps(nested(121, kind))
        endless = []
        endless.append(endless)
        with self.assertRaisesRegex(zeroth.Error, "does a value contain itself"):
            zeroth.dumps(endless)
        large = {f"session {i}": {"n": i, "at": i / 7, "tags": ("a", 2**63 + i)} for i in range(100_000)}
        self.assertTrue(zeroth.loads(zeroth.dumps(large)) == large)

    def test_refusals_name_place_and_advice(self):
        class Thing:
            pass

        class Colour(enum.IntEnum):
            RED = 1

        for value, message in (
            ({"visits": {42: 1}}, "/visits: key 42 is int; use str or a map"),
            ({"a/b": [0, {"~": Thing()}]}, "/a~1b/1/~0: Thing cannot be saved as it is; use dict, list, str and numbers"),
            ({"v": collections.defaultdict(int)}, "/v: defaultdict cannot be saved as it is; use dict or a map"),
            ({"v": [Colour.RED]}, "/v/0: Colour cannot be saved as it is; use int"),
            ({"v": bytearray(b"x")}, "/v: bytearray cannot be saved as it is; use bytes"),
            ({"v": datetime.datetime(2026, 1, 1)}, "/v: datetime without a fixed offset cannot be saved as it is; "
             "use .astimezone(datetime.timezone.utc)"),
            ({"v": {"w": "a\ud800"}}, "/v/w: 'a\\ud800' holds half a surrogate pair; use bytes"),
            ({"v": {"\udfff": 1}}, "/v: '\\udfff' holds half a surrogate pair; use bytes"),
            ({"v": zeroth.Map({1: Thing()})}, "/v/1: Thing cannot be saved as it is; use dict, list, str and numbers"),
        ):  # fmt: skip
            with self.assertRaises(zeroth.Error) as raised:
                zeroth.dumps(value)
            self.assertEqual(str(raised.exception), message)

    def test_foreign_text_that_means_nothing_here_is_refused(self):
        for text in (b'{"a":{"$what":1}}', b'{"$u64":"x"}', b'{"$f64":"1"}', b'{"$map":[[[],1]]}', b'{"$time":"today"}',
                     b'{"$tuple":[1],"x":2}', b'{"$map":[[1,"a"],[true,"b"]]}', b'{"$set":[1,1.0]}', b'{"$bytes":"*"}'):  # fmt: skip
            with self.assertRaises(zeroth.Error, msg=text):
                zeroth.loads(text)
        with self.assertRaisesRegex(zeroth.Error, r"/a/\$what: unknown tag"):
            zeroth.loads(b'{"a":{"$what":1}}')


if __name__ == "__main__":
    unittest.main()
