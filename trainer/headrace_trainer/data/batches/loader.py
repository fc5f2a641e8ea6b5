"""Batches, made ahead of time by threads.

Threads, not processes: Pillow decodes and resizes, and numpy copies, without the interpreter's lock, and threads need neither a
second import of torch nor a copy of every batch. Each sample is one task that writes its own row of the batch, and depends on
nothing but (dataset, training, iteration, row): any number of threads makes the same batches, and training resumes bit for bit.
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
"""Keeps the random streams of one seed apart; 0 and 2 are the sampler's."""

_MOST_BYTES = 256 << 20
"""Of the targets of a batch to score on. No held-out object is left out, so they are padded to the most that any held-out image
has; and masks of hundreds of objects take hundreds of megabytes an image."""

_Item = tuple[int, ChooseGeometry]
"""Index of an image in the split, and how it is placed."""


def train_batches(
    dataset: Dataset, training: Training, start_iteration: int, threads: int, pin_memory: bool = False
) -> Generator[Batch]:
    """Batches for the iterations `start_iteration`, `start_iteration` + 1, … without end; close the generator to end it.

    Batch i shows the images of the rows i·B … i·B + B - 1 (sampler.py).
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
    """Every image of `split` once, in order, letterboxed: all of it, as large as fits, centred.

    Batches are as large as in training, or smaller where targets are large; so may the last one be. With the one in use, targets of
    five times _MOST_BYTES lie in memory at most; of five images, where those of one are larger.
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
    """A line for the log where batches to score `split` on are smaller than those that are trained on."""
    most, bound = _most_to_score(split, training), _MOST_BYTES >> 20
    if most >= training.batch_size:
        return []
    few = counted(most, "images")
    return [f"evaluations take {few} at a time, not batchSize = {training.batch_size}: targets of more would be above {bound} MiB"]


def _most_to_score(split: Split, training: Training) -> int:
    """How many images' targets are within _MOST_BYTES; those of one always are."""
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
    """Make the batches in order, two and about `ahead` images ahead of the consumer; what goes wrong in a thread is raised here."""
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
            # Of small batches enough to keep every thread busy while the consumer works on one, and never less than two.
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
