// The worker protocol of zeroth-supervise for Node >= 18, in one file without dependencies: copy it to your program.
//
//   import { worker } from './zeroth.mjs'
//   const w = await worker({ schema: 'shop/1' })                  // says hello
//   const S = await w.restore({ visits: {} })                     // the living state, or this default
//   w.serve(http.createServer(handler), 'http', { port: 8080 })   // ready, go, accept
//
// A callback without `await` is atomic by nature: a cut never falls inside. What awaits between two changes that belong
// together goes into `await w.atomic(fn)`. Without a supervisor the same program simply runs, and keeps nothing.
// More a program may say: w.command, w.component (start, stop, capture), worker({migrate}), w.onEnv, w.onDrain, w.save.
//
// Values. What JSON cannot say travels in tags that the other libraries share: NaN and infinities, BigInt, Buffer and
// Uint8Array (restored as Buffer), Date, Set, Map, Tuple. A whole number beyond 2^53 arrives as BigInt. A float with a
// whole value (Python's 1.0), or a time finer than a Date, goes back as it came unless the program put something else
// in its place. Anything else fails the checkpoint with a JSON pointer and advice. Not kept: that two members are one
// and the same object, and the order of keys that look like whole numbers.
//
// Limits of plain Node: it cannot flock, so behind a wrapper that closes descriptors (npm start) $ZEROTH_ALIVE stays
// unlocked by us. It needs process.binding() to stop accepting without closing a listening socket (a duplicate of the
// descriptor) and to receive a lent socket behind such a wrapper; where that is missing, a drain answers with
// `Connection: close` but goes on accepting, and serve() rejects there.
// Nothing here writes to stdout.

import { AsyncLocalStorage } from 'node:async_hooks'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'

const MAX_LINE = 1 << 20
const INLINE_BYTES = 64 * 1024, INLINE_MEMBERS = 1000  // of a state that travels inside a message
const MAX_DEPTH = 64, MAX_MEMBERS = 10_000             // of a message; its state may be twice as deep
const STATE_DEPTH = 2 * MAX_DEPTH - 2                  // beside the message and its result or params
const CHUNK = 1 << 20                                  // characters encoded before they become bytes
const BEAT_EVERY = 100                                 // ms
const SECTION_PATIENCE = 5000                          // ms that a section may go on after the supervisor died
const ENV_PATIENCE = 2000                              // ms for what is to be done about one changed variable
const CUT_SHARE = 0.9                                  // of a checkpoint's deadline: later the supervisor gives up first
const TERM_WAIT = 500                                  // ms that the channel's end may come later than the SIGTERM of the same death
const ERROR_CODES = ['bad_request', 'bad_params', 'not_found', 'refused', 'busy', 'timeout', 'unavailable', 'failed']
const CAPABILITIES = ['checkpoint', 'restore', 'hold', 'drain', 'call']
const REQUESTS = ['restore', 'go', 'drain', 'checkpoint', 'resume', 'stop', 'call', 'env', 'ping']

// ---- Values

/** A Python tuple: an array that cannot be changed. Made by Tuple.of(…) or Tuple.from(…). */
export class Tuple extends Array {
  static get [Symbol.species]() { return Array }
  static of(...items) { return Tuple.from(items) }
  static from(items) { return Object.freeze(super.from(items)) }
}

/** A value that cannot be written or read; `pointer` is where it stands, as a JSON pointer. */
export class ValueError extends Error {
  constructor(steps, problem) {
    const pointer = steps.map(step => '/' + String(step).replaceAll('~', '~0').replaceAll('/', '~1')).join('')
    super(`${pointer || '/'}: ${problem}`)
    this.name = 'ValueError'
    this.pointer = pointer
  }
}

// Container -> Map of place -> whole number that was read as a float there.
const floats = new WeakMap()
// Date -> {ms, text} it was read from, where the text is not what the Date would say.
const times = new WeakMap()
const LONE_SURROGATE = /\p{Surrogate}/u

function remember(container, place, number) {
  if (!floats.has(container)) floats.set(container, new Map())
  floats.get(container).set(place, number)
}

/** State -> {chunks: Buffer[], bytes, members}. Throws ValueError. */
export function encode(root) {
  const chunks = [], steps = [], open = new Set()
  let out = '', bytes = 0, members = 0, depth = 0

  const flush = () => {
    const chunk = Buffer.from(out)
    chunks.push(chunk)
    bytes += chunk.length
    out = ''
  }
  const refuse = (what, advice) => { throw new ValueError(steps, `${what}; ${advice}`) }
  const string = text => {
    const quoted = JSON.stringify(text)  // which writes a lone surrogate as \ud…
    if (quoted.includes('\\ud') && LONE_SURROGATE.test(text)) {
      refuse('text with a lone surrogate', 'use well-formed text or a Buffer')
    }
    out += quoted
  }
  const number = (value, known, place) => {
    if (Number.isSafeInteger(value)) {
      const isFloat = known !== undefined && known.get(place) === value
      out += Object.is(value, -0) ? '-0.0' : isFloat ? value + '.0' : value
    } else if (Number.isFinite(value)) {
      out += Number.isInteger(value) && Math.abs(value) < 1e21 ? value + '.0' : value
    } else {
      out += `{"$f64":"${Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'}"}`
    }
  }
  const bigint = value => {
    const fitsNumber = value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER
    if (BigInt.asIntN(64, value) === value && !fitsNumber) out += value
    else out += `{"${!fitsNumber && BigInt.asUintN(64, value) === value ? '$u64' : '$int'}":"${value}"}`
  }
  const list = items => {
    const known = floats.get(items)
    out += '['
    let index = 0
    for (const item of items) {
      if (index > 0) out += ','
      ++members
      steps.push(index)
      value(item, known, index)
      steps.pop()
      ++index
    }
    out += ']'
  }
  const array = items => {
    const keys = Object.keys(items)
    for (let i = 0; i < items.length; ++i) {
      if (Object.hasOwn(items, i)) continue
      steps.push(i)
      refuse('a hole in an array', 'use null')
    }
    if (keys.length !== items.length) refuse(`an array with the member '${keys[items.length]}'`, 'use an object')
    list(items)
  }
  const map = entries => {
    const known = floats.get(entries)
    out += '{"$map":['
    let index = 0
    for (const [key, item] of entries) {
      out += index > 0 ? ',[' : '['
      members += 3
      steps.push(index)
      value(key, known, 2 * index)
      out += ','
      value(item, known, 2 * index + 1)
      steps.pop()
      out += ']'
      ++index
    }
    out += ']}'
  }
  const date = value => {
    const ms = value.getTime(), seen = times.get(value)
    if (Number.isNaN(ms)) refuse('a Date that is no time', 'use null')
    out += `{"$time":${JSON.stringify(seen?.ms === ms ? seen.text : value.toISOString())}}`
  }
  const object = item => {
    if (Object.getOwnPropertySymbols(item).length > 0) refuse('a member named by a symbol', 'use a string')
    const known = floats.get(item)
    out += '{'
    let first = true
    for (const key of Object.keys(item)) {
      if (!first) out += ','
      first = false
      ++members
      steps.push(key)
      string(key[0] === '$' ? '$' + key : key)
      out += ':'
      value(item[key], known, key)
      steps.pop()
    }
    out += '}'
  }
  const tagged = (tag, write) => {
    out += `{"${tag}":`
    ++members
    write()
    out += '}'
  }
  const container = item => {
    const kind = Object.getPrototypeOf(item)
    if (kind === Object.prototype || kind === null) return object(item)
    if (kind === Array.prototype) return array(item)
    if (kind === Map.prototype) return map(item)
    if (kind === Set.prototype) return tagged('$set', () => list(item))
    if (kind === Tuple.prototype) return tagged('$tuple', () => array(item))
    if (kind === Date.prototype) return date(item)
    if (kind === Uint8Array.prototype || kind === Buffer.prototype) {
      out += `{"$bytes":"${Buffer.from(item.buffer, item.byteOffset, item.byteLength).toString('base64')}"}`
      return
    }
    const name = kind.constructor?.name || 'an object with a prototype'
    const isBytes = ArrayBuffer.isView(item) || item instanceof ArrayBuffer
    refuse(`value is a ${name}`, isBytes ? 'use Uint8Array or an array' : 'keep its data in a plain object')
  }
  // known: the floats of the container it stands in.
  const value = (item, known, place) => {
    if (out.length > CHUNK) flush()
    switch (typeof item) {
      case 'string': return string(item)
      case 'number': return number(item, known, place)
      case 'boolean': out += item; return
      case 'bigint': return bigint(item)
      case 'undefined': refuse('value is undefined', 'use null or delete the key'); break
      case 'object': break
      default: refuse(`value is a ${typeof item}`, 'keep data only')
    }
    if (item === null) { out += 'null'; return }
    if (open.has(item)) refuse('value contains itself', 'keep a name or number of the other instead')
    const levels = item instanceof Map ? 3 : item instanceof Set || item instanceof Tuple ? 2 : 1
    if ((depth += levels) > STATE_DEPTH) refuse('nested too deep', 'keep it flatter')
    open.add(item)
    container(item)
    open.delete(item)
    depth -= levels
  }

  value(root)
  flush()
  return { chunks, bytes, members }
}

