"""The demo's claims at its end, each checked against the observations, and the facts as JSON."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from headrace_api.names import State
from headrace_api.runfolder import JOB, LATEST, OUTCOME
from headrace_local.demo.observer import Observed, Observer


@dataclass(frozen=True)
class Claim:
    """A sentence, and whether the demo observed it to be true."""

    text: str
    true: bool


def claims(
    observer: Observer, keys: Mapping[str, list[str]], pictures: Mapping[str, Path], workspaces: Mapping[Path, int]
) -> list[Claim]:
    """Everything that the demo claims at its end.

    `keys`: the keys of each job's run folder; `pictures`: each job's saved picture; `workspaces`: the number of files left
    in each workspace that is still on the node's disk.
    """
    observed = list(observer.observed.values())
    found = [claim for project in observer.most_live_pods for claim in _claims_of_order(observer, project)]
    found += [claim for entry in observed for claim in _claims_of_end(entry, keys.get(entry.job.name, []), pictures)]
    waited = [entry for entry in observed if any(message.startswith("behind ") for message in entry.messages)]
    found.append(Claim(f"{', '.join(e.job.name for e in waited) or 'no job'} reported what they were waiting for", bool(waited)))
    left = sum(workspaces.values())
    found.append(
        Claim(f"{len(workspaces)} workspaces on the node's disk are empty: {left} files left", bool(workspaces) and left == 0)
    )
    return found


def _claims_of_order(observer: Observer, project: str) -> Iterator[Claim]:
    jobs = [entry for entry in observer.observed.values() if entry.job.project == project]
    begun = [entry for entry in jobs if entry.pod_created]
    # Compared to the second, the precision of the API server's creation times.
    in_order = all(
        (earlier.status.get("completionTime") or "~")[:19] <= (later.pod_created or "")[:19] for earlier, later in pairwise(begun)
    )
    names = " → ".join(entry.job.name for entry in sorted(begun, key=lambda entry: entry.pod_created or ""))
    yield Claim(f"project {project}: each job started after the previous one had ended: {names}", in_order and begun == jobs)
    most = observer.most_live_pods[project]
    yield Claim(f"project {project}: at most {most} trainer pod was alive at any time", most == 1)


def _claims_of_end(entry: Observed, keys: list[str], pictures: Mapping[str, Path]) -> Iterator[Claim]:
    job, name = entry.job, entry.job.name
    right_reason = job.reason is None or entry.status.get("reason") == job.reason
    yield Claim(f"{name} ended as {entry.state} ({entry.status.get('reason')})", entry.state is job.state and right_reason)
    yield Claim(f"{name}: its run folder has job, logs and outcome", {JOB, OUTCOME} <= set(keys) and "attempts/1/log.txt" in keys)
    if job.state is State.ERROR:
        helpful = "its layers are" in entry.status.get("message", "")
        yield Claim(f"{name}: the error lists the existing layers", helpful)
        return
    iteration = entry.status.get("checkpoint", {}).get("iteration", 0)
    stored = LATEST in keys and any(key.startswith("checkpoints/") and key.endswith(".safetensors") for key in keys)
    yield Claim(f"{name}: a checkpoint of iteration {iteration} is in S3", iteration > 0 and stored)
    if job.state is State.DONE:
        yield Claim(f"{name}: a trained model is in S3", any(key.startswith("model/") for key in keys))
        yield Claim(f"{name}: a picture of predictions was saved", name in pictures)
        for (head, score), chance in job.better_than.items():
            value = entry.scores.get((head, score), float("nan"))
            yield Claim(f"{name}: {head} {score} {value:.3f} is above {chance}, better than guessing", value > chance)
    else:
        yield Claim(f"{name}: stopped at iteration {iteration}, long before {job.iterations}", 0 < iteration < job.iterations)


def report(
    observer: Observer, setup_seconds: Mapping[str, float], checked: list[Claim], keys: Mapping[str, list[str]]
) -> dict[str, Any]:
    """The facts as JSON."""
    return {
        "setupSeconds": dict(setup_seconds),
        "jobs": [_facts(entry, keys.get(entry.job.name, [])) for entry in observer.observed.values()],
        "claims": [{"text": claim.text, "observed": claim.true} for claim in checked],
        "allObserved": all(claim.true for claim in checked),
    }


def _facts(entry: Observed, keys: list[str]) -> dict[str, Any]:
    status = entry.status
    return {
        "project": entry.job.project,
        "name": entry.job.name,
        "created": entry.created,
        "podCreated": entry.pod_created,
        "started": status.get("startTime"),
        "running": status.get("runningTime"),
        "completed": status.get("completionTime"),
        "states": entry.states,
        "state": entry.state,
        "reason": status.get("reason"),
        "message": status.get("message"),
        "iterations": entry.iteration,
        "trainedSeconds": status.get("progress", {}).get("trainedSeconds"),
        "metrics": [{"head": head, "name": name, "value": value} for (head, name), value in entry.scores.items()],
        "runFolder": status.get("output"),
        "runFolderKeys": keys,
    }
