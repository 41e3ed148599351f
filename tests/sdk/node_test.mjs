// The Node library against a supervisor that does what the test says, and against the real one.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { once } from 'node:events'
import { test } from 'node:test'
import { Clients, SHOP, binary, programOf, start, supervise, temporaryFolder, within } from './node_support.mjs'

const HOLD = { hold: true, deadline_ms: 10_000 }

// A worker that writes what it does to $DOINGS, so that doings are seen from outside.
const BUSY = `
import fs from 'node:fs'
import http from 'node:http'
const w = await worker({ schema: 'busy/1' })
w.command('add', {}, ({ by = 1 }) => (S.sum += by))
w.command('slow-add', {}, async ({ by }) => {
  await new Promise(resolve => setTimeout(resolve, 50))
  return (S.sum += by)
})
w.command('section', {}, () => {
  w.atomic(async () => {
    S.half = true
    w.log('info', 'half')
    await new Promise(resolve => process.once('SIGUSR2', resolve))
    S.half = false
  })
})
w.command('save', {}, async () => {
  ++S.sum
  return { sequence: await w.save(), sum: S.sum }
})
w.command('save-inside', {}, () => w.atomic(() => w.save()))
w.command('spoil', {}, () => { S.bad = { 42: undefined } })
w.command('fails', {}, () => { throw Object.assign(new Error('no such thing'), { code: 'not_found' }) })
const S = await w.restore({ sum: 0, half: false })
const server = http.createServer((request, response) => {
  S.sum += 1
  fs.appendFileSync(process.env.DOINGS, 'request ')
  response.end(String(S.sum))
})
w.serve(server, 'http', { port: 0, host: '127.0.0.1' })
await w.ready()
fs.writeFileSync(process.env.DOINGS, '')
w.command('port', {}, () => server.address().port)
setInterval(() => fs.appendFileSync(process.env.DOINGS, 'tick '), 1)
`

async function busy(t, options = {}) {
  const doings = path.join(temporaryFolder(t), 'doings')
  const worker = await supervise(t, programOf(t, BUSY), { ...options, env: { DOINGS: doings } })
  worker.doings = () => fs.existsSync(doings) ? fs.readFileSync(doings, 'utf8') : ''
  worker.doesMore = async () => {
    const before = worker.doings().length
    while (worker.doings().length <= before) await worker.ask('ping')
  }
  return worker
}

test('conformance: the example holds every rule', async t => {
  const command = [binary('zeroth-worker'), 'conformance', '--', process.execPath, SHOP]
  const { code, output } = await within(start(t, command, { env: { PORT: '0' } }).ended, 'conformance', 60_000)
  assert.equal(code, 0, output)
  assert.match(output, /rules hold, 0 failed, 2 skipped/)
})

test('hello: over $ZEROTH_SOCKET the key is shown, and no child sees the variables', async t => {
  const text = `
const w = await worker({ name: 'shown', version: '7', schema: 'a/1' })
w.command('environment', {}, () => Object.keys(process.env).filter(name => /^(ZEROTH_(FD|SOCKET|KEY)|LISTEN_)/.test(name)))
await w.restore({ list: [1], long: 'x'.repeat(100) })
await w.ready()`
  const worker = await supervise(t, programOf(t, text), { env: { ZEROTH_FD: '63' } })  // closed by a wrapper
  const { name, version, key, pid, protocol } = worker.hello
  assert.deepEqual([name, version, key, pid, protocol], ['shown', '7', 'secret', worker.child.pid, 1])
  assert.equal(worker.loaded.initial.list, '[1]')
  assert.match(worker.loaded.initial.long, /^[0-9a-f]{64}$/)
  assert.match(worker.loaded.program.hash, /^[0-9a-f]{64}$/)
  assert.deepEqual(await worker.call('environment'), [])
})

