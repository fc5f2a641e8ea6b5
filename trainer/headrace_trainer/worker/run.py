"""One attempt at a training job, from its plan to the exported model."""

import math
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import torch

from headrace_api import runfolder
from headrace_api.errors import FatalError
from headrace_api.names import Reason
from headrace_api.report import Verdict
from headrace_trainer.data.batches.image_order import ImageOrder
from headrace_trainer.data.batches.loader import describe_eval_batches, eval_batches, train_batches
from headrace_trainer.data.dataset import Dataset, open_dataset
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.backbones import build_backbone
from headrace_trainer.network.build import HeadPlan, Network, build_network, check_batch_normalisation, check_views
from headrace_trainer.protocol import Building, CurvesWritten, Ended, Exported, Plan
from headrace_trainer.worker import cautions
from headrace_trainer.worker import device as devices
from headrace_trainer.worker.checkpoint import Best, CheckpointState, CheckpointWriter, load_checkpoint, tensor_files
from headrace_trainer.worker.curves import save_curves
from headrace_trainer.worker.ema import AveragedNetwork
from headrace_trainer.worker.evaluate import Evaluation, Scores
from headrace_trainer.worker.export import export_model
from headrace_trainer.worker.extreme_labels import NotFiniteError, extreme_labels, far_values
from headrace_trainer.worker.full_disk import naming_a_full_disk
from headrace_trainer.worker.history import History
from headrace_trainer.worker.initial_weights import load_initial_weights
from headrace_trainer.worker.messages import Messages
from headrace_trainer.worker.model_card import Trained, model_card
from headrace_trainer.worker.opened import describe_opened
from headrace_trainer.worker.optimizer import build_optimizer
from headrace_trainer.worker.pictures import Pictures, are_drawn
from headrace_trainer.worker.precision import compute_dtype
from headrace_trainer.worker.report import Reporter
from headrace_trainer.worker.run_curves import write_curves
from headrace_trainer.worker.showcase import choose_showcase
from headrace_trainer.worker.step import Step
from headrace_trainer.worker.stopping import Stop, StopRequested


def run(plan: Plan, messages: Messages, stop: Stop) -> Ended:
    """Train as `plan` says; returns the final message.

    Raises StopRequested once everything worth keeping is saved, TrainerError if the job cannot continue.
    """
    # 1. Read the annotations, build the network and the training around it, resume from a checkpoint. A stop may interrupt this:
    #    it only creates things in memory.
    with stop.interruptible():
        attempt = _build(plan, messages, stop)
        messages.send(describe_opened(attempt.dataset, attempt.device))
        attempt.resume()
    with attempt.writer:
        try:
            # 2. Train, evaluating and saving along the way.
            reason = attempt.train()
            # 3. Save the last weights before evaluating them: an evaluation that fails costs no training.
            attempt.save_if_ahead()
            scores = attempt.evaluate()
            # 4. Export the model.
            attempt.export(scores)
        except NotFiniteError as error:
            raise attempt.explained(error) from error
        except StopRequested:
            # 5. On a stop, save what was learnt, whatever it interrupted.
            attempt.save_if_ahead()
            raise
    return Ended(verdict=Verdict.DONE, reason=reason)


