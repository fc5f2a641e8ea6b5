import asyncio
from collections.abc import Iterator

import pytest

from headrace_local.node.probes import ProbeError, Timing, check_tcp, port_number, verdicts


def collect(results: str, *, successes: int = 1, failures: int = 3) -> str:
    """Verdicts for a row of results, both written with `+` for success and `-` for failure."""
    outcomes: Iterator[str] = iter(results)

    class EndOfTestError(Exception):
        pass

    async def check() -> None:
        outcome = next(outcomes, None)
        if outcome is None:
            raise EndOfTestError
        if outcome == "-":
            raise ProbeError("no")

    async def run() -> str:
        timing = Timing(initial_delay=0, period=0, timeout=5, successes=successes, failures=failures)
        got = ""
        try:
            async for passed in verdicts(timing, check):
                got += "+" if passed else "-"
        except EndOfTestError:
            pass
        return got

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("results", "want"),
    [("+", "+"), ("--", ""), ("---", "-"), ("-----", "-"), ("--+--", "+"), ("+---+", "+-+")],
)
def test_a_verdict_needs_its_threshold_of_results_in_a_row(results: str, want: str) -> None:
    assert collect(results) == want


def test_readiness_may_ask_for_several_successes() -> None:
    assert collect("++-+++", successes=3) == "+"


def test_a_check_that_takes_too_long_has_failed() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def first() -> bool:
        timing = Timing(initial_delay=0, period=0, timeout=0.01, successes=1, failures=1)
        return await anext(verdicts(timing, hang))

    assert asyncio.run(first()) is False


def test_defaults_are_the_api_servers() -> None:
    assert Timing.of({}) == Timing(initial_delay=0, period=10, timeout=1, successes=1, failures=3)


def test_a_port_is_found_by_number_or_name() -> None:
    container = {"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}
    assert port_number(9, container) == 9
    assert port_number("http", container) == 8080
    with pytest.raises(ProbeError, match="couldn't find port: 'grpc' in container c"):
        port_number("grpc", container)


def test_a_tcp_check_passes_only_where_something_listens() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        await check_tcp("127.0.0.1", port)
        server.close()
        await server.wait_closed()
        with pytest.raises(ProbeError):
            await check_tcp("127.0.0.1", port)

    asyncio.run(run())
