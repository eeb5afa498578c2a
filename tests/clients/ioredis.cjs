// Drives a cluster with ioredis: `ioredis.cjs single|cluster PORT`.
'use strict'

const assert = require('node:assert/strict')
const Redis = require('ioredis')

const [mode, port] = [process.argv[2], Number(process.argv[3])]

async function strings(client) {
  const bytes = Buffer.from([...Array(256).keys()])
  assert.equal(await client.set('bytes', bytes), 'OK')
  assert.deepEqual(await client.getBuffer('bytes'), bytes)
  assert.equal(await client.set('once', 1, 'NX'), 'OK')
  assert.equal(await client.set('once', 2, 'NX'), null)
  assert.equal(await client.incr('once'), 2)
  assert.equal(await client.set('brief', 'x', 'PX', 100000), 'OK')
  assert.ok(await client.pttl('brief') > 0)
  assert.equal(await client.del('brief'), 1)
  assert.equal(await client.get('brief'), null)
  await assert.rejects(client.lpush('list', 'a'), /unknown command/)
}

async function pipelines(client) {
  // One slot, since ioredis sends a pipeline to one node.
  const pipeline = client.pipeline()
  for (let index = 0; index < 200; index++) {
    pipeline.set(`{p}:${index}`, index).get(`{p}:${index}`)
  }
  const answers = await pipeline.exec()
  assert.equal(answers.length, 400)
  answers.forEach(([error, answer], place) => {
    assert.equal(error, null)
    assert.equal(answer, place % 2 === 0 ? 'OK' : String((place - 1) / 2))
  })
  const executed = await client.multi().set('{t}:a', 1).incr('{t}:a').get('{t}:a').exec()
  assert.deepEqual(executed, [[null, 'OK'], [null, 2], [null, '2']])
}

async function single() {
  const client = new Redis({ port, maxRetriesPerRequest: 3 })
  await client.flushall()
  await strings(client)
  await pipelines(client)
  await client.mset(Object.fromEntries([...Array(50).keys()].map((index) => [`m:${index}`, index])))
  assert.equal((await client.mget('m:7', 'm:50')).join(), '7,')
  const found = []
  for await (const keys of client.scanStream({ match: 'm:*', count: 10 })) found.push(...keys)
  assert.equal(new Set(found).size, 50)
  const cache = new Redis({ port, db: 1 })
  assert.equal(await cache.set('only', 'here'), 'OK')
  assert.equal(await client.get('only'), null)
  await cache.quit()
  await client.quit()
}

async function cluster() {
  const client = new Redis.Cluster([{ host: '127.0.0.1', port }])
  await client.set('connect', 'first: only then are the nodes known')
  await Promise.all(client.nodes('master').map((node) => node.flushall()))
  await strings(client)
  await pipelines(client)
  for (let index = 0; index < 300; index++) await client.set(`c:${index}`, index)
  const values = await Promise.all([...Array(300).keys()].map((index) => client.get(`c:${index}`)))
  values.forEach((value, index) => assert.equal(value, String(index)))
  assert.ok(client.nodes('master').length >= 1)
  await client.quit()
}

const modes = { single, cluster }
modes[mode]().then(
  () => console.log('all passed'),
  (error) => {
    console.error(error)
    process.exit(1)
  },
)
