"""Optimizers: what changes from step to step. The kernels do the arithmetic on the parameters."""

import math
from fnmatch import fnmatchcase

import numpy as np

from pyconv import _core, names
from pyconv.arguments import flag, integer, items, number, shown, text
from pyconv.attributes import Checked
from pyconv.schedules import LearningRateSchedule
from pyconv.serialization import Configurable, find, serialize

__all__ = ["SGD", "Adam", "ByName", "Optimizer", "get"]


class Optimizer(Configurable):
    """A rule that moves parameters against their gradients.

    `slots` names the arrays it keeps beside each parameter, of the parameter's shape, starting at 0.
    `iterations` counts the steps taken.
    """

    slots = ()
    takes_whole_parameters = False  # `update` is then called on one after another, in its own shape
    settable = ()
    iterations = Checked(integer, least=0)

    def __init__(self, learning_rate):
        self.iterations = 0
        self.learning_rate = learning_rate

    @property
    def learning_rate(self):
        """The learning rate of the next step; a number or a schedule can be set."""
        rate = self._learning_rate
        if not isinstance(rate, LearningRateSchedule):
            return rate
        return number(
            rate(self.iterations), f"the rate at step {self.iterations}", type(rate).__name__, least=0
        )

    @learning_rate.setter
    def learning_rate(self, rate):
        if isinstance(rate, LearningRateSchedule):
            self._learning_rate = rate
            return
        op = type(self).__name__
        if hasattr(self, "_learning_rate"):
            self.expect_settable_rate(op, f" to {rate!r}")
        self._learning_rate = number(rate, "learning_rate", op, least=0, also="a LearningRateSchedule")

    def count_step(self):
        """Count a step taken; quicker than setting `iterations`, which is checked."""
        vars(self)["iterations"] += 1

    def expect_settable_rate(self, op, to=""):
        """Raise TypeError where the learning rate follows a schedule, and cannot be set."""
        if isinstance(self._learning_rate, LearningRateSchedule):
            raise TypeError(
                f"[{op}] learning_rate follows {self._learning_rate!r} and cannot be set{to}; give the "
                "optimizer a number to let callbacks change it"
            )

    def split(self, named):
        """Return [(optimizer, parameters that it updates), ...] for parameters by name."""
        return [(self, list(named.values()))]

    def hyper(self):
        """Return what the kernel needs for the next step: float32 (4,)."""
        raise NotImplementedError(f"[{type(self).__name__}] an optimizer defines hyper and update")

    def update(self, dweight, weight, slots, hyper, *, l2=0.0, guard=None):
        """Move `weight` and its `slots` (a dict) in place; all are Tensors, `hyper` what `hyper()` returned.

        The gradient is `dweight + 2 * l2 * weight`. Nothing moves while `guard` (float64) is not finite.
        """
        raise NotImplementedError(f"[{type(self).__name__}] an optimizer defines hyper and update")

    def get_config(self):
        """Return the constructor's arguments as a JSON-ready dict."""
        return {**super().get_config(), "learning_rate": serialize(self._learning_rate)}

    def get_state(self):
        """Return what training has changed besides the slots, JSON-ready."""
        scheduled = isinstance(self._learning_rate, LearningRateSchedule)
        return {"iterations": self.iterations, "learning_rate": None if scheduled else self._learning_rate}

    def set_state(self, state):
        """Restore what `get_state` returned. A schedule stays: it follows the step."""
        self.iterations = integer(state["iterations"], "iterations", type(self).__name__, least=0)
        if not isinstance(self._learning_rate, LearningRateSchedule) and state["learning_rate"] is not None:
            self.learning_rate = state["learning_rate"]


