// The Node library: sections that a cut waits for, and connections that stay open.
import assert from 'node:assert/strict'
import net from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { programOf, supervise, within } from './node_support.mjs'

const HOLD = { hold: true, deadline_ms: 10_000 }

// ---- Sections

const SECTIONS = `
const w = await worker({ schema: 'a/1' })
const S = await w.restore({ open: 0 })
const waits = name => new Promise(resolve => process.once(name, resolve))
const section = name => w.atomic(async () => {
  ++S.open
  w.log('info', 'inside')
  await waits(name)
  --S.open
})
w.command('section', {}, () => { section('SIGUSR2') })
// The inner one is not awaited, and ends after the outer one.
w.command('outlives', {}, () => { w.atomic(() => { section('SIGUSR2') }) })
// What was begun inside and runs after it is not inside any more.
w.command('later', {}, () => { w.atomic(() => { setTimeout(() => section('SIGUSR2'), 1) }) })
w.command('nested', {}, async () => {
  const given = await w.atomic(() => w.atomic(async () => w.atomic(() => 'given')))
  const failed = await w.atomic(() => w.atomic(async () => { throw new Error('inner') })).catch(error => error.message)
  return [given, failed]
})
w.command('save-refused', {}, () => w.atomic(() => new Promise((resolve, reject) => setTimeout(() => w.save().then(resolve, reject), 1))))
w.command('save-after', {}, () => new Promise((resolve, reject) => {
  w.atomic(() => { setTimeout(() => w.save().then(resolve, reject), 20) })
}))
await w.ready()`

async function cutWaits(worker, command) {
  await worker.call(command)
  await worker.channel.event('log')
  const cut = worker.channel.send('checkpoint', HOLD)
  await worker.ask('ping')
  assert.deepEqual(worker.channel.came, [])
  worker.child.kill('SIGUSR2')
  assert.equal((await worker.channel.answer(cut)).result.state.open, 0)
  await worker.ask('resume')
}

test('atomic: a cut waits for each section, nested, outliving its outer one, or begun out of one that has ended', async t => {
  const worker = await supervise(t, programOf(t, SECTIONS))
  for (const command of ['section', 'outlives', 'later']) await cutWaits(worker, command)
  assert.deepEqual(await worker.call('nested'), ['given', 'inner'])
  assert.equal((await worker.ask('checkpoint', { hold: false, deadline_ms: 1000 })).state.open, 0)
})

test('atomic: a section that does not end refuses the cut in time, and both go on', async t => {
  const worker = await supervise(t, programOf(t, SECTIONS))
  await worker.call('section')
  await worker.channel.event('log')
  for (const hold of [false, true]) {
    await assert.rejects(worker.ask('checkpoint', { hold, deadline_ms: 50 }),
      { code: 'timeout', message: 'an atomic section did not end within 0.0 s' })
  }
  assert.deepEqual(await worker.call('nested'), ['given', 'inner'])
  worker.child.kill('SIGUSR2')
  assert.equal((await worker.ask('checkpoint', HOLD)).state.open, 0)
})

test('save: refused inside a section, also behind an await; not in what was begun there and runs after it', async t => {
  const worker = await supervise(t, programOf(t, SECTIONS))
  await assert.rejects(worker.call('save-refused'), /save: inside an atomic section it would wait for itself; call it after/)
  const call = worker.channel.send('call', { command: 'save-after', params: {} })
  const request = await worker.channel.next(message => message.command === 'save', 'request save')
  worker.channel.write(JSON.stringify({ id: request.id, success: true, result: { sequence: 4 }, error: null }) + '\n')
  assert.equal((await worker.channel.answer(call)).result, 4)
})

// ---- Connections that stay open

const UPGRADES = `
import http from 'node:http'
const w = await worker({ schema: 'a/1' })
await w.restore({})
const open = new Set()
const server = http.createServer()
server.on('upgrade', (request, socket) => {
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: echo\\r\\n\\r\\n')
  open.add(socket.on('data', bytes => socket.write(bytes)).on('close', () => open.delete(socket)))
})
if (process.env.TELLS) w.onDrain(() => { for (const socket of open) socket.end('again') })
w.onDrain(() => { throw new Error('of the hook') })
w.command('port', {}, () => server.address().port)
await w.serve(server, 'http', { port: 0, host: '127.0.0.1' })`

async function upgraded(worker) {
  const socket = net.connect(await worker.call('port'), '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
  await within(once(socket, 'data'), 'upgrade')
  return socket
}

test('onDrain: what would stay open is told to come again, closed and counted', async t => {
  const worker = await supervise(t, programOf(t, UPGRADES), { env: { TELLS: '1' } })
  const sockets = [await upgraded(worker), await upgraded(worker)]
  const told = sockets.map(socket => once(socket, 'data'))
  assert.deepEqual(await worker.ask('drain', { deadline_ms: 10_000 }), { closed: 2 })
  for (const each of told) assert.equal(String((await within(each, 'told'))[0]), 'again')
  while (!/onDrain: Error: of the hook/.test(worker.child.output)) await worker.ask('ping')
  await worker.ask('resume')
  const socket = await upgraded(worker)
  t.after(() => socket.destroy())
})

test('onDrain: without it they stay open over a drain and a cut that is resumed', async t => {
  const worker = await supervise(t, programOf(t, UPGRADES))
  const socket = await upgraded(worker)
  t.after(() => socket.destroy())
  assert.deepEqual(await worker.ask('drain', { deadline_ms: 10 }), { closed: 0 })
  await worker.ask('checkpoint', HOLD)
  await worker.ask('resume')
  socket.write('still there')
  assert.equal(String((await within(once(socket, 'data'), 'echo'))[0]), 'still there')
})
