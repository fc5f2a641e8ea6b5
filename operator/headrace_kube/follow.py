"""List, then watch, for ever: what keeps somebody's picture of the cluster equal to the cluster."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from headrace_kube.client import Client, Json
from headrace_kube.errors import KubeError

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


async def follow(
    client: Client,
    path: str,
    on_list: Callable[[list[Json]], Awaitable[None]],
    on_event: Callable[[str, Json], None],
    query: Mapping[str, str],
) -> None:
    """Tells all objects at once, then every change; tells all again whenever the watch cannot go on where it stopped."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            listing = await client.request("GET", path, query=query)
            await on_list(listing["items"])
            version = listing["metadata"]["resourceVersion"]
            pause = FIRST_PAUSE_SECONDS
            while True:
                async for kind, item in client.watch(path, version, query):
                    version = item["metadata"]["resourceVersion"]
                    if kind != "BOOKMARK":
                        on_event(kind, item)
        except KubeError as error:
            logger.warning("watch of %s broke, listing again in %.1f s: %s", path, pause, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
