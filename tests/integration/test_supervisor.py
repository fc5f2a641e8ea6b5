"""The supervisor on local folders, with a stand-in worker: what it leaves behind and how it ends, whatever happens."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace_api.names import ExitCode, Reason
from headrace_api.report import Outcome, Phase, Verdict
from headrace_runs.run_folder import RunFolder
from headrace_storage.folder import FolderStore
from headrace_testing.stand_in_runs import RUN_FOLDER, Attempt, dataset_files, job_document, write_files
from headrace_testing.stand_in_worker import Behaviour
from headrace_trainer.supervisor import checkpoints
from headrace_trainer.supervisor.memory_kills import MemoryKills
from headrace_trainer.supervisor.workspace import Workspace


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_files(tmp_path / "dataset", dataset_files())


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "output"


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def process_runs(pid: int) -> bool:
    """Whether the process exists and is not just a zombie that its new parent has yet to reap."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_finished_job_leaves_the_whole_run_folder_and_an_empty_workspace(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.OK
    run = output / RUN_FOLDER
    assert files_in(run) >= {
        "job.json",
        "outcome.json",
        "attempts/1/log.txt",
        "attempts/1/metrics.jsonl",
        "run.json",
        "checkpoints/latest.json",
        "checkpoints/best.json",
        "checkpoints/00000012/state.json",
        "model/config.json",
        "pictures/00000012/boxes/0.jpg",
        "pictures/truth/boxes/0.jpg",
        "curves.json",
    }
    assert attempt.outcome.outcome is Verdict.DONE
    assert attempt.outcome.reason is Reason.REACHED_MAX_ITERATIONS
    assert attempt.outcome.progress.percentage == 100
    assert attempt.outcome.checkpoint is not None
    assert attempt.outcome.checkpoint.uri == f"{run}/checkpoints/00000012/"
    assert Outcome.model_validate_json((run / "outcome.json").read_bytes()) == attempt.outcome
    assert attempt.wiped
    assert files_in(dataset) == set(dataset_files())


