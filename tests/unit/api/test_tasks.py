from itertools import pairwise

import pytest

from headrace_api.tasks import CONVERSIONS, Task, conversion_path, reachable


def test_every_task_stands_in_the_table():
    assert set(CONVERSIONS) == set(Task)


@pytest.mark.parametrize("task", Task)
def test_a_task_becomes_itself_by_no_conversion(task):
    assert conversion_path(task, task) == (task,)


def test_a_path_exists_exactly_where_following_edges_leads():
    reach = {task: {task} for task in Task}
    for _ in Task:  # transitive closure, the slow and obvious way
        for task in Task:
            for step in list(reach[task]):
                reach[task] |= set(CONVERSIONS[step])
    for source in Task:
        for target in Task:
            assert (conversion_path(source, target) is not None) == (target in reach[source])
        assert set(reachable(source)) == reach[source]


def test_paths_walk_along_edges():
    for source in Task:
        for target in Task:
            path = conversion_path(source, target) or (source,)
            assert all(step in CONVERSIONS[task] for task, step in pairwise(path))


def test_the_shortest_path_is_taken():
    path = conversion_path(Task.PANOPTIC_SEGMENTATION, Task.MULTILABEL_CLASSIFICATION)
    assert path == (Task.PANOPTIC_SEGMENTATION, Task.SEMANTIC_SEGMENTATION, Task.MULTILABEL_CLASSIFICATION)
