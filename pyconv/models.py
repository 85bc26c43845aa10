"""`Sequential`: build, compile, train, evaluate, predict, save; Keras' names, arguments and meanings."""

import json
import threading

import numpy as np

from pyconv import _core, fitting, losses, names, optimizers, saving, training
from pyconv.callbacks import CallbackList, History
from pyconv.data import ArrayFeed, IterableFeed, as_images, positive, split
from pyconv.layers.base import Layer, snake_case
from pyconv.layers.residual import chain_shape
from pyconv.metrics import resolve as resolve_metrics
from pyconv.serialization import Configurable, serialize
from pyconv.summary import plan_text, summary_text
from pyconv.utils import random_seed


class Sequential(Configurable):
    """A stack of layers.

    Args:
        layers: layers, in order; more can be added with `add`.
        name: what the summary calls it.
        seed: integer in [0, 2**64): keys initial weights, shuffles, augmentation and dropout. None:
            `pyconv.utils.set_random_seed`'s, 0 at first.
    """

    def __init__(self, layers=(), name=None, seed=None):
        self.layers = []
        self.name = name or "sequential"
        self.seed = random_seed() if seed is None else seed
        self.optimizer = self.loss = None
        self.fuse = True
        self.metric_names = ()
        self.position = fitting.Position()
        self.stop_training = self.interrupted = False
        self._flat = None
        self._plans = training.PlanCache()
        self._make_state("cpu")
        self._lock = threading.RLock()
        for layer in layers:
            self.add(layer)

    # ---- structure

    def add(self, layer):
        """Append a layer. The model is built once its input shape is known."""
        if not isinstance(layer, Layer):
            raise TypeError(f"[Sequential] expected a layer, got a {type(layer).__name__}")
        if any(layer is other for other in self.layers):
            raise ValueError(f"[Sequential] {layer.name} is in the model already")
        taken = {other.name for other in self.layers}
        if layer.name is None:
            base = snake_case(type(layer).__name__)
            same = sum(type(other) is type(layer) for other in self.layers)
            layer.name = next(n for n in _numbered(base, same) if n not in taken)
        elif layer.name in taken:
            raise ValueError(f"[Sequential] two layers are named {layer.name!r}, expected names that differ")
        self.layers.append(layer)
        self._plans.clear()
        shape = self.layers[0].declared_shape
        if self.built or (shape is not None):
            self.build(shape or self.input_shape)

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
        shape = tuple(input_shape)
        shape = shape[1:] if shape and shape[0] is None else shape
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
    def _moves(self):
        return tuple(p.moves for p in self.parameters)

    @property
    def trainable_parameters(self):
        """The parameters that training changes."""
        return [p for layer in self.layers for p in layer.trainable_parameters]

    def get_layer(self, name=None, index=None):
        """Return a layer by its name or its place."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"[get_layer] no layer is named {name!r}")

    def count_params(self):
        """Return the number of values in all parameters."""
        self._expect_built("count_params")
        return sum(p.size for p in self.parameters)

    def get_weights(self):
        """Return copies of all parameters, in order."""
        return [p.numpy().copy() for p in self.parameters]

    def set_weights(self, weights):
        """Write all parameters, in the order of `get_weights`."""
        if len(weights) != len(self.parameters):
            raise ValueError(
                f"[set_weights] the model has {len(self.parameters)} weights, got {len(weights)}"
            )
        for parameter, value in zip(self.parameters, weights, strict=True):
            parameter.assign(value)

    def summary(self, print_fn=print, plan=False, batch_size=32):
        """Print each layer's output shape, parameters, multiply-adds and memory.

        Args:
            print_fn: takes the text.
            plan: print the kernel calls of a training step too (of prediction, while the model is not
                compiled), and what each of them does beside its own work.
            batch_size: images of that step.
        """
        self._expect_built("summary")
        print_fn(summary_text(self))
        if plan:
            size = positive(batch_size, "batch_size", "summary")
            batch = training.Batch(size, self.input_shape, "float32", self.device)
            if self.optimizer is None:
                print_fn(plan_text("Prediction", batch, self._prediction_plan(batch)))
            else:
                self.prepare_training()
                print_fn(plan_text("Training step", batch, self.training_plan(batch, (batch.size,))))

    # ---- where it computes

    def to(self, device):
        """Move the model, with the training's state, to "cpu" or "cuda"; return it.

        Raises ValueError where there is no GPU, and says why.
        """
        with self._lock:
            slots = [values.numpy().copy() for _, _, values in self.slot_arrays()]
            trained = self._flat is not None
            self._make_state(device)  # or raises, before anything is changed
            self._move_parameters()
            self._flat = None
            self._plans.clear()
            if trained:
                self.prepare_training()
                for (_, _, values), saved in zip(self.slot_arrays(), slots, strict=True):
                    values.assign(saved)
        return self

    def _make_state(self, device):
        """Make what kernels read and write beside parameters, on `device`."""
        self.totals, self._evaluation_totals = training.Totals(device), training.Totals(device)
        self.rng = training.new_rng(device)
        self.hyper = _core.empty((4,), "float32", device)
        self.device = device

    def _move_parameters(self):
        for parameter in self.parameters:
            if parameter.tensor.device != self.device:
                parameter.move(_core.empty(parameter.shape, "float32", self.device))

    # ---- training

    def compile(self, optimizer="adam", loss="categorical_crossentropy", metrics=None, fuse=True):
        """Choose what `fit` minimises and how.

        Args:
            optimizer: a name or an `Optimizer`.
            loss: a name or a `Loss`.
            metrics: None or names of accuracy.
            fuse: let one pass over memory do the work of several layers; False: each layer on its own, which
                gives the same results but for rounding.
        """
        self.optimizer = optimizers.get(optimizer)
        self.loss = losses.get(loss)
        self.metric_names = resolve_metrics(metrics)
        self.fuse = bool(fuse)
        self.position = fitting.Position()
        self._flat = None
        self._plans.clear()

    @property
    def penalised(self):
        """Whether a regularizer adds to the loss."""
        return any(p.l2 for p in self.trainable_parameters)

    def fit(
        self,
        x,
        y=None,
        batch_size=32,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        shuffle=True,
        initial_epoch=None,
        steps_per_epoch=None,
        validation_batch_size=None,
        augment=None,
        seed=None,
    ):
        """Train and return a `History`.

        Args:
            x: images (N, H, W, C), uint8 or any real type (cast to float32), or an iterable of (x, y).
            y: labels (N,) or (N, 1), or one-hot rows (N, K).
            batch_size: images a step; the last step of an epoch may have fewer.
            epochs: train until this epoch (counted from 1) is done.
            verbose: "auto" and 1: a progress bar on a terminal, lines elsewhere; 2: lines; 0: silent.
            callbacks: a list of `Callback`.
            validation_split: the last fraction of the rows validates instead of training.
            validation_data: (x, y), or an iterable of batches.
            shuffle: a new order each epoch.
            initial_epoch: the epoch to start from (counted from 0). None: 0, or where an interrupted or saved
                training stood.
            steps_per_epoch: for iterables without an end.
            validation_batch_size: None: `batch_size`.
            augment: `Augmentation`, or None.
            seed: None: the model's.

        Raises:
            FloatingPointError: the loss is not finite; names the first layer that gave such a value.
            ValueError, TypeError: x or y do not fit the model.

        The first Ctrl-C ends training after the step, with `interrupted` set; the second one aborts.
        """
        seed = self.seed if seed is None else seed
        if y is not None and validation_split:
            (x, y), validation_data = split(x, y, validation_split)
        with self._lock:
            feed = self._feed(x, y, batch_size, steps_per_epoch, shuffle=shuffle, augment=augment, seed=seed)
            self.prepare_training()
            if initial_epoch is not None:
                start = fitting.Position(initial_epoch)
            else:
                start = self.position if self.position.epoch < epochs else fitting.Position()
            history = History()
            everything = [history, *(callbacks or [])]
            if verbose:
                from pyconv.progress import Progress

                everything.append(Progress(verbose))
            params = {
                "epochs": epochs,
                "steps": feed.steps,
                "images": feed.images,
                "initial_epoch": start.epoch,
            }
            validate = None
            if validation_data is not None:
                validate = self._validation(validation_data, validation_batch_size or batch_size)
            fitting.fit(
                self,
                feed,
                epochs=epochs,
                start=start,
                callbacks=CallbackList(everything, self, params),
                validate=validate,
                seed=seed,
            )
            self._plans.forget_arrays()
        return history

    def train_on_batch(self, x, y, return_dict=False):
        """Take one step on a batch; return what `evaluate` returns, of the batch before the step."""
        x = as_images(x, "train_on_batch")
        with self._lock:
            feed = self._feed([(x, y)], None, None, op="train_on_batch", shape=x.shape[1:])
            self.prepare_training()
            self.totals.restore()
            step = next(iter(feed.batches(0)))
            step = fitting.Step(self, *step, epoch=0, step=self.optimizer.iterations, seed=self.seed)
            fitting.read_losses(self, [step])
            logs = self.totals.means(self.metric_names, self.penalised)
        return logs if return_dict else self._values(logs)

    def evaluate(self, x, y=None, batch_size=32, verbose="auto", return_dict=False):
        """Return the loss on a data set, or [loss, accuracy] with a metric; with `return_dict` all logs.

        The logs are "loss" with the regularizers' penalty, "data_loss" without it where there is one, and the
        metrics. `verbose` is taken for Keras' sake: nothing is shown.
        """
        self._expect_compiled("evaluate")
        with self._lock:
            logs = self._evaluate(self._feed(x, y, batch_size, op="evaluate"))
            self._plans.forget_arrays()
        return logs if return_dict else self._values(logs)

    def _values(self, logs):
        values = [logs[name] for name in ("loss", *self.metric_names)]
        return values if len(values) > 1 else values[0]

    def predict(self, x, batch_size=32, verbose="auto"):
        """Return the outputs for images `x`, float32 (N, ...). Nothing is shown, whatever `verbose` says."""
        x, batch_size = as_images(x, "predict"), positive(batch_size, "batch_size", "predict")
        with self._lock:
            self._build_for(x.shape[1:], "predict")
            y = np.empty((len(x), *self.output_shape), np.float32)
            for start in range(0, len(x), batch_size):
                rows = x[start : start + batch_size]
                batch = training.Batch(len(rows), x.shape[1:], x.dtype.name, self.device)
                plan = self._prediction_plan(batch)
                plan["x"].assign(rows)
                plan.run()
                y[start : start + batch_size] = plan["y"].numpy()
        return y

    def predict_on_batch(self, x):
        """Return the outputs for one batch."""
        return self.predict(x, batch_size=max(len(x), 1))

    def __call__(self, x, training=False):
        """Return the outputs for one batch, as `predict_on_batch`."""
        if training:
            raise ValueError("[Sequential] a call gives predictions only; train with fit or train_on_batch")
        return self.predict_on_batch(x)

    # ---- plans

    def training_plan(self, batch, target_shape, fused=None):
        """Return the plan of a training step for `batch`, made anew only when nothing fits."""
        fused = self.fuse if fused is None else fused

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

        frozen = tuple(layer.frozen for layer in self.layers)
        return self._plans.get(("train", batch, target_shape, frozen, fused, self._moves), make)

    def _evaluation_plan(self, batch, target_shape, totals):
        return self._plans.get(
            ("evaluate", batch, target_shape, self._moves),
            lambda: training.evaluation_plan(
                self.layers, batch, self.loss, target_shape, totals, fused=self.fuse
            ),
        )

    def _prediction_plan(self, batch):
        return self._plans.get(
            ("predict", batch, self._moves),
            lambda: training.prediction_plan(self.layers, batch, fused=self.fuse),
        )

    # ---- saving (saving.py)

    def get_config(self):
        """Return name, seed and layers as a JSON-ready dict."""
        return {"layers": serialize(self.layers), "name": self.name, "seed": self.seed}

    def to_json(self, **options):
        """Return the architecture as JSON; `model_from_json` builds it back. Options go to `json.dumps`."""
        return json.dumps(saving.description(self), **options)

    def save(self, path):
        """Write architecture, weights and, when compiled, the training's state: one `.safetensors` file."""
        self._expect_built("save")
        saving.save(self, path)

    def save_weights(self, path):
        """Write the weights alone, under the names `layer/parameter`, into a `.safetensors` file."""
        self._expect_built("save_weights")
        saving.save_weights(self, path)

    def load_weights(self, path):
        """Read weights that `save` or `save_weights` wrote."""
        self._expect_built("load_weights")
        saving.load_weights(self, path)

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
        """Lay the trainable parameters side by side, unless they lie so already."""
        self._expect_built("fit")
        wanted = self.trainable_parameters
        if self._flat is None or not self._flat.holds(wanted):
            self._flat = training.FlatParameters(wanted, self.optimizer.slots, self.device)
            self._plans.clear()

    # ---- helpers

    @property
    def _classes(self):
        shape = self.output_shape
        if len(shape) != 1:
            raise ValueError(f"[fit] the model's output has shape {shape}, expected (K,): one score a class")
        return shape[0]

    def _feed(self, x, y, batch_size, steps=None, op="fit", shape=None, **options):
        """Return the batches that x and y mean; builds the model where their shape says how."""
        self._expect_compiled(op)
        if y is not None:
            x = as_images(x, op)
            shape = x.shape[1:]
        if shape is not None:
            self._build_for(shape, op)
        self._expect_built(op)
        if y is not None:
            return ArrayFeed(x, y, self._classes, batch_size, op=op, device=self.device, **options)
        if options.get("augment"):
            raise ValueError(f"[{op}] augment works on arrays, x is an iterable of batches")
        return IterableFeed(x, self._classes, steps, op, self.device)

    def _validation(self, data, batch_size):
        pair = isinstance(data, (tuple, list)) and len(data) == 2
        x, y = data if pair else (data, None)
        feed = self._feed(x, y, batch_size)
        return lambda: self._evaluate(feed)

    def _evaluate(self, feed):
        totals = self._evaluation_totals
        totals.restore()
        for batch, target_shape, fill in feed.batches(0):
            plan = self._evaluation_plan(batch, target_shape, totals)
            fill(plan)
            plan.run()
            totals.count += batch.size
        for parameter in self.trainable_parameters:
            if parameter.l2:
                scale = parameter.l2 * totals.count
                _core.sum_of_squares(parameter.tensor, scale=scale, total=totals["penalty"])
        totals.read()
        return totals.means(self.metric_names, self.penalised)

    def _build_for(self, shape, op):
        if not self.built:
            self.build(shape)
        elif tuple(shape) != tuple(self.input_shape):
            raise ValueError(
                f"[{op}] x has examples of shape {tuple(shape)}, the model takes {self.input_shape}"
            )

    def _expect_built(self, op):
        if not self.built:
            raise ValueError(
                f"[{op}] the model is not built: give its first layer an input_shape or call build((H, W, C))"
            )

    def _expect_compiled(self, op):
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
