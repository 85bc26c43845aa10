"""What pyconv does in bench_step.py: the training step, prediction, making a batch, what steps allocate."""

import inspect

import numpy as np
from network import IMAGE, batch_of, pyconv_model
from workers import page_faults

IMAGES = 50000  # of CIFAR-10: an epoch is shuffled at once


def about():
    from pyconv import __version__, _core

    return lambda: f"pyconv {__version__} ({_core.backend()})"


def train(batch, **compile_options):
    from pyconv import Sequential

    for keyword in compile_options.keys() - inspect.signature(Sequential.compile).parameters.keys():
        raise NotImplementedError(f"Sequential.compile has no keyword {keyword}")
    model, (x, y) = pyconv_model(**compile_options), batch_of(batch)
    name = "data_loss" if model.penalised else "loss"
    return lambda: model.train_on_batch(x, y, return_dict=True)[name]


def predict(batch):
    model, (x, _) = pyconv_model(), batch_of(batch)
    return lambda: model.predict_on_batch(x)


# ---- making a batch: a new order once an epoch; warped and normalised images


def shuffle():
    from pyconv.philox import permutation

    return lambda: permutation(IMAGES, seed=0, epoch=0)


def augment(batch):
    from pyconv import _core
    from pyconv.philox import to_rng_state

    rng = np.random.default_rng(0)
    source = _core.from_numpy(rng.integers(0, 256, (IMAGES, *IMAGE)).astype(np.uint8))
    index = _core.from_numpy(rng.permutation(IMAGES)[:batch].astype(np.int32))
    warps, state = augmentation(), _core.from_numpy(to_rng_state(0))
    matrix, y = _core.empty((batch, 6)), _core.empty((batch, *IMAGE))

    def warp():
        _core.random_affine(state, index, height=IMAGE[0], width=IMAGE[1], **warps.ranges, matrix=matrix)
        _core.affine(source, matrix, index, **warps.border, y=y)

    return warp


def augmentation():
    from pyconv import Augmentation

    return Augmentation(45, 0.1, 0.1, True)


def normalise(batch):
    from pyconv import _core

    x, y = _core.from_numpy(batch_of(batch)[0]), _core.empty((batch, *IMAGE))
    mean, variance = (_core.from_numpy(np.full(IMAGE[-1], value, np.float32)) for value in (127.5, 4096))

    def run():
        _core.batch_norm_inference(x, None, None, mean, variance, epsilon=0.0, y=y)

    return run


# ---- what warm steps allocate and fault


def memory(batch, steps):
    """Return what `steps` warm steps take: of train_on_batch, and of an epoch of fit."""
    return lambda: {"train_on_batch": count_steps(batch, steps), "fit": count_fit(batch, steps)}


def counters():
    import pyconv

    statistics = pyconv.memory_statistics()
    return {
        "page faults": page_faults(),
        "system calls": statistics["system_calls"],
        "bytes": statistics["allocated_bytes"],
    }


def growth(before):
    return {name: value - before[name] for name, value in counters().items()}


def count_steps(batch, steps):
    step = train(batch)
    for _ in range(3):
        step()
    before = counters()
    for _ in range(steps):
        step()
    return growth(before)


def count_fit(batch, steps):
    from pyconv.callbacks import Callback

    class Count(Callback):
        """Counts from the first step of the second epoch to its last: the first epoch makes the plan."""

        def on_train_batch_begin(self, step, logs=None):
            if step == 0:
                self.before = counters()

        def on_train_batch_end(self, step, logs=None):
            self.found = growth(self.before)

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (steps * batch, *IMAGE)).astype(np.uint8)
    y, count = rng.integers(0, 10, len(x)).astype(np.int32), Count()
    pyconv_model().fit(x, y, batch, epochs=2, verbose=0, callbacks=[count], augment=augmentation())
    return count.found


TASKS = {
    "about": about,
    "train": train,
    "predict": predict,
    "shuffle": shuffle,
    "augment": augment,
    "normalise": normalise,
    "memory": memory,
}
