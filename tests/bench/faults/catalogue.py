"""The faults. Each plays the first attempt of a round and says how it may end."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from faults import cgroup, clock
from faults.moments import MOMENTS, building, importing, training
from faults.scene import DONE, KILLED, OUT_OF_MEMORY, STOPPED, WORKER_KILLED, Ending, Scene
from faults.trainer import Trainer
from headrace_api.names import ExitCode, Reason
from headrace_testing.leftovers import eventually, processes_mentioning

DAMAGED_LISTING: Final = tuple(Ending(ExitCode.RETRY, Reason.STORAGE_UNAVAILABLE, words) for words in ("was listed", "ended after"))
"""A listing has no checksum: what it says wrongly shows only when the object that it describes never comes."""
Play = Callable[[Scene], None]


@dataclass(frozen=True)
class Fault:
    """A fault, and why it cannot be played here, if so."""

    name: str
    play: Play
    weight: int = 1
    lacking: Callable[[], str] = lambda: ""


def _weather(change: Callable[[Scene], None], *allowed: Ending) -> Play:
    """The line is bad from the start; the job must get to its end nevertheless."""

    def play(scene: Scene) -> None:
        change(scene)
        scene.judge(scene.start(), *(allowed or (DONE,)))

    return play


def _throttle(scene: Scene) -> None:
    scene.proxy.weather.bytes_per_second = scene.random.uniform(4e6, 2e7)


def _delay(scene: Scene) -> None:
    scene.proxy.weather.delay_seconds = scene.random.uniform(0.02, 0.3)


def _cut(scene: Scene) -> None:
    scene.proxy.weather.cuts = scene.random.randint(1, 4)


def _flip(scene: Scene) -> None:
    scene.proxy.weather.flips = scene.random.randint(1, 3)


def _unavailable(scene: Scene) -> None:
    scene.proxy.weather.unavailable = scene.random.randint(1, 4)


def _unreadable(scene: Scene) -> None:
    scene.proxy.weather.unreadable = scene.random.randint(1, 3)


def _away(scene: Scene) -> None:
    """The store goes for a while that patience outlasts."""
    trainer = scene.start()
    if training(scene, trainer):
        scene.proxy.weather.away = True
        time.sleep(scene.random.uniform(0.5, 4))
        scene.proxy.weather.away = False
    scene.judge(trainer, DONE)


def _gone(scene: Scene) -> None:
    """The store goes for good: what could not be uploaded is missing, and the job must say so."""
    trainer = scene.start()
    if scene.random.choice((importing, training))(scene, trainer):
        scene.proxy.weather.away = True
    # Whoever cannot upload its last results has not finished.
    scene.judge(trainer, DONE, *_named("StorageUnavailable", ExitCode.RETRY), *_named("UploadIncomplete", ExitCode.RETRY))


def _signal_at(moment: str, number: signal.Signals, of_worker: bool, *allowed: Ending) -> Play:
    def play(scene: Scene) -> None:
        trainer = scene.start()
        if MOMENTS[moment](scene, trainer):
            _send(trainer, number, of_worker)
        scene.judge(trainer, DONE, *allowed)

    return play


def _send(trainer: Trainer, number: signal.Signals, of_worker: bool) -> None:
    if not of_worker:
        trainer.signal(number)
    elif (worker := trainer.worker()) is not None:
        worker.send_signal(number)


def _two_stops(scene: Scene) -> None:
    """The second one means: now."""
    trainer = scene.start()
    if MOMENTS["at random"](scene, trainer):
        trainer.signal(signal.SIGTERM)
        time.sleep(scene.random.uniform(0, 0.5))
        trainer.signal(signal.SIGTERM)
    scene.judge(trainer, DONE, STOPPED)


def _stop_on_a_bad_line(scene: Scene) -> None:
    scene.random.choice((_throttle, _delay, _cut, _unavailable))(scene)
    trainer = scene.start()
    if MOMENTS[scene.random.choice(("training", "checkpoint upload", "last upload"))](scene, trainer):
        trainer.signal(signal.SIGTERM)
    scene.judge(trainer, DONE, STOPPED)


def _kill_on_a_bad_line(scene: Scene) -> None:
    scene.random.choice((_throttle, _cut, _flip, _unavailable))(scene)
    trainer = scene.start()
    if MOMENTS[scene.random.choice(("checkpoint upload", "marker", "last upload"))](scene, trainer):
        trainer.signal(signal.SIGKILL)
    scene.judge(trainer, DONE, KILLED)


def _kill_headrace_train(scene: Scene) -> None:
    """Its trainer outlives it for as long as it takes to save and leave; the folder that both used is the next one's to remove."""
    scene.by_headrace_train = True
    trainer = scene.start()
    if trainer.until_log(scene.random.choice(("serving http", "worker: building ", "worker: reading annotations"))):
        time.sleep(scene.random.uniform(0, 1.5))
        trainer.signal(signal.SIGKILL)
    trainer.end()
    if not eventually(lambda: not processes_mentioning(scene.folder), seconds=30):
        scene.wrong.append("the trainer goes on without `headrace train`")
    scene.judge(trainer, DONE, KILLED)


