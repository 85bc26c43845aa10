"""`pyconv inspect`: pictures of what goes on inside a trained network."""

import csv
import sys
import textwrap
from pathlib import Path

import numpy as np

from pyconv import cli, inspect, plots
from pyconv.inspect.maximisation import value_range
from pyconv.layers import AveragePooling2D, Conv2D, MaxPooling2D, Residual
from pyconv.models.loading import open_model
from pyconv.predict import read_image

_SHOWN = 8  # images, maps and channels a row
_ALSO_SHOWN = (MaxPooling2D, AveragePooling2D, Residual)  # besides convolutions
_WALL = 3  # images a side of the wall that dreams


def main(argv=None):
    """Run the command; return its exit status."""
    parser = cli.Parser(prog="pyconv inspect", description=__doc__.partition(": ")[2])
    parser.add_argument("run", metavar="RUN", help="folder that pyconv train wrote")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="*", help="images to look at (default: of the test set)"
    )
    parser.add_argument("--out", metavar="DIR", help="folder for the pictures (default: RUN/inspect)")
    parser.add_argument("--data-dir", help="where CIFAR-10 lies: folder or archive (default: the run's)")
    parser.add_argument(
        "--steps", type=int, default=256, help="of maximising a channel (default: %(default)s)"
    )
    cli.add_weights_option(parser)
    cli.add_machine_options(parser)
    args = parser.parse_args(argv)
    if args.steps < 0:
        raise ValueError(f"[inspect] --steps is {args.steps}, expected at least 0")
    plots.figure(1, 1)  # tells at once if matplotlib is missing

    machine = cli.choose_machine(args)
    path, model, run = open_model(args.run, args.weights)
    if run is None:
        raise ValueError(
            f"[inspect] {path} lies in no run folder, expected one: its classes and data are needed"
        )
    model.to(machine.device)
    dataset = run.config["settings"]["dataset"]
    cli.check_data_dir(dataset, args.data_dir)
    _, (x, y), names = cli.load_dataset(dataset, args.data_dir or run.config["data_dir"])
    chosen = x[: _WALL**2]
    if args.images:
        chosen = np.stack([read_image(one, model.input_shape) for one in args.images])
    out = Path(args.out or run.path / "inspect")
    out.mkdir(parents=True, exist_ok=True)
    for name, make in _pictures(model, run, x, y, names, chosen, args.steps):
        made = make()
        made.savefig(out / f"{name}.png")
        print(out / f"{name}.png", flush=True)
    return 0


def _pictures(model, run, x, y, names, chosen, steps):
    """Yield (file's name, function that returns a Figure) of each picture."""
    convolutions = [layer.name for layer in model.layers if isinstance(layer, Conv2D)]
    if run.history.is_file() and run.history.stat().st_size:
        yield "curves", lambda: plots.curves(read_history(run.history), run.path.name)
    yield (
        "confusion",
        lambda: plots.confusion(inspect.confusion(model, x, y), names, f"{len(x):,} test images"),
    )
    yield "mistakes", lambda: _mistakes(model, x, y, names)
    if convolutions:
        yield "filters", lambda: _filters(model, convolutions[0])
        yield "features", lambda: _features(model, chosen[:1], convolutions)
    yield "saliency", lambda: _saliency(model, chosen[:_SHOWN], names)
    if convolutions:
        yield "channels", lambda: _channels(model, convolutions, names, steps)
        yield "dream", lambda: _dream(model, chosen, convolutions[-1])


def read_history(path):
    """Return the logs of a history.csv: {name: values, None where there is none}."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name != "epoch"]
    return {name: [None if row[name] in ("NA", "") else float(row[name]) for row in rows] for name in names}


def _mistakes(model, x, y, names):
    index, predicted, _ = inspect.mistakes(model, x, y, count=40)
    labels = np.asarray(y).reshape(len(y), -1)
    labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)
    if not len(index):
        return plots.grid(x[:1], ["no mistakes"])
    found = zip(index, predicted, _probabilities(model, x[index]), strict=True)
    titles = [f"{names[labels[i]]}\n{names[p]}, {share[p]:.0%}" for i, p, share in found]
    return plots.grid(x[index], titles, title="True class, and what it was taken for: the surest first")


def _filters(model, name):
    kernel = np.moveaxis(model.get_layer(name).kernel.numpy(), 3, 0)
    if kernel.shape[3] not in (1, 3):
        kernel = kernel.mean(3)
    low, high = kernel.min(), kernel.max()
    titles = [str(i) for i in range(len(kernel))]
    return plots.grid((kernel - low) / (high - low or 1), titles, 8, f"Kernels of {name}, by output channel")


def _features(model, image, convolutions):
    found = inspect.features(model, image)
    rows = [("image", [image[0]])]
    for layer in model.layers:
        value = found[layer.name][0]
        if value.ndim == 3 and (layer.name in convolutions or isinstance(layer, _ALSO_SHOWN)):
            maps = np.moveaxis(value, 2, 0)[:_SHOWN]
            rows.append((f"{layer.name}\n{value.shape[0]} x {value.shape[1]}", maps))
    return plots.rows_of(rows, f"Feature maps, the first {_SHOWN} channels of each layer")


def _saliency(model, images, names):
    shares = _probabilities(model, images)
    classes = shares.argmax(1)
    rows = [
        ("image", list(images)),
        ("saliency\n(16 noisy copies)", list(inspect.saliency(model, images, classes, samples=16))),
    ]
    if any(isinstance(layer, Conv2D) for layer in model.layers):
        rows.append(("Grad-CAM", list(inspect.grad_cam(model, images, classes))))
    made = plots.rows_of(rows, "What speaks for the class")
    for cell, label, share in zip(made.axes, classes, shares, strict=False):
        cell.set_title(f"{names[label]}, {share[label]:.0%}", fontsize=8)
    return made


def _channels(model, convolutions, names, steps):
    rows = []
    for name in convolutions:
        count = min(_SHOWN, model.get_layer(name).filters)
        rows.append((name, list(inspect.maximise(model, list(range(count)), name, steps=steps))))
    classes = list(range(len(names)))
    best = list(inspect.maximise(model, classes, steps=steps))
    for start in range(0, len(names), _SHOWN):
        part = slice(start, start + _SHOWN)
        label = textwrap.fill(", ".join(names[part]), 24)
        rows.append((label, best[part]))
    low, high = value_range(model, None, "inspect")
    rows = [(label, [(image - low) / (high - low) for image in images]) for label, images in rows]
    return plots.rows_of(rows, f"What excites channels, and the classes, most: {steps} steps from noise")


def _dream(model, images, layer):
    side = min(_WALL, int(np.sqrt(len(images))))
    lines = [np.concatenate(list(images[i * side : (i + 1) * side]), 1) for i in range(side)]
    before = np.concatenate(lines, 0)
    after = inspect.deep_dream(model, before[None], layer, octaves=3)[0]
    made = plots.figure(9, 4.9)
    both = {"before": before, f"after: {layer} has dreamt": after}
    for axes, (title, image) in zip(made.subplots(1, 2), both.items(), strict=True):
        plots.show(axes, image)
        axes.set_title(title)
        axes.axis("off")
    return made


def _probabilities(model, images):
    """Return what the model gives, as probabilities where it gives scores."""
    y = model.predict(images) if len(images) else np.zeros((0, model.output_shape[0]), np.float32)
    if model.loss is not None and model.loss.from_logits:
        y = np.exp(y - y.max(1, keepdims=True))
        y /= y.sum(1, keepdims=True)
    return y


if __name__ == "__main__":
    sys.exit(cli.run(main))