def test_only_the_latest_and_the_best_checkpoint_are_kept(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(tmp_path / "a", job_document(checkpointEvery=1), dataset=str(dataset), output=str(output)) as attempt:
        attempt.until_over()
    store = FolderStore(output / RUN_FOLDER)
    kept = {key.split("/")[1] for key in files_in(output / RUN_FOLDER) if key.startswith("checkpoints/0")}
    best = checkpoints.read_marker(store, "checkpoints/best.json")
    assert best is not None
    assert kept == {"00000012", f"{best.iteration:08d}"}
    assert best.iteration <= 4


@pytest.fixture
def two_checkpoints(tmp_path: Path, dataset: Path, output: Path) -> Path:
    """A run folder with the checkpoints of 4, the best, and 8, the latest; a killed worker left it."""
    with Attempt(
        tmp_path / "first", job_document(), Behaviour(at=9, trouble="killed"), dataset=str(dataset), output=str(output)
    ) as attempt:
        attempt.until_over()
    run = output / RUN_FOLDER
    assert {"checkpoints/00000004/complete.json", "checkpoints/00000008/complete.json"} <= files_in(run)
    return run


def resumed_log(tmp_path: Path, dataset: Path, output: Path) -> str:
    with Attempt(tmp_path / "again", job_document(), attempt=2, dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.OK
    return attempt.log


def test_a_flipped_bit_is_named_and_the_checkpoint_before_is_used(
    tmp_path: Path, dataset: Path, output: Path, two_checkpoints: Path
) -> None:
    file = two_checkpoints / "checkpoints/00000008/network.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    log = resumed_log(tmp_path, dataset, output)
    assert "checkpoints/00000008/network.safetensors is damaged: its SHA-256 is" in log
    assert "trying checkpoints/00000004/ instead" in log
    assert "worker: resumed at 4" in log


@pytest.mark.parametrize(
    "latest", ["", '{"iteration":', '{"iteration":6,"folder":"checkpoints/00000006/","files":{"state.json":1}}']
)
def test_a_latest_json_that_cannot_be_used_costs_nothing(
    tmp_path: Path, dataset: Path, output: Path, two_checkpoints: Path, latest: str
) -> None:
    (two_checkpoints / "checkpoints/latest.json").write_text(latest)
    (two_checkpoints / "checkpoints/best.json").unlink()
    log = resumed_log(tmp_path, dataset, output)
    assert "is ignored" in log
    assert "worker: resumed at 8" in log


def test_without_another_checkpoint_a_damaged_one_ends_the_job_and_is_kept(
    tmp_path: Path, dataset: Path, output: Path, two_checkpoints: Path
) -> None:
    for file in two_checkpoints.glob("checkpoints/0*/state.json"):
        file.write_bytes(b"x" * file.stat().st_size)
    before = files_in(two_checkpoints / "checkpoints")
    with Attempt(tmp_path / "b", job_document(), attempt=2, dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.BAD_CHECKPOINT
    assert files_in(two_checkpoints / "checkpoints") == before


def test_files_of_others_in_a_run_folder_survive_and_disturb_nothing(
    tmp_path: Path, dataset: Path, output: Path, two_checkpoints: Path
) -> None:
    theirs = {
        f"{two_checkpoints}/{name}": b"mine"
        for name in (
            "attempts/.DS_Store",
            "attempts/foo/logs/00001.log",
            "attempts/2/logs/notes.txt",
            "checkpoints/keep-me/state.json",
            "checkpoints/00000004/notes.txt",
            "checkpoints/.DS_Store",
        )
    }
    for name, content in theirs.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    with Attempt(tmp_path / "b", job_document(), attempt=None, dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.OK
    assert "worker: resumed at 8" in attempt.log
    assert (two_checkpoints / "attempts/3/log.txt").exists()  # after the foreign attempts/2/
    assert {name: Path(name).read_bytes() for name in theirs} == theirs


def test_a_second_trainer_on_a_local_run_folder_is_refused_and_leaves_the_first_alone(
    tmp_path: Path, dataset: Path, output: Path
) -> None:
    places = {"dataset": str(dataset), "output": str(output)}
    with Attempt(tmp_path / "a", job_document(), Behaviour(at=5, trouble="hang"), **places) as first:
        first.until_log("is safe in")
        before = (output / RUN_FOLDER / "job.json").stat().st_mtime_ns
        with Attempt(tmp_path / "b", job_document(), **places) as second:
            assert second.until_over() is ExitCode.FATAL
        assert second.outcome.reason is Reason.INVALID_SPEC
        assert "is in use by process" in second.outcome.message
        assert (output / RUN_FOLDER / "job.json").stat().st_mtime_ns == before
    with Attempt(tmp_path / "c", job_document(), attempt=2, **places) as third:
        assert third.until_over() is ExitCode.OK


def test_the_same_job_again_resumes_from_the_latest_checkpoint(tmp_path: Path, dataset: Path, output: Path) -> None:
    hold = Behaviour(at=9, trouble="crash")
    with Attempt(tmp_path / "a", job_document(), hold, dataset=str(dataset), output=str(output)) as first:
        assert first.until_over() is ExitCode.RETRY
    assert first.outcome.checkpoint is not None
    assert first.outcome.checkpoint.iteration == 8
    again = Attempt(tmp_path / "b", job_document(), dataset=str(dataset), output=str(output), attempt=2)
    with again as second:
        assert second.until_over() is ExitCode.OK
    assert "worker: resumed at 8" in second.log
    assert second.outcome.progress.iteration == 12
    folder = RunFolder.open(str(output / RUN_FOLDER), {})
    assert [row.iteration for row in folder.metrics(2) if row.name == "total"] == [9, 10, 11, 12]
    run = folder.run().run
    assert [(one.number, one.state, one.from_iteration) for one in run.attempts] == [(1, "Error", 0), (2, "Done", 8)]
    assert (run.iteration, run.state, run.files.latest_iteration, run.files.model) == (12, "Done", 12, True)


def test_attempts_are_counted_if_they_are_started_without_a_number(tmp_path: Path, dataset: Path, output: Path) -> None:
    for number in (1, 2):
        with Attempt(tmp_path / str(number), job_document(), dataset=str(dataset), output=str(output), attempt=None) as attempt:
            attempt.until_over()
    assert {path.name for path in (output / RUN_FOLDER / "attempts").iterdir()} == {"1", "2"}


@pytest.mark.parametrize(
    ("trouble", "code", "reason", "said"),
    [
        ("crash", ExitCode.RETRY, Reason.TRAINER_CRASHED, "ZeroDivisionError: the stand-in was told to crash"),
        ("segfault", ExitCode.RETRY, Reason.TRAINER_CRASHED, "SIGSEGV"),
        ("error", ExitCode.FATAL, Reason.LOSS_NOT_FINITE, "head 'boxes': nan"),
        ("retryable", ExitCode.RETRY, Reason.LOSS_NOT_FINITE, "head 'boxes': nan"),
    ],
)
def test_a_worker_in_trouble_ends_the_attempt_with_the_cause_its_checkpoint_and_a_wipe(
    tmp_path: Path, dataset: Path, output: Path, trouble: str, code: ExitCode, reason: Reason, said: str
) -> None:
    behaviour = Behaviour.model_validate({"at": 6, "trouble": trouble})
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is code
    assert attempt.outcome.outcome is Verdict.ERROR
    assert attempt.outcome.reason is reason
    assert said in attempt.outcome.message
    assert attempt.outcome.checkpoint is not None
    assert attempt.outcome.checkpoint.iteration == 4
    assert attempt.wiped
    assert said in (output / RUN_FOLDER / "outcome.json").read_text()


def test_a_worker_that_somebody_killed_ran_out_of_memory_only_if_the_kernel_says_so(
    tmp_path: Path, dataset: Path, output: Path
) -> None:
    known = MemoryKills().since_start() is not None
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=6, trouble="killed"), dataset=str(dataset), output=str(output)
    ) as attempt:
        assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is (Reason.TRAINER_CRASHED if known else Reason.OUT_OF_MEMORY)
    said = "the kernel reports no out-of-memory kill" if known else "the kernel does not tell here"
    assert f"the worker was killed (signal 9, SIGKILL) {'from outside: ' if known else ''}" in attempt.outcome.message
    assert said in attempt.outcome.message


def _file(place: Path) -> None:
    place.write_text("mine")


def _dangling_link(place: Path) -> None:
    place.symlink_to(place.with_name("gone"))


@pytest.mark.parametrize("make", [_file, _dangling_link])
@pytest.mark.parametrize("what", ["workspace", "output"])
def test_a_workspace_or_output_that_cannot_be_one_is_refused_for_good(
    tmp_path: Path, dataset: Path, what: str, make: Callable[[Path], None]
) -> None:
    places = {"workspace": tmp_path / "w", "output": tmp_path / "o"}
    make(places[what])
    settings = {"dataset": str(dataset), "output": str(places["output"]), "workspace": places["workspace"]}
    with Attempt(tmp_path / "a", job_document(), **settings) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.INVALID_SPEC
    assert f"the {what} {places[what]}" in attempt.outcome.message
    assert not (tmp_path / "gone").exists()


def test_an_output_that_is_a_link_is_followed_and_a_link_below_it_is_refused(tmp_path: Path, dataset: Path, output: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    output.symlink_to(tmp_path / "elsewhere")
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as first:
        assert first.until_over() is ExitCode.OK
    run = tmp_path / "elsewhere" / RUN_FOLDER
    assert (run / "outcome.json").is_file()
    (run / "checkpoints").rename(tmp_path / "moved")
    (run / "checkpoints").symlink_to(tmp_path / "moved")
    with Attempt(tmp_path / "b", job_document(), dataset=str(dataset), output=str(output), attempt=2) as second:
        assert second.until_over() is ExitCode.FATAL
    assert second.outcome.reason is Reason.INVALID_SPEC
    assert "'checkpoints' is a symbolic link" in second.outcome.message


def test_a_checkpoint_that_cannot_be_loaded_gives_way_to_the_best_one(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=9, trouble="crash"), dataset=str(dataset), output=str(output)
    ) as first:
        first.until_over()
    with Attempt(
        tmp_path / "b", job_document(), Behaviour(cannot_load=[8]), dataset=str(dataset), output=str(output), attempt=2
    ) as second:
        assert second.until_over() is ExitCode.OK
    assert "checkpoint 00000008 cannot be read: told to; trying checkpoints/00000004/ instead" in second.log
    assert "worker: resumed at 4" in second.log


def test_checkpoints_none_of_which_can_be_loaded_are_kept_and_end_the_job(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=9, trouble="crash"), dataset=str(dataset), output=str(output)
    ) as first:
        first.until_over()
    with Attempt(
        tmp_path / "b", job_document(), Behaviour(cannot_load=[4, 8]), dataset=str(dataset), output=str(output), attempt=2
    ) as second:
        assert second.until_over() is ExitCode.FATAL
    assert second.outcome.reason is Reason.BAD_CHECKPOINT
    assert "submit the job under another name or output to start over" in second.outcome.message
    assert (output / RUN_FOLDER / "checkpoints/00000008/state.json").is_file()
    assert (output / RUN_FOLDER / "checkpoints/00000004/state.json").is_file()


def test_nothing_that_the_worker_started_outlives_the_attempt(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=2, trouble="child"), dataset=str(dataset), output=str(output)
    ) as attempt:
        assert attempt.until_over() is ExitCode.OK
    child = int(attempt.log.split("worker: child ")[1].split()[0])
    assert not process_runs(child)