def _stop_headrace_train(scene: Scene) -> None:
    """At any time, from when its own handler is there."""
    scene.by_headrace_train = True
    trainer = scene.start()
    if trainer.until_log("supervisor: "):
        time.sleep(scene.random.uniform(0, 6))
        trainer.signal(scene.random.choice((signal.SIGTERM, signal.SIGINT)))
    scene.judge(trainer, DONE, STOPPED)


def _full_disk(scene: Scene) -> None:
    """The workspace is a disk that fills up while the network trains."""
    with _small_disk(scene.folder / "small-disk", "200m") as disk:
        trainer = scene.start("small-disk")
        if building(scene, trainer):
            free = shutil.disk_usage(disk).free
            left = scene.random.randrange(0, 12 << 20)
            subprocess.run(["fallocate", "-l", str(max(1, free - left)), str(disk / "tmp/ballast")], check=False)
        full = Ending(ExitCode.RETRY, Reason.DISK_FULL, "spec.resources.workspace")
        scene.judge(trainer, DONE, full)
        if any(disk.iterdir()):
            scene.wrong.append(f"the small disk still has {sorted(path.name for path in disk.iterdir())}")
    scene.workspaces.remove(disk)


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[Path]:
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "headrace-faults", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _two_trainers(scene: Scene) -> None:
    """The same job twice, each with a workspace of its own: one of them must win, and the other one say so."""
    first = scene.start()
    MOMENTS[scene.random.choice(("at once", "import", "training", "checkpoint upload"))](scene, first)
    second = scene.start("another-workspace")
    superseded = _named("Superseded", *ExitCode)
    in_use = Ending(ExitCode.FATAL, Reason.INVALID_SPEC, "in use")
    scene.judge(first, DONE, *superseded)
    scene.judge(second, DONE, *superseded, in_use)
    if Reason.REACHED_MAX_ITERATIONS.value not in scene.seen[-2:]:
        scene.wrong.append("neither of two trainers came to the end")


def _named(reason: str, *codes: ExitCode) -> tuple[Ending, ...]:
    return tuple(Ending(code, one) for one in Reason if one.value == reason for code in codes)


def _one_workspace(scene: Scene) -> None:
    """Twice in one workspace: the second one must not touch it."""
    first = scene.start()
    if not importing(scene, first):
        scene.judge(first, DONE)
        return
    second = scene.start()
    scene.judge(second, Ending(ExitCode.FATAL, Reason.INVALID_SPEC, "is in use by another trainer"))
    scene.judge(first, DONE)


def _clock_jumps(scene: Scene) -> None:
    """By less than S3 minds, up and down."""
    with _jumping_clock(scene) as jumping:
        trainer = scene.start(environment=jumping.environment)
        while trainer.until(lambda: True):
            jumping.jump(scene.random.choice((-600, -30, 0, 30, 600)))
            time.sleep(0.2)
        scene.judge(trainer, DONE)


def _clock_is_wrong_for_a_while(scene: Scene) -> None:
    """By a day, so that the store refuses everything, and back."""
    with _jumping_clock(scene) as jumping:
        trainer = scene.start(environment=jumping.environment)
        if training(scene, trainer):
            jumping.jump(scene.random.choice((-86_400, 86_400)))
            time.sleep(scene.random.uniform(0.5, 3))
            jumping.jump(0)
        scene.judge(trainer, DONE)


