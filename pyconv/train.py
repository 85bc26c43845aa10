"""`pyconv train`: train a recipe's network on a data set, and write or continue a run folder."""

import argparse
import contextlib
import dataclasses
import os
import shlex
import sys

import numpy as np

import pyconv
from pyconv import arguments, callbacks, checkpoint, cli, plots, recipes
from pyconv.engine import data
from pyconv.engine.fit_arguments import log_names
from pyconv.layers import Normalization
from pyconv.models import load_model
from pyconv.recipes.settings import described, flag, make_augmentation, make_optimizer
from pyconv.run_folder import RunFolder
from pyconv.serialization import serialize

_LONGEST_CHOICES = 40  # characters, in the usage line
_FIXED_WITHIN_AN_EPOCH = ("batch_size", "validation_split", "seed")


def main(argv=None, *, load_dataset=None, more=()):
    """Run the command; return its exit status.

    A script may hand in what `load_dataset(name, data_dir)` returns instead of the data set as it is
    (see `cli.load_dataset`), and `more` callbacks; neither is part of the run.
    """
    load_dataset = load_dataset or cli.load_dataset
    args = parse(argv)
    with contextlib.ExitStack() as stack:
        saved, config = None, {}
        if args.resume is not None:
            run = RunFolder.open(_folder(args.resume, "--resume"))
            stack.enter_context(run.hold(new=False))
            config = run.config
            if not run.unsaved:  # else it begins anew, with what config.json says
                saved = run.load()
                config = saved[1]["run"]
                if config != run.config:
                    print(f"note: {run.config_file} differs from {run.last}, which counts", file=sys.stderr)
        recipe, settings, config = configure(args, config)
        machine = cli.choose_machine(args)
        if args.resume is None:
            run = RunFolder.new(_folder(args.run_dir, "--run-dir"), config)
            stack.enter_context(run.hold(new=True))
        dataset = load_dataset(settings.dataset, config["data_dir"])
        options = {"tensorboard": args.tensorboard, "more": more}
        return _train(run, saved, recipe, settings, config, machine, dataset, **options)


def _train(run, saved, recipe, settings, config, machine, dataset, *, tensorboard, more):
    train, test, class_names = dataset
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
    watchers = resume(run, saved, config, model) if saved else start(run, config)
    board = [callbacks.TensorBoard(run.path / "tensorboard", 1, write_images=True)] if tensorboard else []
    save = SaveLast(run, config, watchers)
    describe(model, machine, settings.dataset, len(class_names), train, validation, test)

    try:
        model.fit(
            *train,
            batch_size=settings.batch_size,
            epochs=settings.epochs,
            callbacks=[*watchers, *board, save, *more],
            validation_data=validation,
            validation_batch_size=max(settings.batch_size, 128),
            augment=make_augmentation(settings),
            seed=settings.seed,
            resume=saved is not None,
            return_on_interrupt=True,
        )
    except KeyboardInterrupt:  # the second one
        if run.last.exists():
            print(f"\n{_how_to_continue(run)} (from its last save)")
        raise
    if model.interrupted:
        save.save()
        print(f"interrupted and saved; {_how_to_continue(run)}")
        return cli.INTERRUPTED
    describe_result(run, watchers, model, None if validation is test else test)
    draw_curves(run, watchers)
    return 0


def _folder(text, option):
    """Return a folder's name from the command line, or None."""
    return None if text is None else os.path.expanduser(arguments.path(text, option, "train"))


def _how_to_continue(run):
    return f"continue with: pyconv train --resume {shlex.quote(str(run.path))}"


