"""Where the time of a training step goes, and how it compares with torchvision's FCOS.

    python tests/bench/bench_step.py [--json FILE] [--threads 1 2] [--steps 8] [--no-peer]

First a step on digit scenes as the demo trains it: ResNet-18, a pyramid of 64 channels over levels 3 to 5, boxes, regions and tags,
96 px, 8 images. Each part is timed alone, waiting for the device after it. Then boxes alone with a ResNet-50 and a pyramid of 256
channels over levels 3 to 7 at 320 px, 4 images, float32, against torchvision's fcos_resnet50_fpn on the same images and boxes: both
take turns in the same process, so a busy machine slows both. It reports medians and their ratio (above 1: ours is faster).
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torchvision.models.detection import fcos_resnet50_fpn

from headrace_api import model
from headrace_api.training import Training
from headrace_scenes import write_digit_scenes
from headrace_trainer.data.batches.batch import Batch
from headrace_trainer.data.batches.loader import train_batches
from headrace_trainer.data.dataset import open_dataset
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, build_network
from headrace_trainer.worker.device import choose_device, configure
from headrace_trainer.worker.ema import AveragedNetwork
from headrace_trainer.worker.optimizer import build_optimizer
from headrace_trainer.worker.step import Step

WARM_UP = 3
"""Steps that don't count: they create the optimizer's state and fill caches."""

DEMO = model.Network.model_validate(
    {
        "backbone": {"name": "resnet18"},
        "neck": {"fpn": {"channels": 64}, "bottomLevel": 3, "topLevel": 5},
        "heads": [
            {"name": "boxes", "annotations": "objects", "objectDetection": {}},
            {"name": "regions", "annotations": "regions", "semanticSegmentation": {}},
            {"name": "tags", "annotations": "objects", "multilabelClassification": {}},
        ],
    }
)
DETECTOR = model.Network.model_validate(
    {
        "backbone": {"name": "resnet50"},
        "neck": {"fpn": {"channels": 256}, "bottomLevel": 3, "topLevel": 7},
        "heads": [{"name": "boxes", "annotations": "objects", "objectDetection": {}}],
    }
)
PEER_CLASSES, PEER_SIZE, PEER_BATCH, PEER_BOXES = 80, 320, 4, 8


def build_step(network: model.Network, heads: list[HeadPlan], training: Training, device: torch.device) -> Step:
    """Everything a job would train with, in float32."""
    torch.manual_seed(0)
    built = build_network(network, heads).to(device).to(memory_format=torch.channels_last)
    return Step(
        network=built,
        head_weights={plan.spec.name: 1.0 for plan in heads},
        optimizer=build_optimizer(built, training.optimizer),
        averaged=AveragedNetwork(built, training.ema_decay),
        training=training,
        device=device,
        dtype=torch.float32,
    )


def _training(batch_size: int, size: int) -> Training:
    settings = {"batchSize": batch_size, "imageSize": {"height": size, "width": size}, "schedule": {"warmupIterations": 0}}
    return Training.model_validate(settings)


class Stopwatch:
    """Seconds by part, one entry per step."""

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self._device = device

    def time(self, part: str, work: Callable[[], Any]) -> Any:
        """Returns the result of `work`, and records its time."""
        start = time.perf_counter()
        result = work()
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[part].append(time.perf_counter() - start)
        return result

    def medians(self) -> dict[str, float]:
        """Milliseconds by part, without the warm-up steps."""
        return {part: 1000 * statistics.median(seconds[WARM_UP:]) for part, seconds in self.seconds.items()}


def time_parts(dataset_folder: Path, threads: int, steps: int, device: torch.device) -> dict[str, float]:
    """Milliseconds for each part of a step of the demo's network."""
    training = _training(batch_size=8, size=96)
    dataset = open_dataset(dataset_folder, DEMO, 0, print)
    step = build_step(DEMO, [HeadPlan(head.spec, head.labels) for head in dataset.heads], training, device)
    watch = Stopwatch(device)
    with closing(train_batches(dataset, training, 0, threads, pin_memory=device.type == "cuda")) as batches:
        for iteration in range(1, WARM_UP + steps + 1):
            _timed_step(step, watch, watch.time("wait for data", lambda: next(batches)), iteration)
    parts = watch.medians()
    return {**parts, "whole step": sum(parts.values())}


