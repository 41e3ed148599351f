// What the Node library writes and reads: nothing changes silently.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Tuple, decode, encode } from '../../worker/sdk/zeroth.mjs'

const write = value => Buffer.concat(encode(value).chunks).toString()
const nested = (depth, open, close) => open.repeat(depth) + close.repeat(depth)

test('values: text of another language comes back letter for letter', () => {
  const texts = [
    'null', 'true', '0', '-1', '1.5', '[1.0]', '-0.0', '[1,1.0,2]', '9007199254740991', '9007199254740993',
    '1152921504606846976', '9223372036854775807', '-9223372036854775808', '{"$u64":"9223372036854775808"}',
    '{"$u64":"18446744073709551615"}', `{"$int":"${2n ** 200n}"}`, `{"$int":"-${2n ** 200n}"}`, '{"$int":"5"}',
    '{"$f64":"nan"}', '{"$f64":"inf"}', '{"$f64":"-inf"}', '9007199254740992.0', '100000000000000000000.0', '1e+300',
    '5e-324', '"🎈 ä\\n\\"\\\\ \\u0001 long enough to be copied"', '"short\\t"', '{"$bytes":"AAEC/w=="}', '{"$bytes":""}',
    '{"$time":"2026-01-31T10:02:11.123Z"}', '{"$time":"2026-01-31T10:02:11.123456+01:00"}', '{"$tuple":[1,[2.0],{"$tuple":[]}]}',
    '{"$set":[1,2.0,"x"]}', '{"$map":[[1,"int"],["1","text"],[{"$tuple":[1,2]},3.0]]}', '{"$$tuple":[1]}', '{"$$$":1,"$$x":2}',
    '{"__proto__":{"a":1},"constructor":2,"toString":null}', '{"":{"":[]}}', nested(60, '[', ']'), nested(60, '{"a":[', ']}'),
    '{"$tuple":[1.0]}',
  ]
  for (const text of texts) assert.equal(write(decode(text)), text)
})

test('values: what JavaScript has comes back as it was', () => {
  const hidden = JSON.parse('{"__proto__":{"polluted":true}}')
  const values = [
    NaN, Infinity, -Infinity, -0, 2 ** 53, 1e20, 1e21, 1e300, 0.1, 5n, -5n, 2n ** 60n, 2n ** 63n, 2n ** 64n, -(2n ** 63n) - 1n,
    Buffer.from([0, 255]), new Date(0), new Set([1, 'a', new Set()]), new Map([[1, 2], [{ a: 1 }, new Map()]]),
    { $a: 1, $$b: 2, $: 3 }, ['🎈', 'a"b\\c\u2028'], hidden, { a: [{}, [], null, false] }, Tuple.of(7), Tuple.of('a', Tuple.of()),
  ]
  for (const value of values) assert.deepStrictEqual(decode(write(value)), value)
  assert.deepStrictEqual(decode(write(new Uint8Array([1, 2]))), Buffer.from([1, 2]))
  assert.equal(({}).polluted, undefined)
  assert.throws(() => decode('{"$tuple":[1]}').push(2), TypeError)
})

test('values: a float that was replaced, or a time that was moved, is written as it is now', () => {
  const state = decode('{"a":1.0,"b":2.0,"t":{"$time":"2026-01-31T10:02:11.123456Z"}}')
  state.a = 7
  assert.equal(write(state), '{"a":7,"b":2.0,"t":{"$time":"2026-01-31T10:02:11.123456Z"}}')
  state.t.setTime(0)
  assert.equal(write(state.t), '{"$time":"1970-01-01T00:00:00.000Z"}')
})

test('values: a million entries', () => {
  const entry = i => i % 3 === 0 ? [i] : i % 3 === 1 ? `v${i}` : { n: i }
  const state = { list: Array.from({ length: 1_000_000 }, (_, i) => entry(i)), named: {} }
  for (let i = 0; i < 100_000; ++i) state.named[`key ${i}`] = entry(i)
  const text = write(state)
  assert.equal(text, JSON.stringify(state))
  assert.equal(JSON.stringify(decode(text)), text)
})

test('values: what cannot be kept is refused with its place and advice', () => {
  class Cart { items = [] }
  const loop = { inside: [] }
  loop.inside.push(loop)
  const named = Object.assign([1], { extra: 2 })
  let deep = []
  for (let i = 0; i < 130; ++i) deep = [deep]
  const cases = [
    [{ a: undefined }, '/a: value is undefined; use null or delete the key'],
    [{ a: [1, () => 1] }, '/a/1: value is a function; keep data only'],
    [{ s: Symbol('x') }, '/s: value is a symbol; keep data only'],
    [{ [Symbol('x')]: 1 }, '/: a member named by a symbol; use a string'],
    [{ cart: new Cart() }, '/cart: value is a Cart; keep its data in a plain object'],
    [{ r: /x/ }, '/r: value is a RegExp; keep its data in a plain object'],
    [{ f: new Float64Array(1) }, '/f: value is a Float64Array; use Uint8Array or an array'],
    [{ n: new Number(1) }, '/n: value is a Number; keep its data in a plain object'],
    [loop, '/inside/0: value contains itself; keep a name or number of the other instead'],
    [{ 'a/b~c': '\ud800' }, '/a~1b~0c: text with a lone surrogate; use well-formed text or a Buffer'],
    [{ '\udc00': 1 }, '/\udc00: text with a lone surrogate; use well-formed text or a Buffer'],
    [{ visits: [1, , 3] }, '/visits/1: a hole in an array; use null'],
    [{ visits: named }, "/visits: an array with the member 'extra'; use an object"],
    [{ t: new Date(NaN) }, '/t: a Date that is no time; use null'],
    [{ m: new Map([[1, undefined]]) }, '/m/0: value is undefined; use null or delete the key'],
    [{ s: new Set([1, WeakMap]) }, '/s/1: value is a function; keep data only'],
  ]
  for (const [value, message] of cases) {
    assert.throws(() => encode(value), error => error.name === 'ValueError' && error.message === message, message)
  }
  assert.throws(() => encode(deep), /nested too deep; keep it flatter/)
  const shared = { a: 1 }
  assert.equal(write([shared, shared]), '[{"a":1},{"a":1}]')
})

test('values: text that is no state is refused', () => {
  const texts = [
    '', '{', '[1,]', '{"a":1,}', '01', '1.', '.5', '+1', 'nul', '"\t"', '"\\x"', '"a', '[1 2]', '{"a":1,"a":2}', '1e999',
    '9223372036854775808', '"\\ud800"', '{"$f64":"x"}', '{"$f64":"__proto__"}', '{"$bytes":"?"}', '{"$int":"1.5"}', '{"$time":"soon"}',
    '{"$what":1}', '{"$set":{}}', '{"$map":[[1]]}', '{"$set":[],"a":1}', '{"a":1,"$set":[]}', '[1]x', nested(129, '[', ']'),
  ]
  for (const text of texts) assert.throws(() => decode(text), { name: 'ValueError' }, text)
  assert.throws(() => decode('{"a":[1,{"$what":1}]}'), { message: /^\/a\/1: unknown tag \$what/ })
})
