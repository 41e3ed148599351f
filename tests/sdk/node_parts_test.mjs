// The Node library: components, states of another schema, variables that change.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import net from 'node:net'
import { once } from 'node:events'
import { test } from 'node:test'
import { Supervisor, programOf, start, supervise, within } from './node_support.mjs'

const HOLD = { hold: true, deadline_ms: 10_000 }

async function takeLive(worker, state, schema = worker.loaded.schema) {
  worker.restored = await worker.ask('restore', { generation: 2, cause: 'edit', state, schema })
  worker.ready = (await worker.channel.event('ready')).data
  await worker.ask('go')
}

// ---- Components

const PARTS = `
const say = text => w.log('info', text)
const w = await worker({ schema: 'parts/1' })
let warm = []
w.component('cache', {
  start: part => { warm = part ?? []; say('cache starts with ' + JSON.stringify(warm)) },
  stop: () => console.error('cache stops'),
  capture: () => { if (warm === null) throw new Error('no memory of it'); return warm },
})
w.component('broken', {
  start: async () => { await null; throw new Error('no such host') },
  stop: () => console.error('broken stops'),
  capture: async () => 1,
})
w.component('slow', { start: () => new Promise(() => {}), stop: () => new Promise(() => {}), deadline: 20 })
w.component('last', { start: () => { say('last starts') }, stop: async () => { await null; console.error('last stops') } })
w.command('put', {}, ({ value }) => { warm = value; return {} })
w.command('save', {}, async () => ({ sequence: await w.save() }))
const S = await w.restore({ count: 0 })
await w.ready()
say('live')`

test('component: starts at go in order, stops in reverse, what fails or is late is told and the others go on', async t => {
  const worker = await supervise(t, programOf(t, PARTS))
  for (const text of ['cache starts with []', 'last starts', 'live']) {
    assert.equal((await worker.channel.event('log')).data.message, text)
  }
  await worker.ask('stop', { deadline_ms: 5000 })
  const { code, output } = await within(worker.child.ended, 'end')
  assert.equal(code, 0)
  assert.match(output, /^zeroth: component 'broken' did not start: Error: no such host[^]*component 'slow' did not start: not done within 20 ms/)
  assert.match(output, /last stops\nzeroth: component 'slow' did not stop: not done within 20 ms\ncache stops\n$/)
  assert.doesNotMatch(output, /broken stops/)
})

test('component: what is captured is a member of the state and comes to start in the process after', async t => {
  const program = programOf(t, PARTS)
  const worker = await supervise(t, program)
  await worker.call('put', { value: [1, 2] })
  const { state } = await worker.ask('checkpoint', HOLD)
  assert.deepEqual(state, { count: 0, cache: [1, 2] })
  const next = await supervise(t, program, { live: false })
  await takeLive(next, { ...state, broken: 'as it was' })
  assert.deepEqual(next.restored.kept.names.sort(), ['broken', 'cache', 'count'])
  assert.deepEqual(next.restored.removed.count, 0)
  assert.equal((await next.channel.event('log')).data.message, 'cache starts with [1,2]')
  assert.deepEqual((await next.ask('checkpoint', { hold: false })).state, { ...state, broken: 'as it was' })
  next.channel.close()
  assert.equal((await within(next.child.ended, 'end')).code, 0)
  assert.deepEqual(JSON.parse(fs.readFileSync(next.emergency)), { ...state, broken: 'as it was' })
})

