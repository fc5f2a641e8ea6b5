"""Compare: any jobs of a project side by side.

Prometheus has one x axis: time. A project's jobs run one after another, so their curves never overlap over time. But each trainer
also exports its progress (iterations, seconds of training); here that series is the x axis, and Grafana joins it to the curve.
"""

from grafana_foundation_sdk.models.dashboard import Dashboard

from headrace_dashboards.frame import many, one, page
from headrace_dashboards.panels import AnyPanel, Axis, Query, against, bars, curves, row

PROJECT = 'namespace="$namespace",project="$project"'
HERE = f'{PROJECT},trainingjob=~"$job"'
TERM = f'headrace_trainer_loss{{{HERE},head="$head",term="$term"}}'
SCORE = f'headrace_trainer_score{{{HERE},head="$score_head",metric="$score"}}'


def compare() -> Dashboard:
    """The dashboard."""
    return page(
        "Compare",
        "Jobs of one project, with curves aligned by iteration and by time of training.",
        [
            one("namespace", "Namespace", "label_values(headrace_trainer_iteration, namespace)"),
            one("project", "Project", 'label_values(headrace_trainer_iteration{namespace="$namespace"}, project)'),
            many("job", "Jobs", f"label_values(headrace_trainer_iteration{{{PROJECT}}}, trainingjob)"),
            one("head", "Loss of head", f"label_values(headrace_trainer_loss{{{HERE}}}, head)"),
            one("term", "Loss term", f'label_values(headrace_trainer_loss{{{HERE},head="$head"}}, term)'),
            one("score_head", "Score of head", f"label_values(headrace_trainer_score{{{HERE}}}, head)"),
            one("score", "Score", f'label_values(headrace_trainer_score{{{HERE},head="$score_head"}}, metric)'),
        ],
        [
            row("Results"),
            bars(
                "Best score",
                "The highest value of the chosen score within the time range.",
                "short",
                _by_job(f"max_over_time({SCORE}[$__range])", last=True),
            ),
            bars(
                "Last loss",
                "The last total loss within the time range. You can compare it only between jobs with the same heads and weights.",
                "short",
                _by_job(f"last_over_time({_of('total_loss')}[$__range])", last=True),
            ),
            bars(
                "Time of training",
                "Over all attempts, including evaluations.",
                "s",
                _by_job(f"max_over_time({_of('trained_seconds')}[$__range])", last=True),
            ),
            bars(
                "Images a second",
                "Mean within the time range.",
                "short",
                _by_job(f"avg_over_time({_of('images_per_second')}[$__range])", last=True),
            ),
            row("By iteration"),
            *_aligned(Axis(_by_job(_of("iteration")), "iteration", "short"), "by iteration"),
            row("By time of training"),
            *_aligned(
                Axis(_by_job(_of("trained_seconds")), "time of training", "s"),
                "by time of training, without the waits between attempts",
            ),
            row("By the clock"),
            curves(
                "Who trained when",
                "Iterations done, over clock time.",
                "short",
                _by_job(_of("iteration")),
                width=24,
            ),
        ],
        hours=24,
    )


def _aligned(x: Axis, words: str) -> list[AnyPanel]:
    """The curves over one x axis."""
    return [
        against("Loss", f"Weighted sum of all heads' losses, {words}.", "short", _by_job(_of("total_loss")), x=x),
        against(
            "Score", f"The chosen score, {words}; it stays the same from one evaluation to the next.", "short", _by_job(SCORE), x=x
        ),
        against("Loss term", f"The chosen loss term, {words}.", "short", _by_job(TERM), x=x),
        against("Learning rate", f"Learning rate, {words}.", "short", _by_job(_of("learning_rate")), x=x),
    ]


def _of(metric: str) -> str:
    return f"headrace_trainer_{metric}{{{HERE}}}"


def _by_job(expr: str, *, last: bool = False) -> Query:
    return Query(f"max by (trainingjob) ({expr})", "{{trainingjob}}", last)
