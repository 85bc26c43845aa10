import math

import pytest

from pyconv import schedules
from pyconv.serialization import deserialize, serialize

EVERY = [
    schedules.ConstantRate(0.1),
    schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1]),
    schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True),
    schedules.CosineDecay(0.0, 90, alpha=0.1, warmup_target=1.0, warmup_steps=10),
    schedules.OneCycle(0.1, 100),
    schedules.LinearWarmup(schedules.CosineDecay(1.0, 100), 10),
]


@pytest.mark.parametrize("schedule", EVERY, ids=lambda schedule: type(schedule).__name__)
def test_config_round_trip(schedule):
    again = deserialize(serialize(schedule))
    assert [again(step) for step in range(120)] == [schedule(step) for step in range(120)]


@pytest.mark.parametrize(("step", "rate"), [(0, 1.0), (10, 1.0), (11, 0.5), (20, 0.5), (21, 0.1), (999, 0.1)])
def test_piecewise(step, rate):
    assert schedules.PiecewiseConstantDecay([10, 20], [1.0, 0.5, 0.1])(step) == rate


def test_exponential():
    assert schedules.ExponentialDecay(0.1, 10, 0.5)(5) == pytest.approx(0.1 * math.sqrt(0.5))
    assert schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True)(19) == pytest.approx(0.05)


def test_cosine():
    schedule = schedules.CosineDecay(2.0, 100, alpha=0.1)
    assert [schedule(step) for step in (0, 50, 100, 200)] == pytest.approx([2.0, 1.1, 0.2, 0.2])
    warm = schedules.CosineDecay(0.5, 100, warmup_target=2.0, warmup_steps=10)
    assert [warm(step) for step in (0, 5, 10, 60, 110, 200)] == pytest.approx([0.5, 1.25, 2, 1, 0, 0])


def test_one_cycle_is_pytorchs():
    # The rates of torch.optim.lr_scheduler.OneCycleLR(SGD, max_lr=0.1, total_steps=20), PyTorch 2.13.
    expected = [
        0.004,
        0.01316718427,
        0.03716718427,
        0.06683281573,
        0.09083281573,
        0.1,
        0.0987464006235,
        0.0950484632013,
        0.0890916177571,
        0.081174565395,
        0.0716943001791,
        0.0611262021936,
        0.0500002,
        0.0388741978064,
        0.0283060998209,
        0.018825834605,
        0.0109087822429,
        0.00495193679865,
        0.00125399937649,
        4e-07,
    ]
    schedule = schedules.OneCycle(0.1, 20)
    assert [schedule(step) for step in range(20)] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("total", [1, 2, 3, 4])
def test_short_one_cycles(total):
    rates = [schedules.OneCycle(0.1, total)(step) for step in range(total + 5)]
    assert all(0 < rate <= 0.1 for rate in rates)


def test_warmup():
    assert [schedules.LinearWarmup(0.4, 4)(step) for step in range(6)] == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.4]
    )
    assert schedules.LinearWarmup(0.4, 0)(0) == 0.4
    cosine = schedules.CosineDecay(1.0, 100)
    assert schedules.LinearWarmup(cosine, 10)(4) == pytest.approx(0.5 * cosine(4))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: schedules.PiecewiseConstantDecay([2, 1], [1, 2, 3]),
            r"\[PiecewiseConstantDecay\] boundaries is",
        ),
        (lambda: schedules.PiecewiseConstantDecay([1, 2], [1, 2]), r"\[PiecewiseConstantDecay\] values is"),
        (
            lambda: schedules.CosineDecay(0.1, 0),
            r"\[CosineDecay\] decay_steps is 0, expected a number greater than 0",
        ),
        (lambda: schedules.OneCycle(0.1, 0), r"\[OneCycle\] total_steps is 0"),
        (lambda: schedules.OneCycle(0.1, 10, pct_start=2), r"\[OneCycle\] pct_start is 2"),
    ],
)
def test_refuses(build, message):
    with pytest.raises(ValueError, match=message):
        build()
