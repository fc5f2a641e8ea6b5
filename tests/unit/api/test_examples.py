from pathlib import Path

import pytest
import yaml

from headrace_api.trainingjob import parse_job

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_a_job_and_says_how_to_run_it(path):
    text = path.read_text()
    assert parse_job(yaml.safe_load(text)).spec.project
    assert f"-f examples/{path.name}" in text


def test_there_are_examples():
    assert len(EXAMPLES) >= 3
