// A shop that remembers how often each session came:   curl http://127.0.0.1:8080/?sid=anna
//
//   zeroth-supervise --protocol --watch shop.mjs -- node shop.mjs
//
// Edit the greeting below, save, and ask again: the new text comes, and the counts go on.
import http from 'node:http'
import { worker } from '../sdk/zeroth.mjs'

const w = await worker({ name: 'shop', schema: 'shop/1' })

// zerothctl shop-visits
w.command('shop-visits', { help: 'how many sessions and visits there are' }, () => {
  const counts = Object.values(S.visits)
  return { sessions: counts.length, visits: counts.reduce((sum, count) => sum + count, 0) }
})

const S = await w.restore({ visits: {} })  // the living state; this default without a kept one

// No `await` in here, so no cut can fall between counting and answering.
const server = http.createServer((request, response) => {
  const sid = new URL(request.url, 'http://shop').searchParams.get('sid') ?? 'guest'
  S.visits[sid] = (S.visits[sid] ?? 0) + 1
  response.end(`Welcome, ${sid}: visit ${S.visits[sid]}\n`)
})

await w.serve(server, 'http', { port: Number(process.env.PORT ?? 8080), host: '127.0.0.1' })