def parse(argv):
    """Return the options; those of the settings only where they were given."""
    parser = cli.Parser(prog="pyconv train", description=__doc__.partition(": ")[2])
    parser.add_argument("--recipe", choices=recipes.NAMES, help="default: shapes for its data set, else blog")
    parser.add_argument(
        "--data-dir", help="where CIFAR-10 lies: folder or archive (default: cache, else download)"
    )
    folder = parser.add_mutually_exclusive_group()
    folder.add_argument("--run-dir", help="folder to write (default: runs/<recipe>-<dataset>-<time>)")
    parser.add_argument("--tensorboard", action="store_true", help="write RUN/tensorboard, too")
    folder.add_argument("--resume", metavar="RUN", help="continue the run in this folder, bit for bit")
    cli.add_machine_options(parser)
    defaults = [recipes.get(name).Settings() for name in recipes.NAMES]
    group = parser.add_argument_group("settings", f"defaults are the recipe's ({' / '.join(recipes.NAMES)})")
    for field in _options().values():
        kind = {"action": argparse.BooleanOptionalAction}
        if field.type is not bool:
            choices = field.metadata["choices"]
            long = choices and len(",".join(choices)) > _LONGEST_CHOICES  # then the help names them
            kind = {"type": field.type, "choices": choices, "metavar": "NAME" if long else None}
        group.add_argument(
            flag(field),
            dest=field.name,
            default=argparse.SUPPRESS,
            help=f"{field.metadata['help']} (default: {_shown(defaults, field.name)})",
            **kind,
        )
    return parser.parse_args(argv)


def _options():
    """Return {name: field} of all recipes' settings."""
    return {
        name: field
        for recipe in recipes.NAMES
        for name, field in described(recipes.get(recipe).Settings).items()
    }


def _flag(name):
    return flag(_options()[name])


def _shown(defaults, name):
    """Return what recipes have for a setting as text: once where they agree, else one after the other."""
    values = [str(getattr(settings, name, "-")) for settings in defaults]
    return " / ".join(values if len(set(values)) > 1 else values[:1])


def configure(args, config):
    """Return the recipe, its settings and the run's config, from the options and a run's `config`, or {}."""
    given = {option: getattr(args, option) for option in _options() if hasattr(args, option)}
    for name, value, old in (
        ("recipe", args.recipe, config.get("recipe")),
        ("data set", given.get("dataset"), config.get("settings", {}).get("dataset")),
    ):
        if config and value not in (None, old):
            raise ValueError(f"[train] {args.resume} is a run of {name} {old}, not of {value}")
    name = config.get("recipe") or args.recipe or ("shapes" if given.get("dataset") == "shapes" else "blog")
    recipe = recipes.get(name)
    for option in given:
        if option not in described(recipe.Settings):
            raise ValueError(f"[train] {_flag(option)} is no setting of the recipe {name}")
    try:
        settings = recipe.Settings(**{**config.get("settings", {}), **given})
    except TypeError as error:
        if str(error).startswith("["):
            raise
        raise ValueError(f"[train] config.json does not fit this version: {error}") from None
    _expect_in_use(given, settings)
    cli.check_data_dir(settings.dataset, args.data_dir)
    data_dir = config.get("data_dir")
    if args.data_dir is not None:
        data_dir = os.path.abspath(os.path.expanduser(args.data_dir)) if args.data_dir else ""
    version = {"pyconv": pyconv.__version__, "recipe": name, "data_dir": data_dir}
    return recipe, settings, {**version, "settings": dataclasses.asdict(settings)}


def _expect_in_use(given, settings):
    """Refuse options that the other settings leave without effect."""
    if "momentum" in given and settings.optimizer != "sgd":
        raise ValueError(
            f"[train] --momentum works with --optimizer sgd, the optimizer is {settings.optimizer}"
        )
    for name in ("rotation", "shift", "horizontal_flip"):
        if name in given and not settings.augment:
            raise ValueError(f"[train] {_flag(name)} works with --augment, which is off")


def start(run, config):
    """Write a new run's config; return its callbacks."""
    run.config = config
    run.write_config()
    return watch(run)


