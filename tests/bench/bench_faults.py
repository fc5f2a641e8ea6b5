"""Lets everything go wrong that can go wrong around a trainer, and checks what must hold nevertheless.

    python tests/bench/bench_faults.py [--seed 1] [--rounds 200] [--only NUMBER ...] [--fault WORDS] [--report FILE] [--keep]
    python tests/bench/bench_faults.py --stops 50 [--report FILE]

A round is a job of twenty iterations on a real S3 server, behind a proxy that fails on demand. Its first attempt meets a fault
(tests/bench/faults/catalogue.py); then the job is brought to its end. After each attempt: the markers name complete checkpoints,
bit-equal to those of an undisturbed training; nobody's files are touched; exit code, reason and message are among those that the
fault may lead to. At the end: the model is bit-equal, and nothing is left in workspace, temporary folder, store and process table.

A round depends on the seed and its number alone (as far as time allows): `--only 17` plays round 17 again and prints its log. Exit
status 1 if anything was wrong.
"""

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from faults.catalogue import FAULTS, Fault
from faults.proxy import FaultProxy, fault_proxy
from faults.report import Row, markdown, print_table
from faults.scene import Scene
from faults.stops import measure_stops
from faults.world import World, new_world

from headrace_storage.stop import Stop, exit_on_sigterm


@dataclass(frozen=True)
class Played:
    """A round that is over."""

    number: int
    fault: str
    wrong: list[str]
    seen: list[str]
    logs: list[str]
    seconds: float


def main() -> int:
    """Play the rounds, print a table."""
    parser = argparse.ArgumentParser(description="Faults around a trainer, and what must hold nevertheless.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--first", type=int, default=1, help="the number of the first round")
    parser.add_argument("--only", type=int, nargs="+", default=[], help="play these rounds only, and print their logs")
    parser.add_argument("--fault", default="", help="play only faults whose name contains this")
    parser.add_argument("--stops", type=int, default=0, help="instead, measure this many stops, spread over all phases")
    parser.add_argument("--report", type=Path, help="write the table here, as Markdown")
    parser.add_argument("--keep", action="store_true", help="keep the folder")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="headrace-faults-"))
    try:
        with new_world(folder) as world, fault_proxy(world.environment["AWS_ENDPOINT_URL"]) as proxy:
            if options.stops:
                title, rows, failed = measure_stops(world, proxy, options.stops, options.seed)
            else:
                numbers = options.only or range(options.first, options.first + options.rounds)
                played = _play_all(world, proxy, options.seed, numbers, _possible(options.fault), bool(options.only))
                title, rows, failed = _summary(played, options.seed)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    print_table(title, rows)
    if options.report:
        options.report.write_text(markdown(title, rows))
    return 1 if failed else 0


def _possible(words: str) -> list[Fault]:
    wanted = [fault for fault in FAULTS if words in fault.name]
    for fault in wanted:
        if lacking := fault.lacking():
            print(f"not played: {fault.name}: {lacking}", flush=True)
    return [fault for fault in wanted if not fault.lacking()]


def _play_all(
    world: World, proxy: FaultProxy, seed: int, numbers: Sequence[int], faults: Sequence[Fault], verbose: bool
) -> list[Played]:
    played = []
    for number in numbers:
        one = _play(world, proxy, seed, number, faults)
        played.append(one)
        print(f"{number:4} {one.fault:32} {one.seconds:5.1f} s  {', '.join(one.seen)}", flush=True)
        for wrong in one.wrong:
            print(f"     WRONG: {wrong}", flush=True)
        if verbose:
            print(*one.logs, sep="\n--- next attempt\n")
    return played


def _play(world: World, proxy: FaultProxy, seed: int, number: int, faults: Sequence[Fault]) -> Played:
    chance = random.Random(f"{seed}/{number}")
    fault = chance.choices(faults, [one.weight for one in faults])[0]
    proxy.reset(number)
    began = time.monotonic()
    scene = Scene(world, proxy, number, chance, local=chance.random() < 0.2)
    try:
        fault.play(scene)
        scene.finish()
    except Exception as error:
        scene.wrong.append(f"the round itself failed: {type(error).__name__}: {error}")
    finally:
        scene.close()
    if not scene.wrong:
        shutil.rmtree(scene.folder, ignore_errors=True)
    return Played(number, fault.name, scene.wrong, scene.seen, scene.logs, time.monotonic() - began)


def _summary(played: Sequence[Played], seed: int) -> tuple[str, list[Row], bool]:
    rows = []
    for name in dict.fromkeys(fault.name for fault in FAULTS):
        rounds = [one for one in played if one.fault == name]
        if rounds:
            seen = Counter(ending for one in rounds for ending in one.seen)
            numbers = [one.number for one in rounds if one.wrong]
            rows.append(
                (
                    name,
                    str(len(rounds)),
                    ", ".join(map(str, numbers)) or "0",
                    ", ".join(f"{n} × {what}" for what, n in seen.items()),
                )
            )
    failed = sum(bool(one.wrong) for one in played)
    total = f"{len(played)} rounds of seed {seed}, {failed} failed"
    return total, [("fault", "rounds", "failed rounds", "endings of its attempts"), *rows], failed > 0


if __name__ == "__main__":
    exit_on_sigterm(Stop())  # so that disks are unmounted and trainers ended
    sys.exit(main())
