"""One round: a run folder of its own, attempts at one job, and what was wrong with them."""

import json
import random
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from faults import invariants
from faults.proxy import FaultProxy
from faults.trainer import Trainer, environment_through
from faults.world import World, job_document
from headrace_api import runfolder
from headrace_api.names import ExitCode, Reason
from headrace_api.report import Outcome
from headrace_storage.places import open_store
from headrace_storage.store import Store

_MOST_ATTEMPTS: Final = 3
"""How many undisturbed attempts a job may need to its end; one must do, unless the store is still recovering."""


@dataclass(frozen=True)
class Ending:
    """An ending that a fault may lead to."""

    code: int
    reason: Reason | None = None
    """None: the process could say nothing."""
    words: str = ""
    """What the message must contain."""

    def fits(self, code: int | None, outcome: Outcome | None) -> bool:
        """Whether an attempt ended like this."""
        if code != self.code:
            return False
        if self.reason is None or outcome is None:
            return self.reason is None and outcome is None
        return outcome.reason is self.reason and self.words in outcome.message


DONE: Final = Ending(ExitCode.OK, Reason.REACHED_MAX_ITERATIONS)
STOPPED: Final = Ending(ExitCode.OK, Reason.INTERRUPTED)
KILLED: Final = Ending(-signal.SIGKILL)
WORKER_KILLED: Final = Ending(ExitCode.RETRY, Reason.TRAINER_CRASHED, "the kernel reports no out-of-memory kill")
OUT_OF_MEMORY: Final = Ending(ExitCode.RETRY, Reason.OUT_OF_MEMORY, "by the kernel, because memory ran out")


@dataclass
class Scene:
    """A round. Faults start attempts and judge their ends; `finish` brings the job to its end."""

    world: World
    proxy: FaultProxy
    number: int
    random: random.Random
    local: bool
    """The run folder is in a local folder, not in S3."""
    wrong: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    by_headrace_train: bool = False
    """Attempts are started by `headrace train`, all with one temporary folder, as on somebody's machine."""
    _attempts: int = 0
    _newest: int = 0

    _started: list[Trainer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = self.world.folder / f"round-{self.number}"
        self.folder.mkdir()
        self._job = self.folder / "job.json"
        self._job.write_text(json.dumps(job_document(f"round-{self.number}")))
        self.output = str(self.folder / "output") if self.local else f"s3://{self.world.bucket}/runs"
        uri = runfolder.run_folder(self.output, "default", "faults", f"round-{self.number}", runfolder.UID_OF_LOCAL_RUNS)
        self.store: Store = open_store(uri, self.world.environment)
        self.workspaces: list[Path] = []
        self._unfinished_before = self.world.incomplete_uploads()
        invariants.plant(self.store)

    def start(
        self, workspace: str = "workspace", environment: dict[str, str] | None = None, entrance: Path | None = None
    ) -> Trainer:
        """Start an attempt. One that finds the workspace of a killed one uses it, as a container does that is started again."""
        self._attempts += 1
        if (place := self.folder / workspace) not in self.workspaces:
            self.workspaces.append(place)
        trainer = Trainer(
            self.folder / ("machine" if self.by_headrace_train else f"attempt-{self._attempts}"),
            self._job,
            dataset=self.world.dataset_uri,
            output=self.output,
            workspace=place,
            environment=environment_through(self.world.environment, self.proxy.endpoint) | (environment or {}),
            entrance=entrance,
            by_headrace_train=self.by_headrace_train,
        )
        self._started.append(trainer)
        return trainer

    def judge(self, trainer: Trainer, *allowed: Ending) -> None:
        """Wait for the end of an attempt, which must be one of `allowed`, and look at the run folder."""
        code, outcome = trainer.end(), trainer.outcome()
        self.logs.append(trainer.log)
        reason = "nothing said" if outcome is None else outcome.reason.value
        self.seen.append("hung" if code is None else reason if code >= 0 else f"signal {-code}")
        if not any(one.fits(code, outcome) for one in allowed):
            said = "" if outcome is None else outcome.message
            self.wrong.append(f"it ended with exit code {code}, {reason}: {said!r}")
        wrong, self._newest = invariants.wrong_in_run_folder(self.world, self.store, self._newest)
        self.wrong += wrong
        claimed = outcome.checkpoint.iteration if outcome is not None and outcome.checkpoint is not None else 0
        if claimed > self._newest:
            self.wrong.append(f"it reports a checkpoint of iteration {claimed}, but the newest is of {self._newest}")

    def finish(self) -> None:
        """Bring the job to its end in fair weather, and look at everything once more."""
        self.proxy.reset(self.number)
        for _ in range(_MOST_ATTEMPTS):
            if self.seen and self.seen[-1] == Reason.REACHED_MAX_ITERATIONS.value:
                break
            self.judge(self.start(), DONE)
        self.wrong += invariants.wrong_when_done(self.world, self.store)
        output = self.folder / "output" if self.local else None
        self.wrong += invariants.left_behind(self.folder, self.workspaces, output)
        unfinished = sorted(set(self.world.incomplete_uploads()) - set(self._unfinished_before))
        self.wrong += [f"an unfinished upload is left: {one}" for one in unfinished]

    def close(self) -> None:
        """End what a round that failed, or was interrupted, left running."""
        for trainer in self._started:
            if trainer.running:
                trainer.process.kill()
                trainer.process.wait()