test('restore: what the state lacks is added, what the default lacks stays', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
await w.restore({ kept: 0, fresh: [] })
await w.ready()`), { state: { kept: 5, gone: { $$x: 1 } } })
  const { kept, added, removed, warnings } = worker.restored
  assert.deepEqual([kept.names, added.names, removed.names], [['kept'], ['fresh'], ['gone']])
  assert.deepEqual(warnings, ['1 no longer among the defaults: kept as they are'])
  const { state } = await worker.ask('checkpoint', { hold: false })
  assert.deepEqual(state, { kept: 5, gone: { $$x: 1 }, fresh: [] })
})

test('hold: no timer, handler or accept runs until resume, then all go on', async t => {
  const worker = await busy(t)
  await worker.doesMore()
  const port = await worker.call('port')
  const { state } = await worker.ask('checkpoint', HOLD)
  const before = worker.doings()
  const answer = within(fetch(`http://127.0.0.1:${port}/`).then(response => response.text()), 'answer after resume')
  const waits = worker.channel.send('call', { command: 'add', params: { by: 10 } })
  // Stood still for as long as 300 timers would take, while it answers pings.
  const until = performance.now() + 300
  while (performance.now() < until) await worker.ask('ping')
  assert.equal(worker.doings(), before)
  assert.deepEqual(worker.channel.came, [])
  await worker.ask('resume')
  assert.equal((await worker.channel.answer(waits)).result, state.sum + 10)
  assert.equal(await answer, String(state.sum + 11))
  await worker.doesMore()
})

test('hold: stop ends it without another doing', async t => {
  const worker = await busy(t)
  await worker.doesMore()
  await worker.ask('checkpoint', HOLD)
  const before = worker.doings()
  await worker.ask('stop', { deadline_ms: 1000 })
  assert.equal((await within(worker.child.ended, 'end')).code, 0)
  assert.equal(worker.doings(), before)
})

test('checkpoint: a barrier behind every earlier request', async t => {
  const worker = await busy(t)
  const ids = [1, 2, 3].map(by => worker.channel.send('call', { command: 'slow-add', params: { by } }))
  const cut = worker.channel.send('checkpoint', HOLD)
  const sums = []
  for (const id of ids) sums.push((await worker.channel.answer(id)).result)
  assert.deepEqual(sums, [1, 3, 6])
  assert.equal((await worker.channel.answer(cut)).result.state.sum, 6)
})

test('checkpoint: never falls into an atomic section; a hold ends one that waits', async t => {
  const worker = await busy(t)
  await worker.call('section')
  await worker.channel.event('log')
  const first = worker.channel.send('checkpoint', { hold: false })
  const held = worker.channel.send('checkpoint', HOLD)
  assert.equal((await worker.channel.answer(first)).error.code, 'busy')
  await worker.ask('ping')
  assert.deepEqual(worker.channel.came, [])
  worker.child.kill('SIGUSR2')
  assert.equal((await worker.channel.answer(held)).result.state.half, false)
})

test('resume: before the cut was possible it ends the cut', async t => {
  const worker = await busy(t)
  await worker.call('section')
  await worker.channel.event('log')
  const held = worker.channel.send('checkpoint', HOLD)
  await worker.ask('resume')
  assert.equal((await worker.channel.answer(held)).error.code, 'busy')
  worker.child.kill('SIGUSR2')
  assert.equal(await worker.call('add'), 1)
})

test('save: resolves after the checkpoint, within a call as well, never inside a section', async t => {
  const worker = await busy(t)
  const call = worker.channel.send('call', { command: 'save', params: {} })
  const request = await worker.channel.next(message => message.command === 'save', 'request save')
  assert.equal((await worker.ask('checkpoint', { hold: false })).state.sum, 1)
  worker.channel.write(JSON.stringify({ id: request.id, success: true, result: { sequence: 12 }, error: null }) + '\n')
  assert.deepEqual((await worker.channel.answer(call)).result, { sequence: 12, sum: 1 })
  await assert.rejects(worker.call('save-inside'), /inside an atomic section/)
})

test('call: refusals carry code and hint', async t => {
  const worker = await busy(t)
  await assert.rejects(worker.call('fails'), { code: 'not_found' })
  await assert.rejects(worker.call('ad'), { code: 'unknown_command', hint: "did you mean 'add'?" })
})

test('checkpoint: a value that cannot be kept fails it and the worker goes on', async t => {
  const worker = await busy(t)
  await worker.call('spoil')
  for (const hold of [false, true]) {
    await assert.rejects(worker.ask('checkpoint', { hold }),
      { code: 'failed', message: '/bad/42: value is undefined; use null or delete the key' })
  }
  assert.equal(await worker.call('add'), 1)
})

