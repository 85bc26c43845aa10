"""The console script `pyconv`, and what the command lines share: options, data sets, errors."""

import argparse
import contextlib
import importlib
import os
import sys
from typing import NamedTuple

import pyconv
from pyconv import _core, arguments, cuda
from pyconv.recipes.settings import DATASETS

COMMANDS = {
    "train": "train a recipe's network; write a run folder",
    "evaluate": "loss and accuracy of a run on its test set",
    "predict": "classify images with a run's network",
    "inspect": "pictures of what goes on inside a run's network",
}
INTERRUPTED = 130  # exit status of what Ctrl-C ended, as shells have it


def main(argv=None):
    """Run `pyconv COMMAND ...`; return the exit status. Without a command, print what there is."""
    commands = "\n".join(f"  {name:10}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="pyconv",
        description=pyconv.__doc__,
        epilog=f"commands:\n{commands}\n\nMore about one: pyconv COMMAND --help",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"pyconv {pyconv.__version__}")
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    argv = sys.argv[1:] if argv is None else argv
    if not argv:
        parser.print_help()
        return 2
    args = parser.parse_args(argv)
    module = importlib.import_module(f"pyconv.{args.command}")
    if hasattr(module, "__path__"):  # a package: its command lies beside its functions
        module = importlib.import_module(f"{module.__name__}.__main__")
    return run(module.main, args.arguments)


def run(command, argv=None):
    """Return the exit status of `command(argv)`. What the user can mend becomes one line on stderr."""
    with contextlib.suppress(AttributeError):  # a file name need not be text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return command(argv)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        what = f" ({error})" if str(error).startswith("[") else ""
        print(
            f"error: not enough memory{what}; a smaller --batch-size needs less",
            file=sys.stderr,
        )
        return 1
    except (OSError, FloatingPointError, ValueError, TypeError, ModuleNotFoundError) as error:
        # Messages of the library begin with the op's name; anything else is a fault in it, shown in full.
        if isinstance(error, (ValueError, TypeError)) and not str(error).startswith("["):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message):
        self.exit(2, f"error: {message}; see {self.prog} --help\n")


class Machine(NamedTuple):
    """Where a command computes, and a line that says so."""

    device: str
    text: str

    def __str__(self):
        return self.text


def add_machine_options(parser):
    """Add --device, --precision and --threads."""
    device = os.environ.get("PYCONV_DEVICE") or "auto"
    parser.add_argument(
        "--device",
        default=device,
        help="auto (the GPU where there is one), cpu or cuda (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "tf32", "bfloat16"),
        help="what convolutions and dense layers multiply in on a GPU (default: float32)",
    )
    parser.add_argument("--threads", type=int, help="processor threads (default: all that may be used)")


def add_weights_option(parser):
    """Add --weights."""
    parser.add_argument("--weights", choices=("best", "last"), help="which model of a run (default: best)")


def choose_machine(args):
    """Do what the machine options say; return the `Machine`."""
    if args.device not in ("auto", "cpu", "cuda"):
        hint = ""
        if args.device.startswith("cuda:"):
            hint = "; CUDA_VISIBLE_DEVICES chooses among several GPUs"
        origin = " (PYCONV_DEVICE)" if args.device == os.environ.get("PYCONV_DEVICE") else ""
        raise ValueError(f"[device] device is {args.device!r}{origin}, expected auto, cpu or cuda{hint}")
    if args.threads is not None:
        if args.threads < 1:
            raise ValueError(f"[threads] --threads is {args.threads}, expected at least 1")
        _core.set_num_threads(args.threads)
    if args.device == "cuda" and not cuda.is_available():
        raise ValueError(f"[device] cuda is not available: {cuda.why_not()}; use --device cpu")
    if args.device != "cpu" and cuda.is_available():
        _core.set_precision(args.precision or _core.precision())
        return Machine("cuda", f"cuda, {cuda.device_name()}, {_core.precision()}")
    if args.precision not in (None, "float32"):
        raise ValueError(f"[precision] --precision is {args.precision}, expected float32 without a GPU")
    threads = _core.num_threads()
    text = f"cpu, {_core.backend()} instructions, {threads} thread{'s' if threads > 1 else ''}"
    return Machine("cpu", text)


def check_data_dir(dataset, data_dir):
    """Refuse --data-dir with a data set that is drawn."""
    if data_dir is not None and dataset != "cifar10":
        raise ValueError(f"[data] --data-dir is {data_dir}, expected none: the images of {dataset} are drawn")


def load_dataset(name, data_dir=None):
    """Return (x_train, y_train), (x_test, y_test) and the class names of a data set."""
    arguments.choice(name, DATASETS, "dataset", "data")
    dataset = importlib.import_module(f"pyconv.datasets.{name}")
    train, test = dataset.load_data(data_dir) if name == "cifar10" else dataset.load_data()
    return train, test, dataset.CLASS_NAMES


if __name__ == "__main__":
    sys.exit(main())