class Adam(Optimizer):
    """Adam (Kingma and Ba, https://arxiv.org/abs/1412.6980), with Keras' epsilon.

    weight -= alpha * m / (sqrt(v) + epsilon), alpha = learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t):
    the formulation just before the paper's section 2.1, whose epsilon is its "epsilon hat".
    """

    slots = ("m", "v")
    beta_1 = Checked(number, least=0, below=1)
    beta_2 = Checked(number, least=0, below=1)
    epsilon = Checked(number, above=0)

    def __init__(self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        super().__init__(learning_rate)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def hyper(self):
        """Return {alpha, beta_1, beta_2, epsilon} for the next step."""
        step = self.iterations + 1
        alpha = self.learning_rate * math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        return np.array([alpha, self.beta_1, self.beta_2, self.epsilon], np.float32)

    def update(self, dweight, weight, slots, hyper, *, l2=0.0, guard=None):
        """Move `weight`, `m` and `v` in place."""
        _core.adam(dweight, weight, slots["m"], slots["v"], hyper, l2=l2, guard=guard)


class SGD(Optimizer):
    """Gradient descent with momentum, as Keras.

    velocity = momentum * velocity - learning_rate * gradient; the weight moves by velocity, or with
    `nesterov` by momentum * velocity - learning_rate * gradient.
    """

    def __init__(self, learning_rate=0.01, momentum=0.0, nesterov=False):
        super().__init__(learning_rate)
        self._momentum = number(momentum, "momentum", "SGD", least=0, most=1)
        self.nesterov = flag(nesterov, "nesterov", "SGD")
        self.slots = ("velocity",) if momentum else ()

    @property
    def momentum(self):
        """The momentum of the next step. It can be set, but not from 0 nor to it: the slot stays."""
        return self._momentum

    @momentum.setter
    def momentum(self, value):
        value = number(value, "momentum", "SGD", least=0, most=1)
        if bool(value) != bool(self._momentum):
            raise ValueError(
                f"[SGD] momentum is {self._momentum} and cannot become {value}: "
                "the velocity is there from the start or never; make a new SGD"
            )
        self._momentum = value

    def hyper(self):
        """Return {learning_rate, momentum, 0, 0} for the next step."""
        return np.array([self.learning_rate, self.momentum, 0, 0], np.float32)

    def update(self, dweight, weight, slots, hyper, *, l2=0.0, guard=None):
        """Move `weight` and, with momentum, `velocity` in place."""
        _core.sgd(dweight, weight, slots.get("velocity"), hyper, l2=l2, nesterov=self.nesterov, guard=guard)


class ByName(Optimizer):
    """Several optimizers, each for the parameters whose names match: `ByName({"*/kernel": ..., "*": ...})`.

    Names are those of files, `layer/parameter`; a pattern has `*` and `?`, and the first one that matches
    counts. Each optimizer has its own learning rate, schedule and other settings; the model's logs show the
    first one's rate.

    Args:
        rules: pattern -> optimizer, or a list of such pairs.

    Raises ValueError when training begins where a parameter matches no pattern.
    """

    def __init__(self, rules):
        pairs = items(list(rules.items()) if isinstance(rules, dict) else rules, "rules", "ByName", _RULES)
        if not pairs or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
            raise ValueError(f"[ByName] rules is {shown(rules)}, expected {_RULES}")
        self.rules = [[text(pattern, "a pattern of rules", "ByName"), _part(one)] for pattern, one in pairs]
        parts = self._parts
        if len({id(part) for part in parts}) < len(parts):
            raise ValueError("[ByName] one optimizer has two patterns, expected one for each")
        if any(isinstance(part, ByName) for part in parts):
            raise ValueError("[ByName] rules has a ByName, expected other optimizers")

    @property
    def _parts(self):
        return [part for _, part in self.rules]

    @property
    def _learning_rate(self):
        return self._parts[0]._learning_rate

    @property
    def learning_rate(self):
        """The first optimizer's learning rate; each is set on the optimizer itself."""
        return self._parts[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, rate):
        self.expect_settable_rate("ByName", f" to {rate!r}")

    def expect_settable_rate(self, op, to=""):
        """Raise TypeError: there is more than one."""
        raise TypeError(
            f"[{op}] each optimizer in ByName has a learning rate of its own, it cannot be set{to}"
        )

    @property
    def iterations(self):
        """The steps taken."""
        return self._parts[0].iterations

    @iterations.setter
    def iterations(self, steps):
        for part in self._parts:
            part.iterations = steps

    def count_step(self):
        """Count a step taken."""
        for part in self._parts:
            part.count_step()

    def split(self, named):
        """Return [(optimizer, parameters that it updates), ...] for parameters by name."""
        chosen = [(part, []) for part in self._parts]
        for name, parameter in named.items():
            fits = (
                mine
                for (pattern, _), (_, mine) in zip(self.rules, chosen, strict=True)
                if fnmatchcase(name, pattern)
            )
            mine = next(fits, None)
            if mine is None:
                raise ValueError(
                    f'[ByName] {name} matches no pattern, expected a rule for it; "*" matches all'
                )
            mine.append(parameter)
        return chosen

    def get_config(self):
        """Return the constructor's arguments as a JSON-ready dict."""
        return {"rules": serialize(self.rules)}

    def get_state(self):
        """Return what training has changed besides the slots, JSON-ready."""
        return {"iterations": self.iterations, "parts": [part.get_state() for part in self._parts]}

    def set_state(self, state):
        """Restore what `get_state` returned."""
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.set_state(saved)


_RULES = "patterns of names with an optimizer each"
_CLASSES = {"adam": Adam, "sgd": SGD}


def _part(identifier):
    """Return an optimizer of ByName's rules."""
    found = find(identifier, _CLASSES, Optimizer, "[ByName] an optimizer of rules is", "optimizers")
    if found is None:
        raise TypeError("[ByName] an optimizer of rules is None, expected one of adam, sgd")
    return found


def get(identifier):
    """Return the optimizer that `identifier` (an instance, "adam", "sgd" or a config) means."""
    if identifier is None:
        raise ValueError("[optimizer] optimizer is None, expected one of adam, sgd")
    return find(identifier, _CLASSES, Optimizer, "[optimizer] unknown optimizer", "optimizers")


def __getattr__(name):
    raise names.missing(__name__, name, __all__)