const encodeText = value => Buffer.concat(encode(value).chunks).toString()

// Tag -> function of the decoded content and `bad`, which throws.
const TAGS = {
  $f64: (text, bad) => new Map([['nan', NaN], ['inf', Infinity], ['-inf', -Infinity]]).get(text) ?? bad(),
  $u64: (text, bad) => readBigInt(text, bad),
  $int: (text, bad) => readBigInt(text, bad),
  $bytes: (text, bad) => {
    const bytes = typeof text === 'string' ? Buffer.from(text, 'base64') : bad()
    return bytes.toString('base64') === text ? bytes : bad()
  },
  $time: (text, bad) => {
    const date = new Date(typeof text === 'string' ? text : bad())
    if (Number.isNaN(date.getTime())) bad()
    if (date.toISOString() !== text) times.set(date, { ms: date.getTime(), text })
    return date
  },
  $tuple: (items, bad) => withFloats(Tuple.from(Array.isArray(items) ? items : bad()), items),
  $set: (items, bad) => withFloats(new Set(Array.isArray(items) ? items : bad()), items),
  $map: (pairs, bad) => {
    if (!Array.isArray(pairs) || !pairs.every(pair => Array.isArray(pair) && pair.length === 2)) bad()
    const map = new Map(pairs)
    pairs.forEach((pair, index) => {
      for (const [place, number] of floats.get(pair) ?? []) remember(map, 2 * index + place, number)
    })
    return map
  },
}

function withFloats(container, items) {
  if (floats.has(items)) floats.set(container, floats.get(items))
  return container
}

function readBigInt(text, bad) {
  return typeof text === 'string' && /^-?(0|[1-9]\d*)$/.test(text) ? BigInt(text) : bad()
}

/** JSON text of a state -> the state. Throws ValueError. */
export function decode(text) {
  return new Reader(text, true).whole()
}

// A strict JSON reader. For a state (`tags`) the tags become values; for a message its limits hold, a duplicate key is
// noted, and /params/state is kept as text.
class Reader {
  duplicate = null
  stateText = null
  #text
  #tags
  #at = 0
  #steps = []
  #depth = 0
  #members = 0
  #inState = false

  constructor(text, tags) {
    this.#text = text
    this.#tags = tags
  }

  whole() {
    const value = this.#value()
    this.#space()
    if (this.#at !== this.#text.length) this.#fail('unexpected text at the end')
    return value
  }

  #fail(problem) { throw new ValueError(this.#steps, `${problem}, at ${this.#at}`) }

  #space() {
    for (;;) {
      const c = this.#text.charCodeAt(this.#at)
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return
      ++this.#at
    }
  }