def test_the_worker_gets_no_secrets_and_waits_passively(tmp_path: Path, dataset: Path, output: Path) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": "http://localhost"}
    with Attempt(tmp_path / "a", job_document(), environment=secrets, dataset=str(dataset), output=str(output)) as attempt:
        attempt.until_over()
    names = set(json.loads(attempt.log.split("worker: environment ")[1].splitlines()[0]))
    assert not {name for name in names if name.startswith("AWS")}
    assert names >= {"OMP_WAIT_POLICY", "OMP_NUM_THREADS", "TMPDIR"}


def test_it_answers_probes_status_and_metrics_while_it_works(tmp_path: Path, dataset: Path, output: Path) -> None:
    gate = tmp_path / "gate"
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=7, wait_for=gate), dataset=str(dataset), output=str(output)
    ) as attempt:
        attempt.until_log("serving http")
        url = attempt.log.split("serving ")[1].split()[0]
        attempt.until(lambda: attempt.status.progress.iteration == 7, "iteration 7")
        ask = lambda path: urllib.request.urlopen(url + path, timeout=5).read().decode()  # noqa: E731
        assert ask("/healthz") == "ok\n"
        assert ask("/readyz")
        status = json.loads(ask("/status"))
        assert status["phase"] == Phase.TRAINING
        assert status["progress"]["percentage"] == 58
        assert status["progress"]["metrics"] == [
            {"head": "boxes", "name": "AP", "value": 0.06, "iteration": 6, "unit": "", "primary": False}
        ]
        assert "loss 0.2857" in status["message"]
        metrics = ask("/metrics")
        assert 'headrace_trainer_loss{head="boxes",term="class"}' in metrics
        assert 'headrace_trainer_score{head="boxes",metric="AP"} 0.06' in metrics
        assert 'headrace_trainer_phase{phase="Training"} 1.0' in metrics
        assert "headrace_trainer_iteration 7.0" in metrics
        with pytest.raises(urllib.error.HTTPError, match="404"):
            ask("/")
        gate.touch()
        attempt.until_over()


