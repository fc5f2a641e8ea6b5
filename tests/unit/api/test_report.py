from hypothesis import given
from hypothesis import strategies as st

from headrace_api.names import Reason
from headrace_api.report import TERMINATION_MESSAGE_BYTES, Outcome, Verdict
from headrace_api.trainingjob import Checkpoint, MetricValue, Progress


def outcome(message="", scores=0):
    metrics = [MetricValue(head=f"head-{n}", name="accuracy", value=0.123456789, iteration=1000) for n in range(scores)]
    return Outcome(
        outcome=Verdict.ERROR,
        reason=Reason.BAD_DATASET,
        message=message,
        progress=Progress(iteration=7, metrics=metrics),
        checkpoint=Checkpoint(uri="s3://runs/a/checkpoints/00000007/", iteration=7),
    )


def test_a_short_outcome_is_kept_whole():
    said = outcome("dataset.json: no such file", scores=3)
    assert Outcome.model_validate_json(said.to_termination_message()) == said


@given(st.text(max_size=9000), st.integers(0, 64))
def test_an_outcome_always_fits_the_termination_message(message, scores):
    line = outcome(message, scores).to_termination_message()
    assert len(line.encode()) <= TERMINATION_MESSAGE_BYTES
    assert "\n" not in line
    read = Outcome.model_validate_json(line)
    assert (read.outcome, read.reason, read.checkpoint) == (Verdict.ERROR, Reason.BAD_DATASET, outcome().checkpoint)
    assert message.startswith(read.message.removesuffix("…"))
