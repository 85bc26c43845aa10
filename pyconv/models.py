"""`Sequential`: build, compile, train, evaluate, predict, save; Keras' names, arguments and meanings."""

import contextlib
import json
import threading
import weakref
from typing import ClassVar

from pyconv import _core, arguments, losses, names, optimizers, saving
from pyconv.attributes import Checked, answering
from pyconv.callbacks import CallbackList, History
from pyconv.engine import evaluation, fitting, sanity, training
from pyconv.engine.data import as_images, is_array
from pyconv.engine.fit_arguments import (
    BATCH,
    log_names,
    make_feed,
    settle_validation,
    start_position,
    validation_feed,
    watchers,
)
from pyconv.engine.turns import Turns
from pyconv.layers.arguments import shape as example_shape
from pyconv.layers.base import Layer, snake_case
from pyconv.layers.residual import chain_shape
from pyconv.metrics import resolve as resolve_metrics
from pyconv.preprocessing.augmentation import Augmentation
from pyconv.serialization import Configurable, deserialize, serialize
from pyconv.summary import line, plan_text, summary_html, summary_text
from pyconv.utils import random_seed

_OWNERS = weakref.WeakKeyDictionary()  # optimizer -> the model that was compiled with it


class Sequential(Configurable):
    """A stack of layers.

    Args:
        layers: layers, in order; more can be added with `add`.
        name: what the summary calls it.
        seed: integer in [0, 2**64): keys initial weights, shuffles, augmentation and dropout. None: one of
            its own, drawn from `pyconv.utils.set_random_seed`'s.
    """

    name = Checked(arguments.text)
    settable = ("history", "interrupted", "passes", "position", "single_steps", "stop_training")
    set_by: ClassVar[dict] = {
        **dict.fromkeys(("optimizer", "loss", "metric_names", "fuse"), "compile"),
        **dict.fromkeys(("device", "hyper", "rng", "totals"), "to"),
        "seed": "the constructor",
    }

    def __init__(self, layers=(), name=None, seed=None):
        self._layers = ()
        if not isinstance(layers, (list, tuple)):
            raise TypeError(f"[Sequential] layers is {arguments.kind_of(layers)}, expected a list of layers")
        self.name = "sequential" if name is None else name
        self._own_seed = seed is None
        self.seed = random_seed() if seed is None else arguments.seed(seed, "Sequential")
        self.optimizer = self.loss = None
        self.fuse = True
        self.metric_names = ()
        self.position = fitting.Position()
        self.passes = self.single_steps = 0  # over data, and by train_on_batch, ever: what draws are keyed by
        self.stop_training = self.interrupted = False
        self.history = None
        self._flat = None
        self._slots = {}  # of parameters that do not train for now: (slot, parameter) -> values
        self._laid_out_for = None  # the plan key that the flat parameters fit
        self._plans = training.PlanCache()
        self._make_state("cpu")
        self.turns = Turns()  # a plan's buffers serve one caller at a time
        self._fitting = Turns()
        self._trainer = None  # the thread that is in fit
        self._warned = False  # of nonsense, since compiled
        for layer in layers:
            self.add(layer)

    # ---- structure

    def add(self, layer):
        """Append a layer. The model is built once its input shape is known."""
        self._expect_idle("add")
        if not isinstance(layer, Layer):
            raise TypeError(f"[Sequential] expected a layer, got {arguments.kind_of(layer)}")
        if any(layer is other for other in self.layers):
            raise ValueError(f"[Sequential] {layer.name} is in the model already")
        taken = {other.name for other in self.layers}
        if layer.name is None:
            base = snake_case(type(layer).__name__)
            same = sum(type(other) is type(layer) for other in self.layers)
            layer.name = next(n for n in _numbered(base, same) if n not in taken)
        elif layer.name in taken:
            raise ValueError(f"[Sequential] two layers are named {layer.name!r}, expected names that differ")
        self._layers = (*self._layers, layer)
        self._plans.clear()
        shape = self.layers[0].declared_shape
        if self.built or (shape is not None):
            self.build(shape or self.input_shape)

    def pop(self):
        """Remove the last layer, and return it."""
        self._expect_idle("pop")
        if not self.layers:
            raise ValueError("[pop] the model has no layers")
        *rest, last = self._layers
        self._layers = tuple(rest)
        self._plans.clear()
        return last

    @property
    def layers(self):
        """The layers, in order; `add` and `pop` change them."""
        return self._layers

    @property
    def input_shape(self):
        """The shape of one example, or None."""
        return self.layers[0].input_shape if self.layers else None

    @property
    def output_shape(self):
        """The shape of one example's output."""
        self._expect_built("output_shape")
        return chain_shape(self.layers, self.input_shape)

    @property
    def built(self):
        return bool(self.layers) and all(layer.built for layer in self.layers)

    def build(self, input_shape):
        """Make the parameters for examples of `input_shape`: (H, W, C), or Keras' (None, H, W, C)."""
        if not self.layers:
            raise ValueError("[build] the model has no layers")
        if isinstance(input_shape, (list, tuple)) and input_shape and input_shape[0] is None:
            input_shape = input_shape[1:]
        shape = example_shape(input_shape, "input_shape", "build")
        names = [layer.name for layer in self.layers]  # which may have changed since `add`
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"[build] two layers are named {twice!r}, expected names that differ")
        place = 0
        for layer in self.layers:
            place = layer.ensure_built(shape, seed=self.seed, place=place)
            shape = tuple(layer.output_shape(shape))
        self._move_parameters()

    @property
    def parameters(self):
        """All parameters, in order."""
        return [p for layer in self.layers for p in layer.all_parameters]

    @property
    def weights(self):
        """All parameters, in order."""
        return self.parameters

    @property
    def _plan_key(self):
        return tuple(layer.plan_key for layer in self.layers)

    @property
    def trainable_parameters(self):
        """The parameters that training changes."""
        return [p for layer in self.layers for p in layer.trainable_parameters]

    def get_layer(self, name=None, index=None):
        """Return a layer by its name or its place."""
        if index is not None:
            last = len(self.layers) - 1
            return self.layers[arguments.integer(index, "index", "get_layer", least=-1 - last, most=last)]
        for layer in self.layers:
            if isinstance(name, str) and layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise ValueError(f"[get_layer] no layer is named {arguments.shown(name)}, expected one of {names}")

    @property
    def trainable(self):
        """Whether training changes any layer; setting it sets all of them."""
        return any(layer.trainable for layer in self.layers)

    @trainable.setter
    def trainable(self, value):
        for layer in self.layers:
            layer.trainable = value

    def count_params(self):
        """Return the number of values in all parameters."""
        self._expect_built("count_params")
        return sum(p.size for p in self.parameters)

    def get_weights(self):
        """Return copies of all parameters, in order."""
        with self.turns:
            return [p.numpy().copy() for p in self.parameters]

    def set_weights(self, weights):
        """Write all parameters, in the order of `get_weights`; one that does not fit, and none is written."""
        named = saving.named_parameters(self)
        if not isinstance(weights, (list, tuple)):
            raise TypeError(
                f"[set_weights] weights is {arguments.kind_of(weights)}, expected a list of arrays"
            )
        if len(weights) != len(named):
            raise ValueError(f"[set_weights] the model has {len(named)} weights, got {len(weights)}")
        with self.turns:
            saving.assign(named, dict(zip(named, weights, strict=True)), "set_weights")

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
            batch = training.Batch(size, self.input_shape, "float32", self.device)
            if self.optimizer is None:
                print_fn(plan_text("Prediction", batch, self.prediction_plan(batch)))
            else:
                self.prepare_training()
                print_fn(plan_text("Training step", batch, self.training_plan(batch, (batch.size,))))

    def __repr__(self):
        return line(self)

    def _repr_html_(self):
        return summary_html(self)

    # ---- where it computes

    def to(self, device):
        """Move the model, with the training's state, to "cpu" or "cuda"; return it.

        Raises ValueError where there is no GPU, and says why.
        """
        self._expect_idle("to")
        arguments.choice(device, ("cpu", "cuda"), "device", "to")
        with self.turns:
            slots = [values.numpy().copy() for _, _, values in self.slot_arrays()]
            trained = self._flat is not None
            self._make_state(device)  # or raises, before anything is changed
            self._move_parameters()
            self._flat, self._laid_out_for = None, None
            self._plans.clear()
            if trained:
                self.prepare_training()
                for (_, _, values), saved in zip(self.slot_arrays(), slots, strict=True):
                    values.assign(saved)
        return self

    def _make_state(self, device):
        """Make what kernels read and write beside parameters, on `device`."""
        with self._open():
            self.totals, self._spare_totals = training.Totals(device), []
            self.rng = training.new_rng(device)
            self.hyper = _core.empty((4,), "float32", device)
            self.device = device

    def _move_parameters(self):
        for parameter in self.parameters:
            if parameter.tensor.device != self.device:
                parameter.move(_core.empty(parameter.shape, "float32", self.device))

    def set_seed(self, seed):
        """Key shuffles, augmentation and dropout by `seed` from now on."""
        with self._open():
            self.seed = arguments.seed(seed, "Sequential")

    # ---- training

    @answering
    def compile(self, optimizer="adam", loss="categorical_crossentropy", metrics=None, fuse=True):
        """Choose what `fit` minimises and how.

        Args:
            optimizer: a name or an `Optimizer`.
            loss: a name or a `Loss`.
            metrics: None or names of accuracy.
            fuse: let one pass over memory do the work of several layers; False: each layer on its own, which
                gives the same results but for rounding.

        Compiled again with the optimizer it has, the model keeps the optimizer's state; with a new one, the
        state starts anew.

        Raises ValueError for an optimizer that another model was compiled with, RuntimeError during `fit`.
        """
        self._expect_idle("compile")
        optimizer, loss, metrics = optimizers.get(optimizer), losses.get(loss), resolve_metrics(metrics)
        fuse = arguments.flag(fuse, "fuse", "compile")
        owner = _OWNERS.get(optimizer)
        if owner is not None and owner() is not self:
            raise ValueError(
                f"[compile] this {type(optimizer).__name__} serves another model and carries its steps and "
                "its learning rate; give each model an optimizer of its own"
            )
        _OWNERS[optimizer] = weakref.ref(self)
        serialize([optimizer, loss])  # what cannot be saved is refused now, and not after an epoch
        if optimizer is not self.optimizer:
            self._flat, self._slots = None, {}
        with self._open():
            self.optimizer, self.loss, self.metric_names, self.fuse = optimizer, loss, metrics, fuse
        self.position = fitting.Position()
        self._warned = False
        self._plans.clear()

    @property
    def penalised(self):
        """Whether a regularizer adds to the loss."""
        return any(p.l2 for p in self.trainable_parameters)

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
        if hasattr(type(self), "train_step"):
            raise TypeError("[fit] train_step is never called: a step is a plan; fit takes callbacks")
        epochs = arguments.integer(epochs, "epochs", "fit", least=1)
        initial_epoch = arguments.integer(initial_epoch, "initial_epoch", "fit", least=0)
        shuffle = arguments.flag(shuffle, "shuffle", "fit")
        resume = arguments.flag(resume, "resume", "fit")
        return_on_interrupt = arguments.flag(return_on_interrupt, "return_on_interrupt", "fit")
        if augment is not None and not isinstance(augment, Augmentation):
            raise TypeError(f"[fit] augment is {arguments.shown(augment)}, expected an Augmentation or None")
        x, y, validation_data, schedule = settle_validation(
            x,
            y,
            validation_split,
            validation_data,
            steps=validation_steps,
            batch_size=validation_batch_size,
            frequency=validation_freq,
        )
        with self._training("fit"):
            pinned = seed is not None
            seed = arguments.seed(seed, "fit") if pinned else self.seed
            options = {"shuffle": shuffle, "augment": augment, "seed": seed}
            feed = make_feed(self, x, y, batch_size, steps_per_epoch, "steps_per_epoch", **options)
            sanity.warn_of_nonsense(self, feed, "fit")
            self._warned = True
            validation = None
            if validation_data is not None:
                validation = validation_feed(
                    self, validation_data, validation_steps, validation_batch_size, batch_size
                )
            self.prepare_training()
            start = start_position(self, feed, epochs, initial_epoch, resume, pinned)
            if validation is not None and not any(map(schedule.holds, range(start.epoch, epochs))):
                raise ValueError(
                    f"[fit] validation_freq is {validation_freq}, expected one that comes due in epochs "
                    f"{start.epoch + 1} to {epochs}"
                )
            self.history = History()
            watching = watchers(callbacks, verbose, "fit", self.history)
            served = [callback for callback in watching if callback.model is self]  # in a training before
            watching = CallbackList(
                watching,
                self,
                {
                    "epochs": epochs,
                    "steps": feed.steps,
                    "images": feed.images,
                    "initial_epoch": start.epoch,
                    "verbose": verbose,
                },
            )
            every_epoch, all_names = log_names(self, False), log_names(self, validation is not None)
            some = [] if schedule.every else [name for name in all_names if name not in every_epoch]
            watching.check(all_names, some)
            for callback in served:
                callback._continue_training(start is self.position)
            validate = validation and (
                lambda: evaluation.evaluate(self, validation, watching, lambda: self.interrupted)
            )
            try:
                cut = fitting.fit(
                    self,
                    feed,
                    epochs=epochs,
                    start=start,
                    callbacks=watching,
                    validate=validate,
                    schedule=schedule,
                    seed=seed,
                )
            finally:
                for used in (feed, validation):
                    if used is not None:
                        self._plans.forget_arrays(used.source)
            pressed, self.interrupted = self.interrupted, cut
        if pressed and not return_on_interrupt:
            where = self.position
            raise KeyboardInterrupt(
                f"[fit] interrupted in epoch {where.epoch + 1} after step {where.step}; "
                "fit(..., resume=True) goes on from there"
                if cut
                else "[fit] interrupted; the training had just ended"
            )
        return self.history

    @answering
    def train_on_batch(self, x, y, return_dict=False):
        """Take one step on a batch; return what `evaluate` returns, of the batch before the step."""
        x = as_images(x, "train_on_batch")
        return_dict = arguments.flag(return_dict, "return_dict", "train_on_batch")
        with self._training("train_on_batch"):
            feed = make_feed(self, [(x, y)], op="train_on_batch", shape=x.shape[1:])
            if not self._warned:
                self._warned = True
                sanity.warn_of_nonsense(self, feed, "train_on_batch")
            self.prepare_training()
            with self.turns:
                self.totals.restore()
                batch, target_shape, fill, _ = next(iter(feed.batches(0)))
                draw = 2**32 - 1, self.single_steps  # no fit gets that far
                self.single_steps += 1
                step = fitting.Step(
                    self,
                    batch,
                    target_shape,
                    fill,
                    where=f"step {self.optimizer.iterations + 1}",
                    draw=draw,
                    seed=self.seed,
                )
                fitting.read_losses(self, [step])
                logs = self.totals.means(self.metric_names, self.penalised)
        return logs if return_dict else self._values(logs)

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
        self.expect_compiled("evaluate")
        return_dict = arguments.flag(return_dict, "return_dict", "evaluate")
        feed = make_feed(self, x, y, batch_size, steps, "steps", op="evaluate")
        params = {"epochs": 1, "steps": feed.steps, "images": feed.images, "verbose": verbose}
        watching = CallbackList(watchers(callbacks, verbose, "evaluate"), self, params)
        try:
            with watching._closed():
                logs = evaluation.evaluate(self, feed, watching)
        finally:
            with self.turns:
                self._plans.forget_arrays(feed.source)
        return logs if return_dict else self._values(logs)

    def _values(self, logs):
        values = [logs[name] for name in ("loss", *self.metric_names)]
        return values if len(values) > 1 else values[0]

    @answering
    def predict(self, x, batch_size=None, verbose=0, steps=None, callbacks=None):
        """Return the outputs for images `x`, float32 (N, ...).

        Args:
            x: images (N, H, W, C), or an iterable of batches of images; labels beside them are left aside.
            batch_size: images at a time, 32 by default.
            verbose: 0: silent; "auto", 1 and 2: as in `fit`.
            steps: predict so many batches of an iterable; None: all.
            callbacks: a list of `Callback`, whose hooks named `on_predict_...` are called.
        """
        whole = is_array(x) or isinstance(x, (list, tuple))
        if whole and steps is not None:
            raise ValueError(f"[predict] steps is {steps}, expected None: x is an array; give a part of it")
        if not whole and batch_size is not None:
            raise ValueError(f"[predict] batch_size is {batch_size}, expected None: x brings its own batches")
        if steps is not None:
            steps = arguments.integer(steps, "steps", "predict", least=1)
        if batch_size is not None:
            batch_size = arguments.integer(batch_size, "batch_size", "predict", least=1)
        batch_size, images = batch_size or BATCH, None
        if whole:
            x = as_images(x, "predict")
            steps, images = -(-len(x) // batch_size), len(x)
        params = {"epochs": 1, "steps": steps, "images": images, "verbose": verbose}
        watching = CallbackList(watchers(callbacks, verbose, "predict"), self, params)
        with watching._closed():
            return evaluation.predict(self, x, batch_size, steps, watching)

    def predict_on_batch(self, x):
        """Return the outputs for one batch."""
        x = as_images(x, "predict_on_batch")
        with self.turns:
            return evaluation.outputs(self, x).copy()

    def __call__(self, x, training=False):
        """Return the outputs for one batch, as `predict_on_batch`."""
        if arguments.flag(training, "training", "Sequential"):
            raise ValueError("[Sequential] a call gives predictions only; train with fit or train_on_batch")
        return self.predict_on_batch(x)

    @contextlib.contextmanager
    def borrowed_totals(self):
        """Lend sums to one evaluation: several may run side by side."""
        with self.turns:
            totals = self._spare_totals.pop() if self._spare_totals else training.Totals(self.device)
        totals.restore()
        yield totals
        with self.turns:
            self._spare_totals.append(totals)

    # ---- plans

    def training_plan(self, batch, target_shape, fused=None):
        """Return the plan of a training step for `batch`, made anew only when nothing fits."""
        fused = self.fuse if fused is None else fused
        key = self.prepare_training()  # a callback may have frozen a layer, another model taken one over

        def make():
            return training.training_plan(
                self.layers,
                batch,
                self.loss,
                target_shape,
                self.totals,
                self.optimizer,
                self._flat,
                self.hyper,
                self.rng,
                fused=fused,
            )

        return self._plans.get(("train", batch, target_shape, fused, key), make)

    def evaluation_plan(self, batch, target_shape, totals):
        """Return the plan that adds loss and correct answers of `batch` to `totals`."""
        return self._plans.get(
            ("evaluate", batch, target_shape, self._plan_key, totals),
            lambda: training.evaluation_plan(
                self.layers, batch, self.loss, target_shape, totals, fused=self.fuse
            ),
        )

    def prediction_plan(self, batch):
        """Return the plan from `batch` to the outputs."""
        return self._plans.get(
            ("predict", batch, self._plan_key),
            lambda: training.prediction_plan(self.layers, batch, fused=self.fuse),
        )

    # ---- saving (saving.py)

    def get_config(self):
        """Return name, seed and layers as a JSON-ready dict."""
        seed = None if self._own_seed else self.seed  # clones are no twins
        return {"layers": serialize(self.layers), "name": self.name, "seed": seed}

    @classmethod
    def from_config(cls, config):
        """Build a model from what `get_config` returned; a subclass with another constructor too."""
        model = cls.__new__(cls)
        Sequential.__init__(model, **{name: deserialize(value) for name, value in config.items()})
        model._made = True
        return model

    def to_json(self, **options):
        """Return the architecture as JSON; `model_from_json` builds it back. Options go to `json.dumps`."""
        return json.dumps(saving.description(self), **options)

    @answering
    def save(self, path):
        """Write architecture, weights and, when compiled, the training's state: one `.safetensors` file."""
        self._expect_built("save")
        with self.turns:
            saving.save(self, path)

    @answering
    def save_weights(self, path):
        """Write the weights alone, under the names `layer/parameter`, into a `.safetensors` file."""
        self._expect_built("save_weights")
        with self.turns:
            saving.save_weights(self, path)

    @answering
    def load_weights(self, path):
        """Read weights that `save` or `save_weights` wrote; where one does not fit, none is read."""
        self._expect_built("load_weights")
        with self.turns:
            saving.load_weights(self, path)

    def __reduce__(self):
        """Pickle and copy a model as it would be saved, with where it computes."""
        with self.turns:
            return saving.rebuild, (*saving.contents(self), self.device)

    def training_state(self):
        """Return (arrays, state), all that an exact resume needs; `state` is JSON-ready, or None."""
        return saving.training_state(self)

    def set_training_state(self, arrays, state):
        """Restore what `training_state` returned."""
        saving.set_training_state(self, arrays, state)

    def slot_arrays(self):
        """Yield (slot, parameter, Tensor) of the optimizer's arrays."""
        if self._flat is not None:
            yield from self._flat.slot_arrays()

    def prepare_training(self):
        """Lay the trainable parameters side by side, unless they lie so already; their slots come along.

        Returns what plans are keyed by.
        """
        self._expect_built("fit")
        key = self._plan_key
        if self._flat is not None and self._laid_out_for == key:
            return key
        wanted = self.trainable_parameters
        if self._flat is None or not self._flat.holds(wanted):
            for slot, parameter, values in self.slot_arrays():
                self._slots[slot, parameter] = values.numpy().copy()
            self._flat = training.FlatParameters(wanted, self.optimizer.slots, self.device)
            for slot, parameter, values in self.slot_arrays():
                saved = self._slots.pop((slot, parameter), None)
                if saved is not None:
                    values.assign(saved)
            self._plans.clear()
        self._laid_out_for = key = self._plan_key  # parameters may have moved
        return key

    # ---- helpers

    @contextlib.contextmanager
    def _training(self, op):
        """One training at a time: another thread's waits, a callback's is refused."""
        self.expect_compiled(op)
        if self._trainer == threading.get_ident():
            self._expect_idle(op)
        with self._fitting:
            self._trainer = threading.get_ident()
            try:
                yield
            finally:
                self._trainer = None

    def build_for(self, shape, op):
        """Build for examples of `shape`, or raise ValueError where the model takes others."""
        if not self.built:
            with self.turns:  # of several threads one
                if not self.built:
                    self.build(shape)
        if tuple(shape) != tuple(self.input_shape):
            raise ValueError(
                f"[{op}] x has examples of shape {tuple(shape)}, the model takes {self.input_shape}"
            )

    def _expect_built(self, op):
        if not self.built:
            raise ValueError(
                f"[{op}] the model is not built: give its first layer an input_shape or call build((H, W, C))"
            )

    def _expect_idle(self, op):
        if self._trainer is not None:
            raise RuntimeError(f"[{op}] the model is in training, expected a call before or after fit")

    def expect_compiled(self, op):
        """Raise ValueError, in the name of `op`, unless the model is compiled."""
        if self.optimizer is None:
            raise ValueError(f"[{op}] the model is not compiled: call compile(optimizer, loss, metrics)")


def _numbered(base, start):
    """Yield Keras' names from the `start`-th on: base, base_1, base_2, ..."""
    while True:
        yield f"{base}_{start}" if start else base
        start += 1


model_from_json = saving.model_from_json
load_model = saving.load_model


def __getattr__(name):
    raise names.missing(__name__, name, ("Sequential", "load_model", "model_from_json"))
