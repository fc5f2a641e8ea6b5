"""The demo from beginning to end, as numbered steps."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path, PurePosixPath

from minio import Minio
from rich.console import Console
from rich.live import Live
from rich.tree import Tree

from headrace_api.runfolder import PICTURES, TRUTH
from headrace_local.cluster import Cluster
from headrace_local.cluster_node import start_node
from headrace_local.cluster_operator import install_operator, start_operator
from headrace_local.demo import findings
from headrace_local.demo.jobs import (
    DATASET_BUCKET,
    DATASET_KEY,
    NAMESPACE,
    RUN_BUCKET,
    DemoJob,
    jobs_on_digit_scenes,
    jobs_on_own_dataset,
)
from headrace_local.demo.observer import Observer
from headrace_local.demo.own_dataset import UnusableError, look_at
from headrace_local.demo.table import jobs_table, state_line
from headrace_local.put import put_folder
from headrace_local.storage_setup import create_storage
from headrace_scenes import write_digit_scenes

NODE = "node-0"
_LAYERS = ("objects", "digits", "instances", "regions", "panoptic", "texture")
"""The layers that the demo's jobs use, and a few more to look at. Not all layers: each job pulls every file."""
LOOK_SECONDS = 0.5
LIMIT_SECONDS = 1800
"""After this time something hangs: the demo reports what it has seen until then, and fails."""


def main(arguments: list[str] | None = None) -> int:
    """Entry of `python -m headrace_local demo`; returns the exit status: 0 only if it observed every claim."""
    options = _parse(arguments)
    console = Console(stderr=False)
    own = options.own
    jobs = jobs_on_own_dataset(own.heads) if own else jobs_on_digit_scenes()
    begun = time.monotonic()

    console.rule("[bold]1. A cluster: etcd, API server, scheduler, S3, a node that offers two GPUs")
    with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="headrace-demo-") as scratch:
        cluster.create_namespace(NAMESPACE)
        create_storage(cluster, NAMESPACE, [DATASET_BUCKET, RUN_BUCKET])
        install_operator(cluster)
        start_operator(cluster)
        start_node(cluster, NODE)
        setup = {**cluster.setup_seconds, "untilReady": round(time.monotonic() - begun, 2)}
        console.print(f"ready after {setup['untilReady']:.0f} s")

        console.rule("[bold]2. A dataset in S3")
        folder = own.folder if own else _draw_dataset(Path(scratch) / "digit-scenes")
        uri = f"s3://{DATASET_BUCKET}/{DATASET_KEY}/"
        count = put_folder(cluster.minio(), folder, uri)
        console.print(f"{count} files of {folder.name} at {uri}", soft_wrap=True)
        for line in own.found if own else ():
            console.print(line, highlight=False, markup=False, soft_wrap=True)

        console.rule("[bold]3. Jobs of two projects, applied one after the other")
        for job in jobs:
            cluster.kubectl("apply", "-f", "-", input=json.dumps(job.manifest()))
            console.print(f"kubectl apply: {job.project}/{job.name}, which {job.purpose}", highlight=False, soft_wrap=True)
        with cluster.api() as api:
            observer = Observer(api, jobs)
            _watch(observer, console)

        console.rule("[bold]4. What the networks learnt, and what is left")
        keys = {job.name: _keys(cluster.minio(), observer.observed[job.name].status.get("output")) for job in jobs}
        pictures = _save_pictures(cluster.minio(), observer, keys, options.output)
        workspaces = _files_in_workspaces(cluster.folder / "nodes" / NODE)
        _show_results(console, observer, keys, pictures)

    checked = findings.claims(observer, keys, pictures, workspaces)
    checked.append(findings.Claim("the cluster and its folder are gone", not cluster.folder.exists()))
    console.rule("[bold]5. The claims, and whether they were observed")
    for claim in checked:
        console.print(
            f"[green]  seen    [/] {claim.text}" if claim.true else f"[bold red]  NOT SEEN[/] {claim.text}",
            highlight=False,
            soft_wrap=True,
        )
    facts = findings.report(observer, setup, checked, keys)
    facts["totalSeconds"] = round(time.monotonic() - begun, 1)
    if options.report:
        options.report.write_text(json.dumps(facts, indent=1))
    console.print(
        f"\n{facts['totalSeconds']:.0f} s in all. Pictures of predictions on held-out images: {options.output.resolve()}/",
        soft_wrap=True,
    )
    return 0 if facts["allObserved"] else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="headrace_local demo", description=__doc__)
    parser.add_argument("--dataset", type=Path, help="a folder, with or without a dataset.json; default: draw digit scenes")
    parser.add_argument("--output", type=Path, default=Path("demo-output"), help="folder for the pictures (default: demo-output)")
    parser.add_argument("--report", type=Path, help="file for the facts as JSON")
    options = parser.parse_args(arguments)
    try:
        options.own = look_at(options.dataset) if options.dataset else None
    except UnusableError as error:
        parser.error(str(error))
    return options