def test_what_the_worker_says_while_it_builds_is_logged_and_no_longer_a_phase_once_it_trains(
    tmp_path: Path, dataset: Path, output: Path
) -> None:
    gate = tmp_path / "gate"
    behaviour = Behaviour(at=7, wait_for=gate, remark="images/3.jpg is skipped: truncated")
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output)) as attempt:
        attempt.until_log("worker: images/3.jpg is skipped: truncated")
        assert attempt.status.phase is Phase.TRAINING
        assert attempt.status.message.startswith("iteration 7 of 12")
        gate.touch()
        attempt.until_over()
    logged = "\n".join(RunFolder.open(str(output / RUN_FOLDER), {}).log())
    assert "worker: reading annotations" in logged
    assert "worker: images/3.jpg is skipped: truncated" in logged


def test_a_worker_that_says_nothing_is_killed_and_the_attempt_may_be_retried(tmp_path: Path, dataset: Path, output: Path) -> None:
    behaviour = Behaviour(at=6, trouble="hang", deaf=True)
    with Attempt(
        tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output), worker_silence_seconds=3.0
    ) as attempt:
        assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.TRAINER_CRASHED
    assert "sent no message for 3 s" in attempt.outcome.message
    assert attempt.wiped


def test_a_damaged_best_marker_does_not_keep_the_latest_checkpoint_from_being_used(
    tmp_path: Path, dataset: Path, output: Path
) -> None:
    behaviour = Behaviour(at=9, trouble="crash")
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output)) as first:
        first.until_over()
    (output / RUN_FOLDER / "checkpoints/best.json").write_text("{")
    with Attempt(tmp_path / "b", job_document(), dataset=str(dataset), output=str(output), attempt=2) as second:
        assert second.until_over() is ExitCode.OK
    assert "worker: resumed at 8" in second.log


