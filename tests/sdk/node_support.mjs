// For node_test.mjs: processes that end with the test, a supervisor that does what a test says, a real one, and waiting
// for what happens with a deadline.
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const HERE = path.dirname(fileURLToPath(import.meta.url))
export const SDK = path.join(HERE, '../../worker/sdk/zeroth.mjs')
export const SHOP = path.join(HERE, '../../worker/examples/shop.mjs')
const DEADLINE = 20_000

export function binary(name) {
  if (!process.env.ZEROTH_BIN_DIR) throw new Error('set ZEROTH_BIN_DIR to the folder of the programs')
  return path.join(process.env.ZEROTH_BIN_DIR, name)
}

// What the promise resolves to, if it does so in time.
export function within(promise, what, ms = DEADLINE) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms)
  })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

const endings = new WeakMap()  // test: what is still to be done after it

// Does `end` after the test; what was asked for last is done first (the hooks of a test run the other way round).
function atTheEndOf(t, end) {
  if (!endings.has(t)) {
    endings.set(t, [])
    t.after(async () => {
      for (const each of endings.get(t).reverse()) await each()
    })
  }
  endings.get(t).push(end)
}

// A folder of the test's own.
export function temporaryFolder(t) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'zeroth-node-'))
  // A worker whose supervisor was just killed may still write its state into it: listed anew each time.
  atTheEndOf(t, async () => {
    for (let tries = 1; ; ++tries) {
      try {
        return fs.rmSync(folder, { recursive: true, force: true })
      } catch (error) {
        if (error.code !== 'ENOTEMPTY' || tries === 200) throw error
      }
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  })
  return folder
}

function cleanEnvironment(more) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(ZEROTH_|LISTEN_|NODE_TEST)/.test(name)))
  return { ...env, ...more }
}

// Starts a command in a group of its own that is killed after the test; `ended` resolves to {code, signal, output}.
export function start(t, command, { env = {}, cwd, stdio = ['ignore', 'pipe', 'pipe'] } = {}) {
  const child = spawn(command[0], command.slice(1), { env: cleanEnvironment(env), cwd, stdio, detached: true })
  child.output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', text => { child.output += text })
  child.ended = new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, output: child.output }))
  })
  atTheEndOf(t, async () => {
    try {
      process.kill(-child.pid, 'SIGKILL')
    } catch {
      // It has ended, and all of its group.
    }
    await within(child.ended, 'end of a killed process')
  })
  return child
}

// Messages over a stream, both ways.
class Messages {
  #stream
  #came = []
  #waiting = []
  #ended = false
  #lastId = 0

  constructor(stream) {
    this.#stream = stream
    const lines = createInterface({ input: stream, crlfDelay: Infinity })
    lines.on('line', line => this.#add(JSON.parse(line), line))
    lines.on('close', () => {
      this.#ended = true
      this.#look()
    })
    stream.on('error', () => {})
  }

  #add(message, line) {
    this.#came.push({ ...message, line })
    this.#look()
  }

