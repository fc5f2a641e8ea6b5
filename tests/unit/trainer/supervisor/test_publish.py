"""Which checkpoints are uploaded and what their markers say; tests/integration/test_supervisor.py tests the whole."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headrace_api import runfolder
from headrace_api.run import PictureRecord
from headrace_api.training import Training
from headrace_api.trainingjob import MetricValue, parse_job
from headrace_storage.folder import FolderStore
from headrace_testing.builders import manifest
from headrace_trainer.protocol import CurvesWritten, Evaluated, Saved
from headrace_trainer.supervisor import checkpoints
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.metrics import Metrics
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.publish import Publisher
from headrace_trainer.supervisor.run_record import RunRecord
from headrace_trainer.supervisor.upload import Uploads


class UploadsAtOnce(Uploads):
    """Uploads everything at once, in the caller's thread."""

    def __init__(self, store: FolderStore) -> None:
        self.store = store
        self.record = RunRecord(parse_job(manifest("job")), 1, None)

    def fold(self) -> None:
        """Nothing is recorded here."""

    def submit(self, what: str, action: Callable[[], None]) -> None:
        action()

    def put_files(self, files: Mapping[str, Path]) -> None:
        for key, source in files.items():
            self.store.upload(key, source)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "run-folder")


def test_the_marker_of_the_best_has_the_scores_that_made_it_the_best(tmp_path: Path, store: FolderStore) -> None:
    """The checkpoint itself is saved, and may be uploaded, before these scores are known."""
    folder = tmp_path / "checkpoints/00000004"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    meter = ProgressMeter(Training())
    publisher = Publisher(tmp_path, UploadsAtOnce(store), Board(Metrics()), lambda _: None)
    for iteration, value, best in ((2, 0.25, False), (4, 0.5, True)):
        score = MetricValue(head="boxes", name="AP", value=value, iteration=iteration)
        meter.evaluated(Evaluated(iteration=iteration, scores=[score], pictures=[]))
        publisher.saved(Saved(iteration=4, folder=Path("checkpoints/00000004"), best=best), meter)
    latest, best_marker = (checkpoints.read_marker(store, f"checkpoints/{name}.json") for name in ("latest", "best"))
    assert latest is not None
    assert best_marker is not None
    assert [score.value for score in latest.metrics] == [0.25]
    assert [score.value for score in best_marker.metrics] == [0.5]
    assert best_marker.files == latest.files == {"state.json": checkpoints.FileMark.of(folder / "state.json")}
    assert checkpoints.read_marker(store, "checkpoints/00000004/complete.json") == latest


def test_pictures_of_the_labels_are_uploaded_once(tmp_path: Path, store: FolderStore) -> None:
    publisher = Publisher(tmp_path, UploadsAtOnce(store), Board(Metrics()), lambda _: None)
    shown = [PictureRecord(head="boxes", image=f"{name}.png", file=f"{name}.jpg", truth=name == "a") for name in "ab"]
    truth = runfolder.truth_picture("boxes", "a.jpg")
    for iteration, content in ((2, b"first"), (4, b"second")):
        for key in [truth, *(runfolder.picture(iteration, "boxes", f"{name}.jpg") for name in "ab")]:
            (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / key).write_bytes(content)
        publisher.pictures(Evaluated(iteration=iteration, scores=[], pictures=shown))
    contents = {one.key: store.read(one.key) for one in store.list("")}
    assert contents == {
        truth: b"first",
        **{runfolder.picture(2, "boxes", f"{name}.jpg"): b"first" for name in "ab"},
        **{runfolder.picture(4, "boxes", f"{name}.jpg"): b"second" for name in "ab"},
    }


def test_curves_replace_the_earlier_ones(tmp_path: Path, store: FolderStore) -> None:
    publisher = Publisher(tmp_path, UploadsAtOnce(store), Board(Metrics()), lambda _: None)
    for content in ("{}", '{"version": 1}'):
        (tmp_path / runfolder.CURVES).write_text(content)
        publisher.curves(CurvesWritten(file=Path(runfolder.CURVES)))
    assert store.read(runfolder.CURVES) == b'{"version": 1}'
