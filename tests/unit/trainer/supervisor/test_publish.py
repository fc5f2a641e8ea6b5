"""Which checkpoints are uploaded and what their markers say; tests/integration/test_supervisor.py tests the whole."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from headrace_api.training import Training
from headrace_api.trainingjob import MetricValue
from headrace_storage.folder import FolderStore
from headrace_trainer.protocol import Evaluated, Saved
from headrace_trainer.supervisor import checkpoints
from headrace_trainer.supervisor.board import Board
from headrace_trainer.supervisor.metrics import Metrics
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.publish import Publisher
from headrace_trainer.supervisor.upload import Uploads


class UploadsAtOnce(Uploads):
    """Uploads everything at once, in the caller's thread."""

    def __init__(self, store: FolderStore) -> None:
        self.store = store

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
