"""`Model`: build, compile, train, evaluate, predict, save; Keras' names, arguments and meanings."""

from typing import ClassVar

from pyconv import arguments, optimizers, saving
from pyconv.attributes import Checked, answering
from pyconv.engine import running
from pyconv.engine.batch import Batch
from pyconv.engine.objective import objective_of
from pyconv.engine.trainer import Trainer
from pyconv.models.graph import input_shapes, network_between
from pyconv.models.structure import Structure, kept_by_trainer
from pyconv.serialization import serialize
from pyconv.summary import plan_text, summary_text
from pyconv.utils import random_seed


class Model(Structure):
    """A graph of layers: `Model(inputs, outputs)`, as Keras' functional models.

        x = Input((32, 32, 3))
        y = Conv2D(16, 3, padding="same")(x)
        model = Model(x, Dense(10, activation="softmax")(Flatten()(Add()([y, Conv2D(16, 1)(x)]))))

    Args:
        inputs: an `Input`; or a list of them, and x is then a list of arrays.
        outputs: what a layer gave, called on the Input or on other layers' results; or a list of such, and
            predictions are lists too.
        name: what the summary calls it.
        seed: integer in [0, 2**64): keys initial weights, shuffles, augmentation and dropout. None: one of
            its own, drawn from `pyconv.utils.set_random_seed`'s.
    """

    name = Checked(arguments.text)
    settable = ("history",)
    set_by: ClassVar[dict] = {
        **dict.fromkeys(("optimizer", "loss", "metric_names", "fuse"), "compile"),
        "device": "to",
        "seed": "the constructor",
    }

    optimizer = kept_by_trainer("optimizer", "What updates the parameters; None before `compile`.")
    loss = kept_by_trainer("loss", "What `fit` minimises; None before `compile`.")
    metric_names = kept_by_trainer("metric_names", "What the metrics are logged as.")
    fuse = kept_by_trainer("fuse", "Whether one pass over memory does the work of several layers.")
    device = kept_by_trainer("device", 'Where it computes: "cpu" or "cuda".')
    seed = kept_by_trainer("seed", "What its random draws are keyed by.")
    position = kept_by_trainer("position", "Where an interrupted training stands.")
    stop_training = kept_by_trainer("stop_training", "Set it to end `fit` after the step.", settable=True)
    interrupted = kept_by_trainer("interrupted", "Whether Ctrl-C ended the last `fit`.", settable=True)

    def __init__(self, inputs, outputs, name=None, seed=None):
        self._begin(network_between(inputs, outputs), "model" if name is None else name, seed)
        self.trainer.build(input_shapes(self.network))

    def _begin(self, network, name, seed):
        self.name = name
        self._own_seed = seed is None
        seed = random_seed() if seed is None else arguments.seed(seed, type(self).__name__)
        self.trainer = Trainer(network, seed)
        self.history = None

    @answering
    def summary(self, print_fn=print, plan=False, batch_size=32):
        """Print each layer's output shape, parameters, multiply-adds and memory.

        Args:
            print_fn: takes the text.
            plan: print the kernel calls of a training step too (of prediction, while the model is not
                compiled), and what each of them does beside its own work.
            batch_size: images of that step.
        """
        self._expect_built("summary")
        if not callable(print_fn):
            raise TypeError(
                f"[summary] print_fn is {arguments.shown(print_fn)}, expected a function of the text"
            )
        plan = arguments.flag(plan, "plan", "summary")
        size = arguments.integer(batch_size, "batch_size", "summary", least=1)
        print_fn(summary_text(self))
        if plan:
            kinds = tuple((shape, "float32") for shape in self.network.input_shapes)
            batch = Batch(size, kinds, self.device)
            if self.optimizer is None:
                print_fn(plan_text("Prediction", batch, self.trainer.prediction_plan(batch)))
            else:
                shapes = self.trainer.objective.target_shapes(size, self.network.output_shapes)
                print_fn(plan_text("Training step", batch, self.trainer.training_plan(batch, shapes)))

    def to(self, device):
        """Move the model, with the training's state, to "cpu" or "cuda"; return it.

        Raises ValueError where there is no GPU, and says why.
        """
        self.trainer.expect_idle("to")
        self.trainer.to(arguments.choice(device, ("cpu", "cuda"), "device", "to"))
        return self

    def set_seed(self, seed):
        """Key shuffles, augmentation and dropout by `seed` from now on."""
        self.trainer.seed = arguments.seed(seed, type(self).__name__)

    # ---- training (engine/running.py)

    @answering
    def compile(
        self,
        optimizer="adam",
        loss="categorical_crossentropy",
        metrics=None,
        fuse=True,
        loss_weights=None,
    ):
        """Choose what `fit` minimises and how.

        Args:
            optimizer: a name or an `Optimizer`.
            loss: a name or a `Loss`.
            metrics: None, a name of accuracy, a `Metric`, or a list of them.
            fuse: let one pass over memory do the work of several layers; False: each layer on its own, which
                gives the same results but for rounding.
            loss_weights: None, or what a loss counts for in the sum.

        Of several outputs `loss`, `metrics` and `loss_weights` are lists with an entry for each, or dicts
        by the names of the layers that give them; a single loss or metric is for all. `y` of `fit` is such a
        list or dict too, and losses and metrics are logged for each: "dense_loss", "dense_accuracy".

        Compiled again with the optimizer it has, the model keeps the optimizer's state; with a new one, the
        state starts anew.

        Raises ValueError for an optimizer that another model was compiled with, RuntimeError during `fit`.
        """
        self.trainer.expect_idle("compile")
        optimizer = optimizers.get(optimizer)
        objective = objective_of(self.network.output_names, loss, loss_weights, metrics)
        fuse = arguments.flag(fuse, "fuse", "compile")
        # What cannot be saved is refused now, and not after an epoch.
        serialize([optimizer, *((part.loss, list(part.metrics.values())) for part in objective.parts)])
        self.trainer.compile(optimizer, objective, fuse)

    @answering
    def fit(
        self,
        x,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        initial_epoch=0,
        steps_per_epoch=None,
        validation_steps=None,
        validation_batch_size=None,
        validation_freq=1,
        augment=None,
        seed=None,
        resume=False,
        return_on_interrupt=False,
    ):
        """Train and return a `History`, which `model.history` keeps too.

        Args:
            x: images (N, H, W, C), uint8 or any real type (cast to float32), or an iterable of batches
                (x, y): a generator, a list, or a `Sequence` with a length and batches by number.
            y: labels (N,) or (N, 1), or one-hot rows (N, K); None beside an iterable.
            batch_size: images a step, 32 by default; the last step of an epoch may have fewer. An iterable
                brings its own batches.
            epochs: train until this epoch (counted from 1) is done.
            verbose: "auto" and 1: a progress bar on a terminal, lines elsewhere; 2: lines; 0: silent.
            callbacks: a list of `Callback`.
            validation_split: the last fraction of the rows validates instead of training.
            validation_data: (x, y), or an iterable of batches.
            shuffle: a new order each epoch, of images or of a Sequence's batches; other iterables keep
                theirs.
            initial_epoch: the epoch to start from (counted from 0).
            steps_per_epoch: steps of an epoch. Arrays are gone through again and again, the next epoch going
                on where the last one ended; an iterable without an end needs it.
            validation_steps: validate on so many batches.
            validation_batch_size: None: `batch_size`.
            validation_freq: validate after each so many epochs, or after the epochs (from 1) of a list.
            augment: `Augmentation`, or None.
            seed: None: the model's, and each `fit` draws anew. An integer pins the draws: each call has the
                same.
            resume: go on where a training stood that Ctrl-C ended, in this process or before the model was
                saved; with the same data and arguments the result has the bits of an uninterrupted one.
            return_on_interrupt: what the first Ctrl-C leads to, which ends training after the step, with
                `model.interrupted` set: True: `fit` returns; False: it raises KeyboardInterrupt, once
                callbacks have closed. The second Ctrl-C aborts.

        Raises:
            FloatingPointError: the loss is not finite; names the first layer that gave such a value.
            ValueError, TypeError: x or y do not fit the model, or arguments do not go together.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        return running.fit(self, **given)

    @answering
    def train_on_batch(self, x, y, return_dict=False):
        """Take one step on a batch; return what `evaluate` returns, of the batch before the step."""
        return running.train_on_batch(self, x, y, return_dict)

    @answering
    def evaluate(self, x, y=None, batch_size=None, verbose=0, steps=None, callbacks=None, return_dict=False):
        """Return the loss on a data set, or [loss, accuracy] with a metric; with `return_dict` all logs.

        The logs are "loss" with the regularizers' penalty, "data_loss" without it where there is one, and the
        metrics.

        Args:
            x, y: as in `fit`.
            batch_size: images at a time, 32 by default.
            verbose: 0: silent; "auto", 1 and 2: as in `fit`.
            steps: evaluate so many batches; None: all.
            callbacks: a list of `Callback`, whose hooks named `on_test_...` are called.
            return_dict: return the logs as a dict.
        """
        return running.evaluate(self, x, y, batch_size, verbose, steps, callbacks, return_dict)

    @answering
    def predict(self, x, batch_size=None, verbose=0, steps=None, callbacks=None):
        """Return the outputs for images `x`, float32 (N, ...); a list of a model's several.

        Args:
            x: images (N, H, W, C), or an iterable of batches of images; labels beside them are left aside.
            batch_size: images at a time, 32 by default.
            verbose: 0: silent; "auto", 1 and 2: as in `fit`.
            steps: predict so many batches of an iterable; None: all.
            callbacks: a list of `Callback`, whose hooks named `on_predict_...` are called.
        """
        return running.predict(self, x, batch_size, verbose, steps, callbacks)

    def predict_on_batch(self, x):
        """Return the outputs for one batch."""
        return running.predict_on_batch(self, x)

    def __call__(self, x, training=False):
        """Return the outputs for one batch, as `predict_on_batch`."""
        if arguments.flag(training, "training", type(self).__name__):
            raise ValueError(
                f"[{type(self).__name__}] a call gives predictions only; train with fit or train_on_batch"
            )
        return self.predict_on_batch(x)

    def slot_arrays(self):
        """Yield (slot, parameter, Tensor) of the optimizer's arrays."""
        yield from self.trainer.slot_arrays()

    # ---- saving (saving.py)

    @answering
    def save(self, path):
        """Write architecture, weights and, when compiled, the training's state: one `.safetensors` file."""
        self._expect_built("save")
        with self.trainer.turns:
            saving.save(self, path)

    @answering
    def save_weights(self, path):
        """Write the weights alone, under the names `layer/parameter`, into a `.safetensors` file."""
        self._expect_built("save_weights")
        with self.trainer.turns:
            saving.save_weights(self, path)

    @answering
    def load_weights(self, path):
        """Read weights that `save` or `save_weights` wrote; where one does not fit, none is read."""
        self._expect_built("load_weights")
        with self.trainer.turns:
            saving.load_weights(self, path)

    def __reduce__(self):
        """Pickle and copy a model as it would be saved, with where it computes."""
        with self.trainer.turns:
            return _rebuilt, (*saving.contents(self), self.device)

    def training_state(self):
        """Return (arrays, state), all that an exact resume needs; `state` is JSON-ready, or None."""
        return saving.training_state(self)

    def set_training_state(self, arrays, state):
        """Restore what `training_state` returned."""
        saving.set_training_state(self, arrays, state)


def _rebuilt(arrays, metadata, device):
    """Return the model that `saving.contents` describes, on `device`: what unpickling calls."""
    model = saving.restored(arrays, metadata, Model)
    return model if device == "cpu" else model.to(device)