  #look() {
    this.#waiting = this.#waiting.filter(({ accepts, resolve, reject }) => {
      const at = this.#came.findIndex(accepts)
      if (at >= 0) resolve(this.#came.splice(at, 1)[0])
      else if (this.#ended) reject(new Error('the channel ended'))
      else return true
      return false
    })
  }

  // The first message that fits, also if it came before.
  next(accepts, what) {
    return within(new Promise((resolve, reject) => {
      this.#waiting.push({ accepts, resolve, reject })
      this.#look()
    }), what)
  }

  // All that came and was not asked for.
  get came() { return this.#came }

  write(text) { this.#stream.write(text) }
  event(name) { return this.next(message => message.event === name, `event ${name}`) }
  answer(id) { return this.next(message => message.id === id && message.success !== undefined, `answer ${id}`) }

  send(command, params = {}) {
    const id = ++this.#lastId
    this.write(JSON.stringify({ id, command, params }) + '\n')
    return id
  }

  // The result; a refusal is an error with its code.
  async ask(command, params = {}) {
    const { success, result, error } = await this.answer(this.send(command, params))
    if (success) return result
    throw Object.assign(new Error(`${command}: ${error.message}`), error)
  }

  close() { this.#stream.destroy() }
}

// Runs a program as a worker over $ZEROTH_SOCKET and takes it to `go`.
// lent: file descriptor of a listening socket, as `http`.
export async function supervise(t, program, { state = null, lent, live = true, env = {} } = {}) {
  const folder = temporaryFolder(t)
  const socket = path.join(folder, 'channel')
  const emergency = path.join(folder, 'emergency-1.json')
  const server = net.createServer().listen(socket)
  t.after(() => server.close())
  const connected = new Promise(resolve => server.once('connection', resolve))
  const variables = { ZEROTH_SOCKET: socket, ZEROTH_KEY: 'secret', ZEROTH_EMERGENCY_FILE: emergency, SDK, ...env }
  const command = [process.execPath, program]
  const child = lent === undefined
    ? start(t, command, { env: variables })
    : start(t, ['sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh', ...command], {
      env: { ...variables, LISTEN_FDS: '1', LISTEN_FDNAMES: 'http' }, stdio: ['ignore', 'pipe', 'pipe', lent] })
  const failed = child.ended.then(({ code, output }) => { throw new Error(`it ended with ${code}: ${output}`) })
  failed.catch(() => {})
  const channel = new Messages(await within(Promise.race([connected, failed]), 'connection of the worker'))
  const worker = { child, channel, emergency, folder, ask: (command, params) => channel.ask(command, params) }
  worker.call = (name, params = {}) => channel.ask('call', { command: name, params })
  worker.hello = (await channel.event('hello')).data
  worker.loaded = (await channel.event('loaded')).data
  if (!live) return worker
  worker.restored = await channel.ask('restore', { generation: 1, cause: 'start', state, schema: worker.loaded.schema })
  await channel.event('ready')
  await channel.ask('go')
  return worker
}

// A program in a folder of its own, with the library at hand; returns its path.
export function programOf(t, text, name = 'program.mjs') {
  const file = path.join(temporaryFolder(t), name)
  fs.writeFileSync(file, `import { worker, Tuple } from ${JSON.stringify(SDK)}\n${text}`)
  return file
}

// A real supervisor with folders of the test's own, over several lives of it.
export class Supervisor {
  #t
  #file
  #folder
  #options
  #control = null
  child = null

  constructor(t, file, options = []) {
    this.#t = t
    this.#file = file
    this.#options = options
    this.#folder = temporaryFolder(t)
    atTheEndOf(t, () => this.#control?.close())
  }

  async start() {
    const env = {
      ZEROTH_STATE_DIR: path.join(this.#folder, 'state'), ZEROTH_RUNTIME_DIR: path.join(this.#folder, 'run'), NO_COLOR: '1' }
    for (const folder of [env.ZEROTH_STATE_DIR, env.ZEROTH_RUNTIME_DIR]) fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    const command = [binary('zeroth-supervise'), '--name', 'test', ...this.#options, '--protocol', '--watch', this.#file, '--',
                     process.execPath, this.#file]
    this.child = start(this.#t, command, { env })
    await this.until(() => true)
  }

  async ask(command, params) {
    this.#control ??= await this.#connect()
    return this.#control.ask(command, params)
  }

  // The worker's status once it is ready and `accepts` it. Asks again when something happens, at least every 50 ms.
  async until(accepts) {
    const look = async () => {
      for (;;) {
        try {
          const worker = (await this.ask('status')).workers[0]
          if (worker.state === 'ready' && accepts(worker)) return worker
        } catch {
          this.#control = null  // it is not there yet
        }
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    }
    const ended = this.child.ended.then(({ output }) => { throw new Error(`the supervisor ended: ${output}`) })
    ended.catch(() => {})
    try {
      return await within(Promise.race([look(), ended]), 'the worker gets there')
    } catch (error) {
      throw new Error(`${error.message}\n${this.child.output}`)
    }
  }

  async kill() {
    const pid = (await this.ask('status')).workers[0].pid
    this.child.kill('SIGKILL')
    await within(this.child.ended, 'end of the supervisor')
    this.#control = null
    return pid
  }

  #connect() {
    return new Promise((resolve, reject) => {
      const stream = net.connect(path.join(this.#folder, 'run', 'control.sock'))
      stream.once('error', reject)
      stream.once('connect', () => resolve(new Messages(stream)))
    })
  }
}

// Kept-alive clients that ask one thing after the other. A request may be repeated once, on a new connection, if its
// reused connection was closed before the first byte of the answer.
export class Clients {
  answered = 0
  retried = 0
  failures = []
  #ended = false
  #loops

  constructor(count, port) {
    this.#loops = Array.from({ length: count }, () => this.#loop(port))
  }

  async #loop(port) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    while (!this.#ended) {
      try {
        await this.#ask(agent, port)
        ++this.answered
      } catch (error) {
        this.failures.push(error.message)
      }
    }
    agent.destroy()
  }

  async #ask(agent, port, again = false) {
    try {
      await new Promise((resolve, reject) => {
        const request = http.get({ agent, port, host: '127.0.0.1' }, response => {
          response.on('error', reject).on('end', resolve).resume()
        })
        request.on('error', error => reject(Object.assign(error, { reused: request.reusedSocket && !request.res })))
        request.setTimeout(10_000, () => request.destroy(new Error('no answer in time')))
      })
    } catch (error) {
      if (again || !error.reused) throw error
      ++this.retried
      await this.#ask(agent, port, true)
    }
  }

  // When so many more have been answered.
  more(count) {
    const goal = this.answered + count
    const look = async () => {
      while (this.answered < goal) await new Promise(resolve => setImmediate(resolve))
    }
    return within(look(), `${count} more answers`)
  }

  async end() {
    this.#ended = true
    await within(Promise.all(this.#loops), 'the last answers')
  }
}