def test_a_damaged_latest_checkpoint_gives_way_to_the_best_and_then_to_a_new_start(
    tmp_path: Path, dataset: Path, output: Path
) -> None:
    checkpoints_in = output / RUN_FOLDER / "checkpoints"
    behaviour = Behaviour(at=9, trouble="crash")
    with Attempt(tmp_path / "a", job_document(), behaviour, dataset=str(dataset), output=str(output)) as first:
        first.until_over()
    (checkpoints_in / "00000008/state.json").unlink()
    with Attempt(tmp_path / "b", job_document(), behaviour, dataset=str(dataset), output=str(output), attempt=2) as second:
        assert second.until_over() is ExitCode.RETRY
    assert "worker: resumed at 4" in second.log
    assert "00000008/state.json is missing" in second.log
    assert second.outcome.checkpoint is not None
    assert second.outcome.checkpoint.iteration == 8
    (checkpoints_in / "00000008/state.json").unlink()
    (checkpoints_in / "00000004/state.json").write_text("{")
    with Attempt(tmp_path / "c", job_document(), dataset=str(dataset), output=str(output), attempt=3) as third:
        assert third.until_over() is ExitCode.OK
    assert "resumed at" not in third.log
    assert "starts over" in third.log
    assert third.outcome.progress.iteration == 12


def test_superseded_checkpoints_leave_the_local_disk_too(tmp_path: Path, dataset: Path, output: Path) -> None:
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=5, trouble="crash"), dataset=str(dataset), output=str(output)
    ) as first:
        first.until_over()
    gate = tmp_path / "gate"
    behaviour = Behaviour(at=11, wait_for=gate)
    job = job_document(checkpointEvery=1)
    with Attempt(tmp_path / "b", job, behaviour, dataset=str(dataset), output=str(output), attempt=2) as second:
        on_disk = lambda: {path.parent.name for path in second.workspace.glob("*/checkpoints/*/state.json")}  # noqa: E731
        second.until(lambda: on_disk() == {"00000011"}, "only the latest checkpoint on local disk")
        gate.touch()
        assert second.until_over() is ExitCode.OK


