"""`spec.training`: how long, how fast, on what crops."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from headrace_api.fields import Model, Rule


class ImageSize(Model):
    """Size of the network's input, in pixels."""

    height: int = Field(512, ge=32, le=4096, description="Height in pixels.")
    width: int = Field(512, ge=32, le=4096, description="Width in pixels.")


class AdamW(Model):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    learning_rate: float = Field(0.0005, gt=0, le=10, description="Peak, after warm-up.")
    weight_decay: float = Field(0.05, ge=0, le=10, description="Not applied to biases and normalisation.")


class Sgd(Model):
    """Stochastic gradient descent with Nesterov momentum."""

    learning_rate: float = Field(0.01, gt=0, le=100, description="Peak, after warm-up.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the previous step that is kept.")
    weight_decay: float = Field(0.0001, ge=0, le=10, description="Not applied to biases and normalisation.")


_ONE_OPTIMIZER = "optimizer needs exactly one of adamw and sgd"


class Optimizer(Model):
    """Exactly one of the fields is set."""

    adamw: AdamW | None = Field(None, description="AdamW.")
    sgd: Sgd | None = Field(None, description="SGD with momentum.")

    rules: ClassVar[tuple[Rule, ...]] = (Rule("has(self.adamw) != has(self.sgd)", _ONE_OPTIMIZER),)

    @model_validator(mode="after")
    def _exactly_one(self) -> "Optimizer":
        if (self.adamw is None) == (self.sgd is None):
            raise ValueError(_ONE_OPTIMIZER)
        return self


class Schedule(Model):
    """How the learning rate changes over the iterations."""

    warmup_iterations: int = Field(500, ge=0, le=1_000_000, description="Iterations of linear warm-up from zero.")
    decay: Literal["cosine", "constant"] = Field(
        "cosine", description="After warm-up: cosine decays to zero along a half cosine, constant does not decay."
    )


class Scale(Model):
    """Range of the random zoom: above 1 crops, below 1 pads."""

    min: float = Field(0.8, gt=0, le=8, description="Smallest factor.")
    max: float = Field(1.25, gt=0, le=8, description="Largest factor.")

    rules: ClassVar[tuple[Rule, ...]] = (Rule("self.max >= self.min", "scale.max must be at least scale.min"),)

    @model_validator(mode="after")
    def _in_order(self) -> "Scale":
        if self.max < self.min:
            raise ValueError("scale.max must be at least scale.min")
        return self


class Augmentation(Model):
    """Random changes of training images; annotations change with them."""

    horizontal_flip: bool = Field(
        True, description="Mirror half of the images. Turn it off if left and right matter (text, digits)."
    )
    scale: Scale = Field(default_factory=Scale, description="Random zoom, with a random crop or position.")
    color: float = Field(0.2, ge=0, le=1, description="Strength of random brightness, contrast and saturation; 0 turns it off.")


class Training(Model):
    """How the network is trained. Reaching maxIterations or maxTrainingHours ends the job as Done."""

    max_iterations: int = Field(20_000, ge=1, le=100_000_000, description="Optimizer steps over all attempts.")
    max_training_hours: Annotated[float, Field(gt=0, le=8760)] | None = Field(
        None,
        description="Hours of training over all attempts, without downloads and waiting. Default: no limit.",
    )
    batch_size: int = Field(16, ge=1, le=4096, description="Images per step.")
    image_size: ImageSize = Field(default_factory=ImageSize, description="Size of the network's input.")
    sampler: Literal["balanced", "uniform"] = Field(
        "balanced",
        description="Order of the train images. uniform: each once per pass. balanced: each at least once per pass, and those with "
        "rare labels more often, so that every head finds its labels in at least 1 / 2K of the rows, where K is the number of "
        "different sets of labelled images. If all images are labelled for all heads, balanced equals uniform.",
    )
    optimizer: Optimizer = Field(default_factory=lambda: Optimizer(adamw=AdamW()), description="Exactly one of adamw and sgd.")
    schedule: Schedule = Field(default_factory=Schedule, description="Warm-up and decay of the learning rate.")
    augmentation: Augmentation = Field(default_factory=Augmentation, description="Random changes of training images.")
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the averaged weights that are evaluated and exported, lower at the start; 0 turns averaging off.",
    )
    gradient_clip: float = Field(
        10.0,
        ge=0,
        le=1e6,
        description="Largest norm of the gradient; larger ones are scaled down. 0: no limit.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 if the hardware computes in it, otherwise float32."
    )
    evaluate_every: int = Field(
        1000, ge=1, le=100_000_000, description="Iterations between evaluations; there is one more at the end."
    )
    checkpoint_every: int = Field(
        1000, ge=1, le=100_000_000, description="Iterations between checkpoints; there is one more at the end."
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Seed of initial weights, image order and augmentation.",
    )