@dataclass
class Attempt:
    """Everything one attempt works with, and its progress."""

    plan: Plan
    messages: Messages
    stop: Stop
    device: torch.device
    dataset: Dataset
    heads: tuple[HeadPlan, ...]
    network: Network
    averaged: AveragedNetwork | None
    optimizer: torch.optim.Optimizer
    step: Step
    evaluation: Evaluation
    writer: CheckpointWriter

    iteration: int = 0
    """Iterations done, over all attempts."""
    saved_iteration: int = 0
    """The iteration of the newest checkpoint, including those of earlier attempts."""
    evaluated_iteration: int = 0
    """The iteration of the last evaluation of this attempt."""
    missed_evaluation: bool = False
    """Whether the checkpoint we resumed from was due for evaluation: it was saved before that and has no scores."""
    best: Best | None = None
    seconds_before: float = 0.0
    """Seconds of training in earlier attempts."""
    history: History = field(default_factory=History)
    """Losses and scores, over all attempts."""
    started: float | None = None
    """`time.monotonic()` when training began in this attempt."""

    @property
    def trained_seconds(self) -> float:
        """Seconds of training over all attempts, including evaluations but not reading and building."""
        return self.seconds_before + (time.monotonic() - self.started if self.started is not None else 0.0)

    def resume(self) -> None:
        """Continue from the plan's checkpoint, if it has one."""
        folder = self.plan.resume_from
        if folder is None:
            return
        state = load_checkpoint(
            folder,
            self.network,
            self.averaged,
            self.optimizer,
            labels=self._labels(),
            training=self.plan.job.spec.training,
            heads=[head.spec for head in self.heads],
            frozen_levels=self.network.backbone.frozen_levels,
        )
        self.iteration = self.saved_iteration = state.iteration
        self.missed_evaluation = state.owes_evaluation
        self.seconds_before = state.trained_seconds
        self.best = state.best
        self.history = state.history
        self.messages.send(Building(message=f"resuming from the checkpoint of iteration {state.iteration}"))

    def train(self) -> Reason:
        """Iterate until a limit is reached; returns which one. Raises StopRequested between two iterations."""
        self.started = time.monotonic()
        reporter = Reporter(self.messages, lambda: devices.memory_in_use(self.device))
        reason = self._finished()
        if reason is not None or self.missed_evaluation:
            reporter.report_without_step(self.step, self.iteration, self.trained_seconds)
        if reason is not None:
            return reason
        if self.missed_evaluation:
            self.evaluate()
            reporter.restart()
        training, threads = self.plan.job.spec.training, self.plan.threads
        pin_memory = self.device.type == "cuda"
        with closing(train_batches(self.dataset, training, self.iteration, threads, pin_memory)) as batches:
            with self.stop.interruptible():  # reading the first images may take long, and there is nothing to save yet
                batch = reporter.next_batch(batches)
            while True:
                self.step(batch, self.iteration + 1)
                self.iteration += 1
                reason, stopping = self._finished(), self.stop.requested
                pausing = reason is not None or stopping or self._evaluation_due()
                reading = reporter.report_if_due(self.step, self.iteration, self.trained_seconds, at_once=pausing)
                if reading is not None:
                    self.history.losses.add(self.iteration, self.trained_seconds, reading.losses)
                if reason is not None:
                    return reason
                if stopping:
                    raise StopRequested
                if self._save_and_evaluate_if_due():
                    reporter.restart()
                batch = reporter.next_batch(batches)

    def _finished(self) -> Reason | None:
        training = self.plan.job.spec.training
        if self.iteration >= training.max_iterations:
            return Reason.REACHED_MAX_ITERATIONS
        if training.max_training_hours is not None and self.trained_seconds >= training.max_training_hours * 3600:
            return Reason.REACHED_MAX_TRAINING_HOURS
        return None

    def _save_and_evaluate_if_due(self) -> bool:
        """Checkpoint completely, then evaluate: an evaluation that fails or is killed costs no training. Whether it evaluated."""
        self.writer.poll()
        if self.iteration % self.plan.job.spec.training.checkpoint_every == 0:
            self._save(best=False)
            self._write_curves()
        if not self._evaluation_due():
            return False
        self.writer.wait()
        self.evaluate()
        return True

    def _evaluation_due(self) -> bool:
        return self.iteration % self.plan.job.spec.training.evaluate_every == 0

    def _pictures_due(self) -> bool:
        """Not at every evaluation, so that a long run does not leave pictures without end; but at its last one."""
        return self._finished() is not None or are_drawn(self.iteration // self.plan.job.spec.training.evaluate_every)

    def _owes_evaluation(self) -> bool:
        """Whether an evaluation of the current weights is due, along the way or at the end, and has not happened."""
        due = self._evaluation_due() or self._finished() is not None
        return due and self.evaluated_iteration != self.iteration

    def evaluate(self) -> Scores:
        """Score the current weights; if they are the best so far, report their checkpoint as best."""
        scores = self._score()
        best = self._note_best(scores)
        self._write_curves()
        if best:
            if self.writer.newest == self.iteration:
                # Not rewritten: the supervisor may be uploading it right now.
                self.writer.announce_best(self.iteration)
            else:
                self._save(best=True)
        return scores

    def export(self, scores: Scores) -> None:
        """Write the model folder, after the last checkpoint is written."""
        self.writer.wait()
        spec = self.plan.job.spec
        images = {split.name: len(split) for split in (self.dataset.train, self.dataset.val)}
        with self.stop.interruptible(), naming_a_full_disk("the trained model"):
            folder = export_model(
                self.plan.output_dir,
                network=self._evaluated_network(),
                spec=spec.model,
                heads=self.heads,
                image_size=spec.training.image_size,
                iteration=self.iteration,
                scores=scores,
                card=model_card(Trained(self.plan.job, self.heads, images, self.iteration, scores)),
            )
            curves = self._draw_curves()
        self.messages.send(Exported(folder=folder, pictures=[curves]))

    def explained(self, error: NotFiniteError) -> FatalError:
        """The error with the labels behind it, if they are: the batch of its iteration is made again."""
        training = self.plan.job.spec.training
        with self.stop.interruptible(), closing(train_batches(self.dataset, training, error.iteration - 1, threads=1)) as batches:
            labels = extreme_labels(next(batches), self.dataset.heads)
        return error.blaming(labels) if labels else error

    def _draw_curves(self) -> Path:
        path = Path(runfolder.curves_picture(self.iteration))
        heads = {head.spec.name: head.spec.task.words for head in self.heads}
        save_curves(self.history, heads, self.plan.output_dir / path)
        return path

    def _write_curves(self) -> None:
        with naming_a_full_disk("the curves"):
            file = write_curves(self.history, self.plan.output_dir)
        self.messages.send(CurvesWritten(file=file))

    def save_if_ahead(self) -> None:
        """Write a checkpoint unless the newest one is of this iteration, and wait for the write."""
        if self.iteration > self.saved_iteration:
            self._save(best=False)
            self._write_curves()
        self.writer.wait()

    def _save(self, best: bool) -> None:
        self.step.ledger.check()
        state = CheckpointState(
            iteration=self.iteration,
            trained_seconds=self.trained_seconds,
            best=self.best,
            labels=self._labels(),
            training=self.plan.job.spec.training,
            heads=tuple(head.spec for head in self.heads),
            frozen_levels=self.network.backbone.frozen_levels,
            history=self.history.copy(),
            owes_evaluation=self._owes_evaluation(),
        )
        self.writer.save(tensor_files(self.network, self.averaged, self.optimizer), state, best)
        self.saved_iteration = self.iteration

    def _score(self) -> Scores:
        self.step.ledger.check()
        val = self.dataset.val
        with self.stop.interruptible(), closing(eval_batches(val, self.plan.job.spec.training, self.plan.threads)) as batches:
            scores = self.evaluation(self._evaluated_network(), batches, self.iteration, draw=self._pictures_due())
        self.history.scores.add(self.iteration, self.trained_seconds, scores.curves())
        self.evaluated_iteration = self.iteration
        return scores

    def _evaluated_network(self) -> Network:
        return self.network if self.averaged is None else self.averaged.network

    def _note_best(self, scores: Scores) -> bool:
        """Whether no earlier evaluation scored higher; NaN does not count."""
        if math.isnan(scores.primary) or (self.best is not None and self.best.score > scores.primary):
            return False
        self.best = Best(iteration=self.iteration, score=scores.primary)
        return True

    def _labels(self) -> dict[str, LabelSpace]:
        return {head.spec.name: head.labels for head in self.heads}


def _build(plan: Plan, messages: Messages, stop: Stop) -> Attempt:
    """Set up everything for training. Raises FatalError for a dataset or a model that cannot work."""
    spec = plan.job.spec
    training = spec.training

    def say(message: str) -> None:
        messages.send(Building(message=message))

    check_views(spec.model.heads, training.batch_size)
    # Takes half a second and rejects a bad backbone before the dataset is read, which may take minutes.
    backbone = build_backbone(spec.model.backbone)
    check_batch_normalisation(backbone, training.batch_size, training.image_size.height, training.image_size.width)
    device = devices.choose_device(spec.resources.gpus, say)
    devices.configure(device, plan.threads)
    cautions.endless_warmup(training, say)
    say("reading annotations")
    dataset = open_dataset(plan.dataset_dir, spec.model, spec.dataset.max_bad_images, say)
    order = ImageOrder(dataset.train, training.sampler, training.seed)
    for line in [*dataset.describe(), *order.describe(), *describe_eval_batches(dataset.val, training)]:
        say(line)
    cautions.mirrored_keypoints(dataset, training, say)
    far_values(dataset, say)
    heads = tuple(HeadPlan(head.spec, head.labels) for head in dataset.heads)
    say(f"building {spec.model.backbone.name} with {len(heads)} heads on {device.type}")
    torch.manual_seed(training.seed)  # the initial weights
    network = build_network(spec.model, heads).to(device).to(memory_format=torch.channels_last)
    cautions.long_texts(dataset, network, training.image_size.width, say)
    if plan.resume_from is None:
        if plan.initial_weights is not None:
            load_initial_weights(plan.initial_weights, network, heads, say)
        else:
            cautions.frozen_noise(network, say)
    averaged = AveragedNetwork(network, training.ema_decay) if training.ema_decay > 0 else None
    optimizer = build_optimizer(network, training.optimizer)
    dtype = compute_dtype(training.precision, device)
    pictures = Pictures(choose_showcase(dataset.val), plan.output_dir)
    return Attempt(
        plan=plan,
        messages=messages,
        stop=stop,
        device=device,
        dataset=dataset,
        heads=heads,
        network=network,
        averaged=averaged,
        optimizer=optimizer,
        step=Step(
            network=network,
            head_weights={head.spec.name: head.spec.weight for head in heads},
            optimizer=optimizer,
            averaged=averaged,
            training=training,
            device=device,
            dtype=dtype,
        ),
        evaluation=Evaluation(len(dataset.val), device, dtype, pictures, messages),
        writer=CheckpointWriter(plan.output_dir, messages),
    )
