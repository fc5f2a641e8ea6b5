"""curves.json: small, complete, and always readable."""

import json
import math
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headrace_api.run import RunCurves
from headrace_trainer.worker.history import MOST_POINTS, History
from headrace_trainer.worker.run_curves import write_curves


def written(history: History, output: Path) -> RunCurves:
    path = output / write_curves(history, output)
    assert not {"NaN", "Infinity", "-Infinity"} & set(_words_outside_names(path))
    return RunCurves.model_validate_json(path.read_text())


def _words_outside_names(path: Path) -> list[str]:
    """JSON's parser meets NaN and the like as constants."""
    found: list[str] = []
    json.loads(path.read_text(), parse_constant=found.append)
    return found


def test_every_list_has_a_value_for_every_point(tmp_path: Path) -> None:
    history = History()
    for iteration in range(1, 2 * MOST_POINTS + 2):
        history.losses.add(
            iteration, iteration * 0.25, {"total": 1 / iteration} | ({"late/class": 2.0} if iteration > 1500 else {})
        )
    history.scores.add(1000, 250.04, {"boxes/AP": 0.123456789, "primary": 0.5})
    curves = written(history, tmp_path)
    losses = curves.losses
    points = len(losses.iterations)
    assert MOST_POINTS // 2 < points <= MOST_POINTS
    assert {len(values) for lines in (losses.mean, losses.least, losses.most) for values in lines.values()} == {points}
    assert len(losses.seconds) == points
    assert losses.most["total"][0] == 1.0
    assert losses.mean["late/class"][0] is None
    assert curves.scores.iterations == [1000]
    assert curves.scores.seconds == [250.0]
    assert curves.scores.mean["boxes/AP"] == [0.123457], "six digits are enough for a chart"


@given(st.lists(st.floats(), min_size=1, max_size=20))
def test_a_reader_never_meets_nan_and_the_mean_is_between_least_and_most(values: list[float]) -> None:
    history = History()
    for iteration, value in enumerate(values, start=1):
        history.losses.add(iteration, 1.0 * iteration, {"other": 1.0, "total": value})
    with tempfile.TemporaryDirectory() as folder:
        losses = written(history, Path(folder)).losses
    if not any(map(math.isfinite, values)):
        assert losses.mean.keys() == {"other"}
        return
    assert [mean is None for mean in losses.mean["total"]] == [not math.isfinite(value) for value in values]
    for mean, least, most in zip(losses.mean["total"], losses.least["total"], losses.most["total"], strict=True):
        assert mean is None or (least is not None and most is not None and least <= mean <= most)


def test_a_run_without_a_report_has_empty_curves(tmp_path: Path) -> None:
    assert written(History(), tmp_path) == RunCurves()


def test_the_file_is_replaced_in_one_piece(tmp_path: Path) -> None:
    history = History()
    history.losses.add(1, 1.0, {"total": 1.0})
    write_curves(history, tmp_path)
    with (tmp_path / "curves.json").open() as earlier:
        history.losses.add(2, 2.0, {"total": 0.5})
        write_curves(history, tmp_path)
        assert RunCurves.model_validate_json(earlier.read()).losses.iterations == [1], "whoever reads it reads on undisturbed"
    assert written(history, tmp_path).losses.iterations == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["curves.json"]
