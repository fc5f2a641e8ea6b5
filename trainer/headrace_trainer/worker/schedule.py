"""The learning rate as a pure function of the iteration: linear warm-up, then a half cosine or constant.

The cosine is that of SGDR without restarts (Loshchilov and Hutter 2017, https://arxiv.org/abs/1608.03983).
"""

import math

from headrace_api.training import Schedule


def learning_rate_factor(schedule: Schedule, iteration: int, max_iterations: int) -> float:
    """Factor of the peak learning rate in iteration `iteration`, counted from 1.

    Warm-up rises in equal steps and reaches 1 in its last iteration; the cosine starts from 1 in the next one and would reach 0
    just after `max_iterations`, so that no iteration is wasted on a rate of zero.
    """
    warmup = schedule.warmup_iterations
    if iteration <= warmup:
        return iteration / warmup
    if schedule.decay == "constant":
        return 1.0
    progress = (iteration - warmup - 1) / max(1, max_iterations - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
