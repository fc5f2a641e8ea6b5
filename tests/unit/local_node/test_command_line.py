from pathlib import Path

import pytest

from headrace_local.node.__main__ import options_from

REQUIRED = [
    "--kubeconfig",
    "k",
    "--name",
    "n",
    "--folder",
    "f",
    "--gpus",
    "2",
    "--serving-cert",
    "c",
    "--serving-key",
    "y",
    "--client-ca",
    "a",
]


def test_the_options_become_what_the_node_offers() -> None:
    options = options_from([*REQUIRED, "--cpu", "4", "--memory", "2Gi", "--image", "t=python -m t", "--image", "b="])
    assert options.resources() == {"cpu": "4", "memory": "2Gi", "pods": "500", "nvidia.com/gpu": "2"}
    assert options.images == {"t": ("python", "-m", "t"), "b": ()}
    assert options.kubeconfig == Path("k")


def test_a_node_without_gpus_does_not_name_them() -> None:
    assert "nvidia.com/gpu" not in options_from([*REQUIRED, "--gpus", "0"]).resources()


def test_a_wrong_image_is_refused_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options_from([*REQUIRED, "--image", "busybox"])
    assert "--image 'busybox' is not NAME=ARGV..., for example" in capsys.readouterr().err
