"""Uploads the worker's results to the run folder: files first, then the marker, then removes what it supersedes."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path

from headrace_api import runfolder
from headrace_api.errors import TrainerError
from headrace_storage.keys import path_for
from headrace_storage.store import StoreError
from headrace_trainer.protocol import CurvesWritten, Evaluated, Exported, Saved
from headrace_trainer.supervisor import checkpoints
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.checkpoints import FileMark, Marker
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.upload import Uploads


class Publisher:
    """Turns the worker's messages about files into uploads. `run` is the worker's output folder on local disk."""

    def __init__(self, run: Path, uploads: Uploads, board: Board, say: Callable[[str], None]) -> None:
        self._run, self._uploads, self._board, self._say = run, uploads, board, say
        self._newest = -1
        # The markers in the store. Once it runs, only the upload thread touches them.
        self._latest: Marker | None = None
        self._best: Marker | None = None
        self._resumed: tuple[Marker, Path] | None = None
        self._cannot_remove = False
        self._truths: set[str] = set()
        """The keys of the labels' pictures that are uploaded or queued."""
        self.upload_seconds = 0.0
        """How long the last checkpoint took to upload, an estimate for the next one."""

    def resumed(self, latest: Marker, best: Marker | None, copy: Path) -> None:
        """Continue from an earlier attempt's checkpoints in the store; `copy` is `latest` on local disk. Call it before `saved`."""
        self._resumed = latest, copy
        self._newest = latest.iteration
        self._latest = latest
        # A best that is newer than the checkpoint we resume from is one that we passed over: it must be uploaded again.
        self._best = best if best is not None and best.iteration <= latest.iteration else None
        self._board.show_checkpoint(latest.described(self._uploads.store))
        self._board.metrics.checkpoint_iteration.set(latest.iteration)

    def saved(self, message: Saved, meter: ProgressMeter) -> None:
        """Upload a checkpoint that is complete on local disk."""
        self._newest = max(self._newest, message.iteration)
        folder = path_for(self._run, message.folder.as_posix())
        marker = Marker(
            iteration=message.iteration,
            folder=runfolder.checkpoint(message.iteration),
            files={},
            trained_seconds=meter.trained_seconds,
            metrics=meter.metrics,
        )
        self._uploads.submit(f"checkpoint {message.iteration}", lambda: self._publish(marker, folder, message.best))

    def pictures(self, message: Evaluated) -> None:
        """Upload pictures of an evaluation, and those of the labels the first time."""
        self.files([Path(runfolder.picture(message.iteration, one.head, one.file)) for one in message.pictures])
        truths = [runfolder.truth_picture(one.head, one.file) for one in message.pictures if one.truth]
        self.files([Path(key) for key in truths if key not in self._truths])
        self._truths.update(truths)

    def files(self, paths: list[Path]) -> None:
        """Upload pictures."""
        if paths:
            files = {path.as_posix(): path_for(self._run, path.as_posix()) for path in paths}
            self._uploads.submit_files("pictures", files)

    def curves(self, message: CurvesWritten) -> None:
        """Upload the curves as they are by then; the worker may replace the file at any time."""
        key = message.file.as_posix()
        path = path_for(self._run, key)
        self._uploads.submit("the curves", lambda: self._uploads.store.write(key, path.read_bytes()))

    def exported(self, message: Exported) -> None:
        """Upload the trained model."""
        folder = path_for(self._run, message.folder.as_posix())

        def publish() -> None:
            self._uploads.put_files({runfolder.MODEL + name: path for name, path in checkpoints.local_files(folder).items()})
            self._uploads.record.files(model=True)
            self._say(f"the trained model is in {self._uploads.store.uri}{runfolder.MODEL}")

        self._uploads.submit("the trained model", publish)

    def _publish(self, wanted: Marker, folder: Path, best: bool) -> None:
        """Runs in the upload thread, and again after a failure."""
        store = self._uploads.store
        marker = next((one for one in (self._latest, self._best) if one and one.iteration == wanted.iteration), None)
        if marker is None:
            if wanted.iteration < self._newest and not best:
                return  # a newer one is queued: uploads are slower than checkpoints, and only the newest counts
            if not folder.is_dir():
                self._say(f"checkpoint {wanted.iteration} was removed before it could be uploaded")
                return
            began = time.monotonic()
            files = checkpoints.local_files(folder)
            marker = wanted.model_copy(update={"files": {name: FileMark.of(path) for name, path in files.items()}})
            self._uploads.put_files({marker.folder + name: path for name, path in files.items()})
            checkpoints.publish_marker(store, checkpoints.own_marker_key(marker), marker)
            self.upload_seconds = time.monotonic() - began
        if self._latest is None or marker.iteration > self._latest.iteration:
            checkpoints.publish_marker(store, runfolder.LATEST, marker)
            self._latest = marker
            self._board.show_checkpoint(marker.described(store))
            self._board.metrics.checkpoint_is_safe(marker.iteration)
            self._uploads.record.files(latest=marker.folder, latest_iteration=marker.iteration)
            self._uploads.fold()
            self._say(f"checkpoint {marker.iteration} is safe in {store.uri}{marker.folder}")
        if best and (self._best is None or marker.iteration != self._best.iteration):
            # It turns out to be the best after it was saved, so take the scores from this message.
            self._best = marker.model_copy(update={"metrics": wanted.metrics})
            checkpoints.publish_marker(store, runfolder.BEST, self._best)
            self._uploads.record.files(best=self._best.folder, best_iteration=self._best.iteration)
        self._prune()

    def _prune(self) -> None:
        """Remove the checkpoints that no marker names any more. A failure must not end the job or delay the next checkpoint."""
        self._prune_local_disk()
        store = self._uploads.store
        assert self._latest is not None
        try:
            store.remove(checkpoints.superseded(store, self._latest, self._best))
        except (StoreError, TrainerError, OSError) as error:
            if not self._cannot_remove:
                self._say(f"superseded checkpoints cannot be removed and are kept: {error}")
            self._cannot_remove = True

    def _prune_local_disk(self) -> None:
        if self._resumed is not None and self._resumed[0] is not self._latest:
            shutil.rmtree(self._resumed[1], ignore_errors=True)
        kept = {one.iteration for one in (self._latest, self._best) if one}
        for folder in (self._run / "checkpoints").glob("[0-9]*"):
            # Those newer than the latest are still to be uploaded.
            if int(folder.name) < max(kept) and int(folder.name) not in kept:
                shutil.rmtree(folder, ignore_errors=True)