def resume(run, saved, config, model):
    """Put the model where the run stopped; return its callbacks, restored. Only history.csv is written."""
    arrays, metadata = saved
    old, new = metadata["run"]["settings"], config["settings"]
    with checkpoint.reading(run.last):
        # The settings say what the optimizer is; what they said then, unless options changed it.
        state = dict(metadata["training"], optimizer=serialize(model.optimizer))
        state["optimizer_state"] = dict(state["optimizer_state"], learning_rate=None)
        model.set_training_state(arrays, state)
        position = model.position
        changed = [name for name in _FIXED_WITHIN_AN_EPOCH if old[name] != new[name]]
        watchers = watch(run, append=True)
        callbacks.CallbackList(watchers).set_state(metadata["callbacks"])
        history = next(watcher for watcher in watchers if isinstance(watcher, RunHistory))
        lengths = {len(history.epoch), *map(len, history.history.values())}
        if history.epoch != list(range(position.epoch)) or lengths != {position.epoch}:
            raise ValueError(f"its history has {lengths} epochs, expected {position.epoch}")
    if position.step and changed:
        raise ValueError(
            f"[train] the run stopped within epoch {position.epoch + 1}, expected no new {', '.join(changed)}"
        )
    if position.epoch >= new["epochs"]:
        raise ValueError(f"[train] the run has its {position.epoch} epochs already; name more with --epochs")
    history.expect(log_names(model, True))
    run.write_history(history.epoch, history.history)
    where = f", step {position.step + 1}" if position.step else ""
    print(f"continuing {run.path} at epoch {position.epoch + 1}{where}")
    return watchers


def watch(run, append=False):
    """Return the callbacks that write the run's history and its best model."""
    return [
        callbacks.CSVLogger(run.history, append=append),
        callbacks.ModelCheckpoint(run.best, monitor="val_accuracy", save_best_only=True),
        RunHistory(),
    ]


class RunHistory(callbacks.History):
    """A `History` whose columns are as long as the epochs are many: None where an epoch had no such log."""

    def expect(self, names):
        """Make columns for logs of these names, in this order before others."""
        empty = [None] * len(self.epoch)
        self.history = {
            name: self.history.get(name, empty.copy()) for name in dict.fromkeys([*names, *self.history])
        }

    def on_epoch_end(self, epoch, logs=None):
        self.expect([*self.history, *logs])
        super().on_epoch_end(epoch, {name: logs.get(name) for name in self.history})


class SaveLast(callbacks.Callback):
    """Writes last.safetensors, after the first step and after each epoch; then the config, where it is new.

    A training whose first step fails has thus changed nothing, and one that dies later has its options saved.
    """

    def __init__(self, run, config, others):
        self._run = run
        self._config = config
        self._others = callbacks.CallbackList(others)
        self._saved = False

    def _reads_batch(self):
        return not self._saved

    def on_train_batch_end(self, batch, logs=None):
        if not self._saved:
            self.save()

    def on_epoch_end(self, epoch, logs=None):
        self.save()

    def save(self):
        """Write model, training state, the other callbacks' states and the config, in one step."""
        self._run.save(self.model, self._config, self._others.get_state())
        self._saved = True
        if self._run.config != self._config:
            self._run.config = self._config
            self._run.write_config()


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


def draw_curves(run, watchers):
    """Write curves.png, where matplotlib is there."""
    history = next(watcher.history for watcher in watchers if isinstance(watcher, RunHistory))
    with contextlib.suppress(ModuleNotFoundError):
        plots.curves(history, run.path.name).savefig(run.path / "curves.png")


def describe_result(run, watchers, model, test):
    """Print what the last epoch reached beside the best; `test` is the set that chose neither, or None."""
    accuracies = next(w for w in watchers if isinstance(w, RunHistory)).history["val_accuracy"]
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    epochs = {"the last epoch": (accuracies[-1], model, run.last)}
    if best + 1 < len(accuracies):
        epochs[f"the best, epoch {best + 1}"] = accuracies[best], load_model(run.best), run.best
    for epoch, (accuracy, network, file) in epochs.items():
        if test is None:
            print(f"test accuracy {accuracy:.4f} at {epoch} ({file.name})")
        else:
            tested = network.evaluate(*test, batch_size=256, verbose=0, return_dict=True)["accuracy"]
            print(f"validation accuracy {accuracy:.4f}, test accuracy {tested:.4f} at {epoch}")
    if test is None and len(epochs) > 1:
        print("The best was chosen by its test accuracy, which flatters;")
        print("--validation-split chooses without the test set.")
    print(f"the run is in {run.path}")


if __name__ == "__main__":
    sys.exit(cli.run(main))
