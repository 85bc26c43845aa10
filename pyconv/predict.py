"""`pyconv predict`: the classes that a run's network sees in images."""

import argparse
import sys

import numpy as np

from pyconv import cli
from pyconv.models import load_model
from pyconv.run_folder import RunFolder


def main(argv=None):
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="pyconv predict", description=__doc__.partition(": ")[2])
    parser.add_argument("run", metavar="RUN", help="folder that pyconv train wrote")
    parser.add_argument("images", metavar="IMAGE", nargs="+", help="image file, of any size")
    parser.add_argument("--top", type=int, default=3, help="classes to print (default: %(default)s)")
    cli.add_machine_options(parser)
    args = parser.parse_args(argv)

    machine = cli.choose_machine(args)
    run = RunFolder.open(args.run)
    model = load_model(run.model).to(machine.device)
    names = run.config["class_names"]
    images = np.stack([read_image(path, model.input_shape) for path in args.images])
    for path, row in zip(args.images, model.predict(images), strict=True):
        print(path)
        for label in np.argsort(-row, kind="stable")[: max(args.top, 1)]:
            print(f"  {row[label]:6.1%}  {names[label]}")
    return 0


def read_image(path, shape):
    """Return an image file as uint8 (H, W, C) of `shape`, resized with a note where it has another size."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "[predict] reading images needs Pillow: install the extra `image`, or `pip install pillow`"
        ) from None
    height, width, channels = shape
    try:
        with Image.open(path) as file:
            image = file.convert("RGB" if channels == 3 else "L")
    except UnidentifiedImageError:
        raise ValueError(f"[predict] {path} is not an image that Pillow can read") from None
    if image.size != (width, height):
        old = "x".join(map(str, image.size))
        print(f"note: {path} is resized from {old} to {width}x{height}", file=sys.stderr)
        image = image.resize((width, height))
    return np.asarray(image, np.uint8).reshape(shape)


if __name__ == "__main__":
    sys.exit(cli.run(main))