test('component: one that cannot be captured stays as it was; save says so, the others are saved', async t => {
  const worker = await supervise(t, programOf(t, PARTS.replace('capture: async () => 1,', '')))
  await worker.call('put', { value: ['x'] })
  assert.deepEqual((await worker.ask('checkpoint', { hold: false })).state.cache, ['x'])
  await worker.call('put', { value: null })
  const call = worker.channel.send('call', { command: 'save', params: {} })
  const request = await worker.channel.next(message => message.command === 'save', 'request save')
  assert.deepEqual((await worker.ask('checkpoint', { hold: false })).state, { count: 0, cache: ['x'] })
  worker.channel.write(JSON.stringify({ id: request.id, success: true, result: { sequence: 3 }, error: null }) + '\n')
  assert.match((await worker.channel.answer(call)).error.message,
    /^save: component 'cache' could not be captured, its part stays as it was: no memory of it$/)
  await worker.ask('checkpoint', HOLD)
  await worker.ask('stop', { deadline_ms: 5000 })
  const { output } = await within(worker.child.ended, 'end')
  assert.equal(output.match(/could not be captured/g).length, 1, 'told once, not at every cut')
})

test('component: a cut before it is started leaves its part as it was, and a call waits for it', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
let warm = null
const signal = new Promise(resolve => process.once('SIGUSR2', resolve))
w.component('fails', { start: () => { throw new Error('of the start') }, capture: () => 'never' })
w.component('cache', { deadline: 20_000, start: async part => { await signal; warm = part }, capture: () => warm })
w.command('put', {}, ({ value }) => { warm.push(value); return warm })
await w.restore({})
await w.ready()`), { state: { cache: [1], fails: 'kept' } })
  assert.deepEqual((await worker.ask('checkpoint', { hold: false })).state, { cache: [1], fails: 'kept' })
  const put = worker.channel.send('call', { command: 'put', params: { value: 2 } })
  const cut = worker.channel.send('checkpoint', HOLD)
  await worker.ask('ping')
  assert.deepEqual(worker.channel.came, [])
  worker.child.kill('SIGUSR2')
  assert.deepEqual((await worker.channel.answer(put)).result, [1, 2])
  assert.deepEqual((await worker.channel.answer(cut)).result.state, { cache: [1, 2], fails: 'kept' })
})

test('component: nothing is accepted before all are started, and a drain meanwhile does not change that', async t => {
  const worker = await supervise(t, programOf(t, `
import net from 'node:net'
const w = await worker({ schema: 'a/1' })
const server = net.createServer(socket => socket.end('served'))
server.listen(0, '127.0.0.1')
await new Promise(resolve => server.once('listening', resolve))
const port = server.address().port
await new Promise(resolve => server.close(resolve))
w.component('late', { deadline: 20_000, start: () => {
  w.log('info', String(port))
  return new Promise(resolve => process.once('SIGUSR2', resolve))
} })
await w.restore({})
await w.serve(server, 'tcp', { port, host: '127.0.0.1' })`))
  const socket = net.connect(Number((await worker.channel.event('log')).data.message), '127.0.0.1')
  t.after(() => socket.destroy())
  let got = ''
  socket.on('data', text => { got += text })
  await within(once(socket, 'connect'), 'the connection waits in the queue')
  await worker.ask('drain', { deadline_ms: 10 })
  worker.child.kill('SIGUSR2')
  await worker.ask('ping')
  await worker.ask('checkpoint', HOLD)
  assert.equal(got, '')
  await worker.ask('resume')
  await within(once(socket, 'end'), 'the connection is served')
  assert.equal(got, 'served')
})

test('component: what is registered wrongly is said at once', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
const problem = fn => { try { fn() } catch (error) { return error.message } }
const told = []
w.component('a', { capture: () => 1 })
told.push(problem(() => w.component('a', {})))
told.push(await w.restore({ a: 1 }).catch(error => error.message))
await w.restore({ b: 1 })
told.push(problem(() => w.component('c', { capture: () => 1 })))
await w.ready()
told.push(problem(() => w.component('d', { start: () => {} })))
w.command('told', {}, () => told)`))
  assert.deepEqual(await worker.call('told'), [
    "component: there is one called 'a'", "restore: two parts of the state are called 'a'",
    "component 'c': its capture is registered too late, after restore()",
    "component 'd': is registered too late, after ready()"])
})

