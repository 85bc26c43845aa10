"""What every recipe's settings share, and what they mean for the optimizer and the augmentation."""

from dataclasses import dataclass, field, fields, is_dataclass

from pyconv import arguments, optimizers, schedules
from pyconv.preprocessing import Augmentation

DATASETS = ("cifar10", "shapes")
OPTIMIZERS = ("adam", "sgd")
SCHEDULES = ("constant", "step", "cosine", "one-cycle")


_CHECKS = {int: arguments.integer, float: arguments.number, bool: arguments.flag}


def setting(default, text, *, flag=None, choices=None):
    """Return a field of a recipe's settings: `text` and `flag` are its help and name on the command line."""
    return field(default=default, metadata={"help": text, "flag": flag, "choices": choices})


@dataclass(frozen=True)
class Settings:
    """A recipe's hyperparameters; each is an option of the command line too."""

    dataset: str = setting("cifar10", "data set", choices=DATASETS)
    epochs: int = setting(64, "passes over the training set")
    batch_size: int = setting(64, "images a step")
    learning_rate: float = setting(1e-3, "learning rate; of a schedule: its highest", flag="--lr")
    optimizer: str = setting("adam", "optimizer", choices=OPTIMIZERS)
    momentum: float = setting(0.9, "momentum of sgd, with Nesterov's step")
    schedule: str = setting("constant", "learning rate over the training", choices=SCHEDULES)
    warmup_epochs: float = setting(0.0, "epochs of a linear warm-up")
    l2: float = setting(1e-4, "penalty on the squares of the convolutions' kernels")
    dropout: float = setting(0.0, "fraction of activations set to zero")
    augment: bool = setting(True, "random rotation, shift and flip of the training images")
    rotation: float = setting(45.0, "largest rotation, in degrees")
    shift: float = setting(0.1, "largest shift, as a fraction of the size")
    horizontal_flip: bool = setting(True, "mirror half of the images")
    validation_split: float = setting(0.0, "fraction of the training set to validate on; 0: the test set")
    seed: int = setting(0, "seed of every random number")

    def __post_init__(self):
        for one in described(type(self)).values():
            choices = one.metadata["choices"]
            if choices:
                self._expect(one.name, getattr(self, one.name) in choices, f"one of {', '.join(choices)}")
            if one.type in _CHECKS:
                _CHECKS[one.type](getattr(self, one.name), one.name, "settings")
        self._expect("epochs", self.epochs >= 1, "at least 1")
        self._expect("batch_size", self.batch_size >= 1, "at least 1")
        self._expect("learning_rate", self.learning_rate >= 0, "at least 0")
        self._expect("momentum", 0 <= self.momentum <= 1, "a number in [0, 1]")
        self._expect("warmup_epochs", self.warmup_epochs >= 0, "at least 0")
        self._expect("warmup_epochs", self.warmup_epochs <= self.epochs, f"at most the {self.epochs} epochs")
        self._expect("l2", self.l2 >= 0, "at least 0")
        self._expect("dropout", 0 <= self.dropout < 1, "a fraction in [0, 1)")
        self._expect("rotation", 0 <= self.rotation <= 360, "degrees in [0, 360]")
        self._expect("shift", 0 <= self.shift < 1, "a fraction in [0, 1)")
        self._expect("validation_split", 0 <= self.validation_split < 1, "a fraction in [0, 1)")
        self._expect("seed", 0 <= self.seed < 2**64, "an integer in [0, 2**64)")

    def _expect(self, name, holds, expected):
        if not holds:
            raise ValueError(f"[settings] {name} is {getattr(self, name)!r}, expected {expected}")


def described(kind):
    """Return {name: field} of a class of settings. A recipe that changes a default keeps the rest."""
    bases = [base for base in reversed(kind.__mro__) if is_dataclass(base)]
    return {one.name: one for base in bases for one in fields(base) if one.metadata}


def flag(field):
    """Return the option of the command line that sets a field."""
    return field.metadata["flag"] or "--" + field.name.replace("_", "-")


def given(settings, kind):
    """Return a recipe's settings, its defaults for None. Raises TypeError for what are none."""
    if settings is None:
        return kind()
    if not isinstance(settings, kind):
        place = kind.__module__.rpartition(".")[2]
        raise TypeError(
            f"[recipes] settings is {arguments.shown(settings)}, expected {place}.Settings or None"
        )
    return settings


def make_optimizer(settings, steps_per_epoch):
    """Return the optimizer; its schedule, if any, spans the training."""
    rate = _learning_rate(settings, steps_per_epoch)
    if settings.optimizer == "adam":
        return optimizers.Adam(rate)
    return optimizers.SGD(rate, momentum=settings.momentum, nesterov=settings.momentum > 0)


def make_augmentation(settings):
    """Return the Augmentation, or None."""
    if not settings.augment:
        return None
    return Augmentation(
        rotation_range=settings.rotation,
        width_shift_range=settings.shift,
        height_shift_range=settings.shift,
        horizontal_flip=settings.horizontal_flip,
        fill_mode="nearest",
    )


def _learning_rate(settings, steps_per_epoch):
    peak, steps = settings.learning_rate, settings.epochs * steps_per_epoch
    if settings.schedule == "step":
        boundaries, values = [steps // 2, 3 * steps // 4], [peak, peak / 10, peak / 100]
        rate = schedules.PiecewiseConstantDecay(boundaries, values)
    elif settings.schedule == "cosine":
        rate = schedules.CosineDecay(peak, steps)
    elif settings.schedule == "one-cycle":
        rate = schedules.OneCycle(peak, steps)
    else:
        rate = peak
    warmup = round(settings.warmup_epochs * steps_per_epoch)
    return schedules.LinearWarmup(rate, warmup) if warmup else rate
