"""Lists objects, then watches them forever, so that the caller's copy keeps up with the cluster."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from headrace_api.backoff import Backoff
from headrace_kube.client import Client, Json
from headrace_kube.errors import KubeError, NoAnswerError

logger = logging.getLogger(__name__)

AGAIN_SECONDS = (0.1, 5.0)
"""The first and the longest pause before the next try when the server does not answer."""


async def follow(
    client: Client,
    path: str,
    on_list: Callable[[list[Json]], Awaitable[None]],
    on_event: Callable[[str, Json], None],
    query: Mapping[str, str],
) -> None:
    """Reports all objects, then every change; reports all of them again whenever the watch cannot resume where it stopped."""
    failures = Backoff(*AGAIN_SECONDS)
    while True:
        try:
            listing = await client.request("GET", path, query=query)
            if "items" not in listing:
                raise NoAnswerError(f"the answer to GET {path} is not a list")  # a proxy's page, say
            await on_list(listing["items"])
            version = listing["metadata"]["resourceVersion"]
            failures = Backoff(*AGAIN_SECONDS)
            while True:
                async for kind, item in client.watch(path, version, query):
                    version = item["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        on_event(kind, item)
        except KubeError as error:
            pause = failures.next()
            logger.warning("the watch of %s broke; listing again in %.1f s: %s", path, pause, error)
            await asyncio.sleep(pause)
