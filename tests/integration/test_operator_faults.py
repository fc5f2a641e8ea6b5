"""The operator when it dies, when several run, when the API server falters, and when it lacks permissions."""

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from headrace_api.names import Reason
from headrace_kube.connection import connect
from headrace_local.access import ClusterAccess
from headrace_local.cluster_operator import PROGRAM
from headrace_local.http_check import answers
from headrace_operator.actions import Actions
from headrace_operator.cache import Cache
from headrace_operator.clock import SystemClock
from headrace_operator.kube import Kube
from headrace_operator.metrics import Metrics
from headrace_operator.rbac import manifests, to_yaml
from headrace_operator.reconcile import Reconciler
from headrace_operator.settings import Settings
from headrace_operator.slot import Slots
from headrace_operator.state import ProjectKey
from headrace_testing.busy_api_server import BusyApiServer
from headrace_testing.faulty_client import FaultyClient, KilledError
from headrace_testing.flaky_proxy import FlakyProxy
from headrace_testing.operators import OperatedNamespace, operated_namespace
from headrace_testing.players import Player, eventually
from headrace_testing.recorded_history import RecordedHistory


@pytest.fixture
def operated(cluster: ClusterAccess) -> Iterator[OperatedNamespace]:
    with operated_namespace(cluster) as operated:
        yield operated


@pytest.fixture
def player(operated: OperatedNamespace) -> Iterator[Player]:
    player = Player(operated.cluster, operated.name)
    yield player
    player.close()


def one_pass_operator(api: FaultyClient, settings: Settings) -> tuple[Cache, Reconciler]:
    """What a new process has: only its client."""
    cache, clock = Cache(), SystemClock()
    slots = Slots(api, clock)  # type: ignore[arg-type]
    actions = Actions(
        api=api,  # type: ignore[arg-type]
        cache=cache,
        slots=slots,
        settings=settings,
        clock=clock,
        metrics=Metrics(),
        emit=lambda event: None,
        identity="in-process",
    )
    return cache, Reconciler(api=api, cache=cache, slots=slots, actions=actions, settings=settings, clock=clock)  # type: ignore[arg-type]


async def one_life(api: FaultyClient, settings: Settings, key: ProjectKey) -> bool:
    """A process LISTs everything and reconciles the project until nothing is left to do. Returns False if it was killed."""
    cache, reconciler = one_pass_operator(api, settings)
    try:
        cache.jobs.replace(key, await api.list_jobs(key))
        cache.pods.replace(key, await api.list_pods(key))
        before = 0
        while len(api.calls) != before:
            before = len(api.calls)
            await reconciler.reconcile(key)
    except KilledError:
        return False
    return True


CALLS_OF_TWO_JOBS = 26
"""More calls than two jobs need."""


