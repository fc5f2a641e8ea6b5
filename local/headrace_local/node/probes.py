"""Startup, readiness and liveness probes: runs checks, and gives verdicts once the thresholds are met."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

Json = Mapping[str, Any]
Check = Callable[[], Awaitable[None]]


class ProbeError(Exception):
    """The check failed; the message is the one that a kubelet puts into its Unhealthy event."""


@dataclass(frozen=True)
class Timing:
    """When to probe, in seconds, and how many equal results in a row make a verdict. The defaults are the API server's."""

    initial_delay: float
    period: float
    timeout: float
    successes: int
    failures: int

    @classmethod
    def of(cls, probe: Json) -> "Timing":
        return cls(
            initial_delay=probe.get("initialDelaySeconds", 0),
            period=probe.get("periodSeconds", 10),
            timeout=probe.get("timeoutSeconds", 1),
            successes=probe.get("successThreshold", 1),
            failures=probe.get("failureThreshold", 3),
        )


async def verdicts(timing: Timing, check: Check) -> AsyncIterator[bool]:
    """Probe forever; yields True or False whenever enough results in a row agree to meet the threshold."""
    await asyncio.sleep(timing.initial_delay)
    streak, last = 0, None
    while True:
        try:
            await asyncio.wait_for(check(), timing.timeout)
            passed = True
        except (ProbeError, TimeoutError):
            passed = False
        streak = streak + 1 if passed == last else 1
        last = passed
        if streak == (timing.successes if passed else timing.failures):
            yield passed
        await asyncio.sleep(timing.period)


async def check_http(session: aiohttp.ClientSession, action: Json, port: int, pod_ip: str) -> None:
    """`httpGet`: any status from 200 to 399 is success. Like a kubelet, it does not verify certificates."""
    url = f"{action.get('scheme', 'HTTP').lower()}://{action.get('host') or pod_ip}:{port}"
    headers = {"User-Agent": "kube-probe/1.35"}
    headers |= {header["name"]: header["value"] for header in action.get("httpHeaders", ())}
    try:
        async with session.get(url + action.get("path", "/"), headers=headers, ssl=False, allow_redirects=False) as response:
            if not 200 <= response.status < 400:
                raise ProbeError(f"HTTP probe failed with statuscode: {response.status}")
    except (aiohttp.ClientError, OSError) as error:
        raise ProbeError(str(error)) from error


async def check_tcp(host: str, port: int) -> None:
    """`tcpSocket`: succeeds once it is connected."""
    try:
        _reader, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise ProbeError(str(error)) from error
    writer.close()


def port_number(port: int | str, container: Json) -> int:
    """A probe's port, given as a number or as the name of one of the container's ports. Raises ProbeError."""
    if isinstance(port, int):
        return port
    for declared in container.get("ports", ()):
        if declared.get("name") == port:
            number: int = declared["containerPort"]
            return number
    raise ProbeError(f"couldn't find port: {port!r} in container {container['name']}")
