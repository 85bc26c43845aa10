"""`pyconv train`: train a recipe's network on a data set, and write or continue a run folder."""

import argparse
import dataclasses
import json
import os
import shlex
import sys

import numpy as np

import pyconv
from pyconv import callbacks, checkpoint, cli, data, recipes
from pyconv.layers import Normalization
from pyconv.recipes.settings import Settings, make_augmentation, make_optimizer
from pyconv.run_folder import RunFolder
from pyconv.serialization import serialize

_FIXED_WITHIN_AN_EPOCH = ("dataset", "batch_size", "validation_split", "seed")


def main(argv=None):
    """Run the command; return its exit status."""
    args = parse(argv)
    recipe, settings, config = configure(args)
    machine = cli.choose_machine(args)
    train, test, class_names = cli.load_dataset(settings.dataset, config["data_dir"])
    if settings.validation_split:
        train, validation = data.split(*train, settings.validation_split)
    else:
        validation = test

    model = recipe.network(settings, train[0].shape[1:], len(class_names))
    for layer in model.layers:
        if isinstance(layer, Normalization):
            layer.adapt(train[0])
    steps = -(-len(train[0]) // settings.batch_size)
    model.compile(make_optimizer(settings, steps), "sparse_categorical_crossentropy", ["accuracy"])
    model.to(machine.device)

    config["class_names"] = list(class_names)
    run, watchers = (resume if args.resume else start)(args, config, model)
    save = SaveLast(run.last, watchers)
    describe(model, machine, settings.dataset, len(class_names), train, validation, test)

    model.fit(
        *train,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        callbacks=[*watchers, save],
        validation_data=validation,
        validation_batch_size=max(settings.batch_size, 128),
        augment=make_augmentation(settings),
        seed=settings.seed,
        resume=bool(args.resume),
        return_on_interrupt=True,
    )
    if model.interrupted:
        save.save()
        print(f"interrupted and saved; continue with: pyconv train --resume {shlex.quote(str(run.path))}")
        return cli.INTERRUPTED
    best = watchers[1].best
    print(f"best validation accuracy {best:.4f}; the run is in {run.path}")
    return 0


def parse(argv):
    """Return the options; those of the settings only where they were given."""
    parser = argparse.ArgumentParser(prog="pyconv train", description=__doc__.partition(": ")[2])
    parser.add_argument("--recipe", choices=recipes.NAMES, help="default: shapes for its data set, else blog")
    parser.add_argument(
        "--data-dir", help="folder or archive of the data set (default: cache, else download)"
    )
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument("--run-dir", help="folder to write (default: runs/<recipe>-<dataset>-<time>)")
    folder.add_argument("--resume", metavar="RUN", help="continue the run in this folder, bit for bit")
    cli.add_machine_options(parser)
    group = parser.add_argument_group("settings", "defaults are the recipe's (blog / shapes)")
    defaults = [recipes.get(name).Settings() for name in recipes.NAMES]
    for field in dataclasses.fields(Settings):
        values = " / ".join(dict.fromkeys(str(getattr(settings, field.name)) for settings in defaults))
        kind = {"action": argparse.BooleanOptionalAction}
        if field.type is not bool:
            kind = {"type": field.type, "choices": field.metadata["choices"]}
        group.add_argument(
            field.metadata["flag"] or "--" + field.name.replace("_", "-"),
            dest=field.name,
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} (default: {values})",
            **kind,
        )
    return parser.parse_args(argv)


def configure(args):
    """Return the recipe, its settings and the run's config, from the options and the run to resume."""
    given = {f.name: getattr(args, f.name) for f in dataclasses.fields(Settings) if hasattr(args, f.name)}
    config = RunFolder.open(args.resume).config if args.resume else {}
    if args.resume and args.recipe not in (None, config["recipe"]):
        raise ValueError(f"[train] {args.resume} is a run of recipe {config['recipe']}, not of {args.recipe}")
    name = config.get("recipe") or args.recipe or ("shapes" if given.get("dataset") == "shapes" else "blog")
    recipe = recipes.get(name)
    try:
        settings = recipe.Settings(**{**config.get("settings", {}), **given})
    except TypeError as error:
        raise ValueError(f"[train] config.json does not fit this version: {error}") from None
    data_dir = os.path.abspath(args.data_dir) if args.data_dir else config.get("data_dir")
    version = {"pyconv": pyconv.__version__, "recipe": name, "data_dir": data_dir}
    return recipe, settings, {**version, "settings": dataclasses.asdict(settings)}


def start(args, config, model):
    """Return a new run folder and its callbacks."""
    run = RunFolder.create(args.run_dir, config)
    return run, watch(run)


def resume(args, config, model):
    """Put the model where the run stopped; return the run and its callbacks, restored."""
    run = RunFolder.open(args.resume)
    arrays, metadata = checkpoint.load(run.last)
    # What the settings say of the optimizer now, which is what they said then unless options changed it.
    state = {**metadata["training"], "optimizer": serialize(model.optimizer)}
    model.set_training_state(arrays, state)
    old, new, position = run.config["settings"], config["settings"], model.position
    changed = [name for name in _FIXED_WITHIN_AN_EPOCH if old[name] != new[name]]
    if position.step and changed:
        raise ValueError(
            f"[train] the run stopped within epoch {position.epoch + 1}, expected no new {', '.join(changed)}"
        )
    if position.epoch >= new["epochs"]:
        raise ValueError(f"[train] the run has its {position.epoch} epochs already; name more with --epochs")
    if new["learning_rate"] != old["learning_rate"] and new["schedule"] == "constant":
        model.optimizer.learning_rate = new["learning_rate"]
    run.config = config
    run.write_config()
    run.keep_history(position.epoch)
    watchers = watch(run, append=True)
    callbacks.CallbackList(watchers).set_state(metadata["callbacks"])
    where = f", step {position.step + 1}" if position.step else ""
    print(f"continuing {run.path} at epoch {position.epoch + 1}{where}")
    return run, watchers


def watch(run, append=False):
    """Return the callbacks that write the run's history and its best model."""
    return [
        callbacks.CSVLogger(run.history, append=append),
        callbacks.ModelCheckpoint(run.best, monitor="val_accuracy", save_best_only=True),
    ]


class SaveLast(callbacks.Callback):
    """Writes model, training state and the other callbacks' states, at first and after each epoch."""

    def __init__(self, path, others):
        self._path = path
        self._others = callbacks.CallbackList(others)

    def on_train_begin(self, logs=None):
        self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.save()

    def save(self):
        """Write the file, atomically."""
        arrays, state = self.model.training_state()
        metadata = {"model": json.loads(self.model.to_json()), "training": state}
        checkpoint.save(self._path, arrays, {**metadata, "callbacks": self._others.get_state()})


def describe(model, machine, dataset, classes, train, validation, test):
    """Print the network, the machine and the data set's sizes."""
    model.summary()
    sizes = f"{len(train[0]):,} training"
    if validation is not test:
        sizes += f", {len(validation[0]):,} validation"
    shape = "x".join(str(n) for n in np.shape(train[0])[1:])
    print(f"device: {machine}")
    print(
        f"data:   {dataset}, {sizes} and {len(test[0]):,} test images of {shape}, {classes} classes",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(cli.run(main))