  #peek() {
    this.#space()
    return this.#text[this.#at]
  }

  #value(owner, place) {
    switch (this.#peek()) {
      case '{': return this.#object()
      case '[': return this.#array()
      case '"': return this.#string()
      case 't': return this.#word('true', true)
      case 'f': return this.#word('false', false)
      case 'n': return this.#word('null', null)
      case undefined: return this.#fail('unexpected end')
      default: return this.#number(owner, place)
    }
  }

  #word(word, value) {
    if (!this.#text.startsWith(word, this.#at)) this.#fail('not JSON')
    this.#at += word.length
    return value
  }

  #number(owner, place) {
    const pattern = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (!match) this.#fail('not JSON')
    const number = Number(match[0])
    if (match[1] !== undefined || match[2] !== undefined) {
      if (!Number.isFinite(number)) this.#fail('a number outside double')
      if (owner && Number.isSafeInteger(number) && !Object.is(number, -0)) remember(owner, place, number)
    } else if (!Number.isSafeInteger(number)) {
      const whole = BigInt(match[0])
      if (BigInt.asIntN(64, whole) !== whole) this.#fail('a whole number outside int64')
      this.#at = pattern.lastIndex
      return whole
    }
    this.#at = pattern.lastIndex
    return number
  }

  #string() {
    let end = this.#at
    do {
      end = this.#text.indexOf('"', end + 1)
      if (end < 0) this.#fail('text without an end')
    } while (this.#escaped(end))
    // A short piece is copied by slicing it; a long one would keep all of the text in memory.
    const short = end - this.#at <= 12 && this.#text.slice(this.#at + 1, end)
    if (typeof short === 'string' && !/[\\\u0000-\u001f]/.test(short)) {
      this.#at = end + 1
      return short
    }
    let string
    try {
      string = JSON.parse(this.#text.slice(this.#at, end + 1))
    } catch {
      this.#fail('bad text')
    }
    if (LONE_SURROGATE.test(string)) this.#fail('a lone surrogate')
    this.#at = end + 1
    return string
  }

  #escaped(quote) {
    let before = quote
    while (this.#text[before - 1] === '\\') --before
    return (quote - before) % 2 === 1
  }

  #enter() {
    ++this.#at
    if (++this.#depth > (this.#tags || this.#inState ? 2 * MAX_DEPTH : MAX_DEPTH)) this.#fail('nested too deep')
  }

  // Whether another element follows; after the last one the bracket is passed.
  #more(bracket, first) {
    const c = this.#peek()
    if (c === bracket) {
      ++this.#at
      --this.#depth
      return false
    }
    if (!first) {
      if (c !== ',') this.#fail(`expected ',' or '${bracket}'`)
      ++this.#at
    }
    if (!this.#tags && !this.#inState && ++this.#members > MAX_MEMBERS) this.#fail('too many members')
    return true
  }

  #array() {
    const items = []
    this.#enter()
    while (this.#more(']', items.length === 0)) {
      this.#steps.push(items.length)
      items.push(this.#value(items, items.length))
      this.#steps.pop()
    }
    return items
  }

  #object() {
    const object = {}
    this.#enter()
    for (let first = true; this.#more('}', first); first = false) {
      if (this.#peek() !== '"') this.#fail('expected a key')
      const name = this.#string()
      if (this.#peek() !== ':') this.#fail("expected ':'")
      ++this.#at
      let key = name
      if (this.#tags && name[0] === '$') {
        if (name[1] !== '$') return this.#tagged(name, first)
        key = name.slice(1)
      }
      if (Object.hasOwn(object, key)) {
        if (this.#tags) this.#fail(`duplicate key '${key}'`)
        this.duplicate ??= key
      }
      this.#steps.push(key)
      const value = this.#member(object, key)
      this.#steps.pop()
      if (key !== '__proto__') object[key] = value
      else Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
    }
    return object
  }

  #member(object, key) {
    const isState = !this.#tags && this.#depth === 2 && key === 'state' && this.#steps[0] === 'params'
    if (!isState) return this.#value(object, key)
    this.#space()
    const start = this.#at
    this.#inState = true
    this.#value()
    this.#inState = false
    this.stateText = this.#text.slice(start, this.#at)
    return null
  }

  #tagged(tag, alone) {
    const read = Object.hasOwn(TAGS, tag) ? TAGS[tag] : this.#fail(`unknown tag ${tag}`)
    const content = this.#value()
    if (!alone || this.#peek() !== '}') this.#fail(`${tag} must stand alone`)
    const value = read(content, () => this.#fail(`bad content of ${tag}`))
    ++this.#at
    --this.#depth
    return value
  }
}

// ---- The channel

// Lines over a Unix stream socket. Everything is written at once and in order; reading is by events, or blocks
// the whole process, which is how a held worker stands still.
class Channel {
  #socket
  #fd
  #lines = []         // whole lines not taken yet; null for one that was too long
  #pieces = []        // of the line that is coming
  #size = 0
  #buffer = Buffer.alloc(64 * 1024)
  #wait = new Int32Array(new SharedArrayBuffer(4))

  constructor(socket, fd) {
    this.#socket = socket
    this.#fd = fd
  }

  // on_line(Buffer | null) for each line, on_end() once.
  start(on_line, on_end) {
    let ended = false
    const end = () => {
      if (!ended) on_end()
      ended = true
    }
    this.#socket.on('data', bytes => {
      this.#feed(bytes)
      while (this.#lines.length > 0) on_line(this.#lines.shift())
    })
    for (const event of ['end', 'error', 'close']) this.#socket.on(event, end)
  }

  // If the other end is gone nothing happens: the end of the channel tells.
  send(text) {
    const bytes = Buffer.from(text + '\n')
    for (let at = 0; at < bytes.length;) {
      try {
        at += fs.writeSync(this.#fd, bytes, at)
      } catch (error) {
        if (error.code === 'EAGAIN') this.#block(true)
        else if (error.code !== 'EINTR') break
      }
    }
    this.#block(false)
  }

  // The next line, after standing still until it is there; undefined at the end of the channel.
  readLineBlocking() {
    while (this.#lines.length === 0) {
      this.#block(true)
      const got = this.#read()
      this.#block(false)
      if (got === 0) return undefined
      if (got > 0) this.#feed(Buffer.from(this.#buffer.subarray(0, got)))
      else Atomics.wait(this.#wait, 0, 0, 1)  // only where a descriptor cannot be made to block
    }
    return this.#lines.shift()
  }

  // Whether the other end is gone, asked without waiting. Lines that are there are taken by the next event.
  hasEnded() {
    for (;;) {
      const got = this.#read()
      if (got <= 0) return got === 0
      this.#feed(Buffer.from(this.#buffer.subarray(0, got)))
      setImmediate(() => this.#socket.emit('data', Buffer.alloc(0)))
    }
  }

  // Bytes read, 0 at the end, -1 if there is nothing now.
  #read() {
    try {
      return fs.readSync(this.#fd, this.#buffer)
    } catch (error) {
      return error.code === 'EAGAIN' || error.code === 'EINTR' ? -1 : 0
    }
  }

  #block(on) { this.#socket._handle?.setBlocking?.(on) }

  #feed(bytes) {
    let from = 0
    for (let at; (at = bytes.indexOf(10, from)) >= 0; from = at + 1) {
      this.#take(bytes.subarray(from, at))
      this.#lines.push(this.#size > MAX_LINE ? null : Buffer.concat(this.#pieces))
      this.#pieces = []
      this.#size = 0
    }
    this.#take(bytes.subarray(from))
  }

  #take(piece) {
    this.#size += piece.length
    if (this.#size > MAX_LINE) this.#pieces = []
    else if (piece.length > 0) this.#pieces.push(piece)
  }
}

function isSocket(fd) {
  try {
    return fs.fstatSync(fd).isSocket()
  } catch {
    return false
  }
}

// What the supervisor told this process by variables; those that a child must not see are removed.
function takeEnvironment() {
  const { env } = process
  const named = env.LISTEN_FDNAMES?.split(':') ?? []
  const fd = Number(env.ZEROTH_FD ?? NaN), listening = Number(env.LISTEN_FDS) || 0
  // A shell that kept our descriptors open may run us as its child: then $LISTEN_PID is the shell's.
  const inherited = Number(env.LISTEN_PID) === process.pid || (fd === 3 + listening && isSocket(fd))
  const told = {
    fd,
    socket: env.ZEROTH_SOCKET,
    key: env.ZEROTH_KEY,
    lent: Array.from({ length: inherited ? listening : 0 }, (_, i) => ({ fd: 3 + i, name: named[i] })),
    named,
    deaf: false,  // lent sockets cannot be received
    emergencyFile: env.ZEROTH_EMERGENCY_FILE,
  }
  for (const name of ['ZEROTH_FD', 'ZEROTH_SOCKET', 'ZEROTH_KEY', 'LISTEN_FDS', 'LISTEN_PID', 'LISTEN_FDNAMES']) {
    delete env[name]
  }
  return told
}

// The channel and, where it is not the inherited one, the key to show; null without a supervisor. A process started
// with an IPC channel of Node's own may have that under the number, so it prefers the socket.
async function connect(told) {
  if (isSocket(told.fd) && !(process.connected && told.socket)) {
    return { channel: new Channel(new net.Socket({ fd: told.fd }), told.fd) }
  }
  if (!told.socket) return null
  const socket = await connectReceiving(told).catch(() => {
    told.deaf = true
    return net.connect(told.socket)
  })
  if (socket.connecting) await once(socket, 'connect')
  return { channel: new Channel(socket, socket._handle.fd), key: told.key }
}

// Lent sockets come on the channel then, one with a message, in the order of their names. Rejects where Node's internals
// are not as expected.
async function connectReceiving(told) {
  const pipe = await connectPipe(told.socket)
  const socket = new net.Socket({ handle: pipe })
  const read = pipe.onread
  const names = [...told.named]
  pipe.onread = function (...what) {
    const handle = pipe.pendingHandle
    pipe.pendingHandle = null
    handle?.setBlocking(false)  // else Node 18 stands still in accept
    if (handle) told.lent.push({ handle, name: names.shift() })
    return read.apply(this, what)
  }
  return socket
}

// A connected handle of Node's own that descriptors can be received on.
async function connectPipe(where) {
  const { Pipe, PipeConnectWrap, constants } = process.binding('pipe_wrap')
  const pipe = new Pipe(constants.IPC), request = new PipeConnectWrap()
  const connected = new Promise((resolve, reject) => {
    request.oncomplete = status => status === 0 ? resolve() : reject(new Error(`connect: ${status}`))
  })
  pipe.connect(request, where)
  await connected
  return pipe
}

// ---- Listening

// Duplicates descriptors of listening sockets by sending them through a socket to this process itself. Made once.
class Duplicator {
  static #only = null
  #send
  #receive
  #WriteWrap
  #before = Promise.resolve()  // the duplication that this one waits for: what comes is not told apart

  // Rejects where Node's internals are not as expected.
  static async duplicate(handle) {
    const only = await (Duplicator.#only ??= new Duplicator().#open())
    const copy = only.#before.then(() => only.#duplicate(handle))
    only.#before = copy.catch(() => {})
    return copy
  }

  async #open() {
    const { Pipe, constants } = process.binding('pipe_wrap')
    this.#WriteWrap = process.binding('stream_wrap').WriteWrap
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'zeroth-'))
    const server = net.createServer({ pauseOnConnect: true }).listen(path.join(folder, 's'))
    try {
      await once(server, 'listening')
      const accepted = once(server, 'connection')
      this.#receive = await connectPipe(path.join(folder, 's'))
      // Both this handle and the socket's own belong to one descriptor; neither is ever closed.
      this.peer = (await accepted)[0]
      this.#send = new Pipe(constants.IPC)
      if (this.#send.open(this.peer._handle.fd) !== 0) throw new Error('open failed')
    } finally {
      server.close()
      fs.rmSync(folder, { recursive: true })
    }
    return this
  }

  #duplicate(handle) {
    return new Promise((resolve, reject) => {
      this.#receive.onread = () => {
        this.#receive.readStop()
        const copy = this.#receive.pendingHandle
        this.#receive.pendingHandle = null
        copy ? resolve(copy) : reject(new Error('no descriptor came'))
      }
      this.#receive.readStart()
      const request = new this.#WriteWrap()
      request.oncomplete = () => {}
      const status = this.#send.writeUtf8String(request, '.', handle)
      if (status !== 0) reject(new Error(`send: ${status}`))
    })
  }
}

