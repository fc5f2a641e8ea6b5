"""Loads a `model/` folder as a network ready for use."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from headrace_api import model, runfolder
from headrace_api.errors import FatalError
from headrace_api.fields import Model
from headrace_api.names import Reason
from headrace_api.training import ImageSize
from headrace_api.wrong_fields import wrong_fields_in_words
from headrace_trainer.heads.base import Head
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.network.build import HeadPlan, Network, build_network
from headrace_trainer.ops.pixels import IMAGE_MEAN, IMAGE_STD, normalise
from headrace_trainer.results.base import Predictions

_VERSION = 1
_HINT = "give the model/ folder of a run folder"


class _Trained(Model):
    """The part of config.json that the contract has a form for."""

    model_config = ConfigDict(extra="ignore")

    network: model.Network
    image_size: ImageSize


@dataclass(frozen=True)
class TrainedModel:
    """A network with its weights and everything needed to use it. Computes in float32."""

    network: Network
    image_size: tuple[int, int]
    """Height and width of the network's input."""
    config: Mapping[str, Any]
    """The content of config.json."""
    device: torch.device

    @property
    def heads(self) -> dict[str, Head]:
        """The heads by name."""
        return {name: cast(Head, head) for name, head in self.network.heads.items()}

    @torch.inference_mode()
    def predict(self, images: Tensor) -> dict[str, Predictions]:
        """uint8 [B, 3, H, W], letterboxed -> each head's predictions, on the CPU, in pixels of the network's input."""
        inputs = normalise(images.to(self.device)).contiguous(memory_format=torch.channels_last)
        outputs = self.network(inputs)
        height, width = images.shape[-2:]
        decoded = {name: head.decode(outputs[name], (height, width)) for name, head in self.heads.items()}
        return {name: {key: value.cpu() for key, value in found.items()} for name, found in decoded.items()}


def load_model(folder: Path, device: torch.device) -> TrainedModel:
    """The model in `folder`, a model/ folder or a run folder that has one.

    Raises FatalError(BAD_MODEL), saying why, if it cannot be used.
    """
    folder = _model_folder(folder)
    # 1. The configuration.
    config = _read_config(folder / runfolder.MODEL_CONFIG)
    try:
        trained = _Trained.model_validate(config)
        spec, size = trained.network, trained.image_size
        heads = [HeadPlan(head, LabelSpace.from_json(config["labels"][head.name])) for head in spec.heads]
        normalised = (list(config["normalisation"]["mean"]), list(config["normalisation"]["std"]))
    except ValidationError as error:
        raise _foreign(folder / runfolder.MODEL_CONFIG, wrong_fields_in_words(error, _Trained)) from error
    except (KeyError, TypeError) as error:
        raise _foreign(folder / runfolder.MODEL_CONFIG, repr(error)) from error
    if normalised != (list(IMAGE_MEAN), list(IMAGE_STD)):
        raise _bad(folder / runfolder.MODEL_CONFIG, "has another image normalisation than this version of Headrace")
    # 2. The network and its weights.
    network = build_network(spec, heads)
    weights = folder / runfolder.MODEL_WEIGHTS
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise _bad(weights, f"does not hold the weights of the network in {runfolder.MODEL_CONFIG}: {error}") from error
    network = network.eval().requires_grad_(False).to(device).to(memory_format=torch.channels_last)
    return TrainedModel(network, (size.height, size.width), config, device)


def _model_folder(folder: Path) -> Path:
    for place in (folder, folder / runfolder.MODEL):
        if (place / runfolder.MODEL_CONFIG).is_file():
            return place
    there = "there is no such folder" if not folder.is_dir() else f"it has no {runfolder.MODEL_CONFIG}"
    raise FatalError(Reason.BAD_MODEL, f"{folder} is not a model: {there}; {_HINT}")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _bad(path, f"cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("version") != _VERSION:
        found = config.get("version") if isinstance(config, dict) else type(config).__name__
        raise _bad(path, f"has version {found}; this version of Headrace reads version {_VERSION}")
    return config


def _foreign(path: Path, why: str) -> FatalError:
    return _bad(path, f"was not written by this version of Headrace: {why}")


def _bad(path: Path, what: str) -> FatalError:
    return FatalError(Reason.BAD_MODEL, f"{path} {what}")
