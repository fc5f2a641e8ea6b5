"""run.json over several attempts."""

import json

from headrace_api.names import ExitCode, Reason, State
from headrace_api.report import Verdict
from headrace_api.run import Run
from headrace_api.trainingjob import Better, MetricValue, Progress, TrainingJob, parse_job
from headrace_storage.store import StoredObject
from headrace_trainer.protocol import Evaluated
from headrace_trainer.supervisor.ending import Ending
from headrace_trainer.supervisor.progress import ProgressMeter
from headrace_trainer.supervisor.run_record import RunRecord, listing_digest

DONE = Ending(Verdict.DONE, Reason.REACHED_MAX_ITERATIONS, "", ExitCode.OK)


def job(**spec: object) -> TrainingJob:
    return parse_job(
        {
            "metadata": {
                "name": "street",
                "namespace": "team",
                "uid": "1-2",
                "creationTimestamp": "2026-11-30T10:00:00Z",
                "labels": {"sweep": "7"},
                "annotations": {"headrace.dev/duplicated-from": "lane"},
            },
            "spec": {
                "project": "roads",
                "description": "a wider neck",
                "dataset": {"uri": "s3://data/street/"},
                "model": {"heads": [{"name": "boxes", "annotations": "cars", "objectDetection": {}}]},
                **spec,
            },
        }
    )


class Clock:
    def __init__(self) -> None:
        self.minute = 0

    def __call__(self) -> str:
        self.minute += 1
        return f"2026-11-30T12:{self.minute:02}:00Z"


def meter(iteration: int) -> ProgressMeter:
    made = ProgressMeter(job().spec.training)
    made.resumed(iteration, iteration / 10, [])
    return made


def score(value: float, iteration: int, name: str = "AP", better: Better = Better.HIGHER) -> MetricValue:
    return MetricValue(head="boxes", name=name, value=value, iteration=iteration, better=better, primary=name == "AP")


def evaluated(iteration: int, *scores: MetricValue) -> Evaluated:
    return Evaluated(iteration=iteration, scores=list(scores), pictures=[])


def written(record: RunRecord) -> Run:
    content = record.take()
    assert content is not None
    return Run.model_validate_json(content)


def test_a_run_tells_what_it_is_before_anything_happened() -> None:
    run = written(RunRecord(job(), 1, None, image="trainer:1", started_from="s3://models/a/", now=Clock()))
    assert (run.job, run.namespace, run.project, run.uid) == ("street", "team", "roads", "1-2")
    assert (run.labels, run.description, run.duplicated_from) == ({"sweep": "7"}, "a wider neck", "lane")
    assert (run.continued_from, run.machine.image) == ("s3://models/a/", "trainer:1")
    assert (run.submitted, run.started) == ("2026-11-30T10:00:00Z", "2026-11-30T12:01:00Z")
    assert (run.state, [(one.number, one.state) for one in run.attempts]) == (State.STARTING, [(1, State.STARTING)])
    assert [(head.name, head.task) for head in run.heads] == [("boxes", "object-detection")]


def test_it_is_written_only_when_there_is_news() -> None:
    record = RunRecord(job(), 1, None, now=Clock())
    assert record.take() is not None
    assert record.take() is None
    record.files(model=True)
    assert written(record).files.model
    assert record.take() is None


def test_the_best_value_of_a_score_follows_its_direction() -> None:
    record = RunRecord(job(), 1, None, now=Clock())
    for iteration, ap, error in ((10, 0.3, 5.0), (20, 0.5, 7.0), (30, 0.4, 4.0)):
        record.evaluated(evaluated(iteration, score(ap, iteration), score(error, iteration, "MAE", Better.LOWER)))
    precision, error_ = written(record).heads[0].scores
    assert (precision.last, precision.last_iteration, precision.best, precision.best_iteration) == (0.4, 30, 0.5, 20)
    assert (error_.best, error_.best_iteration, error_.better, error_.primary) == (4.0, 30, Better.LOWER, False)


def test_a_later_attempt_continues_the_record() -> None:
    clock = Clock()
    first = RunRecord(job(), 1, None, now=clock)
    first.progressed(meter(10), 8.0)
    first.evaluated(evaluated(10, score(0.3, 10)))
    first.ended(Ending(Verdict.ERROR, Reason.STORAGE_UNAVAILABLE, "the store is down", ExitCode.RETRY), Progress(iteration=10))
    second = RunRecord(job(), 2, written(first), now=clock)
    second.resumed(10)
    second.progressed(meter(20), 9.0)
    second.ended(DONE, Progress(iteration=20, trained_seconds=2))
    run = written(second)
    assert [(one.number, one.state, one.from_iteration, one.iteration) for one in run.attempts] == [
        (1, State.ERROR, 0, 10),
        (2, State.DONE, 10, 20),
    ]
    assert run.attempts[0].message == "the store is down"
    assert (run.state, run.reason, run.message) == (State.DONE, "ReachedMaxIterations", "")
    assert run.started == run.attempts[0].started
    assert run.ended == run.attempts[1].ended
    assert (run.running or "") < (run.attempts[1].started or "")
    assert run.heads[0].scores[0].best == 0.3


def test_an_attempt_that_was_cut_off_has_no_invented_end() -> None:
    first = RunRecord(job(), 1, None, now=Clock())
    first.progressed(meter(10), 8.0)
    record = written(RunRecord(job(), 2, written(first), now=Clock()))
    assert (record.attempts[0].ended, record.attempts[0].state) == (None, None)
    assert "no outcome" in record.attempts[0].message


def test_scores_of_iterations_that_are_lost_are_forgotten() -> None:
    first = RunRecord(job(), 1, None, now=Clock())
    first.evaluated(evaluated(10, score(0.3, 10)))
    first.evaluated(evaluated(20, score(0.9, 20)))
    second = RunRecord(job(), 2, written(first), now=Clock())
    second.resumed(15)
    (lost,) = written(second).heads[0].scores
    assert (lost.last, lost.best, lost.best_iteration) == (None, None, None)
    assert (lost.name, lost.better, lost.primary) == ("AP", Better.HIGHER, True)


def test_a_record_of_a_newer_version_is_read_as_far_as_it_is_known() -> None:
    content = json.loads(RunRecord(job(), 1, None, now=Clock()).take() or b"")
    content |= {"reason": "SomethingNew", "weather": "sunny"}
    content["attempts"][0] |= {"mood": "good"}
    assert Run.model_validate(content).reason == "SomethingNew"


def test_the_digest_of_a_dataset_depends_on_its_files_alone() -> None:
    one, other = StoredObject("a", 1, "x"), StoredObject("b", 2, "y")
    assert listing_digest([one, other]) == listing_digest([other, one])
    assert listing_digest([one]) != listing_digest([StoredObject("a", 1, "z")])
