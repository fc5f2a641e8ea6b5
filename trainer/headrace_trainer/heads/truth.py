"""The truth in the form of predictions, so that a head draws what is annotated as it draws what it sees: what heads share."""

from torch import Tensor

from headrace_trainer.heads.base import Targets


def certain(flags: Tensor) -> Tensor:
    """Scores of 1 where `flags` is True, else 0."""
    return flags.float()


def objects_as_predictions(targets: Targets, *names: str) -> dict[str, Tensor]:
    """The objects that are learnt from (neither padding nor crowds), with what `names` says of them."""
    shown = targets["valid"] & ~targets["crowd"]
    return {"valid": shown, "scores": certain(shown), "classes": targets["classes"], **{name: targets[name] for name in names}}