test('checkpoint: unchanged is said only of what the supervisor calls durable', async t => {
  const worker = await busy(t)
  const take = params => worker.ask('checkpoint', { hold: false, ...params })
  assert.ok((await take({ durable: true })).state, 'nothing was answered before')
  const unchanged = await take({ durable: true })
  assert.equal(unchanged.unchanged, true)
  assert.equal(unchanged.state, undefined)
  assert.equal(typeof unchanged.pause_ms, 'number')
  assert.ok((await take({})).state, 'the answer before was lost')
  await worker.call('add')
  assert.ok((await take({ durable: true })).state)
  assert.ok((await worker.ask('checkpoint', { ...HOLD, durable: true })).state, 'a cut is always given')
})

test('checkpoint: a large state goes into the file, and comes back from one', async t => {
  const state = { list: Array.from({ length: 1001 }, (_, i) => i) }
  const program = programOf(t, `
const w = await worker({ schema: 'a/1' })
await w.restore({})
await w.ready()`)
  const file = path.join(temporaryFolder(t), 'state')
  fs.writeFileSync(file, '#'.repeat(100))
  const worker = await supervise(t, program, { state })
  const { bytes } = await worker.ask('checkpoint', { hold: true, state_file: { path: file, offset: 100 } })
  assert.equal(fs.readFileSync(file, 'utf8'), '#'.repeat(100) + JSON.stringify(state))
  const second = await supervise(t, program, { live: false })
  const { kept } = await second.ask('restore', { generation: 2, cause: 'edit', state_file: { path: file, offset: 100, length: bytes } })
  assert.deepEqual(kept.names, ['list'])
})

test('end of the channel: the state is written whole, between sections', async t => {
  const worker = await busy(t, { state: { sum: 41 } })
  await worker.call('section')
  await worker.channel.event('log')
  await worker.call('add')
  worker.channel.close()
  worker.child.kill('SIGTERM')
  worker.child.kill('SIGUSR2')
  assert.equal((await within(worker.child.ended, 'end')).code, 0)
  assert.deepEqual(JSON.parse(fs.readFileSync(worker.emergency)), { sum: 42, half: false })
  assert.deepEqual(fs.readdirSync(worker.folder).filter(name => name.endsWith('.tmp')), [])
})

test('SIGTERM: it may come before the end of the channel', async t => {
  for (let time = 0; time < 5; ++time) {
    const worker = await busy(t, { state: { sum: 41 } })
    worker.child.kill('SIGTERM')
    worker.channel.close()
    assert.equal((await within(worker.child.ended, 'end')).code, 0)
    assert.equal(JSON.parse(fs.readFileSync(worker.emergency)).sum, 41)
  }
})

test('SIGTERM: with the supervisor there it does what it does without us', async t => {
  const worker = await busy(t)
  worker.child.kill('SIGTERM')
  assert.equal((await within(worker.child.ended, 'end')).signal, 'SIGTERM')
  assert.ok(!fs.existsSync(worker.emergency))
})

test('stop: components end in reverse order, a late one at its deadline', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
await w.restore({})
w.onStop(() => console.error('first registered'))
w.onStop(() => new Promise(() => {}), { deadline: 10 })
w.onStop(async () => { await null; console.error('last registered') })
w.every(1, () => w.beat({ iteration: 5, metrics: { a: 1, b: NaN } }))
await w.ready()`))
  assert.deepEqual((await worker.channel.event('beat')).data, { iteration: 5, metrics: { a: 1 } })
  await worker.ask('stop', { deadline_ms: 5000 })
  const { code, output } = await within(worker.child.ended, 'end')
  assert.equal(code, 0)
  assert.match(output, /^last registered\n.*not done within 10 ms[^]*first registered\n$/)
})

test('beat: at most ten a second, the newest wins', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
await w.restore({})
await w.ready()
for (let i = 1; i <= 1000; ++i) w.beat({ iteration: i })`))
  const beats = [(await worker.channel.event('beat')).data.iteration, (await worker.channel.event('beat')).data.iteration]
  assert.deepEqual(beats, [1, 1000])
})

// ---- Drain: connections wait in the system's queue and nobody sees the change of process.

const COUNTER = `
import http from 'node:http'
const w = await worker({ schema: 'counter/1' })
const S = await w.restore({ count: 0 })
const server = http.createServer((request, response) => w.atomic(async () => {
  S.count += 1
  await new Promise(resolve => setImmediate(resolve))
  response.end(String(S.count))
}))
w.command('port', {}, () => server.address().port)
await w.serve(server, 'http', { port: 0, host: '127.0.0.1' })`

