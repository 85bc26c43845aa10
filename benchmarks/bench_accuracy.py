"""What a recipe reaches: `pyconv train` with several seeds; accuracy, its deviation, time, and the curves.

    python benchmarks/bench_accuracy.py --recipe blog --runs 3 [--epochs E] [--data-dir FOLDER] [OPTION ...]
    python benchmarks/bench_accuracy.py --recipe blog --held-out images.npz --name bn-relu --order bn-relu

Options that are not its own go to `pyconv train`. Each run is a run folder under --out: called again, the
script continues what was interrupted and keeps what is done. What counts is the last epoch, which no figure
has chosen. --held-out names a file with `index`, training images to leave out, (n,), and `images`, the same
ones in another form, uint8 (n, 32, 32, 3): trainings then validate on the images left out, and look at the
test set once, at the end. What a setting is worth is decided so.
"""

import argparse
import contextlib
import csv
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from report import processor

from pyconv import _core, callbacks, cli, train
from pyconv.models import load_model
from pyconv.run_folder import RunFolder


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--recipe", default="blog")
    parser.add_argument("--runs", type=int, default=1, help="seeds to train with")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--held-out", type=Path, help="images to validate on")
    parser.add_argument("--out", type=Path, default=Path("runs/accuracy"), help="default: %(default)s")
    parser.add_argument("--name", help="of the runs and of their curves (default: the recipe's)")
    options, others = parser.parse_known_args(argv)
    name = options.name or options.recipe

    results = []
    for seed in range(options.seed, options.seed + options.runs):
        run = Run(options.out / f"{name}-{seed}", options.held_out)
        run.train(["--recipe", options.recipe, "--seed", str(seed), *others])
        run.write_curve()
        results.append(run.result())
        print(
            f"seed {seed}: " + ", ".join(f"{key} {value:.4g}" for key, value in results[-1].items()),
            flush=True,
        )

    machine = f"{processor()}, {_core.backend()}, {_core.num_threads()} threads"
    print(f"\n{' '.join([name, *others])}: {len(results)} runs, {machine}")
    for key in results[0]:
        values = [result[key] for result in results]
        deviation = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
        print(f"  {key:28}{statistics.mean(values):10.4g}{deviation}")
    return 0


class Run:
    """One training in a folder of its own, and what it reached."""

    def __init__(self, path, held_out):
        self.path = path
        self.clock = Clock(path / "seconds.csv")
        self.held_out = held_out and np.load(held_out)

    def train(self, options):
        """Train, or go on, or leave be what is done. An interruption ends the script."""
        command = ["--run-dir", str(self.path), *options]
        if self.path.exists():
            _, settings, config = train.configure(train.parse(command), {})
            run = RunFolder.open(self.path)
            if run.config["settings"] != config["settings"]:
                sys.exit(f"error: {self.path} was trained with other options: choose another --name or --out")
            if len(read(run.history)) == settings.epochs:
                return
            command = ["--resume", str(self.path)]
        with contextlib.redirect_stdout(sys.stderr):
            status = train.main(command, load_dataset=self.load_dataset, more=[self.clock])
        if status:
            sys.exit(status)

    def load_dataset(self, name, data_dir):
        """Return the data set; where images are held out, they are what the training validates on."""
        (x, y), test, class_names = cli.load_dataset(name, data_dir)
        if self.held_out is None:
            return (x, y), test, class_names
        chosen = self.held_out["index"]
        left = np.setdiff1d(np.arange(len(x)), chosen)
        return (x[left], y[left]), (x[chosen], y[chosen]), class_names

    def result(self):
        """Return {what: value} of the last epoch; accuracies in per cent."""
        run = RunFolder.open(self.path)
        (x, y), test, _ = cli.load_dataset(run.config["settings"]["dataset"], run.config["data_dir"])
        sets = {"test": test}
        if self.held_out is not None:
            chosen = self.held_out["index"]
            sets = {
                "held out": (x[chosen], y[chosen]),
                "held out, other form": (self.held_out["images"], y[chosen]),
                **sets,
            }
        model = load_model(run.last)
        result = {
            f"{name}, %": 100 * model.evaluate(*data, batch_size=128, verbose=0, return_dict=True)["accuracy"]
            for name, data in sets.items()
        }
        seconds = [float(row["seconds"]) for row in read(self.clock.path)]
        images = len(x) - (0 if self.held_out is None else len(self.held_out["index"]))
        return {**result, "seconds": sum(seconds), "images/s": len(seconds) * images / sum(seconds)}

    def write_curve(self):
        """Write epoch, minutes and the accuracies beside the run's folder."""
        history, seconds = read(self.path / "history.csv"), read(self.clock.path)
        minutes = np.cumsum([float(row["seconds"]) for row in seconds]) / 60
        with open(self.path.with_suffix(".csv"), "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["epoch", "minutes", "accuracy", "val_accuracy"])
            for row, minute in zip(history, minutes, strict=True):
                accuracies = (f"{float(row[key]):.4f}" for key in ("accuracy", "val_accuracy"))
                writer.writerow([int(row["epoch"]) + 1, f"{minute:.2f}", *accuracies])


class Clock(callbacks.Callback):
    """Appends each epoch's seconds, validation included, to a file that outlives interruptions."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        now = time.perf_counter()
        new = not self.path.exists()
        with open(self.path, "a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["epoch", "seconds"])
            writer.writerow([epoch, f"{now - self.start:.2f}"])
        self.start = now


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    sys.exit(cli.run(main))
