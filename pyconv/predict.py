"""`pyconv predict`: the classes that a trained network sees in images."""

import os
import sys

import numpy as np

from pyconv import cli
from pyconv.models.loading import open_model
from pyconv.preprocessing import pictures


def main(argv=None):
    """Run the command; return its exit status: 1 where an image could not be read."""
    parser = cli.Parser(prog="pyconv predict", description=__doc__.partition(": ")[2])
    parser.add_argument("run", metavar="RUN", help="folder that pyconv train wrote, or a saved model's file")
    parser.add_argument(
        "images", metavar="IMAGE", nargs="+", help="image file of any size, or a folder of them"
    )
    parser.add_argument("--top", type=int, default=3, help="classes to print at most (default: %(default)s)")
    cli.add_weights_option(parser)
    cli.add_machine_options(parser)
    args = parser.parse_args(argv)
    if args.top < 1:
        raise ValueError(f"[predict] --top is {args.top}, expected at least 1")

    machine = cli.choose_machine(args)
    path, model, run = open_model(args.run, args.weights)
    _expect_a_classifier(model, path)
    model.to(machine.device)
    classes = model.output_shape[0]
    if run:
        names = run.config["class_names"]
    else:
        names = [f"class {number}" for number in range(classes)]
        _note(f"{path} lies in no run folder, so classes have no names")
    if len(names) != classes:
        raise ValueError(f"[predict] {path} gives {classes} classes, expected its run's {len(names)}")

    failed = 0
    for image in _expand(args.images):
        try:
            x = read_image(image, model.input_shape)
        except (OSError, ValueError) as error:  # the others go on
            print(f"error: {error}", file=sys.stderr)
            failed += 1
            continue
        row = _probabilities(model, model.predict(x[None])[0], path)
        print(image)
        for label in np.argsort(-row, kind="stable")[: args.top]:
            print(f"  {row[label]:6.1%}  {names[label]}")
    return 1 if failed else 0


def read_image(path, shape):
    """Return an image file as uint8 (H, W, C) of `shape`, resized with a note where it has another size."""
    return pictures.read_image(path, shape, _note)


def _note(line):
    print(f"note: {line}", file=sys.stderr)


def _expand(paths):
    """Return the images' paths, those in folders one by one."""
    expanded = []
    for path in paths:
        expanded += (pictures.images_in(path, _note) if os.path.isdir(path) else None) or [path]
    return expanded


def _expect_a_classifier(model, path):
    shape = model.input_shape
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ValueError(f"[predict] {path} takes inputs of shape {shape}, expected images: (H, W, 1 or 3)")
    if len(model.output_shape) != 1 or model.output_shape[0] < 2:
        raise ValueError(f"[predict] {path} gives outputs of shape {model.output_shape}, expected (classes,)")


def _probabilities(model, row, path):
    """Return the outputs (classes,) for an image as probabilities."""
    if model.loss is not None and model.loss.from_logits:
        row = np.exp(row - row.max())
        row /= row.sum()
    if not (row.min() >= 0 and abs(row.sum() - 1) < 1e-3):  # NaN too
        raise ValueError(
            f"[predict] {path} gives no probabilities, expected a network that ends in a softmax or was "
            "compiled with a loss that has from_logits=True"
        )
    return row


if __name__ == "__main__":
    sys.exit(cli.run(main))
