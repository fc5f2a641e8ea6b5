"""Exports the trained model: everything needed to load and run it, in one folder that appears complete or not at all.

model/model.safetensors    the evaluated weights (the averaged ones if averaging is on)
      config.json          network, labels of each head, image size, normalisation
      metrics.json         scores of the last evaluation, by head
      README.md            the model card
"""

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file

from headrace_api import runfolder
from headrace_api.model import Network as NetworkSpec
from headrace_api.training import ImageSize
from headrace_trainer.network.build import HeadPlan, Network
from headrace_trainer.ops.pixels import IMAGE_MEAN, IMAGE_STD
from headrace_trainer.worker.evaluate import Scores

WEIGHTS: Final = runfolder.MODEL_WEIGHTS
CONFIG: Final = runfolder.MODEL_CONFIG
METRICS: Final = "metrics.json"
CARD: Final = runfolder.MODEL_CARD


def export_model(
    output: Path,
    *,
    network: Network,
    spec: NetworkSpec,
    heads: tuple[HeadPlan, ...],
    image_size: ImageSize,
    iteration: int,
    scores: Scores,
    card: str,
) -> Path:
    """Write the model below `output`, replacing an existing one; returns its folder, relative to `output`."""
    folder = output / runfolder.MODEL
    output.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".model-", dir=output))
    try:
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, temporary / WEIGHTS, metadata={"format": "pt"})
        _write_json(temporary / CONFIG, _config(spec, heads, image_size))
        _write_json(temporary / METRICS, _metrics(iteration, scores))
        (temporary / CARD).write_text(card)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return Path(runfolder.MODEL)


def _config(spec: NetworkSpec, heads: tuple[HeadPlan, ...], image_size: ImageSize) -> dict[str, Any]:
    """`network` is a TrainingJob's spec.model with the heads as built; `build_network` takes it and `labels` (LabelSpace)."""
    made = spec.model_copy(update={"heads": [head.spec for head in heads]})
    return {
        "version": 1,
        "network": made.model_dump(mode="json", by_alias=True, exclude_none=True),
        "labels": {head.spec.name: head.labels.to_json() for head in heads},
        "imageSize": image_size.model_dump(mode="json", by_alias=True),
        "normalisation": {"scale": 1 / 255, "mean": list(IMAGE_MEAN), "std": list(IMAGE_STD), "channels": "RGB"},
    }


def _metrics(iteration: int, scores: Scores) -> dict[str, Any]:
    heads = {
        head: {name: value for name, value in values.items() if math.isfinite(value)} for head, values in scores.by_head.items()
    }
    return {"iteration": iteration, "heads": heads}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n")
