// The Node library under the real supervisor: edits, deaths, and what comes back.
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { test } from 'node:test'
import { Supervisor, programOf } from './node_support.mjs'

const KEEPER = `
const w = await worker({ schema: 'keeper/1' })
w.command('hit', {}, async () => {
  ++S.hits
  await w.save()
  return { hits: S.hits, text: 'first' }
})
const S = await w.restore({ hits: 0, big: 2n ** 200n, when: new Date(0), pairs: new Map([[1, Tuple.of(NaN)]]) })
await w.ready()`

async function kept(t) {
  const file = programOf(t, KEEPER, 'keeper.mjs')
  const supervisor = new Supervisor(t, file)
  await supervisor.start()
  assert.deepEqual(await supervisor.ask('hit'), { hits: 1, text: 'first' })
  return { file, supervisor }
}

test('supervised: an edited program goes on with its state, a broken one leaves the old one live', async t => {
  const { file, supervisor } = await kept(t)
  const { generation } = await supervisor.until(() => true)
  const edit = (from, to) => fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(from, to))
  edit("'first'", "'second'")
  await supervisor.until(worker => worker.generation > generation)
  assert.deepEqual(await supervisor.ask('hit'), { hits: 2, text: 'second' })
  edit('++S.hits', '++S.hits)')
  await supervisor.until(worker => worker.rejected)
  assert.deepEqual(await supervisor.ask('hit'), { hits: 3, text: 'second' })
})

test('supervised: a killed worker goes on from what was saved', async t => {
  const { supervisor } = await kept(t)
  const { pid } = await supervisor.until(() => true)
  process.kill(pid, 'SIGKILL')
  await supervisor.until(worker => worker.pid !== pid)
  assert.deepEqual(await supervisor.ask('hit'), { hits: 2, text: 'first' })
})

test('supervised: after kill -9 of the supervisor the next one goes on from the emergency file', async t => {
  const { supervisor } = await kept(t)
  assert.equal((await supervisor.ask('hit')).hits, 2)
  await supervisor.kill()
  await supervisor.start()
  const { snapshots } = await supervisor.ask('snapshots')
  assert.ok(snapshots.some(({ cause }) => cause === 'emergency'), JSON.stringify(snapshots))
  assert.deepEqual(await supervisor.ask('hit'), { hits: 3, text: 'first' })
})
