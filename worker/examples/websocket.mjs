// The server's side of WebSocket (RFC 6455), as much as chat.mjs needs: text messages, in pieces as well, ping, close.
//
//   server.on('upgrade', (request, socket) => {
//     const client = accept(request, socket)             // null: it was answered that this is no WebSocket
//     client?.on('message', text => client.send(text))   // 'drain': it may be sent more; 'close' once, however it ended
//   })
import { createHash } from 'node:crypto'
import { EventEmitter } from 'node:events'

const MAX_MESSAGE = 64 * 1024, MAX_CONTROL = 125  // bytes
const MAX_UNREAD = 1 << 20                        // bytes that may wait for a client, else it is cut off
const CLOSE_WAIT = 1000                           // ms for the client's answer to a close
const CONTINUATION = 0, TEXT = 1, CLOSE = 8, PING = 9, PONG = 10
const SALT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'

/** Answers the handshake; the connection, or null after a refusal. */
export function accept({ method, headers }, socket) {
  const key = headers['sec-websocket-key'] ?? ''
  const isOne = method === 'GET' && /^websocket$/i.test(headers.upgrade) && headers['sec-websocket-version'] === '13'
  if (!isOne || Buffer.from(key, 'base64').length !== 16) {
    socket.on('error', () => {}).end('HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nConnection: close\r\nContent-Length: 0\r\n\r\n')
    return null
  }
  const answer = createHash('sha1').update(key + SALT).digest('base64')
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${answer}\r\n\r\n`)
  return new WebSocket(socket)
}

class WebSocket extends EventEmitter {
  #socket
  #bytes = Buffer.alloc(0)
  #pieces = null           // of the message that is coming
  #isClosing = false

  constructor(socket) {
    super()
    this.#socket = socket.setNoDelay(true).on('error', () => {}).on('close', () => this.emit('close'))
    socket.on('drain', () => this.emit('drain'))
    socket.on('data', bytes => {
      this.#bytes = this.#bytes.length > 0 ? Buffer.concat([this.#bytes, bytes]) : bytes
      try {
        while (!socket.destroyed && this.#take());
      } catch (error) {
        if (!(error instanceof Broken)) throw error
        this.close(error.code, error.message)
      }
    })
    socket.on('end', () => socket.end())
  }

  /** Sends a text message; whether the client keeps up: else it should not be sent more before 'drain'. */
  send(text) {
    return !this.#isClosing && this.#write(TEXT, Buffer.from(text))
  }

  /** Ends the connection: 1012 says that the service is restarted and the client may come again. */
  close(code = 1000, reason = '') {
    if (this.#isClosing) return
    this.#isClosing = true
    const bytes = Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason).subarray(0, MAX_CONTROL - 2)])
    this.#write(CLOSE, bytes)
    this.#socket.end()
    setTimeout(() => this.#socket.destroy(), CLOSE_WAIT).unref()
  }

  #write(opcode, bytes) {
    if (this.#socket.destroyed) return false
    const size = bytes.length
    const head = size < 126 ? Buffer.from([128 | opcode, size])
      : size < 65536 ? Buffer.from([128 | opcode, 126, size >> 8, size & 255])
      : Buffer.concat([Buffer.from([128 | opcode, 127, 0, 0, 0, 0]), Buffer.from(new Uint32Array([size]).buffer).swap32()])
    if (this.#socket.writableLength > MAX_UNREAD) this.#socket.destroy()
    return this.#socket.write(Buffer.concat([head, bytes]))
  }

  // Takes one frame; false if there is no whole one.
  #take() {
    const bytes = this.#bytes
    if (bytes.length < 2) return false
    const isLast = bytes[0] >= 128, opcode = bytes[0] & 15, short = bytes[1] & 127
    if (bytes[0] & 112 || bytes[1] < 128) throw new Broken(1002, 'a frame without a mask, or with a bit that means nothing here')
    if (opcode >= CLOSE && (!isLast || short > MAX_CONTROL)) throw new Broken(1002, 'a control frame in pieces, or too long')
    const head = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < head + 4) return false
    const size = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short
    if (size > MAX_MESSAGE) throw new Broken(1009, `a message over ${MAX_MESSAGE} bytes`)
    if (bytes.length < head + 4 + size) return false
    const mask = bytes.subarray(head, head + 4)
    const content = Buffer.from(bytes.subarray(head + 4, head + 4 + size), 0, size)
    for (let i = 0; i < size; ++i) content[i] ^= mask[i & 3]
    this.#bytes = bytes.subarray(head + 4 + size)
    this.#on_frame(opcode, isLast, content)
    return true
  }

  #on_frame(opcode, isLast, content) {
    if (opcode === PING && !this.#isClosing) this.#write(PONG, content)
    if (opcode === PING || opcode === PONG) return
    if (opcode === CLOSE) return this.close(content.length >= 2 ? content.readUInt16BE(0) : 1000)
    if (opcode !== TEXT && opcode !== CONTINUATION) throw new Broken(1003, 'text only')
    if ((opcode === CONTINUATION) !== (this.#pieces !== null)) throw new Broken(1002, 'a piece of no message')
    this.#pieces = [...this.#pieces ?? [], content]
    if (this.#pieces.reduce((sum, piece) => sum + piece.length, 0) > MAX_MESSAGE) throw new Broken(1009, 'a message too long')
    if (!isLast) return
    let text
    try {
      text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(this.#pieces))
    } catch {
      throw new Broken(1007, 'text that is no UTF-8')
    }
    this.#pieces = null
    if (!this.#isClosing) this.emit('message', text)
  }
}

class Broken extends Error {
  constructor(code, message) {
    super(message)
    this.code = code
  }
}
