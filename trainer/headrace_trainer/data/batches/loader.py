"""Makes batches ahead of time, in threads.

Threads, not processes: Pillow decodes and resizes, and numpy copies, without the interpreter's lock, and threads need neither a
second import of torch nor a copy of every batch. Each sample is one task that writes its own row of the batch, and depends only on
(dataset, training, iteration, row): any number of threads makes the same batches, and training resumes bit for bit.
"""

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np

from headrace_api.errors import TrainerError
from headrace_api.training import Augmentation, Training
from headrace_trainer.counted import counted
from headrace_trainer.data.batches.augment import random_geometry
from headrace_trainer.data.batches.batch import Batch, empty_batch, write_row
from headrace_trainer.data.batches.image_order import ImageOrder
from headrace_trainer.data.batches.sample import ChooseGeometry, load_sample
from headrace_trainer.data.dataset import Dataset
from headrace_trainer.data.splits.split import Split
from headrace_trainer.data.targets.geometry import Geometry, letterbox

_AUGMENTATION = 1
"""Keeps the random streams of one seed apart; 0 and 2 are image_order.py's."""

_MOST_BYTES = 256 << 20
"""Limit on the targets of an evaluation batch. Evaluation leaves out no object, so targets are padded to the most in any held-out
image, and masks of hundreds of objects take hundreds of megabytes per image."""

_Item = tuple[int, ChooseGeometry]
"""Index of an image in the split, and how to place it."""


def train_batches(
    dataset: Dataset, training: Training, start_iteration: int, threads: int, pin_memory: bool = False
) -> Generator[Batch]:
    """Batches for the iterations `start_iteration`, `start_iteration` + 1, … without end; close the generator to stop.

    Batch i shows the images of rows i·B … i·B + B - 1 (image_order.py).
    """
    size = training.batch_size
    canvas = (training.image_size.height, training.image_size.width)
    order = ImageOrder(dataset.train, training.sampler, training.seed)
    choose = partial(_augmented, training.seed, dataset.augmentation(training.augmentation), canvas)

    def items() -> Iterator[list[_Item]]:
        iteration = start_iteration
        while True:
            yield [(order(iteration * size + row), choose(iteration, row)) for row in range(size)]
            iteration += 1

    return _prefetched(dataset.train, items(), canvas, threads, pin_memory=pin_memory, ahead=2 * threads)


def eval_batches(split: Split, training: Training, threads: int, pin_memory: bool = False) -> Generator[Batch]:
    """Every image of `split` once, in order, letterboxed: whole, as large as fits, centred.

    Batches are as large as in training, or smaller if targets are large; the last may be smaller too. Including the batch in use,
    memory holds at most five times _MOST_BYTES of targets, or five images' targets if one image's are larger than that limit.
    """
    most = _most_to_score(split, training)
    size = min(training.batch_size, most)
    canvas = (training.image_size.height, training.image_size.width)

    def choose(source: tuple[int, int]) -> Geometry:
        return letterbox(source, canvas)

    def items() -> Iterator[list[_Item]]:
        for start in range(0, len(split), size):
            yield [(index, choose) for index in range(start, min(start + size, len(split)))]

    return _prefetched(split, items(), canvas, threads, pin_memory=pin_memory, ahead=min(2 * threads, most))


def describe_eval_batches(split: Split, training: Training) -> list[str]:
    """A log line if evaluation batches of `split` are smaller than training batches."""
    most, bound = _most_to_score(split, training), _MOST_BYTES >> 20
    if most >= training.batch_size:
        return []
    few = counted(most, "images")
    return [f"evaluation takes {few} at a time, not batchSize = {training.batch_size}: targets of more would exceed {bound} MiB"]


def _most_to_score(split: Split, training: Training) -> int:
    """How many images' targets fit in _MOST_BYTES, but at least 1."""
    one = empty_batch(split, 1, (training.image_size.height, training.image_size.width))
    size = sum(tensor.nbytes for targets in one.targets.values() for tensor in targets.values())
    return max(1, _MOST_BYTES // max(1, size))


def _augmented(seed: int, augmentation: Augmentation, canvas: tuple[int, int], iteration: int, row: int) -> ChooseGeometry:
    def choose(source: tuple[int, int]) -> Geometry:
        random = np.random.default_rng((seed, _AUGMENTATION, iteration, row))
        return random_geometry(source, canvas, augmentation, random)

    return choose


def _prefetched(
    split: Split, batches: Iterable[list[_Item]], canvas: tuple[int, int], threads: int, *, pin_memory: bool, ahead: int
) -> Generator[Batch]:
    """Make the batches in order, two batches and about `ahead` images ahead of the consumer; raises the threads' errors."""
    executor = ThreadPoolExecutor(threads, thread_name_prefix="loader")
    waiting: deque[tuple[Batch, list[Future[None]]]] = deque()

    def load(batch: Batch, row: int, item: _Item) -> None:
        index, choose = item
        try:
            write_row(batch, row, load_sample(split, index, canvas, choose))
        except TrainerError:
            raise
        except Exception as error:
            error.add_note(f"while loading {split.images[index]} of {split.name}")
            raise

    def start(items: list[_Item]) -> None:
        batch = empty_batch(split, len(items), canvas, pin_memory)
        waiting.append((batch, [executor.submit(load, batch, row, item) for row, item in enumerate(items)]))

    try:
        for items in batches:
            start(items)
            # Enough small batches to keep every thread busy while the consumer works on one, and never fewer than two.
            if len(waiting) > 2 + ahead // len(items):
                yield _finished(*waiting.popleft())
        while waiting:
            yield _finished(*waiting.popleft())
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _finished(batch: Batch, rows: list[Future[None]]) -> Batch:
    for row in rows:
        row.result()
    return batch