test('component: without a supervisor they are started and the program runs', async t => {
  const child = start(t, [process.execPath, programOf(t, `
const w = await worker({ schema: 'a/1' })
w.component('a', { start: part => console.log('a', part), capture: () => 1 })
await w.restore({})
await w.ready()
console.log('ready', await w.save())`)])
  assert.deepEqual(await within(child.ended, 'end'), { code: 0, signal: null, output: 'a undefined\nready null\n' })
})

// ---- States of another schema

const SHOP1 = `
const w = await worker({ schema: 'shop/1', migrate: { 'shop/2': ({ visits }) => ({ visits: Object.fromEntries(visits) }) } })
const S = await w.restore({ visits: {} })
w.command('visit', {}, ({ sid }) => (S.visits[sid] = (S.visits[sid] ?? 0) + 1))
await w.ready()`
const SHOP2 = `
const w = await worker({ schema: 'shop/2', migrate: (from, state) => {
  if (from !== 'shop/1') throw new Error('no way from ' + from)
  return { ...state, visits: new Map(Object.entries(state.visits)) }
} })
const S = await w.restore({ visits: new Map() })
w.command('visit', {}, ({ sid }) => {
  S.visits.set(sid, (S.visits.get(sid) ?? 0) + 1)
  return S.visits.get(sid)
})
await w.ready()`

test('migrate: from 1 to 2 and back to 1', async t => {
  const first = await supervise(t, programOf(t, SHOP1))
  assert.deepEqual(first.loaded.migrate, ['shop/2'])
  assert.equal(await first.call('visit', { sid: 'anna' }), 1)
  const one = await first.ask('checkpoint', HOLD)
  const second = await supervise(t, programOf(t, SHOP2), { live: false })
  assert.equal(second.loaded.migrate, true)
  await takeLive(second, one.state, one.schema)
  assert.deepEqual(second.restored.kept.names, ['visits'])
  assert.equal(await second.call('visit', { sid: 'anna' }), 2)
  const two = await second.ask('checkpoint', HOLD)
  assert.deepEqual([two.schema, two.state], ['shop/2', { visits: { $map: [['anna', 2]] } }])
  const back = await supervise(t, programOf(t, SHOP1), { live: false })
  await takeLive(back, two.state, two.schema)
  assert.equal(await back.call('visit', { sid: 'anna' }), 3)
})

