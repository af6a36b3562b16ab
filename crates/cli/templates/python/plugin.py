"""{{name}}: one method, one event and one setting. Make it yours."""

import logging

from jackfield import Plugin

plugin = Plugin()
settings = {"greeting": "Hello"}


@plugin.method
async def greet(name: str):
    """A method, called by its name: jackfield run . --call greet '{"name": "you"}'"""
    return {"greeting": f"{settings['greeting']}, {name}!"}


@plugin.connected
async def connected():
    """The line is open: the host can be called."""
    answer = await plugin.call("get_config")
    settings.update(answer["config"])


@plugin.event("EventThreadPublished")
async def thread_published(event):
    """An event of the application; the manifest lists it under events_consumed."""
    logging.info("thread %s was published", event.get("id"))


@plugin.configure
async def configure(config):
    """The whole configuration, whenever it changes. Return False to refuse it."""
    settings.update(config)
    logging.info("configured: %s", config)


plugin.run()
