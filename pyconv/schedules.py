"""Learning rates that change with the optimizer's step, counted from 0."""

import math

from pyconv import names
from pyconv.arguments import flag, items, number
from pyconv.serialization import Configurable

__all__ = [
    "ConstantRate",
    "CosineDecay",
    "ExponentialDecay",
    "LearningRateSchedule",
    "LinearWarmup",
    "OneCycle",
    "PiecewiseConstantDecay",
]


class LearningRateSchedule(Configurable):
    """A function of the step: `schedule(step) -> float`."""

    settable = ()

    def __call__(self, step):
        raise NotImplementedError(f"[{type(self).__name__}] a schedule defines __call__(self, step)")

    def _step(self, step):
        return number(step, "step", type(self).__name__, least=0)


class ConstantRate(LearningRateSchedule):
    """The same learning rate at every step."""

    def __init__(self, learning_rate):
        self.learning_rate = _rate(self, "learning_rate", learning_rate)

    def __call__(self, step):
        self._step(step)
        return self.learning_rate


class PiecewiseConstantDecay(LearningRateSchedule):
    """`values[i]` up to and including step `boundaries[i]`, then the next one, as Keras."""

    def __init__(self, boundaries, values):
        self.boundaries = _numbers(self, "boundaries", boundaries)
        self.values = _numbers(self, "values", values)
        self._expect("boundaries", self.boundaries == sorted(self.boundaries), "steps in increasing order")
        self._expect("values", len(self.values) == len(self.boundaries) + 1, "one value more than boundaries")

    def __call__(self, step):
        step = self._step(step)
        return self.values[sum(step > boundary for boundary in self.boundaries)]


class ExponentialDecay(LearningRateSchedule):
    """`initial_learning_rate * decay_rate ** (step / decay_steps)`; `staircase` rounds the exponent down."""

    def __init__(self, initial_learning_rate, decay_steps, decay_rate, staircase=False):
        op = type(self).__name__
        self.initial_learning_rate = _rate(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = number(decay_steps, "decay_steps", op, above=0)
        self.decay_rate = number(decay_rate, "decay_rate", op, above=0)
        self.staircase = flag(staircase, "staircase", op)

    def __call__(self, step):
        step = self._step(step)
        exponent = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**exponent


class CosineDecay(LearningRateSchedule):
    """Half a cosine down to `alpha` times the start, as Keras. https://arxiv.org/abs/1608.03983.

    With `warmup_target` the rate first climbs from `initial_learning_rate` to it within `warmup_steps`, and
    the `decay_steps` begin after that.
    """

    def __init__(self, initial_learning_rate, decay_steps, alpha=0.0, warmup_target=None, warmup_steps=0):
        op = type(self).__name__
        self.initial_learning_rate = _rate(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = number(decay_steps, "decay_steps", op, above=0)
        self.alpha = number(alpha, "alpha", op, least=0, most=1)
        self.warmup_target = None if warmup_target is None else _rate(self, "warmup_target", warmup_target)
        self.warmup_steps = number(warmup_steps, "warmup_steps", op, least=0)
        if self.warmup_steps and warmup_target is None:
            raise ValueError(
                f"[{op}] warmup_steps is {warmup_steps} and warmup_target None, expected both or neither"
            )

    def __call__(self, step):
        step = self._step(step)
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            start, step = self.warmup_target, step - self.warmup_steps
        return _cosine(start, self.alpha * start, step / self.decay_steps)


class OneCycle(LearningRateSchedule):
    """Up to `max_learning_rate` and down again along cosines, as PyTorch's OneCycleLR.

    Starts at `max_learning_rate / div_factor`, peaks after the fraction `pct_start` of `total_steps`, and
    ends at the start divided by `final_div_factor`. https://arxiv.org/abs/1708.07120.
    """

    def __init__(self, max_learning_rate, total_steps, pct_start=0.3, div_factor=25.0, final_div_factor=1e4):
        op = type(self).__name__
        self.max_learning_rate = _rate(self, "max_learning_rate", max_learning_rate)
        self.total_steps = number(total_steps, "total_steps", op, above=0)
        self.pct_start = number(pct_start, "pct_start", op, least=0, most=1)
        self.div_factor = number(div_factor, "div_factor", op, above=0)
        self.final_div_factor = number(final_div_factor, "final_div_factor", op, above=0)

    def __call__(self, step):
        step = self._step(step)
        start = self.max_learning_rate / self.div_factor
        peak, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        if step <= peak:
            return _cosine(start, self.max_learning_rate, step / peak if peak else 1)
        fraction = (step - peak) / (last - peak) if last > peak else 1
        return _cosine(self.max_learning_rate, start / self.final_div_factor, fraction)


class LinearWarmup(LearningRateSchedule):
    """Climbs in a line from 0 within `warmup_steps`, then follows `schedule`, a rate or another schedule.

    The warm-up scales what `schedule` says at that step: both count from the same step 0.
    """

    def __init__(self, schedule, warmup_steps):
        scheduled = isinstance(schedule, LearningRateSchedule)
        self.schedule = schedule if scheduled else _rate(self, "schedule", schedule, "a LearningRateSchedule")
        self.warmup_steps = number(warmup_steps, "warmup_steps", type(self).__name__, least=0)

    def __call__(self, step):
        step = self._step(step)
        rate = self.schedule(step) if callable(self.schedule) else self.schedule
        return rate * min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else rate


def _rate(schedule, name, value, also=""):
    return number(value, name, type(schedule).__name__, least=0, also=also)


def _numbers(schedule, name, values):
    op = type(schedule).__name__
    values = items(values, name, op, "a list of numbers")
    return [number(value, f"{name}[{i}]", op, least=0) for i, value in enumerate(values)]


def _cosine(start, end, fraction):
    """Half a cosine from `start` to `end`; `fraction` is clipped to [0, 1]."""
    return end + (start - end) * (1 + math.cos(math.pi * min(max(fraction, 0.0), 1.0))) / 2


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
