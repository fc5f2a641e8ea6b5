"""Runs of a project, in whatever state their folders are."""

import json
from pathlib import Path
from typing import Any

import pytest

from headrace_api.names import State
from headrace_api.run import DatasetRecord, HeadRecord, LayerRecord, Run, ScoreRecord
from headrace_api.trainingjob import Better
from headrace_runs.compare import compare
from headrace_runs.metric_rows import MetricRow
from headrace_runs.run_folder import RunFolder
from headrace_runs.runs import Runs

JOB = {
    "apiVersion": "headrace.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "street", "namespace": "team", "uid": "abcdef01-2", "creationTimestamp": "2026-11-30T10:00:00Z"},
    "spec": {
        "project": "roads",
        "dataset": {"uri": "s3://data/street/"},
        "model": {"heads": [{"name": "boxes", "annotations": "cars", "objectDetection": {}}]},
    },
}


def write(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def run_json(job: str, **fields: Any) -> str:
    return Run(job=job, namespace="team", project="roads", **fields).model_dump_json(by_alias=True)


def open_at(folder: Path) -> RunFolder:
    return RunFolder.open(str(folder), {})


def test_projects_and_their_runs_are_found_the_newest_first(tmp_path: Path) -> None:
    for day, job in ((1, "a"), (3, "b"), (2, "c")):
        write(tmp_path / f"team/roads/{job}-01234567", {"run.json": run_json(job, submitted=f"2026-11-0{day}T00:00:00Z")})
    write(tmp_path / "team/rivers/d-01234567", {"run.json": run_json("d")})
    write(tmp_path / "team", {"notes.txt": "not a project"})
    runs = Runs(str(tmp_path), {})
    assert runs.projects() == [("team", "rivers"), ("team", "roads")]
    assert [one.run.job for one in runs.of_project("team", "roads")] == ["b", "c", "a"]
    assert runs.of_project("team", "lakes") == []


def test_one_unreadable_run_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path / "team/roads/a-01234567", {"run.json": run_json("a")})
    write(tmp_path / "team/roads/b-01234567", {"run.json": '{"job": "b", "names'})
    (tmp_path / "team/roads/c-01234567").mkdir()
    found = {one.run.job: one.trouble for one in Runs(str(tmp_path), {}).of_project("team", "roads")}
    assert found.keys() == {"a", "b", "c"}
    assert found["a"] == ""
    assert "run.json cannot be read" in found["b"]
    assert "no job.json" in found["c"]


def test_a_folder_of_a_version_without_run_json_is_read(tmp_path: Path) -> None:
    score = {"head": "boxes", "name": "AP", "value": 0.5, "iteration": 40}
    folder = write(
        tmp_path / "team/roads/street-abcdef01",
        {
            "job.json": JOB,
            "checkpoints/latest.json": {
                "iteration": 40,
                "folder": "checkpoints/00000040/",
                "files": {},
                "trainedSeconds": 9.5,
                "metrics": [score],
            },
            "outcome.json": {
                "outcome": "stopped",
                "reason": "Interrupted",
                "progress": {"iteration": 40, "metrics": [score], "lastUpdatedTime": "2026-11-30T11:00:00Z"},
            },
            "attempts/1/logs/00001.log": "",
            "attempts/2/logs/00001.log": "",
            "attempts/.DS_Store": "",
        },
    )
    found = open_at(folder).run()
    run = found.run
    assert found.trouble == ""
    assert (run.job, run.project, run.uid, run.submitted) == ("street", "roads", "abcdef01-2", "2026-11-30T10:00:00Z")
    assert (run.state, run.reason, run.ended) == (State.STOPPED, "Interrupted", "2026-11-30T11:00:00Z")
    assert (run.iteration, run.trained_seconds, run.files.latest) == (40, 9.5, "checkpoints/00000040/")
    assert [one.number for one in run.attempts] == [1, 2]
    (precision,) = run.heads[0].scores
    assert (precision.name, precision.last, precision.better, precision.best) == ("AP", 0.5, None, None)


def test_damaged_files_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "team/roads/street-abcdef01",
        {"job.json": {"metadata": {}, "spec": {}}, "outcome.json": "", "checkpoints/latest.json": "null"},
    )
    found = open_at(folder).run()
    for name in ("job.json", "outcome.json", "checkpoints/latest.json"):
        assert f"{name} cannot be read" in found.trouble
    assert (found.run.job, found.run.project, found.run.namespace) == ("street", "roads", "team")


REPORTS = [
    {"time": "T1", "iteration": 1, "trainedSeconds": 1.0, "losses": {"boxes/box": 2.0, "total": 2.5}, "learningRate": 0.1},
    {"time": "T2", "iteration": 2, "trainedSeconds": 2.0, "losses": {"boxes/box": None, "total": 1.5}, "learningRate": 0.1},
    {"time": "T3", "iteration": 2, "scores": [{"head": "boxes", "name": "AP", "value": 0.25, "iteration": 2}]},
]


def reports(*given: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in given)


def test_metrics_are_tidy_rows(tmp_path: Path) -> None:
    write(tmp_path, {"attempts/1/metrics/000000000000.jsonl": reports(*REPORTS) + '{"time": "T4", "iter'})
    rows = list(open_at(tmp_path).metrics())
    assert MetricRow(1, "T1", 1, 1.0, "loss", "boxes", "box", 2.0) in rows
    assert MetricRow(1, "T1", 1, 1.0, "loss", "", "total", 2.5) in rows
    assert MetricRow(1, "T3", 2, None, "score", "boxes", "AP", 0.25) in rows
    assert [row.value for row in rows if row.name == "learningRate"] == [0.1, 0.1]
    assert not [row for row in rows if row.iteration == 2 and row.name == "box"], "what is not a number is not a point"