async function expectNothingLost(t, clients, worker) {
  await clients.more(100)
  await clients.end()
  const { count } = (await worker.ask('checkpoint', { hold: false })).state
  t.diagnostic(`${clients.answered} answers, ${clients.retried} retried`)
  assert.deepEqual(clients.failures, [])
  assert.ok(count >= clients.answered, `${clients.answered} acknowledged, ${count} kept`)
  assert.ok(count <= clients.answered + clients.retried, `${clients.answered} acknowledged, ${count} kept`)
}

test('drain: 16 kept-alive clients over cuts that are resumed', async t => {
  const worker = await supervise(t, programOf(t, COUNTER))
  const clients = new Clients(16, await worker.call('port'))
  for (let round = 0; round < 10; ++round) {
    await clients.more(100)
    await worker.ask('drain', { deadline_ms: 250 })
    await worker.ask('checkpoint', HOLD)
    await worker.ask('resume')
  }
  await expectNothingLost(t, clients, worker)
})

test('drain: 16 kept-alive clients on a lent socket over five generations', async t => {
  const listener = net.createServer()
  await once(listener.listen(0, '127.0.0.1'), 'listening')
  const { port } = listener.address()
  const program = programOf(t, COUNTER), generations = []
  for (let i = 0; i < 5; ++i) generations.push(await supervise(t, program, { lent: listener._handle.fd, live: false }))
  listener.close()  // only workers hold it from here on
  const go = async (worker, state) => {
    await worker.ask('restore', { generation: 1, cause: 'edit', state, schema: 'counter/1' })
    await worker.channel.event('ready')
    await worker.ask('go')
  }
  let live = generations.shift()
  await go(live, null)
  const clients = new Clients(16, port)
  for (const next of generations) {
    await clients.more(200)
    await live.ask('drain', { deadline_ms: 250 })
    const { state } = await live.ask('checkpoint', HOLD)
    await go(next, state)
    await live.ask('stop', { deadline_ms: 1000 })
    assert.equal((await within(live.child.ended, 'end of the old one')).code, 0)
    live = next
  }
  await expectNothingLost(t, clients, live)
})

test('drain: idle connections are closed at the deadline and counted, the program is not stopped by it', async t => {
  const worker = await supervise(t, programOf(t, COUNTER))
  const agent = new http.Agent({ keepAlive: true })
  t.after(() => agent.destroy())
  const port = await worker.call('port')
  const ask = () => new Promise((resolve, reject) => {
    const request = http.get({ agent, port, host: '127.0.0.1' }, response => {
      response.on('data', text => resolve({ text: String(text), reused: request.reusedSocket }))
    })
    request.on('error', reject)
  })
  assert.equal((await ask()).text, '1')
  await new Promise(resolve => setImmediate(resolve))
  const [socket] = Object.values(agent.freeSockets).flat()
  const closed = once(socket, 'close')
  assert.deepEqual(await worker.ask('drain', { deadline_ms: 20 }), { closed: 1 })
  await within(closed, 'end of the idle connection')
  await worker.ask('resume')
  assert.deepEqual(await ask(), { text: '2', reused: false })
})

test('drain: what is open is answered with Connection: close, what is new waits for resume', async t => {
  const worker = await supervise(t, programOf(t, COUNTER))
  const port = await worker.call('port')
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  const ask = () => new Promise((resolve, reject) => {
    const request = http.get({ agent, port, host: '127.0.0.1' }, response => {
      response.on('end', () => resolve({ closes: response.headers.connection === 'close', reused: request.reusedSocket })).resume()
    })
    request.on('error', reject)
  })
  assert.deepEqual(await ask(), { closes: false, reused: false })
  await new Promise(resolve => setImmediate(resolve))
  const drained = worker.ask('drain', { deadline_ms: 10_000 })
  await worker.ask('ping')
  assert.deepEqual(await ask(), { closes: true, reused: true })
  assert.deepEqual(await drained, { closed: 0 })
  let answered = false
  const fresh = ask().finally(() => { answered = true })
  const until = performance.now() + 100
  while (performance.now() < until) await worker.ask('ping')
  assert.ok(!answered)
  await worker.ask('resume')
  assert.deepEqual(await within(fresh, 'answer after resume'), { closes: false, reused: false })
})