def _draw_dataset(folder: Path) -> Path:
    """600 scenes to learn from, 70 % of them labelled in each layer, and 80 held-out scenes."""
    write_digit_scenes(folder, train=600, val=80, labelled_share=0.7, layers=_LAYERS)
    return folder


def _watch(observer: Observer, console: Console) -> None:
    """Shows the table until every job is over; meanwhile the user stops one job."""
    begun = time.monotonic()
    stopped: set[str] = set()
    said: dict[str, tuple[object, ...]] = {}
    with Live(console=console, refresh_per_second=4, auto_refresh=console.is_terminal, transient=True) as live:
        while time.monotonic() - begun < LIMIT_SECONDS:
            observer.look()
            seconds = time.monotonic() - begun
            for entry in observer.observed.values():
                job: DemoJob = entry.job
                if job.stop_at is not None and entry.iteration >= job.stop_at and job.name not in stopped:
                    stopped.add(job.name)
                    observer.stop(job.name)
                    console.print(
                        f"{seconds:5.0f} s  the user stops {job.name}: kubectl patch … spec.stop=true",
                        highlight=False,
                        soft_wrap=True,
                    )
                if not console.is_terminal and said.get(job.name) != entry.milestone:
                    said[job.name] = entry.milestone
                    console.print(state_line(entry, seconds), highlight=False, soft_wrap=True)
            if console.is_terminal:
                live.update(jobs_table(observer.observed.values(), seconds).live())
            if all(entry.over for entry in observer.observed.values()):
                break
            time.sleep(LOOK_SECONDS)
    jobs_table(observer.observed.values(), time.monotonic() - begun).print(console)


def _keys(store: Minio, run_folder: str | None) -> list[str]:
    """The keys below a run folder, relative to it."""
    if not run_folder:
        return []
    bucket, _, prefix = run_folder.removeprefix("s3://").partition("/")
    return [str(item.object_name).removeprefix(prefix) for item in store.list_objects(bucket, prefix, recursive=True)]


def _save_pictures(store: Minio, observer: Observer, keys: dict[str, list[str]], folder: Path) -> dict[str, Path]:
    """Saves the pictures of each job's last evaluation, and those of the labels, in <folder>/<job>/, below them by head."""
    saved = {}
    for name, entry in observer.observed.items():
        drawn = [key for key in keys[name] if key.startswith(PICTURES) and key.endswith(".jpg")]
        evaluations = sorted({PurePosixPath(key).parts[1] for key in drawn} - {TRUTH})
        if not evaluations:
            continue
        bucket, _, prefix = entry.status["output"].removeprefix("s3://").partition("/")
        last = {evaluations[-1]: "predicted", TRUTH: "labelled"}
        for key in drawn:
            _, evaluation, head, file = PurePosixPath(key).parts
            if evaluation in last:
                store.fget_object(bucket, prefix + key, str(folder / name / last[evaluation] / head / file))
        saved[name] = folder / name
    return saved


def _files_in_workspaces(node: Path) -> dict[Path, int]:
    """The number of files left in each workspace of a trainer pod on the node's disk. A deleted pod's workspace does not exist."""
    return {folder: sum(path.is_file() for path in folder.rglob("*")) for folder in node.glob("pods/*/volumes/workspace")}


def _show_results(console: Console, observer: Observer, keys: dict[str, list[str]], pictures: dict[str, Path]) -> None:
    for name, entry in observer.observed.items():
        scores = ", ".join(f"{head} {score} {value:.3f}" for (head, score), value in entry.scores.items())
        where = f" → {pictures[name]}" if name in pictures else ""
        console.print(
            f"[bold]{name}[/] {entry.state}: {scores or entry.status.get('message', '')}{where}", highlight=False, soft_wrap=True
        )
    fullest = max(keys, key=lambda name: len(keys[name]))
    show_tree(console, str(observer.observed[fullest].status.get("output")), keys[fullest])


def show_tree(console: Console, root: str, keys: list[str]) -> None:
    """Keys as a tree of folders below the URI `root`; only the first and the last of more than six files in a folder."""
    console.print(root, style="bold", highlight=False, soft_wrap=True)
    tree = Tree("", hide_root=True)
    folders: dict[str, Tree] = {"": tree}
    files: dict[str, list[str]] = {}
    for key in keys:
        parent, _, leaf = key.rpartition("/")
        files.setdefault(parent, []).append(leaf)
        for depth in range(parent.count("/") + 1 if parent else 0):
            above, folder = "/".join(parent.split("/")[:depth]), "/".join(parent.split("/")[: depth + 1])
            if folder not in folders:
                folders[folder] = folders[above].add(folder.rpartition("/")[2] + "/")
    for folder, names in files.items():
        for name in names if len(names) <= 6 else [names[0], f"… {len(names) - 2} more", names[-1]]:
            folders[folder].add(name)
    console.print(tree, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
