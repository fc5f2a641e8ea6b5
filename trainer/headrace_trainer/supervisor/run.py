"""One attempt from start to end: the job as numbered steps, with one ending for all of them."""

import json
import shutil
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headrace_api import names, runfolder
from headrace_api.dataset import Manifest
from headrace_api.errors import FatalError, RetryableError, TrainerError
from headrace_api.names import ExitCode, Reason
from headrace_api.quantity import parse_quantity
from headrace_api.report import Outcome, Phase, Verdict
from headrace_api.trainingjob import TrainingJob
from headrace_storage.folder_lock import FolderLock
from headrace_storage.places import local_path, open_store
from headrace_storage.pull import Pull, check_space, in_words
from headrace_storage.retry import Retry
from headrace_storage.stop import Stop, StoppedError
from headrace_storage.store import Store, StoreError
from headrace_trainer.protocol import Ended, Plan
from headrace_trainer.resolve import resolve_heads
from headrace_trainer.supervisor import checkpoints
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.ending import Ending, UploadDeadline
from headrace_trainer.supervisor.follow import Follower
from headrace_trainer.supervisor.initial_weights import FoundWeights, environment_for_weights, find_weights
from headrace_trainer.supervisor.journal import Journal
from headrace_trainer.supervisor.memory_kills import MemoryKills
from headrace_trainer.supervisor.metrics import Metrics
from headrace_trainer.supervisor.places import Places
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.publish import Publisher
from headrace_trainer.supervisor.reading import read_job, read_manifest
from headrace_trainer.supervisor.recognise import recognise_local, recognise_stored
from headrace_trainer.supervisor.run_record import RunRecord, read_earlier
from headrace_trainer.supervisor.serve import serving
from headrace_trainer.supervisor.settings import Settings
from headrace_trainer.supervisor.upload import Limits, Uploads
from headrace_trainer.supervisor.worker_process import PRELOADED_MODULES, WORKER_MODULE, WorkerProcess, worker_environment
from headrace_trainer.supervisor.workspace import Workspace