def test_curves_leave_out_what_a_later_attempt_did_again(tmp_path: Path) -> None:
    def step(iteration: int, loss: float) -> dict[str, Any]:
        return {"time": "T", "iteration": iteration, "trainedSeconds": iteration / 2, "losses": {"total": loss}}

    def scored(iteration: int, value: float) -> dict[str, Any]:
        return {
            "time": "T",
            "iteration": iteration,
            "scores": [{"head": "boxes", "name": "AP", "value": value, "iteration": iteration}],
        }

    write(
        tmp_path,
        {
            "attempts/1/metrics.jsonl": reports(step(1, 9), step(5, 8), scored(5, 0.1), step(9, 7)),
            "attempts/2/metrics.jsonl": reports(step(4, 6), scored(8, 0.2), step(8, 5)),
        },
    )
    curves = open_at(tmp_path).curves()
    assert (curves.losses.iterations, curves.losses.mean["total"]) == ([1, 4, 8], [9, 6, 5])
    assert curves.losses.seconds == [0.5, 2, 4]
    assert (curves.scores.iterations, curves.scores.mean["boxes/AP"], curves.scores.seconds) == ([5, 8], [0.1, 0.2], [2, 4])


def test_curves_are_bounded_and_keep_peaks(tmp_path: Path) -> None:
    steps = [
        {"time": "T", "iteration": i, "trainedSeconds": i, "losses": {"total": 50 if i == 4321 else i % 3}} for i in range(1, 9001)
    ]
    write(tmp_path, {"attempts/1/metrics.jsonl": reports(*steps)})
    curves = open_at(tmp_path).curves().losses
    assert len(curves.iterations) <= 2000
    assert max(value for value in curves.most["total"] if value is not None) == 50
    assert min(value for value in curves.least["total"] if value is not None) == 0


def test_the_log_is_one_stream_over_attempts(tmp_path: Path) -> None:
    write(
        tmp_path, {"attempts/1/log.txt": "one\ntwo\n", "attempts/2/logs/000000000000.log": "three\n", "attempts/x/log.txt": "no\n"}
    )
    folder = open_at(tmp_path)
    assert list(folder.log()) == ["one", "two", "three"]
    assert list(folder.log(2)) == ["three"]


def configured(**training: Any) -> dict[str, Any]:
    heads = [{"name": "tags", "annotations": "t", "multilabelClassification": {}}, {"name": "boxes", "annotations": "cars"}]
    return {"spec": {"project": "roads", "stop": False, "training": {"batchSize": 8, **training}, "model": {"heads": heads}}}


def test_only_what_differs_differs_and_heads_are_matched_by_name() -> None:
    first, second = configured(), configured(batchSize=16)
    second["spec"]["model"]["heads"].reverse()
    second["spec"]["stop"] = True
    runs = [Run(job=name, namespace="team", project="roads") for name in "ab"]
    compared = compare(runs, [first, second])
    assert [(row.path, row.values) for row in compared.settings if row.differs] == [("spec.training.batchSize", (8, 16))]
    assert "spec.model.heads[boxes].annotations" in {row.path for row in compared.settings}


def scored_run(job: str, ap: float | None, error: float, better: Better | None = Better.LOWER) -> Run:
    scores = [ScoreRecord(name="MAE", better=better, last=error, best=error, unit="unit of the labels")]
    if ap is not None:
        scores.append(ScoreRecord(name="AP", better=Better.HIGHER, primary=True, last=ap - 0.1, best=ap))
    return Run(job=job, namespace="team", project="roads", heads=[HeadRecord(name="boxes", scores=scores)])


def test_the_better_score_wins_whichever_direction_that_is() -> None:
    compared = compare([scored_run("a", 0.5, 3.0), scored_run("b", 0.7, 2.0), scored_run("c", None, 2.0)], [{}, {}, {}])
    by_name = {row.name: row for row in compared.scores}
    assert (by_name["AP"].best, by_name["AP"].winners, by_name["AP"].primary) == ((0.5, 0.7, None), (1,), True)
    assert (by_name["MAE"].winners, by_name["MAE"].unit) == ((1, 2), "unit of the labels")


def test_without_a_direction_or_a_rival_nobody_wins() -> None:
    compared = compare([scored_run("a", 0.5, 3.0, None), scored_run("b", None, 2.0, None)], [{}, {}])
    assert [row.winners for row in compared.scores] == [(), ()]


@pytest.mark.parametrize(
    "changed", [{"digest": "2"}, {"layers": [LayerRecord(name="cars", task="object-detection", images={"train": 9})]}]
)
def test_differences_of_the_data_are_found(changed: dict[str, Any]) -> None:
    layers = [LayerRecord(name="cars", task="object-detection", images={"train": 8})]
    data = [
        DatasetRecord(uri="s3://data/", digest="1", layers=layers),
        DatasetRecord(**{"uri": "s3://data/", "digest": "1", "layers": layers, **changed}),
    ]
    compared = compare([Run(job="a", namespace="t", project="p", dataset=one) for one in data], [{}, {}])
    assert len([row for row in compared.dataset if row.differs]) == 1
