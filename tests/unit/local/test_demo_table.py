"""The demo's table fits the terminal, and every URI in it can be copied."""

import io

import pytest
from rich.console import Console

from headrace_local.demo.jobs import jobs_on_digit_scenes
from headrace_local.demo.observer import Observed
from headrace_local.demo.story import show_tree
from headrace_local.demo.table import JobsTable, jobs_table

FOLDER = "s3://a-bucket-with-a-name-as-long-as-it-gets-in-a-large-company/runs/demo/scenes/scenes-1-6f2c1a7e/"
CHECKPOINT = f"{FOLDER}checkpoints/00000031/"
LOG = f"{FOLDER}attempts/1/logs/"


def stopped_and_failed_and_new() -> JobsTable:
    stopped, failed, new = (Observed(job) for job in jobs_on_digit_scenes()[:3])
    progress = {"iteration": 4800, "maxIterations": 5000, "percentage": 96}
    stopped.states = ["Stopped"]
    stopped.status = {"message": f"stopped by the user at iteration 4800; checkpoint: {CHECKPOINT}", "progress": progress}
    failed.states = ["Error"]
    failed.status = {"message": f"there is no layer 'digit-boxes'; log: {LOG}, the last of 3"}
    return jobs_table([stopped, failed, new], seconds=12)


@pytest.fixture(params=[80, 200])
def console(request: pytest.FixtureRequest) -> Console:
    return Console(file=io.StringIO(), width=request.param)


def shown(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_each_uri_is_whole_on_its_own_line(console: Console) -> None:
    stopped_and_failed_and_new().print(console)
    assert shown(console)[-2:] == [f"[1] {CHECKPOINT}", f"[2] {LOG}"]


def test_the_messages_refer_to_the_uris(console: Console) -> None:
    stopped_and_failed_and_new().print(console)
    text = " ".join(" ".join(line.split("│")[-2] for line in shown(console) if "│" in line).split())
    assert "at iteration 4800; checkpoint: [1]" in text
    assert "log: [2], the last of 3" in text


def test_the_table_fits_and_says_how_far_each_job_is(console: Console) -> None:
    stopped_and_failed_and_new().print(console)
    table = shown(console)[:-2]
    assert max(map(len, table)) <= console.width
    assert any("4800 of 5000" in line for line in table)


def test_the_live_view_stays_within_the_terminal(console: Console) -> None:
    console.print(stopped_and_failed_and_new().live())
    assert max(map(len, shown(console))) <= console.width


def test_the_run_folder_is_whole_above_its_tree(console: Console) -> None:
    show_tree(console, FOLDER, ["job.json", "checkpoints/00000031/model.safetensors"])
    assert shown(console)[0] == FOLDER
    assert [line.strip("├└─ ") for line in shown(console)[1:]] == ["checkpoints/", "00000031/", "model.safetensors", "job.json"]