// One server of the program and its listening socket: bound (its queue fills, nothing is accepted), accepting, or
// halted (as bound). `server.close()` is never called: it would cut off idle connections.
class Port {
  draining = false
  #server
  #where
  #gate = null        // owns a socket of our own until go
  #early = []         // connections that came to the gate
  #spare = null       // a duplicate of the listening socket while halted
  #open = new Map()   // connection -> its responses that are not finished
  #upgraded = new Set()
  #on_closed = () => {}

  // where: {fd} of a lent socket, the handle of one, or {port, host}
  constructor(server, where) {
    this.#server = server
    this.#where = where
    server.on(server.setSecureContext ? 'secureConnection' : 'connection', socket => {
      this.#open.set(socket, new Set())
      socket.once('close', () => {
        this.#open.delete(socket)
        this.#upgraded.delete(socket)
        if (this.#open.size === 0) this.#on_closed()
      })
    })
    this.#watch_upgrades()
    server.prependListener('request', (request, response) => {
      if (this.draining) response.setHeader('Connection', 'close')
      this.#open.get(request.socket)?.add(response)
      response.once('close', () => this.#open.get(request.socket)?.delete(response))
    })
  }

  // A listener of ours alone would keep upgrades from being requests.
  #watch_upgrades() {
    const server = this.#server
    const watch = () => server.prependListener('upgrade', (_, socket) => this.#upgraded.add(socket))
    if (server.listenerCount('upgrade') > 0) return watch()
    server.on('newListener', function wait(event) {
      if (event !== 'upgrade') return
      server.off('newListener', wait)
      watch()
    })
  }

  // Takes an address of our own; rejects if it is taken. A lent socket is bound already.
  async bind() {
    if (this.#where.fd !== undefined) return  // as a handle has one
    const { allowHalfOpen, noDelay } = this.#server
    this.#gate = net.createServer({ pauseOnConnect: true, allowHalfOpen, noDelay }, socket => this.#early.push(socket))
    this.#gate.listen(this.#where)
    await once(this.#gate, 'listening')
  }

  accept() {
    this.draining = false
    if (this.#server.listening) return
    this.#server.listen(this.#spare ?? this.#gate ?? this.#where)
    this.#spare = this.#gate = null
    for (const socket of this.#early.splice(0)) {
      this.#server.emit('connection', socket)
      socket.resume()
    }
  }

  // Connections wait in the system's queue from here on, and what is answered says `Connection: close`.
  async halt() {
    this.draining = true
    for (const responses of this.#open.values()) {
      for (const response of responses) if (!response.headersSent) response.setHeader('Connection', 'close')
    }
    const handle = this.#server._handle
    try {
      const spare = await Duplicator.duplicate(handle)
      if (!this.draining || this.#server._handle !== handle) return spare.close()
      this.#spare = spare
      handle.close()
      this.#server._handle = null
    } catch {
      // It goes on accepting.
    }
  }

  // Connections that became something else than HTTP.
  upgraded() { return [...this.#upgraded] }

  // When no connection is left.
  allClosed() {
    return new Promise(resolve => {
      this.#on_closed = resolve
      if (this.#open.size === 0) resolve()
    })
  }

  // Closes kept-alive connections on which nothing is asked; how many.
  closeIdle() {
    const all = [...this.#open.keys()]
    this.#server.closeIdleConnections?.()
    return all.filter(socket => socket.destroyed).length
  }

  // Nothing is accepted, read or answered any more.
  silence() {
    for (const handle of [this.#server._handle, this.#gate?._handle, this.#spare]) handle?.close()
    this.#server._handle = null
    for (const socket of [...this.#open.keys(), ...this.#early]) socket.destroy()
  }
}

// ---- The worker

/**
 * Says hello to the supervisor, if there is one. Call it before heavy imports.
 * schema: names the form of the state; a state of another schema is refused, unless there is a way from that to this:
 * migrate: a function (oldSchema, state) => state, or one for each old schema: { 'shop/1': state => state }. It may
 * change what it is given, and an error in it refuses the state; a rollback needs a way back in the older program.
 * name, version: shown by status.
 */
export async function worker({ schema = 'state/1', name, version = '', migrate } = {}) {
  const ways = typeof migrate === 'function' ? [migrate] : Object.values(migrate ?? {})
  if (!ways.every(way => typeof way === 'function')) throw new TypeError('worker: migrate: expected functions')
  const told = takeEnvironment()
  const end = await connect(told)
  name ??= path.parse(process.argv[1] ?? 'node').name
  return new Worker({ schema, name, version, migrate, told, end })
}

class Worker {
  /** The living state; may be replaced as a whole. */
  state = null
  /** What restore said: generation, cause, age_s (of the state), same_boot, from_generation. */
  restored = {}
  #told
  #channel
  #schema
  // new: nothing said · loaded: restore may come · restored: ready not said · ready: go may come · live · held: a cut
  // was taken, all stands still · stopping
  #phase = 'new'
  #wasLive = false
  #migrate
  #initial = null
  #commands = new Map()
  #announced = new Set()
  #announcedCapabilities = ''
  #ports = []
  #components = []        // {name, start, stop, capture, deadline, begun, started, problem: of its capture}
  #goes = false           // components are started, or being so
  #hasStarted = false     // all of them: what listens may accept
  #onEnv = []             // {name, fn}; without a name: of all
  #onDrain = []
  #draining = false
  #queue = []             // requests that wait for their turn
  #running = 0            // requests begun and not answered
  #drainEnds = null       // ends the drain under way
  #sections = 0           // open atomic sections
  #inSection = new AsyncLocalStorage()  // {open, outer}: a section in which, or after which, this was begun
  #sectionsWait = []
  #saves = new Map()
  #lastId = 0
  #readied = null
  #on_restored = null
  #on_live
  #live = new Promise(resolve => { this.#on_live = resolve })
  #lastBeat = -Infinity
  #beat = null            // the one that waits for its time
  #iteration
  #answered = null        // digest of the state in the last answer to a checkpoint

  constructor({ schema, name, version, migrate, told, end }) {
    this.#schema = schema
    this.#migrate = migrate
    this.#told = told
    this.#channel = end?.channel
    if (!this.#channel) return
    const key = end.key === undefined ? {} : { key: end.key }
    this.#event('hello', { protocol: 1, name, version, pid: process.pid, ...key })
    this.#channel.start(line => this.#on_line(line), () => this.#on_channel_end())
    process.on('SIGTERM', () => this.#on_sigterm())
  }

  /** Whether a supervisor is there. */
  get supervised() { return this.#channel !== undefined }

  /**
   * All code is loaded and nothing outside has been touched: says so and waits for the state. Resolves to it. Members
   * of `initial` that it lacks are added; members that `initial` lacks stay.
   */
  async restore(initial) {
    if (initial === null || typeof initial !== 'object') throw new TypeError('restore: expected an object as default')
    if (this.#initial) throw new Error('restore: was called before')
    for (const { name } of this.#captured()) {
      if (!isPlain(initial)) throw new TypeError(`restore: component '${name}' needs an object as default`)
      if (Object.hasOwn(initial, name)) throw new Error(`restore: two parts of the state are called '${name}'`)
    }
    this.#initial = this.state = initial
    const texts = Object.entries(initial).map(([name, value]) => {
      const text = encodeText({ [name]: value }).slice(encodeText(name).length + 2, -1)
      return [name, Buffer.byteLength(text) <= 64 ? text : sha256(text)]
    })
    if (!this.#channel) return this.#go_live()
    const program = process.argv[1] ?? ''
    const hash = fs.existsSync(program) ? sha256(fs.readFileSync(program)) : ''
    const restored = new Promise(resolve => { this.#on_restored = resolve })
    this.#phase = 'loaded'
    const migrate = typeof this.#migrate === 'function' ? true : this.#migrate && Object.keys(this.#migrate)
    this.#event('loaded', { ...this.#new_capabilities(), commands: this.#new_commands(), schema: this.#schema,
                            program: { path: program, hash }, initial: Object.fromEntries(texts),
                            ...(migrate ? { migrate } : {}) })
    return restored
  }

  /**
   * Able to go: resolves when this process is live. Before, it must do nothing that can be seen outside. serve() calls
   * it; a program without a server calls it itself.
   */
  ready() {
    return this.#readied ??= this.#become_ready()
  }

  /**
   * Lets `server` (of net, http, https) accept from go on, on the lent socket `name` or, without one, on an address of
   * its own; resolves when it does. Calls in one turn become ready together. 'listening' is emitted again after a
   * drain.
   */
  async serve(server, name = 'http', { port = 0, host } = {}) {
    const { lent, deaf, named } = this.#told
    const index = lent.findIndex(socket => socket.name === name || socket.name === undefined)
    const [socket] = index < 0 ? [] : lent.splice(index, 1)
    if (!socket && deaf && named.includes(name)) {
      throw new Error(`serve: this Node cannot receive the lent socket '${name}'; start node itself, without a wrapper`)
    }
    const own = new Port(server, socket?.handle ?? (socket ? { fd: socket.fd } : { port, host }))
    this.#ports.push(own)
    const listening = once(server, 'listening')
    if (this.#goes) {
      own.accept()
    } else {
      listening.catch(() => {})
      await this.ready()
    }
    await listening
  }

  /**
   * Announces a command of zerothctl: fn(params, {timestamp}) -> result or promise. An error's `code` may be one of the
   * protocol's.
   */
  command(name, { params = {}, help = '' }, fn) {
    this.#commands.set(name, { params, help, fn })
  }

  /**
   * Runs fn so that no cut falls before its promise is settled; resolves to its result. May be nested. A cut that waits
   * for longer than the supervisor allows is refused, and the section goes on.
   */
  async atomic(fn) {
    const outer = this.#open_section()
    while (!outer && this.#cut_due()) await new Promise(resolve => this.#sectionsWait.push(resolve))
    const section = { open: true, outer }
    ++this.#sections
    try {
      return await this.#inSection.run(section, fn)
    } finally {
      section.open = false
      // In a turn of its own, so that a callback that runs now is not cut in two.
      if (--this.#sections === 0) setImmediate(() => this.#pump())
    }
  }

  /**
   * Resolves to the sequence of a snapshot that is durable and holds all that was done before the call; null without a
   * supervisor. Rejects inside an atomic section, and where a component could not be captured.
   */
  async save() {
    if (this.#open_section()) {
      throw new Error('save: inside an atomic section it would wait for itself; call it after `await w.atomic(…)`')
    }
    if (!this.#channel) return null
    if (!this.#wasLive) throw new Error('save: before ready(): this worker is not live yet')
    const id = `save-${++this.#lastId}`
    const saved = new Promise((resolve, reject) => this.#saves.set(id, { resolve, reject, problem: null }))
    this.#send({ id, command: 'save', params: {} })
    this.#pump()
    return saved
  }

  /** Heartbeat with {iteration, metrics: {name: number}, status}; at most ten a second are sent, the newest wins. */
  beat({ iteration, metrics = {}, status } = {}) {
    if (iteration !== undefined) this.#iteration = iteration
    if (this.#phase !== 'live' || !this.#channel) return
    const numbers = Object.fromEntries(Object.entries(metrics).filter(([, number]) => Number.isFinite(number)))
    const waits = this.#beat !== null
    this.#beat = { metrics: numbers, ...(iteration === undefined ? {} : { iteration }),
                   ...(status === undefined ? {} : { status }) }
    if (waits) return
    const due = this.#lastBeat + BEAT_EVERY - performance.now()
    due <= 0 ? this.#send_beat() : setTimeout(() => this.#send_beat(), due).unref()
  }

  /** A message for the supervisor's log (stderr without one). level: debug, info, warning or error. */
  log(level, message, fields = {}) {
    if (this.#channel) this.#event('log', { level, message, fields })
    else process.stderr.write(`${level}: ${message}\n`)
  }

  /**
   * Registers a part of the program that lives and ends with it. At go, start(part) of one after the other; at stop,
   * stop() in reverse order, of those that were started. Both may return a promise and have `deadline` ms. At each cut
   * capture() gives the member `name` of the state, at once: no promise. start is given what it was in the process
   * before (undefined: nothing yet), and commands run after all were started. Each stands for itself: an error is told
   * and the others go on; a part that is not started, or could not be captured, stays as it was, and in the second case
   * save() rejects. With capture: before restore(); else before ready().
   */
  component(name, { start, stop, capture, deadline = 2000 } = {}) {
    if (typeof name !== 'string') throw new TypeError('component: expected a name')
    if (this.#components.some(each => each.name === name)) throw new Error(`component: there is one called '${name}'`)
    if (this.#goes) throw new Error(`component '${name}': is registered too late, after ready()`)
    if (capture && this.#initial) throw new Error(`component '${name}': its capture is registered too late, after restore()`)
    this.#components.push({ name, start, stop, capture, deadline, begun: !start, started: !start, problem: null })
  }

  /** Registers what is shut down at stop, newest first, within `deadline` ms: a component without a name. */
  onStop(fn, { deadline = 1000 } = {}) {
    this.#components.push({ stop: fn, deadline, begun: true })
  }

  /**
   * onEnv(name, fn): fn(old, new) when that environment variable has changed; onEnv(fn): fn(name, old, new) for all.
   * undefined: is not set. By then it is changed in process.env. It may return a promise.
   */
  onEnv(name, fn) {
    const isForAll = typeof name === 'function'
    if (!isForAll && typeof fn !== 'function') throw new TypeError('onEnv: expected a name and a function')
    this.#onEnv.push(isForAll ? { fn: name } : { name, fn: (_, old, value) => fn(old, value) })
  }

  /**
   * fn() when a drain begins: connections that would stay open (WebSocket, long poll) are to be told to come again. It
   * may return a promise, which the drain waits for. After it comes a cut, or accepting goes on.
   */
  onDrain(fn) {
    this.#onDrain.push(fn)
  }

  /**
   * Runs fn as an atomic section, ms after go and then ms after its last end, until stop. Returns a function that ends
   * it.
   */
  every(ms, fn) {
    let timer, ended = false
    const run = async () => {
      await this.atomic(fn)
      if (!ended && this.#phase !== 'stopping') timer = setTimeout(run, ms)
    }
    this.#live.then(() => { if (!ended) timer = setTimeout(run, ms) })
    return () => {
      ended = true
      clearTimeout(timer)
    }
  }

  // -- what is said

  #send(message) { this.#channel.send(encodeText(message)) }
  #event(event, data) { this.#send({ event, data }) }

  #reply(id, result) { this.#reply_text(id, encodeText(result)) }

  #reply_text(id, text) {
    const line = `{"id":${encodeText(id)},"success":true,"result":${text},"error":null}`
    const bytes = Buffer.byteLength(line)
    if (bytes <= MAX_LINE) return this.#channel.send(line)
    this.#refuse(id, 'failed', `the answer has ${bytes} bytes, more than a line may have (${MAX_LINE})`)
  }

  #refuse(id, code, message, hint) {
    const well_formed = text => text.replace(/\p{Surrogate}/gu, '\ufffd')
    const error = { code, message: well_formed(message), ...(hint ? { hint: well_formed(hint) } : {}) }
    this.#send({ id, success: false, result: null, error })
  }

  #new_commands() {
    const fresh = [...this.#commands].filter(([name]) => !this.#announced.has(name))
    return fresh.map(([name, { params, help }]) => {
      this.#announced.add(name)
      return { name, help, params }
    })
  }

  #new_capabilities() {
    const capabilities = this.#onEnv.length > 0 ? [...CAPABILITIES, 'env'] : CAPABILITIES
    if (this.#announcedCapabilities === String(capabilities)) return {}
    this.#announcedCapabilities = String(capabilities)
    return { capabilities }
  }

  #send_beat() {
    const beat = this.#beat
    this.#beat = null
    if (this.#phase !== 'live') return
    this.#lastBeat = performance.now()
    this.#event('beat', beat)
  }

  // -- what comes

  #on_line(bytes) {
    let text, message, reader
    try {
      if (bytes === null) throw new Error('a line over 1 MiB')
      if (bytes.length === 0) return
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
      reader = new Reader(text, false)
      message = reader.whole()
      if (!isPlain(message)) throw new Error('not a JSON object')
    } catch (error) {
      return this.#refuse(null, 'bad_request', error.message)
    }
    const { id, command, params = {} } = message
    if (reader.duplicate !== null) return this.#refuse(id ?? null, 'bad_request', `duplicate key '${reader.duplicate}'`)
    if (typeof message.event === 'string') return
    if (typeof message.success === 'boolean') return this.#on_response(message)
    if (!(['string', 'bigint'].includes(typeof id) || Number.isInteger(id)) || typeof command !== 'string') {
      return this.#refuse(null, 'bad_request', 'expected an id and a command')
    }
    if (!isPlain(params)) return this.#refuse(id, 'bad_request', 'params: expected an object')
    this.#on_request({ id, command, params, stateText: reader.stateText })
  }

  #on_response({ id, success, result, error }) {
    if (this.#phase === 'held') return void setImmediate(() => this.#on_response({ id, success, result, error }))
    const save = this.#saves.get(id)
    this.#saves.delete(id)
    if (success && save?.problem) save.reject(new Error(`save: ${save.problem}`))
    else if (success) save?.resolve(result?.sequence ?? null)
    else save?.reject(Object.assign(new Error(`save: ${error?.message}`), { code: error?.code }))
  }

  // These never wait behind others.
  #on_request(request) {
    switch (request.command) {
      case 'restore': return this.#on_restore(request)
      case 'go': return this.#on_go(request)
      case 'resume': return this.#on_resume(request)
      case 'stop': return this.#on_stop(request)
      case 'ping': return this.#reply(request.id, {})
    }
    // Between ready and go the state may be asked for: nothing changes it.
    const askedEarly = this.#phase === 'ready' && request.command === 'checkpoint' && request.params.hold !== true
    if (askedEarly) return this.#on_checkpoint(request)
    if (request.command === 'checkpoint' && request.params.hold === true) {
      this.#end_waiting_checkpoints(false, 'ended for a checkpoint with hold')
    }
    this.#queue.push(request)
    this.#pump()
    const patience = CUT_SHARE * request.params.deadline_ms
    if (request.command === 'checkpoint' && patience >= 0 && this.#queue.includes(request)) {
      setTimeout(() => this.#give_up(request, patience), patience).unref()
    }
  }

  // A cut that could not be taken in time.
  #give_up(request, patience) {
    if (!this.#queue.includes(request)) return
    this.#queue = this.#queue.filter(each => each !== request)
    const late = this.#sections > 0 ? 'an atomic section did not end' : 'what was asked before is not answered'
    this.#refuse(request.id, 'timeout', `${late} within ${(patience / 1000).toFixed(1)} s`, 'keep sections short')
    this.#pump()
  }

  // Requests in order of arrival, one at a time, and only while live. A call that waits for a save lets others pass:
  // one of them is the checkpoint it waits for.
  #pump() {
    while (this.#has_turn() && !(this.#cut_due() && this.#sections > 0)) {
      const next = this.#queue.shift()
      if (next.command === 'checkpoint') this.#on_checkpoint(next)
      else if (next.command === 'drain') this.#run(next, this.#drain(next.params))
      else if (next.command === 'call') this.#on_call(next)
      else if (next.command === 'env') this.#run(next, this.#apply_env(next.params))
      else this.#refuse_unknown(next.id, next.command, REQUESTS)
    }
    if (!this.#cut_due()) for (const resolve of this.#sectionsWait.splice(0)) resolve()
  }

  #open_section() {
    let section = this.#inSection.getStore()
    while (section && !section.open) section = section.outer
    return section
  }

  #has_turn() {
    if (this.#phase !== 'live' || this.#queue.length === 0) return false
    if (!this.#hasStarted && ['call', 'env'].includes(this.#queue[0].command)) return false
    return this.#running === 0 || this.#saves.size > 0
  }

  // Then no section may begin.
  #cut_due() { return this.#has_turn() && this.#queue[0].command === 'checkpoint' }

  #end_waiting_checkpoints(hold, why) {
    const isMeant = ({ command, params }) => command === 'checkpoint' && (params.hold === true) === hold
    const ended = this.#queue.filter(isMeant)
    this.#queue = this.#queue.filter(request => !isMeant(request))
    for (const { id } of ended) this.#refuse(id, 'busy', why)
  }

  async #run(request, promise) {
    ++this.#running
    try {
      this.#reply(request.id, await promise ?? null)
    } catch (error) {
      this.#refuse_error(request.id, error)
    }
    --this.#running
    this.#pump()
  }

  #refuse_error(id, error) {
    const code = ERROR_CODES.includes(error?.code) ? error.code : 'failed'
    this.#refuse(id, code, String(error?.message ?? error), typeof error?.hint === 'string' ? error.hint : '')
  }

  #refuse_unknown(id, name, known) {
    const meant = nearest(name, known)
    this.#refuse(id, 'unknown_command', `unknown command '${name}'`, meant && `did you mean '${meant}'?`)
  }

  #on_call({ id, params }) {
    const name = String(params.command)
    const command = this.#commands.get(name)
    if (!command) return this.#refuse_unknown(id, name, [...this.#commands.keys()])
    try {
      const result = command.fn(params.params ?? {}, { timestamp: params.timestamp ?? Date.now() / 1000 })
      if (typeof result?.then === 'function') this.#run({ id }, result)
      else this.#reply(id, result ?? null)
    } catch (error) {
      this.#refuse_error(id, error)
    }
  }

  // Each variable for itself: what fails is named and keeps its new value, which is not `applied`.
  async #apply_env({ set = {}, unset = [] }) {
    const bad = message => { throw Object.assign(new Error(message), { code: 'bad_params' }) }
    if (!isPlain(set) || !Array.isArray(unset)) bad('env: expected set: {name: text} and unset: [name]')
    const wanted = new Map([...unset.map(name => [name, undefined]), ...Object.entries(set)])
    for (const [name, value] of wanted) {
      if (typeof name !== 'string' || !/^[^=\0]+$/.test(name)) bad(`env: ${JSON.stringify(name)}: is no name of a variable`)
      if (value !== undefined && (typeof value !== 'string' || value.includes('\0'))) bad(`env: ${name}: expected text`)
    }
    const before = new Map([...wanted.keys()].map(name => [name, process.env[name]]))
    for (const [name, value] of wanted) value === undefined ? delete process.env[name] : process.env[name] = value
    const applied = [], failed = {}
    for (const [name, value] of wanted) {
      const meant = before.get(name) === value ? [] : this.#onEnv.filter(each => each.name === undefined || each.name === name)
      const errors = []
      for (const { fn } of meant) {
        await within(ENV_PATIENCE, () => fn(name, before.get(name), value)).catch(error => errors.push(messageOf(error)))
      }
      if (errors.length === 0) applied.push(name)
      else failed[name] = errors.join('; ')
    }
    return { applied, ...(Object.keys(failed).length > 0 ? { failed } : {}) }
  }

  // -- from loaded to live

  #on_restore({ id, params, stateText }) {
    if (this.#phase !== 'loaded') return this.#refuse(id, 'refused', 'restore: not now, or it was sent before')
    let summary
    try {
      summary = this.#take_state(params, stateText)
    } catch (error) {
      return this.#refuse(id, error.code ?? 'failed', `state: ${error.message}`, error.hint)
    }
    const { generation, cause, age_s, same_boot, from_generation } = params
    this.restored = { generation, cause, age_s, same_boot, from_generation }
    this.#phase = 'restored'
    this.#reply(id, summary)
    this.#on_restored(this.state)
  }

  #take_state({ state_file: file, schema }, stateText) {
    const text = file ? readPart(file) : stateText ?? 'null'
    const kept = [], added = [], removed = [], initial = this.#initial
    if (text !== 'null') {
      const state = schema && schema !== this.#schema ? this.#migrated(schema, decode(text)) : decode(text)
      if (isPlain(state) !== isPlain(initial) || state === null || typeof state !== 'object') {
        throw new Error('it is of another kind than the default')
      }
      if (isPlain(state)) {
        const anyName = Object.keys(initial).length === 0
        const parts = new Set(this.#captured().map(({ name }) => name))
        const isKnown = key => anyName || Object.hasOwn(initial, key) || parts.has(key)
        for (const key of Object.keys(state)) (isKnown(key) ? kept : removed).push(key)
        for (const key of Object.keys(initial)) {
          if (Object.hasOwn(state, key)) continue
          added.push(key)
          Object.defineProperty(state, key, Object.getOwnPropertyDescriptor(initial, key))
        }
      }
      this.state = state
    }
    const count = names => ({ count: names.length, names: names.slice(0, 20) })
    const warnings = removed.length > 0 ? [`${removed.length} no longer among the defaults: kept as they are`] : []
    return { kept: count(kept), added: count(added), removed: count(removed), renamed: count([]), warnings }
  }

  // The state in the form of this program.
  #migrated(from, state) {
    const way = `from ${from} to ${this.#schema}`
    const refuse = (message, hint) => { throw Object.assign(new Error(message), { code: 'refused', hint }) }
    const fresh = 'start without the kept state (zerothctl restart --fresh)'
    const steps = typeof this.#migrate === 'function' ? state => this.#migrate(from, state)
      : Object.hasOwn(this.#migrate ?? {}, from) ? this.#migrate[from] : null
    if (!steps) {
      refuse(`its schema is ${from}, this program's ${this.#schema}, and nothing leads there`,
             `give worker() a way: migrate: { '${from}': state => … }; or ${fresh}`)
    }
    let migrated
    try {
      migrated = steps(state)
    } catch (error) {
      refuse(`migrate ${way}: ${messageOf(error)}`, `correct migrate; or ${fresh}`)
    }
    if (typeof migrated?.then === 'function') {
      migrated.then(undefined, () => {})
      refuse(`migrate ${way}: it gave a promise`, 'give the state at once: nothing outside is ready yet')
    }
    if (isPlain(migrated) !== isPlain(this.#initial) || migrated === null || typeof migrated !== 'object') {
      refuse(`migrate ${way}: it gave ${migrated === undefined ? 'undefined' : 'another kind than the default'}`, 'return the state')
    }
    return migrated
  }

  async #become_ready() {
    await new Promise(resolve => setImmediate(resolve))
    if (this.#channel && this.#phase !== 'restored') throw new Error('ready: the state was not restored yet')
    if (!this.#channel) return this.#start_all()
    await Promise.all(this.#ports.map(port => port.bind()))
    this.#phase = 'ready'
    this.#event('ready', { ...this.#new_capabilities(), commands: this.#new_commands() })
    await this.#live
  }

  #on_go({ id }) {
    if (this.#phase !== 'ready') return this.#refuse(id, 'refused', 'go without ready')
    this.#reply(id, {})
    this.#phase = 'live'
    this.#wasLive = true
    this.#start_all().then(() => { if (this.#phase !== 'stopping') this.#on_live() })
    this.#pump()
  }

  // Without a supervisor, where nothing is said before.
  #go_live() {
    this.#phase = 'live'
    this.#wasLive = true
    this.#on_live()
    return this.state
  }

  // The components, then what listens.
  async #start_all() {
    this.#goes = true
    for (const each of this.#components) {
      if (!each.start || this.#phase === 'stopping') continue
      each.begun = true
      const begin = async () => {
        await each.start(this.state?.[each.name])
        each.started = true  // maybe too late, but then as well
      }
      try {
        await within(each.deadline, begin)
      } catch (error) {
        each.begun = error instanceof TooLate
        complain(`component '${each.name}' did not start: ${traceOf(error)}`)
      }
    }
    this.#hasStarted = true
    setImmediate(() => this.#pump())
    if (this.#phase === 'live' && !this.#draining) for (const port of this.#ports) port.accept()
  }

  // -- the cut

  // Ends when nothing is open, at the deadline, or with resume or stop.
  async #drain({ deadline_ms = 250 }) {
    let timer
    const ended = new Promise(resolve => {
      this.#drainEnds = resolve
      timer = setTimeout(resolve, deadline_ms)
    })
    this.#draining = true
    const open = this.#ports.flatMap(port => port.upgraded())
    await Promise.all(this.#ports.map(port => port.halt()))
    const told = this.#onDrain.map(async fn => fn())
    for (const each of told) each.catch(error => complain(`onDrain: ${traceOf(error)}`))
    await Promise.race([ended, Promise.allSettled([...told, ...this.#ports.map(port => port.allClosed())])])
    clearTimeout(timer)
    // Requests that have arrived by now are read before their connections are judged.
    await new Promise(resolve => setImmediate(resolve))
    this.#drainEnds = null
    const idle = this.#ports.reduce((sum, port) => sum + (port.draining ? port.closeIdle() : 0), 0)
    return { closed: idle + open.filter(socket => socket.destroyed).length }
  }

  #on_checkpoint({ id, params }) {
    const begin = performance.now()
    let first
    try {
      first = this.#cut(params)
    } catch (error) {
      return this.#refuse(id, 'failed', error.message)
    }
    const iteration = this.#iteration === undefined ? '' : `,"iteration":${encodeText(this.#iteration)}`
    const tail = `${iteration},"schema":${encodeText(this.#schema)},"pause_ms":${performance.now() - begin}`
    if (params.hold === true) this.#phase = 'held'
    this.#reply_text(id, `{${first}${tail}}`)
    if (params.hold === true) this.#stand_still()
  }

  // Encodes the state: inside the answer if it is small or no file is offered. Only the supervisor knows what became of
  // the last answer: `durable` says that it is the newest snapshot.
  #cut({ state_file: file, durable, hold }) {
    const { chunks, bytes, members } = this.#encode_state()
    const hash = createHash('sha256')
    for (const chunk of chunks) hash.update(chunk)
    const digest = hash.digest('hex')
    if (durable === true && hold !== true && digest === this.#answered) return '"unchanged":true'
    this.#answered = digest
    if (!file || (bytes <= INLINE_BYTES && members <= INLINE_MEMBERS)) return `"state":${Buffer.concat(chunks)}`
    const fd = fs.openSync(file.path, fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW)
    try {
      writeAll(fd, chunks, file.offset)
    } finally {
      fs.closeSync(fd)
    }
    return `"bytes":${bytes}`
  }

  #captured() { return this.#components.filter(each => each.capture) }

  #encode_state() {
    const problems = this.#captured().filter(each => each.started).map(each => this.#capture(each)).filter(problem => problem !== null)
    for (const save of this.#saves.values()) save.problem = problems[0] ?? null
    return encode(this.state)
  }

  // What is wrong with it, or null. Told once, not at every cut.
  #capture(component) {
    const { name, capture, deadline, problem: before } = component
    const begin = performance.now()
    component.problem = null
    try {
      const part = capture()
      if (typeof part?.then === 'function') part.then(undefined, () => {})
      if (part === undefined || typeof part?.then === 'function') {
        throw new TypeError(`it gave ${part === undefined ? 'undefined' : 'a promise'}; give the part at once`)
      }
      this.state[name] = part
    } catch (error) {
      component.problem = `component '${name}' could not be captured, its part stays as it was: ${messageOf(error)}`
    }
    const took = performance.now() - begin
    if (took > deadline) complain(`component '${name}' took ${Math.round(took)} ms to be captured, with all standing still`)
    if (component.problem && component.problem !== before) complain(component.problem)
    return component.problem
  }

  // Blocks the process: no timer, no handler, no accept, until resume or stop.
  #stand_still() {
    while (this.#phase === 'held') {
      const line = this.#channel.readLineBlocking()
      if (line === undefined) return this.#on_channel_end()
      this.#on_line(line)
    }
  }

  #on_resume({ id }) {
    this.#reply(id, {})
    if (this.#phase === 'live') this.#end_waiting_checkpoints(true, 'resumed before the cut')
    if (this.#phase === 'held') this.#phase = 'live'
    if (this.#phase !== 'live') return
    this.#draining = false
    if (this.#hasStarted) for (const port of this.#ports) port.accept()
    this.#drainEnds?.()
    setImmediate(() => this.#pump())
  }

  // -- the end

  #on_stop({ id, params }) {
    this.#phase = 'stopping'
    this.#reply(id, {})
    for (const port of this.#ports) port.silence()
    this.#shut_down(performance.now() + Number(params.deadline_ms ?? 10_000))
  }

  async #shut_down(until) {
    for (const { name, stop, deadline } of this.#components.filter(each => each.begun && each.stop).reverse()) {
      const named = name === undefined ? 'a component' : `component '${name}'`
      const limit = Math.max(0, Math.min(deadline, until - performance.now()))
      await within(limit, stop).catch(error => complain(`${named} did not stop: ${traceOf(error)}`))
    }
    process.exit(0)
  }

  // The supervisor is gone. What was live saves itself between sections and ends.
  #on_channel_end() {
    if (this.#phase === 'stopping') return
    this.#phase = 'stopping'
    if (!this.#wasLive || !this.#told.emergencyFile) process.exit(0)
    for (const port of this.#ports) port.silence()
    const until = performance.now() + SECTION_PATIENCE
    const attempt = () => {
      if (this.#sections === 0) return this.#save_and_exit()
      if (performance.now() < until) return setTimeout(attempt, 1)
      this.#exit_unsaved(`an atomic section did not end within ${SECTION_PATIENCE} ms`)
    }
    attempt()
  }

  #save_and_exit() {
    try {
      replaceFile(this.#told.emergencyFile, this.#encode_state().chunks)
    } catch (error) {
      this.#exit_unsaved(error.message)
    }
    process.exit(0)
  }

  #exit_unsaved(why) {
    complain(`the supervisor is gone and the state could not be saved: ${why}`)
    process.exit(1)
  }

  // With the supervisor gone like the end of the channel, which may come a little later than the signal of the same
  // death; else what it would do without us.
  #on_sigterm() {
    if (this.#channel.hasEnded()) return this.#on_channel_end()
    if (process.listenerCount('SIGTERM') > 1) return
    setTimeout(() => {
      if (this.#channel.hasEnded()) return this.#on_channel_end()
      process.removeAllListeners('SIGTERM')
      process.kill(process.pid, 'SIGTERM')
    }, TERM_WAIT)
  }
}

// ---- Small things

const isPlain = value => value !== null && Object.getPrototypeOf(Object(value)) === Object.prototype
const complain = text => process.stderr.write(`zeroth: ${text}\n`)
const messageOf = error => String(error?.message ?? error)
const traceOf = error => error instanceof TooLate ? error.message : error?.stack ?? error

class TooLate extends Error {}

// What fn gives, now or later; rejects with TooLate after `ms`. What it does then nobody hears of.
async function within(ms, fn) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(reject, ms, new TooLate(`not done within ${Math.round(ms)} ms`))
  })
  try {
    return await Promise.race([fn(), late])
  } finally {
    clearTimeout(timer)
  }
}

const sha256 = bytes => createHash('sha256').update(bytes).digest('hex')

function readPart({ path: file, offset, length }) {
  const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW)
  try {
    const bytes = Buffer.alloc(length)
    for (let at = 0; at < length;) {
      const got = fs.readSync(fd, bytes, at, length - at, offset + at)
      if (got === 0) throw new Error(`${file}: shorter than announced`)
      at += got
    }
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } finally {
    fs.closeSync(fd)
  }
}

function writeAll(fd, chunks, offset = 0) {
  for (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) at += fs.writeSync(fd, chunk, at, chunk.length - at, offset + at)
    offset += chunk.length
  }
}

// Whole or not at all, and durable.
function replaceFile(file, chunks) {
  const temporary = `${file}.${process.pid}.tmp`
  const fd = fs.openSync(temporary, 'w', 0o600)
  writeAll(fd, chunks)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
  fs.renameSync(temporary, file)
  const folder = fs.openSync(path.dirname(file), 'r')
  fs.fsyncSync(folder)
  fs.closeSync(folder)
}

// The name that `word` is most likely a slip of, or ''.
function nearest(word, names) {
  const distance = (a, b) => {
    let row = Array.from({ length: b.length + 1 }, (_, i) => i)
    for (let i = 1; i <= a.length; ++i) {
      const next = [i]
      for (let j = 1; j <= b.length; ++j) {
        next.push(Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)))
      }
      row = next
    }
    return row[b.length]
  }
  const short = word.slice(0, 64)
  const [best] = names.map(name => [distance(short, name), name]).sort((a, b) => a[0] - b[0])
  return best && best[0] <= Math.max(1, short.length / 3) ? best[1] : ''
}