def test_the_outcome_is_written_before_the_wipe(
    tmp_path: Path, dataset: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wiping a large dataset takes a while, and the grace period may end during it."""
    written: list[bool] = []
    close = Workspace.close

    def close_later(workspace: Workspace) -> None:
        written.append((tmp_path / "a" / "termination-log").exists())
        close(workspace)

    monkeypatch.setattr(Workspace, "close", close_later)
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        attempt.until_over()
    assert written == [True]
    assert attempt.wiped


@pytest.mark.parametrize("broken", ["worker_process.WorkerProcess.close", "upload.Uploads.finish", "upload.Uploads.write_last"])
def test_a_bug_in_the_end_itself_stops_neither_outcome_nor_wipe(
    tmp_path: Path, dataset: Path, output: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def raises(*_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(f"headrace_trainer.supervisor.{broken}", raises)
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        code = attempt.until_over()
    assert "AssertionError: a bug" in attempt.log
    assert attempt.wiped
    assert (attempt.outcome.outcome, code) == {
        "worker_process.WorkerProcess.close": (Verdict.DONE, ExitCode.OK),
        "upload.Uploads.finish": (Verdict.ERROR, ExitCode.RETRY),
        "upload.Uploads.write_last": (Verdict.DONE, ExitCode.OK),
    }[broken]


def test_it_is_not_ready_before_the_first_iteration(tmp_path: Path, dataset: Path, output: Path) -> None:
    gate = tmp_path / "gate"
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=0, wait_for=gate), dataset=str(dataset), output=str(output)
    ) as attempt:
        attempt.until_log("stand-in worker begins")
        url = attempt.log.split("serving ")[1].split()[0]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url + "/readyz", timeout=5)
        assert refused.value.code == 503
        gate.touch()
        attempt.until(lambda: attempt.run.board.ready, "ready")
        attempt.until_over()


def test_logs_and_metrics_are_in_the_run_folder_while_it_works(tmp_path: Path, dataset: Path, output: Path) -> None:
    gate = tmp_path / "gate"
    run = RunFolder.open(str(output / RUN_FOLDER), {})
    with Attempt(
        tmp_path / "a", job_document(), Behaviour(at=7, wait_for=gate), dataset=str(dataset), output=str(output)
    ) as attempt:
        attempt.until(
            lambda: any("scores at iteration 6" in line for line in run.log()), "the log of iteration 6 in the run folder"
        )
        attempt.until(lambda: any(row.iteration == 7 for row in run.metrics()), "the metrics of iteration 7 in the run folder")
        gate.touch()
        attempt.until_over()
    logged = list(run.log())
    assert [line for line in attempt.log.splitlines() if line not in logged] == [
        line for line in attempt.log.splitlines() if "the workspace is wiped" in line
    ]


@pytest.mark.parametrize(
    ("manifest", "reason", "said"),
    [
        (b"{}", Reason.BAD_DATASET, "version: is required"),
        (b"not json", Reason.BAD_DATASET, "the document is not JSON"),
    ],
)
def test_a_dataset_with_an_invalid_manifest_is_refused(
    tmp_path: Path, output: Path, manifest: bytes, reason: Reason, said: str
) -> None:
    dataset = write_files(tmp_path / "dataset", {"images/1.jpg": b"", "dataset.json": manifest})
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is reason
    assert said in attempt.outcome.message
    assert attempt.wiped


@pytest.mark.parametrize(
    ("head", "reason", "said"),
    [
        ({"objectDetection": {}, "annotations": "instances"}, Reason.NO_SUCH_LAYER, "its layers are: 'objects' (object detection)"),
        ({"semanticSegmentation": {}, "annotations": "objects"}, Reason.NO_CONVERSION, "heads can use it for: object detection"),
    ],
)
def test_a_head_that_fits_no_layer_ends_the_job_before_the_worker_starts(
    tmp_path: Path, dataset: Path, output: Path, head: dict[str, object], reason: Reason, said: str
) -> None:
    job = job_document()
    job["spec"]["model"] = {"heads": [{"name": "head", **head}]}
    with Attempt(tmp_path / "a", job, dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is reason
    assert said in attempt.outcome.message
    assert "stand-in worker begins" not in attempt.log


def test_an_invalid_job_ends_and_names_the_wrong_field(tmp_path: Path, output: Path) -> None:
    with Attempt(tmp_path / "a", job_document(batchSize=0), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert attempt.outcome.reason is Reason.INVALID_SPEC
    assert "spec.training.batchSize: should be greater than or equal to 1" in attempt.outcome.message


def test_what_an_earlier_life_left_in_the_workspace_is_wiped_first(tmp_path: Path, dataset: Path, output: Path) -> None:
    left = tmp_path / "a" / "workspace"
    write_files(left, {".headrace-workspace": b"", "dataset/images/old.jpg": b"old", "run/model/old": b"old"})
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.OK
    assert attempt.wiped
    assert not (output / RUN_FOLDER / "model/old").exists()


def test_somebodys_files_are_never_taken_for_a_workspace(tmp_path: Path, dataset: Path, output: Path) -> None:
    write_files(tmp_path / "a" / "workspace", {"thesis.tex": b"precious"})
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert (attempt.workspace / "thesis.tex").read_bytes() == b"precious"
    assert "contains files that no trainer wrote (thesis.tex)" in attempt.outcome.message


def test_a_dataset_inside_the_workspace_is_refused_and_kept(tmp_path: Path, output: Path) -> None:
    inside = write_files(tmp_path / "a" / "workspace" / "data", dataset_files())
    (tmp_path / "a" / "workspace" / ".headrace-workspace").touch()
    with Attempt(tmp_path / "a", job_document(), dataset=str(inside), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert files_in(inside) == set(dataset_files())


def test_results_inside_the_dataset_are_refused(tmp_path: Path, dataset: Path) -> None:
    """The next job would read its pictures as images: a folder of classes would gain a class "runs"."""
    before = files_in(dataset)
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(dataset / "runs")) as attempt:
        assert attempt.until_over() is ExitCode.FATAL
    assert "is inside the dataset" in attempt.outcome.message
    assert files_in(dataset) == before


def test_a_taken_port_ends_the_attempt_with_the_cause(tmp_path: Path, dataset: Path, output: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        attempt = Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output))
        object.__setattr__(attempt.settings, "listen_port", taken.getsockname()[1])
        with attempt:
            assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.TRAINER_CRASHED
    assert "Address already in use" in attempt.outcome.message


def test_a_bug_in_the_supervisor_ends_in_order_too(
    tmp_path: Path, dataset: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr("headrace_trainer.supervisor.progress.ProgressMeter.stepped", broken)
    with Attempt(tmp_path / "a", job_document(), dataset=str(dataset), output=str(output)) as attempt:
        assert attempt.until_over() is ExitCode.RETRY
    assert attempt.outcome.reason is Reason.TRAINER_CRASHED
    assert "AssertionError: a bug" in attempt.outcome.message
    assert attempt.wiped
    assert any("Traceback" in line for line in RunFolder.open(str(output / RUN_FOLDER), {}).log())
    assert not list(attempt.workspace.iterdir())
