"""How long a trainer takes from SIGTERM to its exit, in every phase."""

import random
import signal
import time
from typing import Final

from faults.moments import MOMENTS
from faults.proxy import FaultProxy
from faults.report import Row
from faults.scene import DONE, STOPPED, Scene
from faults.world import World

_PHASES: Final = ("import", "pull", "build", "training", "evaluation", "checkpoint write", "export", "last upload")


def measure_stops(world: World, proxy: FaultProxy, stops: int, seed: int) -> tuple[str, list[Row], bool]:
    """Stop `stops` attempts, phase by phase; the run folder is in a local folder. Title, rows, and whether anything was wrong."""
    taken: dict[str, list[float]] = {phase: [] for phase in _PHASES}
    failed = False
    for number in range(1, stops + 1):
        phase = _PHASES[number % len(_PHASES)]
        proxy.reset(number)
        scene = Scene(world, proxy, number, random.Random(f"{seed}/{number}"), local=True)
        if phase == "pull":
            proxy.weather.bytes_per_second = 20_000
        trainer = scene.start()
        if MOMENTS[phase](scene, trainer):
            began = time.monotonic()
            trainer.signal(signal.SIGTERM)
            trainer.end()
            taken[phase].append(time.monotonic() - began)
        scene.judge(trainer, DONE, STOPPED)
        failed = failed or bool(scene.wrong)
        said = f"{taken[phase][-1]:.2f} s" if taken[phase] else "missed"
        print(f"{number:4} {phase:18} {said} {', '.join(scene.wrong)}", flush=True)
    rows: list[Row] = [("phase", "stops", "p50", "p99"), *(_row(phase, seconds) for phase, seconds in taken.items())]
    everything = [one for seconds in taken.values() for one in seconds]
    return f"SIGTERM to exit, {len(everything)} stops, local run folder", [*rows, _row("all", everything)], failed


def _row(name: str, seconds: list[float]) -> Row:
    ordered = sorted(seconds)
    if not ordered:
        return name, "0", "", ""
    return name, str(len(ordered)), f"{_quantile(ordered, 0.5):.2f} s", f"{_quantile(ordered, 0.99):.2f} s"


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