def _clock_is_wrong(scene: Scene) -> None:
    """By a day, for good: no retry helps, and the clock must be named."""
    with _jumping_clock(scene) as jumping:
        jumping.jump(scene.random.choice((-86_400, 86_400)))
        trainer = scene.start(environment=jumping.environment)
        refused = Ending(ExitCode.FATAL, Reason.STORAGE_REFUSED, "the clock of this machine differs too much")
        scene.judge(trainer, *((DONE,) if scene.local else ()), refused)


@contextmanager
def _jumping_clock(scene: Scene) -> Iterator[clock.JumpingClock]:
    library = scene.world.folder / "clock.so"
    if not library.exists():
        clock.build_library(scene.world.folder)
    yield clock.JumpingClock(library, scene.folder / "clock")


def _out_of_memory(scene: Scene) -> None:
    """The worker grows beyond the memory cgroup: the kernel kills it, and is named."""
    with cgroup.memory_cgroup(f"headrace-faults-{os.getpid()}-{scene.number}") as group:
        assert group is not None
        trainer = scene.start(entrance=group.entrance)
        if scene.random.choice((importing, building, training))(scene, trainer):
            group.leave_room(4 << 20)
        scene.judge(trainer, DONE, OUT_OF_MEMORY)


def _as_root() -> str:
    return "" if os.geteuid() == 0 else "it mounts a small file system, which needs root"


def _with_compiler() -> str:
    return "" if shutil.which("cc") else "there is no C compiler for the clock"


def _with_cgroup() -> str:
    return "" if cgroup.can_be_made() else "no memory cgroup can be made here"


_KILLS: Final = (
    "pull",
    "import",
    "training",
    "evaluation",
    "checkpoint write",
    "checkpoint upload",
    "marker",
    "export",
    "last upload",
)
_WORKER_KILLS: Final = ("import", "build", "training", "evaluation", "checkpoint write", "checkpoint upload", "export")
_STOPS: Final = (
    "at random",
    "at once",
    "pull",
    "import",
    "build",
    "training",
    "evaluation",
    "checkpoint write",
    "export",
    "last upload",
)

FAULTS: Final = (
    Fault("throttled line", _weather(_throttle), 6),
    Fault("delayed requests", _weather(_delay), 6),
    Fault("cut bodies", _weather(_cut), 10),
    Fault("flipped bits", _weather(_flip, DONE, *DAMAGED_LISTING), 10),
    Fault("503", _weather(_unavailable), 6),
    Fault("unreadable error", _weather(_unreadable), 6),
    Fault("store away for a while", _away, 6),
    Fault("store away for good", _gone, 4),
    *(Fault(f"SIGKILL, trainer, {one}", _signal_at(one, signal.SIGKILL, False, KILLED), 5) for one in _KILLS),
    *(Fault(f"SIGKILL, worker, {one}", _signal_at(one, signal.SIGKILL, True, WORKER_KILLED), 3) for one in _WORKER_KILLS),
    *(Fault(f"SIGTERM, {one}", _signal_at(one, signal.SIGTERM, False, STOPPED), 3) for one in _STOPS),
    Fault("SIGTERM twice", _two_stops, 4),
    Fault("SIGTERM on a bad line", _stop_on_a_bad_line, 8),
    Fault("SIGKILL on a bad line", _kill_on_a_bad_line, 8),
    Fault("SIGKILL, headrace train", _kill_headrace_train, 5),
    Fault("SIGTERM, headrace train", _stop_headrace_train, 5),
    Fault("disk full", _full_disk, 10, _as_root),
    Fault("two trainers, one run folder", _two_trainers, 10),
    Fault("two trainers, one workspace", _one_workspace, 3),
    Fault("clock jumps by minutes", _clock_jumps, 4, _with_compiler),
    Fault("clock wrong for a while", _clock_is_wrong_for_a_while, 4, _with_compiler),
    Fault("clock wrong", _clock_is_wrong, 3, _with_compiler),
    Fault("out of memory", _out_of_memory, 8, _with_cgroup),
)
"""Their weights add up to about two hundred."""
