"""Clusters side by side, and every way in which they end: no process, folder or port is left."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from headrace_local.access import Facts
from headrace_local.cluster import Cluster
from headrace_local.local_folder import LocalFolder
from headrace_local.ports import free_ports
from headrace_local.processes import ProcessEndedError
from headrace_testing.leftovers import eventually, port_is_open, processes_mentioning

# Owns a cluster, prints where it listens, and keeps running.
OWNER = """
import sys, time
from pathlib import Path
from headrace_local.access import Facts
from headrace_local.cluster import Cluster
with Cluster(folder=Path(sys.argv[1]), controllers=False, scheduler=False) as cluster:
    print(cluster.api_url, cluster.s3_endpoint, flush=True)
    time.sleep(1000)
"""


def ports_of(*urls: str) -> list[int]:
    return [int(url.rpartition(":")[2]) for url in urls]


@pytest.mark.usefixtures("binaries")
def test_two_clusters_side_by_side_know_nothing_of_each_other(tmp_path: Path) -> None:
    small = {"controllers": False, "scheduler": False}
    with Cluster(folder=tmp_path / "a", **small) as a, Cluster(folder=tmp_path / "b", **small) as b:
        ports = ports_of(a.api_url, b.api_url, a.s3_endpoint, b.s3_endpoint)
        assert len(set(ports)) == 4
        a.kubectl("create", "namespace", "only-in-a")
        a.minio().make_bucket("only-in-a")
        assert "only-in-a" not in b.kubectl("get", "namespaces")
        assert not b.minio().bucket_exists("only-in-a")

        # Whatever you try next names a component that died.
        etcd = next(process for process in b.processes.started if process.name == "etcd")
        os.kill(etcd.pid, signal.SIGKILL)
        etcd.wait(10)
        with pytest.raises(ProcessEndedError, match=r"etcd \(pid \d+\) ended with SIGKILL"):
            b.wait_until(lambda: False, "nothing")
    assert not (tmp_path / "a").exists()
    assert processes_mentioning(tmp_path) == []
    assert not any(map(port_is_open, ports))


def test_a_component_that_dies_at_the_start_ends_the_cluster_with_its_own_message(binaries: dict[str, str], tmp_path: Path) -> None:
    broken = tmp_path / "etcd"
    broken.write_text("#!/bin/sh\necho cannot do that >&2\nexit 4\n")
    broken.chmod(0o755)
    programs = {name: Path(path) for name, path in binaries.items()} | {"etcd": broken}
    with pytest.raises(ProcessEndedError, match=r"etcd .* ended with exit code 4(.|\n)*cannot do that"):
        Cluster(binaries=programs, folder=tmp_path / "cluster").__enter__()
    assert not (tmp_path / "cluster").exists()


def test_a_folder_with_something_in_it_is_refused_and_kept(binaries: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        Cluster(folder=tmp_path).__enter__()
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.usefixtures("binaries")
def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        choices = iter([[taken.getsockname()[1], *free_ports(3)], free_ports(4)])
        monkeypatch.setattr("headrace_local.cluster.free_ports", lambda count: next(choices))
        with Cluster(folder=tmp_path / "cluster", controllers=False, scheduler=False, s3=False) as cluster:
            assert "default" in cluster.kubectl("get", "namespaces")
            names = [process.name for process in cluster.processes.started]
    assert names == ["etcd", "kube-apiserver"]
    assert not (tmp_path / "cluster").exists()


@pytest.mark.usefixtures("binaries")
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as owner:
        assert owner.stdout is not None
        ports = ports_of(*owner.stdout.readline().split())
        assert all(map(port_is_open, ports))
        os.killpg(owner.pid, signal.SIGINT)  # like a terminal: to the whole foreground group
        owner.wait(10)
    assert nothing_is_left(folder, ports)


def nothing_is_left(folder: Path, ports: list[int]) -> bool:
    """No folder, no process, no port."""
    return (
        eventually(lambda: not folder.exists())
        and eventually(lambda: processes_mentioning(folder) == [])
        and not any(map(port_is_open, ports))
    )


def headrace_local(project: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "headrace_local", *words]
    return subprocess.run(argv, cwd=project, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.usefixtures("binaries")
def test_up_twice_then_down_twice(tmp_path: Path) -> None:
    up = headrace_local(tmp_path, "up", "--control-plane-only")
    try:
        assert up.returncode == 0, up.stderr
        assert "Ready in" in up.stdout
        again = headrace_local(tmp_path, "up")
        assert again.returncode == 0
        assert "Already up" in again.stdout

        # As documented: a shell that sources .local/env reaches the API and the storage secret.
        script = ". .local/env && .local/bin/kubectl -n demo get secret headrace-storage -o jsonpath='{.data}'"
        shell = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION")
        assert all(f'"{key}"' in shell.stdout for key in keys)
        buckets = sorted(path.name for path in (tmp_path / ".local/cluster/s3/buckets").iterdir() if path.is_dir())
        assert [name for name in buckets if not name.startswith(".")] == ["datasets", "runs"]

        # A component that dies later is reported.
        assert headrace_local(tmp_path, "status").returncode == 0
        local = LocalFolder(tmp_path)
        os.kill(int(local.processes()["kube-scheduler"]["pid"] or 0), signal.SIGKILL)
        assert eventually(lambda: local.processes()["kube-scheduler"]["ended"] == -signal.SIGKILL)
        status = headrace_local(tmp_path, "status")
        assert status.returncode == 1
        assert "kube-scheduler           ENDED with -9" in status.stdout
    finally:
        down = headrace_local(tmp_path, "down")
    assert down.stdout == "Down; nothing is left.\n", down.stderr
    assert list(tmp_path.iterdir()) == []
    assert processes_mentioning(tmp_path) == []
    assert headrace_local(tmp_path, "down").stdout == "Nothing is up.\n"


@pytest.mark.usefixtures("binaries")
def test_a_keeper_that_gets_kill_9_takes_everything_along(tmp_path: Path) -> None:
    assert headrace_local(tmp_path, "up", "--control-plane-only").returncode == 0
    local = LocalFolder(tmp_path)
    keeper = local.keeper()
    assert keeper is not None
    facts = Facts.read(local.cluster)
    ports = ports_of(facts.api_url, facts.s3_endpoint)
    assert all(map(port_is_open, ports))
    os.kill(keeper.pid, signal.SIGKILL)
    assert nothing_is_left(local.path, ports)
    assert list(tmp_path.iterdir()) == []
    assert headrace_local(tmp_path, "status").stdout == "Nothing is up.\n"