@pytest.mark.parametrize("took_effect", [False, True], ids=["before-the-call", "after-the-call"])
def test_an_operator_killed_at_any_call_is_followed_by_one_that_finishes_the_work(
    operated: OperatedNamespace, player: Player, took_effect: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The operator's own client, under the operator's own account.
    monkeypatch.setenv("KUBECONFIG", operated.environment()["KUBECONFIG"])

    async def die_everywhere() -> list[bool]:
        async with Kube(await connect()) as kube:
            clients = [FaultyClient(kube, at, took_effect=took_effect) for at in range(1, CALLS_OF_TWO_JOBS)]
            return await asyncio.gather(*(two_jobs(client, player, f"kill-{client.at}") for client in clients))

    struck = asyncio.run(die_everywhere())
    assert sum(struck) >= 15
    assert not struck[-1], "the last fault came after the last call, so every call was covered"


async def two_jobs(api: FaultyClient, player: Player, project: str) -> bool:
    """Two jobs of a project run until the first ends; on the way one operator dies. Returns whether it did."""
    settings = Settings(trainer_image="trainer:test", watch_namespaces=(player.namespace,))
    key = ProjectKey(player.namespace, project)
    first, second = f"{project}-a", f"{project}-b"
    for name in (first, second):
        await asyncio.to_thread(player.apply, name, project)
    assert await one_life(api, settings, key) or await one_life(api, settings, key), "only one call fails"
    await asyncio.to_thread(player.done_by_hand, first, wait=False)
    assert await one_life(api, settings, key) or await one_life(api, settings, key), "only one call fails"

    pods = {pod["metadata"]["name"]: pod for pod in await asyncio.to_thread(player.pods, project)}
    assert sorted(pods) == [f"{first}-1", f"{second}-1"], f"killed at call {api.at}: {api.calls}"
    assert not pods[f"{second}-1"]["spec"].get("schedulingGates")
    status = await asyncio.to_thread(player.status, first)
    assert (status["state"], status["attempts"], status["failures"]) == ("Done", 1, 0)
    return api.struck


def test_a_killed_operator_is_replaced_and_nothing_is_lost(operated: OperatedNamespace, player: Player) -> None:
    operator = operated.start()
    player.apply("life-1", "life", backoffLimit=2)
    player.apply("life-2", "life")
    player.run("life-1-1")
    player.await_state("life-1", "Running")
    operator.signal(signal.SIGKILL)

    # While no operator runs, the trainer fails, one job is applied, and another is deleted.
    player.exit("life-1-1", 1, "boom")
    player.apply("life-3", "life")
    player.delete("life-2")

    operated.start()
    status = player.await_state("life-1", "Queued", Reason.WAITING_FOR_RUNNER)
    assert (status["attempts"], status["failures"], status["lastAttempt"]["number"]) == (2, 1, 1)
    player.run("life-1-2")
    player.done("life-1-2")
    player.done_by_hand("life-3")


def test_two_replicas_share_the_work_without_a_pause_when_one_gets_sigterm(operated: OperatedNamespace, player: Player) -> None:
    first = operated.start({"HEADRACE_LEADER_LEASE": "30"})
    operated.start({"HEADRACE_LEADER_LEASE": "30"})
    player.apply("relay-1", "relay")
    player.await_pod("relay-1-1")
    began = time.monotonic()
    assert first.stop() == 0
    assert time.monotonic() - began < 3, "at SIGTERM it must not wait for its watches"
    began = time.monotonic()
    player.done_by_hand("relay-1")
    assert time.monotonic() - began < 15, "the Lease was not released: it would have lasted 30 s"


def test_a_standby_takes_over_from_a_leader_that_was_killed(operated: OperatedNamespace, player: Player) -> None:
    first = operated.start()
    operated.start()
    first.signal(signal.SIGKILL)
    player.apply("heir", "heir")
    player.await_pod("heir-1")


def test_a_missing_permission_is_named_at_the_start_and_when_it_is_met(operated: OperatedNamespace, player: Player) -> None:
    rule = player.cluster.kubectl("get", "role", "headrace-operator", "-n", operated.name, "-o=jsonpath={.rules[*].resources}")
    pods = re.findall(r'\["([^"]+)"\]', rule).index("pods")
    patch = f'[{{"op": "replace", "path": "/rules/{pods}/verbs", "value": ["get", "list", "watch", "patch", "delete"]}}]'
    player.cluster.kubectl("patch", "role", "headrace-operator", "-n", operated.name, "--type=json", "-p", patch)
    operator = operated.start()
    assert f"may not create pods in namespace {operated.name}" in operator.log_tail(20)

    player.apply("barred", "barred")
    eventually("the missing permission is named", lambda: 'cannot create resource "pods"' in operator.log_tail(20))
    assert 'cannot create resource "pods"' in player.await_state("barred", "Queued", Reason.POD_REFUSED)["message"]
    assert player.pods() == []
    patch = patch.replace('["get",', '["create", "get",')
    player.cluster.kubectl("patch", "role", "headrace-operator", "-n", operated.name, "--type=json", "-p", patch)
    player.await_pod("barred-1")


def test_an_operator_waits_for_a_server_that_is_away_and_continues(
    operated: OperatedNamespace, player: Player, tmp_path: Path
) -> None:
    url = urlsplit(player.cluster.api_url)
    with FlakyProxy(str(url.hostname), int(url.port or 443)) as proxy:
        # The operator reaches the server only through the proxy.
        kubeconfig = tmp_path / "kubeconfig"
        original = Path(operated.environment()["KUBECONFIG"]).read_text()
        kubeconfig.write_text(original.replace(player.cluster.api_url, f"https://127.0.0.1:{proxy.port}"))
        operated.start({"KUBECONFIG": str(kubeconfig)})
        player.apply("wait-1", "wait")
        player.await_pod("wait-1-1")
        with proxy.broken():
            player.run("wait-1-1")
            player.done("wait-1-1")
            eventually("requests that break", lambda: proxy.refused > 3)
        player.await_state("wait-1", "Done")
        player.apply("wait-2", "wait")
        player.done_by_hand("wait-2")


def test_a_server_that_answers_429_and_5xx_breaks_no_invariant(operated: OperatedNamespace, player: Player, tmp_path: Path) -> None:
    cluster = player.cluster
    jobs = [f"busy-{number}" for number in range(4)]
    with (
        BusyApiServer(cluster.api_url, str(cluster.ca_file), share=0.1, seed=7) as busy,
        RecordedHistory(cluster, operated.name) as history,
    ):
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(Path(operated.environment()["KUBECONFIG"]).read_text().replace(cluster.api_url, busy.url))
        operated.start({"KUBECONFIG": str(kubeconfig), "HEADRACE_LEADER_LEASE": "10"})
        for name in jobs:
            player.apply(name, "busy", backoffLimit=2)
        player.run("busy-0-1")
        player.exit("busy-0-1", 1, "boom")
        player.run("busy-0-2")
        player.done("busy-0-2")
        for name in jobs[1:]:
            player.done_by_hand(name)
        eventually(
            "the history shows the last end",
            lambda: any(
                raw["metadata"]["name"] == jobs[-1] and raw.get("status", {}).get("state") == "Done"
                for _, _, raw, _ in history.changes
            ),
        )
        assert set(busy.struck) == {429, 500, 503}
    checker = history.check()
    checker.at_rest()
    assert [player.status(name)["attempts"] for name in jobs] == [2, 1, 1, 1]


def test_a_watched_namespace_that_is_closed_or_missing_does_not_stop_the_others(
    operated: OperatedNamespace, player: Player
) -> None:
    operator = operated.start({"HEADRACE_WATCH_NAMESPACES": f"no-such-namespace,{operated.name}"})
    said = "skipping namespace no-such-namespace until it can be read"
    eventually("the closed namespace is named", lambda: said in operator.log_tail(50))
    player.apply("open", "open")
    player.done_by_hand("open")


def test_a_namespace_whose_role_comes_late_is_served_from_then_on(
    cluster: ClusterAccess, operated: OperatedNamespace, player: Player
) -> None:
    late = f"{operated.name}-late"
    cluster.create_namespace(late)
    other = Player(cluster, late)
    try:
        operated.start({"HEADRACE_WATCH_NAMESPACES": f"{late},{operated.name}", "HEADRACE_RESYNC": "1"})
        other.apply("late", "late")
        player.apply("early", "early")
        player.await_pod("early-1")
        cluster.kubectl("apply", "-f", "-", input=to_yaml(manifests(operated.name, [late, operated.name])))
        other.await_pod("late-1")
    finally:
        other.close()
        cluster.kubectl("delete", "namespace", late, "--wait=false")


def test_an_operator_answers_its_liveness_probe_while_it_waits_for_permissions(
    cluster: ClusterAccess, operated: OperatedNamespace
) -> None:
    environment = operated.environment() | {"HEADRACE_WATCH_NAMESPACES": "no-such-namespace"}
    url = f"http://127.0.0.1:{environment['HEADRACE_METRICS_PORT']}"
    process = cluster.start(f"waiting-{operated.name}", [*PROGRAM, "run"], env=environment, ready=lambda: answers(f"{url}/healthz"))
    try:
        eventually("what is missing is said", lambda: "not ready to work" in process.log_tail(50))
        assert not answers(f"{url}/readyz")
    finally:
        assert process.stop() == 0
