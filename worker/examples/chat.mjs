// A chat in the browser that forgets nothing:   http://127.0.0.1:8080/
//
//   zeroth-supervise --protocol --listen 8080 --watch chat.mjs -- node chat.mjs
//
// Edit the welcome below, save, and write on. The connections do not survive, and need not: each client comes again, says
// what it has seen, is sent what it missed, and repeats what was not acknowledged. What was kept is living state, so each
// message is in the history exactly once.
//
// A client sends {join: name, tab: an id of its own, seen: number of the last message it has}, then {say: text, mine: 1,
// 2, 3, …}. It is sent {welcome}, {number, from, text} of each message, and {kept: mine} when its own is in the history.
import http from 'node:http'
import { worker } from '../sdk/zeroth.mjs'  // copied beside your program: './zeroth.mjs'
import { accept } from './websocket.mjs'

const MAX_TABS = 10_000  // whose last message is remembered
const w = await worker({ name: 'chat', schema: 'chat/1' })
const clients = new Map()  // connection -> {name, tab, seen}: of this process only

w.command('members', { help: 'who was here, how much they said, and who is here now' }, () => {
  const here = new Set([...clients.values()].map(({ name }) => name))
  return Object.entries(S.members).map(([name, said]) => ({ name, said, here: here.has(name) }))
})
w.onDrain(() => { for (const client of clients.keys()) client.close(1012, 'restarted') })  // before a cut: come again

// history: [from, text] of each message; members: name -> how many are theirs; kept: tab -> its last `mine`
const S = await w.restore({ history: [], members: {}, kept: new Map() })

// No `await` in here, so no cut falls between what is kept and what is acknowledged. To keep it over a crash as well,
// acknowledge after `await w.save()`.
function on_message(client, { join, tab, seen, say, mine }) {
  if (typeof join === 'string' && typeof tab === 'string' && Number.isInteger(seen) && seen >= 0) {
    clients.set(client, { name: join, tab, seen })
    if (!Object.hasOwn(S.members, join)) S.members[join] = 0
    client.send(JSON.stringify({ welcome: `Welcome, ${join}` }))
    return feed(client)
  }
  const from = clients.get(client)
  if (!from || typeof say !== 'string' || !Number.isInteger(mine)) return client.close(1008, 'join, then say')
  if (mine > (S.kept.get(from.tab) ?? 0)) {  // else it was repeated
    remember(from.tab, mine)
    ++S.members[from.name]
    S.history.push([from.name, say])
    for (const each of clients.keys()) feed(each)
  }
  client.send(JSON.stringify({ kept: mine }))
}

// The tab that was heard of longest ago is forgotten.
function remember(tab, mine) {
  S.kept.delete(tab)
  S.kept.set(tab, mine)
  if (S.kept.size > MAX_TABS) S.kept.delete(S.kept.keys().next().value)
}

// What the client has not seen, as fast as it reads.
function feed(client) {
  const at = clients.get(client)
  let keepsUp = true
  while (keepsUp && at?.seen < S.history.length) {
    const [from, text] = S.history[at.seen]
    keepsUp = client.send(JSON.stringify({ number: ++at.seen, from, text }))
  }
}

const PAGE = `<!doctype html><meta charset="utf-8"><title>chat</title><body style="font: 16px sans-serif">
<ul id="list"></ul><form id="form"><input id="text" size="60" autofocus></form><script>
const join = prompt('Your name?') || 'guest', tab = crypto.randomUUID(), unsaid = []
let seen = 0, mine = 0, socket
function connect() {
  socket = new WebSocket(location.href.replace('http', 'ws'))
  socket.onopen = () => { for (const each of [{ join, tab, seen }, ...unsaid]) socket.send(JSON.stringify(each)) }
  socket.onclose = () => setTimeout(connect, 100)
  socket.onmessage = ({ data }) => {
    const { number, from, text, kept, welcome } = JSON.parse(data)
    if (welcome) document.title = welcome
    if (kept && unsaid[0]?.mine === kept) unsaid.shift()
    if (number !== seen + 1) return
    seen = number
    list.append(Object.assign(document.createElement('li'), { textContent: from + ': ' + text }))
  }
}
form.onsubmit = event => {
  event.preventDefault()
  unsaid.push({ say: text.value, mine: ++mine })
  text.value = ''
  if (socket.readyState === 1) socket.send(JSON.stringify(unsaid.at(-1)))
}
connect()
</script>`

const server = http.createServer((request, response) => response.setHeader('Content-Type', 'text/html').end(PAGE))
server.on('upgrade', (request, socket) => {
  const client = accept(request, socket)
  client?.on('close', () => clients.delete(client)).on('drain', () => feed(client)).on('message', text => {
    let message = null
    try {
      message = JSON.parse(text)
    } catch {
      // It is no message then either.
    }
    on_message(client, message ?? {})
  })
})
await w.serve(server, 'http', { port: Number(process.env.PORT ?? 8080), host: '127.0.0.1' })