def _timed_step(step: Step, watch: Stopwatch, batch: Batch, iteration: int) -> None:
    images = watch.time("colour, normalise", lambda: step.prepare(batch.images))
    outputs = watch.time("forward", lambda: step.forward(images))
    terms: dict[str, Tensor] = {}
    for name in step.network.heads:
        losses = watch.time(f"loss of {name}", partial(step.losses_of, name, outputs[name], batch, images))
        terms |= {f"{name}/{term}": value for term, value in losses.items()}
    total = step.loss_weights.total(terms)
    watch.time("backward", total.backward)
    watch.time("clip, optimizer, average", lambda: step.update(terms, total.detach(), iteration))


def time_beside_peer(threads: int, steps: int, device: torch.device) -> dict[str, float]:
    """Seconds per step for ours and torchvision's FCOS."""
    torch.set_num_threads(threads)
    training = _training(PEER_BATCH, PEER_SIZE)
    labels = LabelSpace(classes=tuple(map(str, range(PEER_CLASSES))))
    ours = build_step(DETECTOR, [HeadPlan(DETECTOR.heads[0], labels)], training, device)
    batch = _random_boxes_batch()
    peer = fcos_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=PEER_CLASSES,
        min_size=PEER_SIZE,
        max_size=PEER_SIZE,
    ).to(device)
    peer_optimizer = torch.optim.AdamW(peer.parameters(), lr=1e-4, fused=True)
    peer_images = [image.to(device).float() / 255 for image in batch.images]
    targets = batch.targets["boxes"]
    peer_targets = [
        {"boxes": boxes.to(device), "labels": labels.to(device)}
        for boxes, labels in zip(targets["boxes"], targets["classes"], strict=True)
    ]

    def peer_step() -> None:
        sum(peer(peer_images, peer_targets).values()).backward()
        peer_optimizer.step()
        peer_optimizer.zero_grad()

    watch = Stopwatch(device)
    for iteration in range(1, WARM_UP + steps + 1):
        watch.time("ours", partial(ours, batch, iteration))
        watch.time("torchvision FCOS", peer_step)
    medians = watch.medians()
    return {**medians, "ratio": medians["torchvision FCOS"] / medians["ours"]}


def _random_boxes_batch() -> Batch:
    """Noise with boxes of 20 to 160 pixels a side."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (PEER_BATCH, 3, PEER_SIZE, PEER_SIZE), generator=generator, dtype=torch.uint8)
    shape = (PEER_BATCH, PEER_BOXES)
    sides = 20 + 140 * torch.rand(*shape, 2, generator=generator)
    corners = torch.rand(*shape, 2, generator=generator) * (PEER_SIZE - sides)
    targets = {
        "boxes": torch.cat([corners, corners + sides], dim=-1),
        "classes": torch.randint(0, PEER_CLASSES, shape, generator=generator),
        "valid": torch.ones(shape, dtype=torch.bool),
        "crowd": torch.zeros(shape, dtype=torch.bool),
    }
    return Batch(images, {"boxes": targets}, {"boxes": torch.ones(PEER_BATCH, dtype=torch.bool)}, [""] * PEER_BATCH)


def main() -> None:
    """Measure, print tables, write JSON."""
    parser = argparse.ArgumentParser(description="Time training steps.")
    parser.add_argument("--json", type=Path, help="write the numbers here too")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, os.cpu_count() or 1}))
    parser.add_argument("--steps", type=int, default=8, help="steps that count, after the warm-up (default: 8)")
    parser.add_argument("--no-peer", action="store_true", help="leave torchvision's FCOS out")
    options = parser.parse_args()
    device = choose_device(int(torch.cuda.is_available()), print)
    configure(device, options.threads[0])
    results: dict[str, Any] = {"device": str(device), "torch": torch.__version__, "parts_ms": {}, "beside_peer_ms": {}}
    with tempfile.TemporaryDirectory() as folder:
        write_digit_scenes(Path(folder) / "scenes", train=64, val=1, size=96, others_share=0)
        for threads in options.threads:
            torch.set_num_threads(threads)
            results["parts_ms"][threads] = time_parts(Path(folder) / "scenes", threads, options.steps, device)
    if not options.no_peer:
        threads = options.threads[-1]
        results["beside_peer_ms"][threads] = time_beside_peer(threads, options.steps, device)
    for title in ("parts_ms", "beside_peer_ms"):
        _print_table(title, results[title])
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def _print_table(title: str, by_threads: dict[int, dict[str, float]]) -> None:
    if not by_threads:
        return
    table = Table("", *(f"{threads} threads" for threads in by_threads), title=title)
    for row in next(iter(by_threads.values())):
        table.add_row(row, *(f"{values[row]:.2f}" for values in by_threads.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
