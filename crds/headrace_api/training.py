"""`spec.training`: how long, how fast, on what crops."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from headrace_api.fields import Model, Rule


class ImageSize(Model):
    """Size that the network sees, in pixels."""

    height: int = Field(512, ge=32, le=4096, description="Pixels.")
    width: int = Field(512, ge=32, le=4096, description="Pixels.")


class AdamW(Model):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101)."""

    learning_rate: float = Field(0.0005, gt=0, le=10, description="Peak, after warm-up.")
    weight_decay: float = Field(0.05, ge=0, le=10, description="Not applied to biases and normalisation.")


class Sgd(Model):
    """Stochastic gradient descent with Nesterov momentum."""

    learning_rate: float = Field(0.01, gt=0, le=100, description="Peak, after warm-up.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Share of the last step kept.")
    weight_decay: float = Field(0.0001, ge=0, le=10, description="Not applied to biases and normalisation.")


_ONE_OPTIMIZER = "an optimizer is exactly one of adamw and sgd"


class Optimizer(Model):
    """Exactly one of the fields is given."""

    adamw: AdamW | None = Field(None, description="AdamW.")
    sgd: Sgd | None = Field(None, description="SGD with momentum.")

    rules: ClassVar[tuple[Rule, ...]] = (Rule("has(self.adamw) != has(self.sgd)", _ONE_OPTIMIZER),)

    @model_validator(mode="after")
    def _exactly_one(self) -> "Optimizer":
        if (self.adamw is None) == (self.sgd is None):
            raise ValueError(_ONE_OPTIMIZER)
        return self


class Schedule(Model):
    """Factor of the learning rate over the iterations."""

    warmup_iterations: int = Field(500, ge=0, le=1_000_000, description="Iterations of linear warm-up from zero.")
    decay: Literal["cosine", "constant"] = Field("cosine", description="After warm-up: to zero along a half cosine, or not at all.")


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
    """Random changes of training images, made to all annotations alike."""

    horizontal_flip: bool = Field(
        True, description="Mirror half of the images. Turn off where left and right matter (text, digits)."
    )
    scale: Scale = Field(default_factory=Scale, description="Random zoom, with a random crop or place.")
    color: float = Field(0.2, ge=0, le=1, description="Strength of random brightness, contrast and saturation; 0 is none.")


class Training(Model):
    """How the network is trained. Reaching maxIterations or maxTrainingHours ends the job as Done."""

    max_iterations: int = Field(20_000, ge=1, le=100_000_000, description="Optimizer steps over all attempts.")
    max_training_hours: Annotated[float, Field(gt=0, le=8760)] | None = Field(
        None,
        description="Hours of training over all attempts, downloads and waiting not counted. Default: no limit.",
    )
    batch_size: int = Field(16, ge=1, le=4096, description="Images a step.")
    image_size: ImageSize = Field(default_factory=ImageSize, description="Size that the network sees.")
    sampler: Literal["balanced", "uniform"] = Field(
        "balanced",
        description="Order of the train images. uniform: each once a pass. balanced: each at least once a pass, and those with "
        "rare labels more often, so that every head finds its labels in at least 1 / 2K of the rows, where K is the number of "
        "different sets of labelled images; where all images are labelled for all heads, the same as uniform.",
    )
    optimizer: Optimizer = Field(default_factory=lambda: Optimizer(adamw=AdamW()), description="Exactly one of adamw, sgd.")
    schedule: Schedule = Field(default_factory=Schedule, description="Warm-up and decay of the learning rate.")
    augmentation: Augmentation = Field(default_factory=Augmentation, description="Random changes of training images.")
    ema_decay: float = Field(
        0.999,
        ge=0,
        lt=1,
        description="Decay of the averaged weights that are evaluated and exported, shorter at the start; 0 turns averaging off.",
    )
    gradient_clip: float = Field(
        10.0,
        ge=0,
        le=1e6,
        description="Largest norm of the gradient; longer ones are scaled down. 0 is no limit.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the hardware computes in it, else float32."
    )
    evaluate_every: int = Field(
        1000, ge=1, le=100_000_000, description="Iterations between evaluations; one more comes at the end."
    )
    checkpoint_every: int = Field(
        1000, ge=1, le=100_000_000, description="Iterations between checkpoints; one more comes at the end."
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**31 - 1,
        description="Decides initial weights, the order of images and their augmentation.",
    )
