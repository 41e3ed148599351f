// The chat example: its WebSocket by the letter of RFC 6455, and its history over many reloads under load.
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { once } from 'node:events'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { accept } from '../../worker/examples/websocket.mjs'
import { Supervisor, temporaryFolder, within } from './node_support.mjs'

const WORKER = path.join(path.dirname(fileURLToPath(import.meta.url)), '../../worker')

// A frame as a client sends it; `bits` are the first byte's.
function frame(bits, content, masked = true) {
  const size = content.length, mask = crypto.randomBytes(4)
  const head = size < 126 ? [size | 128] : size < 65536 ? [126 | 128, size >> 8, size & 255]
    : [127 | 128, 0, 0, 0, 0, size >>> 24, size >> 16 & 255, size >> 8 & 255, size & 255]
  if (!masked) head[0] &= 127
  return Buffer.concat([Buffer.from([bits, ...head]), masked ? mask : Buffer.alloc(0),
                        masked ? Buffer.from(content).map((byte, i) => byte ^ mask[i & 3]) : Buffer.from(content)])
}
const textFrame = text => frame(0x81, Buffer.from(text))

// The client's end of a connection; on_frame(opcode, content) for each frame.
async function connect(port, on_frame) {
  const socket = net.connect(port, '127.0.0.1').setNoDelay(true)
  const key = crypto.randomBytes(16).toString('base64')
  socket.write(`GET / HTTP/1.1\r\nHost: chat\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`)
  let bytes = Buffer.alloc(0), isOpen = false
  const take = () => {
    if (!isOpen) return
    while (bytes.length >= 2) {
      const short = bytes[1], head = short === 126 ? 4 : short === 127 ? 10 : 2
      if (bytes.length < head) return
      const size = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
      if (bytes.length < head + size) return
      const content = bytes.subarray(head, head + size), opcode = bytes[0] & 15
      bytes = bytes.subarray(head + size)
      on_frame(opcode, content)
    }
  }
  await new Promise((resolve, reject) => {
    socket.on('error', reject).on('close', () => reject(new Error('closed in the handshake')))
    socket.on('data', more => {
      bytes = Buffer.concat([bytes, more])
      const end = bytes.indexOf('\r\n\r\n')
      if (!isOpen && end >= 0) {
        const head = bytes.subarray(0, end).toString()
        const expected = crypto.createHash('sha1').update(key + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64')
        if (!head.startsWith('HTTP/1.1 101 ') || !head.includes(`Sec-WebSocket-Accept: ${expected}`)) return reject(new Error(head))
        bytes = bytes.subarray(end + 4)
        isOpen = true
        resolve()
      }
      take()
    })
  })
  return socket
}

// ---- The protocol

async function echo(t) {
  const server = http.createServer((request, response) => response.end('plain'))
  server.on('upgrade', (request, socket) => {
    const client = accept(request, socket)
    client?.on('message', text => client.send(text))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  const frames = [], waiting = []
  const socket = await within(connect(server.address().port, (opcode, content) => {
    frames.push([opcode, content])
    waiting.shift()?.()
  }), 'handshake')
  t.after(() => socket.destroy())
  const next = async () => {
    if (frames.length === 0) await within(new Promise(resolve => waiting.push(resolve)), 'frame')
    return frames.shift()
  }
  return { server, socket, next }
}

test('websocket: texts of all sizes, in pieces, byte by byte, and pings in between', async t => {
  const { socket, next } = await echo(t)
  for (const text of ['', 'a', 'ü'.repeat(62), 'x'.repeat(125), 'x'.repeat(126), 'x'.repeat(65535), 'x'.repeat(65536)]) {
    socket.write(textFrame(text))
    assert.deepEqual(await next().then(([opcode, content]) => [opcode, content.toString()]), [1, text])
  }
  const split = Buffer.from('grün')
  const pieces = [frame(0x01, split.subarray(0, 3)), frame(0x89, Buffer.from('ping')), frame(0x00, Buffer.alloc(0)), frame(0x80, split.subarray(3))]
  for (const byte of Buffer.concat(pieces)) socket.write(Buffer.from([byte]))
  assert.deepEqual((await next()).map(String), ['10', 'ping'])
  assert.deepEqual((await next()).map(String), ['1', 'grün'])
  socket.write(frame(0x88, Buffer.from([3, 232])))
  const [opcode, content] = await next()
  assert.deepEqual([opcode, content.readUInt16BE(0)], [8, 1000])
  socket.end()
  await within(once(socket, 'close'), 'end')
})

test('websocket: what breaks the rules is closed with its code', async t => {
  for (const [bytes, code] of [
    [frame(0x81, Buffer.from('a'), false), 1002], [frame(0xc1, Buffer.from('a')), 1002], [frame(0x80, Buffer.from('a')), 1002],
    [frame(0x09, Buffer.from('a')), 1002], [frame(0x89, Buffer.alloc(126)), 1002], [frame(0x82, Buffer.from('a')), 1003],
    [frame(0x81, Buffer.from([0xff])), 1007], [frame(0x81, Buffer.alloc(65537)), 1009],
    [Buffer.concat([frame(0x01, Buffer.alloc(40_000)), frame(0x80, Buffer.alloc(40_000))]), 1009],
    [Buffer.concat([frame(0x01, Buffer.from('a')), textFrame('b')]), 1002],
    [Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]), 1009],
  ]) {
    const { socket, next } = await echo(t)
    socket.on('error', () => {}).write(bytes)
    const [opcode, content] = await next()
    assert.deepEqual([opcode, content.readUInt16BE(0)], [8, code], bytes.subarray(0, 8).toString('hex'))
    socket.destroy()
  }
})

test('websocket: another handshake is refused', async t => {
  const { server } = await echo(t)
  for (const [version, key] of [['8', 'AAAAAAAAAAAAAAAAAAAAAA=='], ['13', 'short'], ['13', undefined]]) {
    const headers = { Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': version, ...(key ? { 'Sec-WebSocket-Key': key } : {}) }
    const request = http.get({ port: server.address().port, host: '127.0.0.1', headers })
    const [response] = await within(once(request, 'response'), 'answer')
    assert.equal(response.statusCode, 426)
    response.resume()
  }
})

// ---- The chat

const CLIENTS = 20, RELOADS = 30
const PAUSE = 10  // ms between an answer and what a client says next

// Says one thing after the other, each when the one before is acknowledged; comes again whenever it is cut off.
class Member {
  history = []          // [from, text]
  acknowledged = []     // texts
  connections = 0
  problems = []
  #name
  #port
  #socket = null
  #says = true
  #said = 0
  #ended = false
  #waiting = []
  #loop

  constructor(name, port) {
    this.#name = name
    this.#port = port
    this.#loop = this.#come_again()
  }

  async #come_again() {
    while (!this.#ended) {
      try {
        this.#socket = await connect(this.#port, (opcode, content) => this.#on_frame(opcode, content))
        if (this.#ended) return this.#socket.destroy()
        ++this.connections
        this.#send({ join: this.#name, tab: this.#name, seen: this.history.length })
        if (this.waits) this.#repeat()
        else this.#say()
        await once(this.#socket, 'close')
      } catch (error) {
        if (!['ECONNRESET', 'EPIPE'].includes(error.code)) this.problems.push(error.message)
      }
    }
  }

  #send(message) { this.#socket.write(textFrame(JSON.stringify(message))) }

  // Whether something is said and not acknowledged.
  get waits() { return this.#said > this.acknowledged.length }

  #say() {
    if (!this.#says) return
    ++this.#said
    this.#repeat()
  }

  #repeat() { this.#send({ say: `${this.#said} of ${this.#name}`, mine: this.#said }) }

  #on_frame(opcode, content) {
    if (opcode === 8) return void this.#socket.end(frame(0x88, content))
    const { number, from, text, kept } = JSON.parse(content)
    if (number !== undefined && number !== this.history.length + 1) this.problems.push(`${number} after ${this.history.length}`)
    if (number !== undefined) this.history.push([from, text])
    if (kept === this.acknowledged.length + 1) {
      this.acknowledged.push(`${kept} of ${this.#name}`)
      setTimeout(() => { if (!this.#ended && !this.waits && this.#socket.writable) this.#say() }, PAUSE)
    }
    this.#waiting = this.#waiting.filter(({ accepts, resolve }) => !accepts() || resolve())
  }

  until(accepts, what) {
    return within(new Promise(resolve => accepts() ? resolve() : this.#waiting.push({ accepts, resolve })), what, 60_000)
  }

  hush() { this.#says = false }

  async end() {
    this.#ended = true
    this.#socket.destroy()
    await within(this.#loop, 'end of a member')
  }
}

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  await new Promise(resolve => server.close(resolve))
  return port
}

test(`chat: ${CLIENTS} clients over ${RELOADS} reloads have each acknowledged message exactly once`, async t => {
  const folder = temporaryFolder(t), port = await freePort()
  const chat = path.join(folder, 'examples/chat.mjs')
  for (const file of ['examples/chat.mjs', 'examples/websocket.mjs', 'sdk/zeroth.mjs']) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true })
    fs.copyFileSync(path.join(WORKER, file), path.join(folder, file))
  }
  const supervisor = new Supervisor(t, chat, ['--listen', String(port)])
  await supervisor.start()
  const members = Array.from({ length: CLIENTS }, (_, i) => new Member(`member ${i}`, port))
  const code = fs.readFileSync(chat, 'utf8')
  let { generation } = await supervisor.until(() => true), closed = 0
  for (let reload = 1; reload <= RELOADS; ++reload) {
    const [first] = members, before = first.acknowledged.length
    await first.until(() => first.acknowledged.length > before + 2, 'the chat goes on')
    fs.writeFileSync(chat + '.new', code.replace('Welcome', `Welcome ${reload}`))
    fs.renameSync(chat + '.new', chat)
    const worker = await supervisor.until(worker => worker.generation > generation)
    assert.equal(worker.last_reload.verdict, 'ok', JSON.stringify(worker.last_reload))
    assert.equal(worker.last_reload.mode, 'overlap')
    closed += worker.last_reload.closed
    generation = worker.generation
  }
  for (const member of members) member.hush()
  for (const member of members) await member.until(() => !member.waits, 'the last acknowledgement')
  const said = await supervisor.ask('members')
  const total = said.reduce((sum, member) => sum + member.said, 0)
  for (const member of members) await member.until(() => member.history.length >= total, 'all of the history')
  await Promise.all(members.map(member => member.end()))
  t.diagnostic(`${total} messages, ${members.reduce((sum, member) => sum + member.connections, 0)} connections, ${closed} closed by reloads`)
  assert.deepEqual(members.flatMap(member => member.problems), [])
  assert.ok(closed >= RELOADS, `${closed} connections were closed and counted`)
  for (const { history } of members) {
    assert.deepEqual(history, members[0].history)
    const texts = history.map(([, text]) => text)
    assert.equal(new Set(texts).size, texts.length, 'none twice')
  }
  const all = new Set(members[0].history.map(([, text]) => text))
  for (const { acknowledged } of members) {
    assert.ok(acknowledged.length > 0)
    for (const text of acknowledged) assert.ok(all.has(text), `${text} was acknowledged and is lost`)
  }
})
