"""Sends Events in the background: they may be a little late, but the work queue must not wait for them."""

import asyncio
import logging

from headrace_operator.api import Api, ApiError, Json

logger = logging.getLogger(__name__)

WAITING = 1000
"""Events that may wait to be sent; more are dropped with a log line each, as in client-go's broadcaster."""
SENDERS = 2


class Recorder:
    """A bounded queue of Events and the tasks that send them."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.queue: asyncio.Queue[Json] = asyncio.Queue(WAITING)

    def emit(self, event: Json) -> None:
        """Queues an Event; never waits, never fails."""
        try:
            self.queue.put_nowait(event)
        except asyncio.QueueFull:
            logger.warning("event dropped, %d are already waiting: %s %s", WAITING, event["reason"], event["regarding"]["name"])

    async def run(self) -> None:
        """Sends until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(SENDERS):
                group.create_task(self._send())

    async def flush(self, seconds: float) -> None:
        """Waits until all queued Events are sent, at most this many seconds."""
        try:
            await asyncio.wait_for(self.queue.join(), seconds)
        except TimeoutError:
            logger.warning("%d events were not sent in time", self.queue.qsize())

    async def _send(self) -> None:
        while True:
            event = await self.queue.get()
            try:
                await self.api.create_event(event)
            except ApiError as error:
                # Events are for people; a lost one changes nothing. (A namespace that is being deleted accepts none.)
                logger.warning("event %s of %s was not written: %s", event["reason"], event["regarding"]["name"], error)
            finally:
                self.queue.task_done()
