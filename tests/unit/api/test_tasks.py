from itertools import pairwise

import pytest

from headrace_api.tasks import CONVERSIONS, Task, conversion_path, reachable

SEEDS_DIAGRAM = """
panoptic-segmentation --> semantic-segmentation
panoptic-segmentation --> instance-segmentation
instance-segmentation --> object-detection
quadrilateral-detection --> object-detection
object-detection --> quadrilateral-detection
keypoint-detection --> object-detection
object-detection --> multilabel-classification
semantic-segmentation --> multilabel-classification
multiclass-classification --> metric-learning
metric-learning --> multiclass-classification
multiclass-classification --> multilabel-classification
"""
"""The graph of conversions, one arrow per line; a two-headed arrow counts as two."""


def arrows():
    drawn = {tuple(map(Task, line.split(" --> "))) for line in SEEDS_DIAGRAM.split("\n") if line}
    return drawn | {(source, target) for source in Task for target in Task if target.self_supervised and target is not source}


def test_every_task_is_in_the_table():
    assert set(CONVERSIONS) == set(Task)
    assert len(Task) == 15


def test_two_tasks_are_self_supervised():
    assert [task for task in Task if task.self_supervised] == [Task.AUTOENCODING, Task.VIEW_INVARIANCE]


def test_the_direct_conversions_are_the_arrows_of_the_diagram_and_any_task_to_self_supervision():
    assert {(source, target) for source, targets in CONVERSIONS.items() for target in targets} == arrows()
    assert all(len(set(targets)) == len(targets) for targets in CONVERSIONS.values())


@pytest.mark.parametrize("task", Task)
def test_a_task_becomes_itself_without_conversion(task):
    assert conversion_path(task, task) == (task,)


def test_a_path_exists_exactly_where_following_the_diagram_leads():
    reach = {task: {task} for task in Task}
    for _ in Task:  # transitive closure, the slow and obvious way
        for source, target in arrows():
            for tasks in reach.values():
                if source in tasks:
                    tasks.add(target)
    for source in Task:
        for target in Task:
            assert (conversion_path(source, target) is not None) == (target in reach[source])
        assert set(reachable(source)) == reach[source]


def test_conversions_compose():
    for source in Task:
        for middle in reachable(source):
            assert set(reachable(middle)) <= set(reachable(source))


def test_paths_walk_along_edges_and_visit_no_task_twice():
    for source in Task:
        for target in Task:
            path = conversion_path(source, target) or (source,)
            assert all(step in CONVERSIONS[task] for task, step in pairwise(path))
            assert len(set(path)) == len(path)


def test_only_self_supervised_tasks_follow_on_self_supervised_ones():
    for source in (task for task in Task if task.self_supervised):
        assert all(target.self_supervised for target in reachable(source))


@pytest.mark.parametrize(
    "path",
    [
        (Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION, Task.MULTILABEL_CLASSIFICATION),
        (Task.PANOPTIC_SEGMENTATION, Task.INSTANCE_SEGMENTATION, Task.OBJECT_DETECTION, Task.QUADRILATERAL_DETECTION),
        (Task.KEYPOINT_DETECTION, Task.OBJECT_DETECTION, Task.QUADRILATERAL_DETECTION),
        (Task.QUADRILATERAL_DETECTION, Task.OBJECT_DETECTION, Task.MULTILABEL_CLASSIFICATION),
        (Task.METRIC_LEARNING, Task.MULTICLASS_CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION),
        (Task.REGRESSION, Task.AUTOENCODING),
    ],
)
def test_the_shortest_path_is_taken(path):
    assert conversion_path(path[0], path[-1]) == path


def test_tasks_that_no_arrow_leads_to_have_no_path():
    assert conversion_path(Task.OBJECT_DETECTION, Task.INSTANCE_SEGMENTATION) is None
    assert conversion_path(Task.MULTILABEL_CLASSIFICATION, Task.MULTICLASS_CLASSIFICATION) is None
    assert conversion_path(Task.REGRESSION, Task.MULTILABEL_CLASSIFICATION) is None
    assert conversion_path(Task.AUTOENCODING, Task.REGRESSION) is None
