// {{name}}: one method, one event and one setting. Make it yours.

import { Plugin, invalidParams } from './jackfield.mjs'

const plugin = new Plugin()
const settings = { greeting: 'Hello' }

// A method, called by its name: jackfield run . --call greet '{"name": "you"}'
plugin.method('greet', async ({ name }) => {
  if (typeof name !== 'string') throw invalidParams('`name` is missing')
  return { greeting: `${settings.greeting}, ${name}!` }
})

// The line is open: the host can be called.
plugin.connected(async () => {
  const answer = await plugin.call('get_config')
  Object.assign(settings, answer.config)
})

// An event of the application; the manifest lists it under events_consumed.
plugin.event('EventThreadPublished', async (event) => {
  console.log(`thread ${event.id} was published`)
})

// The whole configuration, whenever it changes. Return false to refuse it.
plugin.configure(async (config) => {
  Object.assign(settings, config)
  console.log('configured:', config)
})

await plugin.run()
