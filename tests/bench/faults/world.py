"""What all rounds share: a dataset of a few digit scenes, an S3 server, and the training as it goes when nothing goes wrong."""

import hashlib
import json
import os
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from minio import Minio
from safetensors.numpy import load

from headrace_api.trainingjob import parse_job
from headrace_local.binaries import find_binaries
from headrace_scenes import write_digit_scenes
from headrace_storage.places import open_store
from headrace_testing.workers import running_worker

ITERATIONS: Final = 20
_DATASET: Final = "dataset"


def job_document(name: str) -> dict[str, Any]:
    """A training of a second or two. Its checkpoints have files of 2 to 22 MB, so that some are uploaded in parts."""
    head = {"name": "tags", "annotations": "objects", "multilabelClassification": {}}
    return {
        "apiVersion": "headrace.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "project": "faults",
            "dataset": {"uri": "s3://none/none/"},
            "model": {"backbone": {"name": "resnet18", "topLevel": 4}, "heads": [head]},
            "training": {
                "maxIterations": ITERATIONS,
                "batchSize": 2,
                "imageSize": {"height": 32, "width": 32},
                "schedule": {"warmupIterations": 2, "decay": "cosine"},
                "optimizer": {"sgd": {"learningRate": 0.01}},
                "emaDecay": 0,
                "evaluateEvery": 8,
                "checkpointEvery": 4,
            },
            "resources": {"gpus": 0},
        },
    }


@dataclass
class World:
    """The dataset is in `bucket` and in a local folder; `environment` reaches the server without any proxy."""

    folder: Path
    dataset: Path
    environment: dict[str, str]
    buckets: Path
    """Where the server keeps its buckets."""
    bucket: str
    checkpoints: dict[int, str] = field(default_factory=dict)
    """The tensors of each iteration's checkpoint, as a hash."""
    model: str = ""

    @property
    def dataset_uri(self) -> str:
        return f"s3://{self.bucket}/{_DATASET}/"

    def incomplete_uploads(self) -> list[str]:
        """Multipart uploads that were neither completed nor aborted: they cost money for ever, and no listing shows them."""
        found = (self.buckets / self.bucket).glob(".sgwtmp/multipart/*/*")
        return sorted(path.name for path in found if path.is_dir())


def tensors_hash(files: Mapping[str, bytes]) -> str:
    """Of names, shapes, types and values of the tensors in safetensors files, whatever else the files hold."""
    digest = hashlib.sha256()
    for file in sorted(files):
        for name, tensor in sorted(load(files[file]).items()):
            digest.update(f"{file} {name} {tensor.dtype} {tensor.shape}".encode())
            digest.update(np.ascontiguousarray(tensor).tobytes())
    return digest.hexdigest()


def hash_folder(folder: Path) -> str:
    """`tensors_hash` of a folder's files."""
    return tensors_hash({path.name: path.read_bytes() for path in folder.glob("*.safetensors")})


@contextmanager
def new_world(folder: Path) -> Iterator[World]:
    """A world in `folder`, with everything started."""
    dataset = folder / "dataset"
    write_digit_scenes(dataset, train=10, val=4, size=32, others_share=0)
    with _server(folder) as (environment, buckets):
        world = World(folder, dataset, environment, buckets, "bench")
        address = environment["AWS_ENDPOINT_URL"].removeprefix("http://")
        keys = environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]
        Minio(address, access_key=keys[0], secret_key=keys[1], secure=False, region="us-east-1").make_bucket(world.bucket)
        store = open_store(world.dataset_uri, environment)
        for path in sorted(dataset.rglob("*")):
            if path.is_file():
                store.upload(path.relative_to(dataset).as_posix(), path)
        _train_undisturbed(world)
        yield world


def _train_undisturbed(world: World) -> None:
    """Train without a supervisor, which would remove superseded checkpoints, and note what each iteration gives."""
    document = job_document("undisturbed")
    document["spec"]["training"]["checkpointEvery"] = 1
    with running_worker(parse_job(document), world.dataset, world.folder / "undisturbed") as worker:
        ended = worker.ended()
    output = world.folder / "undisturbed/output"
    for folder in sorted((output / "checkpoints").iterdir()):
        world.checkpoints[int(folder.name)] = hash_folder(folder)
    world.model = hash_folder(output / "model")
    if sorted(world.checkpoints) != list(range(1, ITERATIONS + 1)):
        raise RuntimeError(f"the undisturbed training ended with {ended}")


@contextmanager
def _server(folder: Path) -> Iterator[tuple[dict[str, str], Path]]:
    port, secret, buckets = _free_port(), secrets.token_hex(16), folder / "s3"
    buckets.mkdir()
    (folder / "metadata").mkdir()
    flags = ["--port", f"127.0.0.1:{port}", "--keep-alive", "--quiet"]
    keys = {"ROOT_ACCESS_KEY_ID": "bench", "ROOT_SECRET_ACCESS_KEY": secret}
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(
            [str(find_binaries()["versitygw"]), *flags, "posix", f"--sidecar={folder / 'metadata'}", str(buckets)],
            env=os.environ | keys, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _await_port(port)
        environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "bench",
            "AWS_SECRET_ACCESS_KEY": secret,
        }
        yield environment, buckets
    finally:
        server.terminate()
        server.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _await_port(port: int) -> None:
    limit = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > limit:
                raise
            time.sleep(0.02)
        else:
            return


def read_json(content: bytes) -> Any:
    """JSON, or None if it is none."""
    try:
        return json.loads(content)
    except ValueError:
        return None
