"""Polls /status of running trainers; the next pass writes the answers into the job's status."""

import asyncio
import logging
from collections.abc import Callable

import aiohttp
from pydantic import ValidationError

from headrace_api import names
from headrace_api.report import TrainerStatus
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_operator.cache import Cache
from headrace_operator.clock import Clock
from headrace_operator.settings import Settings
from headrace_operator.state import Pod, ProjectKey, Report

logger = logging.getLogger(__name__)

AT_ONCE = 32
"""Requests in flight."""
TIMEOUT_SECONDS = 2
LONGEST_ANSWER = 64 * 1024
"""Maximum bytes of a /status answer; a real one has a few hundred."""


class Poller:
    """Polls every trainer that has an address, repeatedly."""

    def __init__(
        self, cache: Cache, settings: Settings, clock: Clock, enqueue: Callable[[ProjectKey], None], port: int = names.PORT
    ) -> None:
        self.cache = cache
        self.settings = settings
        self.clock = clock
        self.enqueue = enqueue
        self.port = port
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Polls until cancelled."""
        # A request's timeout starts when its turn comes: pods that drop packets must not starve those behind them.
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
            while True:
                pods = [pod for pod in self.cache.live_pods() if pod.ip]
                await asyncio.gather(*(self._poll(session, pod) for pod in pods))
                await asyncio.sleep(self.settings.progress_poll)

    async def _poll(self, session: aiohttp.ClientSession, pod: Pod) -> None:
        try:
            async with self._at_once:
                status = await self._ask(session, pod)
        except (aiohttp.ClientError, TimeoutError, OSError, ValidationError) as error:
            # Not up yet, busy or ending: the pod's conditions, from the watch, show which.
            problem = wrong_fields_in_words(error, TrainerStatus) if isinstance(error, ValidationError) else error
            logger.debug("%s/%s: no progress: %s", pod.namespace, pod.name, problem)
            return
        known = self.cache.reports.get(pod.uid)
        self.cache.reports[pod.uid] = Report(self.clock.now(), status)
        if known is None or known.status != status:
            self.enqueue(pod.key)

    async def _ask(self, session: aiohttp.ClientSession, pod: Pod) -> TrainerStatus:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        async with session.get(f"http://{host}:{self.port}/status", allow_redirects=False) as response:
            response.raise_for_status()
            answer = bytearray()
            async for part in response.content.iter_any():  # read(n) may return before everything has arrived
                answer += part
                if len(answer) > LONGEST_ANSWER:
                    raise aiohttp.ClientPayloadError(f"the answer has more than {LONGEST_ANSWER} bytes")
            return TrainerStatus.model_validate_json(answer, extra="ignore")  # a newer trainer may say more
