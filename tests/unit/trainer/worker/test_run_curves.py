"""curves.json: small, complete, and always readable."""

import json
import math
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headrace_api.run import RunCurves
from headrace_trainer.worker.history import MOST_POINTS, History
from headrace_trainer.worker.run_curves import write_curves


def written(history: History, output: Path) -> RunCurves:
    path = output / write_curves(history, output)
    text = path.read_text()
    json.loads(text, parse_constant=lambda constant: (_ for _ in ()).throw(AssertionError(constant)))
    return RunCurves.model_validate_json(text)


def test_every_list_has_a_value_for_every_point(tmp_path: Path) -> None:
    history = History()
    for iteration in range(1, 2 * MOST_POINTS + 2):
        history.losses.add(iteration, iteration * 0.25, {"total": 1 / iteration} | ({"late/class": 2.0} if iteration > 1500 else {}))
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
        history.losses.add(iteration, 1.0 * iteration, {"total": value})
    curves = RunCurves.model_validate_json(_text(history)).losses
    expected = [value if math.isfinite(value) else None for value in values]
    for mean, least, most, value in zip(
        curves.mean.get("total", []), curves.least.get("total", []), curves.most.get("total", []), expected, strict=False
    ):
        assert (mean is None) == (value is None)
        assert mean is None or (least is not None and most is not None and least <= mean <= most)


def _text(history: History) -> str:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return (Path(folder) / write_curves(history, Path(folder))).read_text()


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
