"""How long trainers take from SIGTERM to their end: at least thirty stops on a busy machine, each with a safe checkpoint."""

from concurrent.futures import ThreadPoolExecutor
from statistics import median, quantiles
from typing import Any

from headrace_api.names import State
from headrace_e2e.history import terminated
from headrace_e2e.lab import ENDLESS, Lab, manifest

LEAST = 30
SIDE_BY_SIDE = 2
"""Projects running at once: one trainer per core."""
GRACE_SECONDS = 60


def stop_times(lab: Lab) -> dict[str, float]:
    """For every trainer stopped: seconds from the pod's deletion to its container's end, both as the API server reported."""
    found = {}
    pods = {event.name for event in list(lab.history.events) if event.kind == "pod"}
    for pod in sorted(pods):
        events = lab.history.of("pod", pod)
        running = [e.at for e in events if "running" in str(e.obj["status"].get("containerStatuses", [{}])[0].get("state", {}))]
        told = [e.at for e in events if e.obj["metadata"].get("deletionTimestamp") and not terminated(e.obj)]
        ended = [e.at for e in events if terminated(e.obj)]
        if running and told and ended:
            found[pod] = ended[0] - told[0]
    return found


def stop_one_after_the_other(lab: Lab, project: str, count: int) -> None:
    """Trains a moment, stops, and repeats: some stop as soon as they run, some in the middle."""
    for number in range(1, count + 1):
        job = lab.apply(manifest(f"{project}-{number}", project, maxIterations=ENDLESS))
        lab.until_iteration(job, 1 + number % 3 * 4)
        lab.stop(job)
        status = lab.until(job, State.STOPPED)
        saved = status["checkpoint"]["iteration"]
        assert saved == status["progress"]["iteration"] >= 1, f"{job} ended at {status['progress']} with checkpoint {saved}"


def test_thirty_stops_stay_within_their_grace(lab: Lab, report: dict[str, Any], say: Any) -> None:
    missing = max(0, LEAST - len(stop_times(lab)))
    share = -(-missing // SIDE_BY_SIDE)
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(lambda number: stop_one_after_the_other(lab, f"brake{number}", share), range(SIDE_BY_SIDE)))

    times = stop_times(lab)
    exits = {pod: terminated(lab.history.of("pod", pod)[-1].obj) for pod in times}
    killed = {pod: ended for pod, ended in exits.items() if ended and ended["exitCode"] == 137}
    seconds = sorted(times.values())
    p50, p99 = median(seconds), quantiles(seconds, n=100, method="inclusive")[98]
    report["stops"] = {"count": len(seconds), "p50": round(p50, 2), "p99": round(p99, 2), "seconds": [round(s, 2) for s in seconds]}
    say(f"{len(seconds)} stops, SIGTERM to end: p50 {p50:.2f} s, p99 {p99:.2f} s, most {seconds[-1]:.2f} s")
    assert len(seconds) >= LEAST
    assert not killed, f"killed by SIGKILL: {killed}"
    assert seconds[-1] < GRACE_SECONDS