test('migrate: what fails, leads nowhere or gives no state is refused with advice; another state may come', async t => {
  const program = body => programOf(t, `
const w = await worker({ schema: 'shop/2', migrate: ${body} })
await w.restore({ visits: {} })
await w.ready()`)
  for (const [body, message, hint] of [
    ['(from, state) => state.carts.length', /^state: migrate from shop\/1 to shop\/2: Cannot read.*'length'/, /^correct migrate; or start without/],
    ['{ "shop/0": state => state }', /its schema is shop\/1, this program's shop\/2, and nothing leads there/, /migrate: { 'shop\/1': state => … }/],
    ['undefined', /nothing leads there/, /give worker\(\) a way/],
    ['() => {}', /it gave undefined/, /^return the state$/],
    ['async (from, state) => state', /it gave a promise/, /give the state at once/],
    ['() => [1]', /it gave another kind than the default/, /^return the state$/],
  ]) {
    const worker = await supervise(t, program(body), { live: false })
    const { error } = await worker.channel.answer(worker.channel.send('restore', { generation: 1, cause: 'edit', state: { visits: {} }, schema: 'shop/1' }))
    assert.equal(error.code, 'refused')
    assert.match(error.message, message)
    assert.match(error.hint, hint)
    await takeLive(worker, { visits: { b: 1 } })
    worker.child.kill('SIGKILL')
  }
})

// ---- Variables that change

test('env: each variable changes, its callbacks hear of it, and one that fails hinders nobody', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
const heard = []
const hear = name => w.onEnv(name, (old, value) => { heard.push([name, old ?? null, value ?? null, process.env[name] ?? null]) })
hear('LEVEL')
w.onEnv('URL', async () => { await null; throw new Error('cannot connect') })
w.onEnv('HANGS', () => new Promise(() => {}))
hear('URL')
hear('GONE')
const all = []
w.onEnv((name, old, value) => { all.push([name, old ?? null, value ?? null]) })
w.command('all', {}, () => all.splice(0))
w.command('heard', {}, () => heard.splice(0))
w.command('shown', {}, ({ names }) => names.map(name => process.env[name] ?? null))
await w.restore({})
await w.ready()`), { env: { LEVEL: 'info', GONE: 'soon', SAME: '1' } })
  assert.ok(worker.loaded.capabilities.includes('env'))
  const set = { LEVEL: 'debug', URL: 'there', SAME: '1', OTHER: 'x=y', HANGS: 'yes' }
  assert.deepEqual(await worker.ask('env', { set, unset: ['GONE', 'NEVER'] }), {
    applied: ['GONE', 'NEVER', 'LEVEL', 'SAME', 'OTHER'], failed: { URL: 'cannot connect', HANGS: 'not done within 2000 ms' } })
  assert.deepEqual(await worker.call('heard'), [
    ['GONE', 'soon', null, null], ['LEVEL', 'info', 'debug', 'debug'], ['URL', null, 'there', 'there']])
  assert.deepEqual(await worker.call('all'), [['GONE', 'soon', null], ['LEVEL', 'info', 'debug'], ['URL', null, 'there'],
    ['OTHER', null, 'x=y'], ['HANGS', null, 'yes']])
  assert.deepEqual(await worker.call('shown', { names: ['LEVEL', 'URL', 'SAME', 'OTHER', 'GONE'] }), ['debug', 'there', '1', 'x=y', null])
  assert.deepEqual((await worker.ask('env', { set: { LEVEL: 'debug' } })), { applied: ['LEVEL'] })
  assert.deepEqual(await worker.call('heard'), [], 'nothing changed')
})

test('env: what is no name or no text is refused and changes nothing', async t => {
  const worker = await supervise(t, programOf(t, `
const w = await worker({ schema: 'a/1' })
w.command('shown', {}, () => process.env.GOOD ?? null)
await w.restore({})
w.onEnv('GOOD', () => {})
await w.ready()`), { live: false })
  assert.ok(!worker.loaded.capabilities.includes('env'))
  await takeLive(worker, null)
  assert.ok(worker.ready.capabilities.includes('env'), 'registered after loaded')
  for (const params of [{ set: { 'A=B': '1', GOOD: '1' } }, { set: { GOOD: 1 } }, { set: { GOOD: 'a\0b' } }, { set: [] }, { unset: 'GOOD' }, { set: { GOOD: '1', '': '1' } }]) {
    await assert.rejects(worker.ask('env', params), { code: 'bad_params' })
  }
  assert.equal(await worker.call('shown'), null)
})

// ---- All of it under the real supervisor

test('supervised: a component goes on over an edit and a kill', async t => {
  const file = programOf(t, `
const w = await worker({ schema: 'parts/1' })
let warm = []
w.component('cache', { start: part => { warm = part ?? [] }, capture: () => warm })
w.command('put', {}, async ({ value }) => { warm.push(value); await w.save(); return warm })
await w.restore({})
await w.ready()`)
  const supervisor = new Supervisor(t, file)
  await supervisor.start()
  assert.deepEqual(await supervisor.ask('put', { value: 1 }), [1])
  const { generation } = await supervisor.until(() => true)
  fs.appendFileSync(file, '\n// edited')
  const { pid, last_reload } = await supervisor.until(worker => worker.generation > generation)
  assert.equal(last_reload.verdict, 'ok')
  assert.deepEqual(await supervisor.ask('put', { value: 2 }), [1, 2])
  process.kill(pid, 'SIGKILL')
  await supervisor.until(worker => worker.pid !== pid)
  assert.deepEqual(await supervisor.ask('put', { value: 3 }), [1, 2, 3])
})