class Run:
    """One attempt at one job. Create it and call `execute` in the main thread."""

    def __init__(
        self,
        settings: Settings,
        stop: Stop,
        journal: Journal,
        worker_module: str = WORKER_MODULE,
        preload: tuple[str, ...] = PRELOADED_MODULES,
    ) -> None:
        self._settings, self._stop, self._journal = settings, stop, journal
        self._worker_module, self._preload = worker_module, preload
        self.board = Board(Metrics())
        self._retry = Retry(settings.storage_patience_seconds, stop, journal.say)
        self._worker: WorkerProcess | None = None
        self._workspace: Workspace | None = None
        self._uploads: Uploads | None = None
        self._lock: FolderLock | None = None

    def execute(self) -> ExitCode:
        """Run the whole attempt. Whatever happens, `_end` comes last."""
        with ExitStack() as stack:
            try:
                url = stack.enter_context(serving(self.board, self._settings.listen_host, self._settings.listen_port))
                self._journal.say(f"serving {url}")
                ending = self._attempt()
            except StoppedError:
                ending = Ending.stopped("stopped before the training began")
            except Exception as error:
                if not isinstance(error, FatalError):
                    self._journal.say("".join(traceback.format_exception(error)).rstrip())
                ending = Ending.from_error(error)
            return self._end(ending)

    def _attempt(self) -> Ending:
        settings = self._settings

        # 1. Read the job as the operator or the command line wrote it.
        job = read_job(settings.job_file, settings.environment)
        self._journal.say(f"job {job.metadata.namespace}/{job.metadata.name} of project {job.spec.project}")
        meter = ProgressMeter(job.spec.training)
        self.board.show_progress(meter)

        # 2. Set up a clean workspace, whatever an earlier run of this container left in it.
        places = Places.of(job, settings)
        self._workspace = workspace = Workspace(settings.workspace)

        # 3. Start uploading the job and the log to the run folder: wrong credentials show up before the dataset is touched.
        dataset = open_store(places.dataset, settings.environment, settings.pull_connections)
        run_folder = open_store(places.run_folder, settings.environment, blamed=Reason.INVALID_SPEC)
        if (folder := local_path(places.run_folder)) is not None:
            self._lock = FolderLock(folder.absolute(), self._journal.say)
        self._uploads = uploads = self._begin_uploads(run_folder, job, places, workspace)

        # 4. Read the dataset's description; a head that fits no layer ends the job before any image is pulled.
        manifest = read_manifest(dataset, self._retry) or self._recognise(dataset, places, job, workspace)
        for head in resolve_heads(job.spec.model, manifest):
            self._journal.say(head.described)

        # 5. Find what to start from: the latest complete checkpoint of an earlier attempt, else the weights that the job names.
        #    Done now, so that a wrong URI ends the job before any image is pulled; fetched after the dataset.
        checkpoint = self._find_checkpoint(run_folder)
        weights = self._find_weights(places) if checkpoint is None else None

        # 6. Start the worker, which imports torch (seconds) while the dataset is pulled.
        memory_kills = MemoryKills()
        worker = self._start_worker(workspace)
        dataset_folder = self._pull_dataset(dataset, places, job, workspace, weights)
        initial_weights = weights and weights.bring_in(workspace.weights, workspace.partial, self._retry)

        # 7. Let the worker train from the checkpoint. One that arrived whole but cannot be loaded gives way to an earlier one.
        unreadable: list[str] = []
        while True:
            publisher = Publisher(workspace.run, uploads, self.board, self._journal.say)
            checkpoint = self._pull_checkpoint(checkpoint, unreadable, run_folder, workspace)
            uploads.record.resumed(checkpoint.iteration if checkpoint else 0)
            resume_from = self._resume(checkpoint, run_folder, workspace, meter, publisher)
            self.board.show_progress(meter)
            plan = Plan(
                job=job,
                dataset_dir=dataset_folder,
                output_dir=workspace.run,
                resume_from=resume_from,
                initial_weights=initial_weights,
                threads=settings.threads,
            )
            ended = self._train(worker, plan, meter, publisher, memory_kills)
            if checkpoint is None or ended.reason is not Reason.BAD_CHECKPOINT:
                return Ending.from_worker(ended)
            unreadable.append(checkpoint.folder)
            checkpoint = self._next_checkpoint(run_folder, unreadable, ended.message)
            worker.close()
            self._clear(workspace.resume)
            worker = self._start_worker(workspace)

    def _start_worker(self, workspace: Workspace) -> WorkerProcess:
        self._worker = WorkerProcess(
            workspace.plan,
            worker_environment(self._settings.environment, workspace.temporary, self._settings.threads),
            self._journal.worker_line,
            self._worker_module,
            self._preload,
        )
        return self._worker

    def _train(
        self, worker: WorkerProcess, plan: Plan, meter: ProgressMeter, publisher: Publisher, memory_kills: MemoryKills
    ) -> Ended:
        """Start the worker's work, and upload its results while it trains."""
        assert self._workspace is not None
        assert self._uploads is not None
        self._workspace.plan.write_text(plan.model_dump_json())
        self.board.show(Phase.BUILDING, "building the network")
        worker.go()
        return Follower(
            worker,
            meter,
            self._uploads,
            publisher,
            self.board,
            self._journal,
            self._stop,
            memory_kills,
            self._settings.grace_seconds,
            self._settings.worker_silence_seconds,
        ).until_it_ends()

    def _next_checkpoint(self, run_folder: Store, unreadable: Sequence[str], why: str) -> checkpoints.Marker:
        """The best checkpoint besides those that could not be loaded. Raises FatalError(BAD_CHECKPOINT) if there is none: what
        cannot be loaded today may be of use tomorrow, so the training does not begin again and replace it."""
        found = self._find_checkpoint(run_folder, unreadable)
        if found is None:
            raise FatalError(
                Reason.BAD_CHECKPOINT,
                f"{why}; there is no other checkpoint to go on from: submit the job under another name or output to start over, or "
                f"remove {run_folder.uri}checkpoints/",
            )
        self._journal.say(f"{why}; trying {found.folder} instead")
        return found

    def _begin_uploads(self, run_folder: Store, job: TrainingJob, places: Places, workspace: Workspace) -> Uploads:
        content = json.dumps(places.as_used(job), indent=2, ensure_ascii=False).encode() + b"\n"
        self._retry.call("writing job.json", lambda: run_folder.write(runfolder.JOB, content))
        self._journal.say(f"run folder {run_folder.uri}")
        number = self._settings.attempt
        if number is None:
            keys = self._retry.call("listing attempts", lambda: run_folder.list(runfolder.ATTEMPTS))
            number = runfolder.next_attempt(one.key for one in keys)
        earlier = self._retry.call(f"reading {runfolder.RUN}", lambda: read_earlier(run_folder, self._journal.say))
        image = self._settings.environment.get(names.ENV_IMAGE, "")
        record = RunRecord(job, number, earlier, image=image, started_from=places.initial_weights or "")
        limits = Limits(self._settings.upload_patience_seconds, self._settings.upload_every_seconds)
        uploads = Uploads(
            run_folder, runfolder.Attempt(number), self._journal, self.board, limits, record=record, folder=workspace.records
        )
        self._retry.call("listing the log's parts", uploads.find_next_parts)
        self._discard_unfinished(run_folder)
        uploads.start()
        return uploads

    def _discard_unfinished(self, run_folder: Store) -> None:
        """Remove what killed uploads left. Once, and never fatal: keys may lack the permissions, and it only costs space."""
        try:
            run_folder.discard_unfinished()
        except (StoreError, TrainerError) as error:
            self._journal.say(f"unfinished uploads of earlier attempts cannot be removed: {error}")

    def _recognise(self, dataset: Store, places: Places, job: TrainingJob, workspace: Workspace) -> Manifest:
        """Recognise a dataset without dataset.json by its annotation files, before its images are pulled."""
        pull = Pull(dataset, workspace.dataset, workspace.partial, self._retry, self._settings.pull_connections)
        limit = int(parse_quantity(job.spec.resources.workspace))
        if (folder := places.dataset_folder) is not None:
            recognised = recognise_local(folder)
        else:
            recognised = recognise_stored(pull, lambda objects: check_space(objects, workspace.free_bytes(), limit))
        for line in recognised.describe():
            self._journal.say(line)
        return recognised.manifest

    def _pull_dataset(
        self, dataset: Store, places: Places, job: TrainingJob, workspace: Workspace, weights: FoundWeights | None
    ) -> Path:
        """The dataset's folder: in place if it is local, else pulled into the workspace."""
        objects = self._retry.call("listing the dataset", lambda: dataset.list(cancelled=lambda: self._stop.requested))
        if self._uploads is not None:
            self._uploads.record.dataset(dataset.uri, objects)
        if (folder := places.dataset_folder) is not None:
            return folder.absolute()
        size = sum(one.size for one in objects)
        beside = weights.objects if weights else ()
        check_space([*objects, *beside], workspace.free_bytes(), int(parse_quantity(job.spec.resources.workspace)))
        self.board.metrics.dataset_files.set(len(objects))
        self.board.metrics.dataset_bytes.set(size)
        self._journal.say(f"pulling {len(objects):,} files, {in_words(size)}, from {dataset.uri}")

        def show(files: int, bytes_: int) -> None:
            self.board.metrics.pulled_files.set(files)
            self.board.metrics.pulled_bytes.set(bytes_)
            self.board.show(Phase.PULLING, f"dataset: {files:,} of {len(objects):,} files")

        pull = Pull(dataset, workspace.dataset, workspace.partial, self._retry, self._settings.pull_connections)
        pull.run(objects, show)
        return workspace.dataset

    def _find_checkpoint(self, run_folder: Store, besides: Sequence[str] = ()) -> checkpoints.Marker | None:
        return self._retry.call(
            "looking for a checkpoint", lambda: checkpoints.find_complete(run_folder, self._journal.say, besides)
        )

    def _find_weights(self, places: Places) -> FoundWeights | None:
        if places.initial_weights is None:
            return None
        found = find_weights(places.initial_weights, environment_for_weights(self._settings.environment), self._retry)
        self._journal.say(f"starting from the weights at {found.uri}")
        return found

    def _pull_checkpoint(
        self, found: checkpoints.Marker | None, unreadable: list[str], run_folder: Store, workspace: Workspace
    ) -> checkpoints.Marker | None:
        """Bring a checkpoint in and verify its digests. A damaged one joins the `unreadable` and gives way to the next."""
        while found is not None:
            pull = Pull(run_folder, workspace.resume, workspace.partial, self._retry, self._settings.pull_connections)
            pull.run(found.objects())
            damaged = found.damaged_files(workspace.resume)
            if damaged:  # on the way here, or in the store: a second copy tells
                for path, _ in damaged:
                    path.unlink()
                pull.run(found.objects())
                damaged = found.damaged_files(workspace.resume)
            if not damaged:
                if not found.is_verifiable():
                    self._journal.say(f"checkpoint {found.folder} is unverified: an older version wrote it without digests")
                return found
            unreadable.append(found.folder)
            self._clear(workspace.resume)
            found = self._next_checkpoint(run_folder, unreadable, damaged[0][1])
        return None

    def _clear(self, folder: Path) -> None:
        shutil.rmtree(folder)
        folder.mkdir()

    def _resume(
        self,
        found: checkpoints.Marker | None,
        run_folder: Store,
        workspace: Workspace,
        meter: ProgressMeter,
        publisher: Publisher,
    ) -> Path | None:
        if found is None:
            return None
        meter.resumed(found.iteration, found.trained_seconds, found.metrics)
        best = self._retry.call(
            "reading best.json", lambda: checkpoints.complete_marker(run_folder, runfolder.BEST, self._journal.say)
        )
        folder = workspace.resume / found.folder
        publisher.resumed(found, best, folder)
        self._journal.say(f"resuming from iteration {found.iteration:,}: {run_folder.uri}{found.folder}")
        return folder

    def _end(self, ending: Ending) -> ExitCode:
        """End the worker, finish uploads, write the outcome, wipe: in this order, each even if the one before it fails.

        The outcome comes before the wipe, which may take longer than the rest of the grace period; a kubelet reads it once the
        container has ended.
        """
        self.board.show(Phase.ENDING, "uploading the last results")
        if self._worker is not None:
            with self._going_on("ending the worker"):
                if not self._worker.close():
                    self._journal.say("the worker is still there after SIGKILL: leaving it to the kernel")
        self._journal.say(": ".join(part for part in (ending.verdict.value, ending.reason.value, ending.message) if part))
        if self._uploads is not None:
            with self._going_on("the last uploads"):
                ending = self._finish_uploads(self._uploads, ending)
        if self._lock is not None:
            self._lock.close()
        if self._settings.termination_log is not None:
            with self._going_on("writing the outcome"):
                self._settings.termination_log.write_text(self._outcome(ending).to_termination_message())
        if self._workspace is not None:
            with self._going_on(f"wiping the workspace {self._workspace.root}"):
                self._workspace.close()
                self._journal.say("the workspace is wiped")
        return ending.exit_code

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """Log any error in the block and carry on."""
        try:
            yield
        except Exception as error:
            self._journal.say(f"{what}: {type(error).__name__}: {error}")

    def _finish_uploads(self, uploads: Uploads, ending: Ending) -> Ending:
        settings = self._settings
        deadline = UploadDeadline(ending, settings.upload_patience_seconds, self._stop, settings.grace_seconds, uploads)
        try:
            all_arrived = uploads.finish(deadline)
        except Exception as error:  # whatever it is, a job with missing uploads must not count as done
            self._journal.say("".join(traceback.format_exception(error)).rstrip())
            all_arrived = False
            uploads.error = uploads.error or RetryableError(Reason.TRAINER_CRASHED, f"the last uploads: {error!r}")
        if all_arrived and ending.verdict is Verdict.DONE:
            self._discard_unfinished(uploads.store)  # no later attempt will
        if not all_arrived and ending.verdict is not Verdict.ERROR:
            ending = self._without_the_last_upload(uploads, ending)
        content = self._outcome(ending).model_dump_json(by_alias=True, exclude_none=True, indent=2).encode() + b"\n"
        uploads.record.ended(ending, self.board.progress)
        for key, last in ((runfolder.RUN, uploads.record.take()), (runfolder.OUTCOME, content)):
            with self._going_on(f"writing {key}"):
                uploads.write_last(key, last or b"")
        return ending

    def _without_the_last_upload(self, uploads: Uploads, ending: Ending) -> Ending:
        if self._stop.requested:
            message = f"the grace period was too short to upload everything: {self._kept()}"
            return Ending.stopped(f"{ending.message}; {message}".lstrip("; "))
        return Ending.from_error(uploads.error or self._incomplete(uploads))

    def _incomplete(self, uploads: Uploads) -> RetryableError:
        missing = ", ".join(uploads.missing) or "the last lines of the log or the metrics"
        return RetryableError(Reason.UPLOAD_INCOMPLETE, f"gave up waiting for uploads: {missing}; {self._kept()}")

    def _kept(self) -> str:
        saved = self.board.checkpoint
        return "no checkpoint is saved" if saved is None else f"the checkpoint of iteration {saved.iteration:,} is saved"

    def _outcome(self, ending: Ending) -> Outcome:
        return Outcome(
            outcome=ending.verdict,
            reason=ending.reason,
            message=ending.message,
            progress=self.board.progress,
            checkpoint=self.board.checkpoint,
        )
