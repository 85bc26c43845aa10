"""`pyconv evaluate`: loss and accuracy of a trained network on the test set."""

import sys
import time

from pyconv import cli
from pyconv.models.loading import open_model
from pyconv.recipes.settings import DATASETS


def main(argv=None):
    """Run the command; return its exit status."""
    parser = cli.Parser(prog="pyconv evaluate", description=__doc__.partition(": ")[2])
    parser.add_argument("run", metavar="RUN", help="folder that pyconv train wrote, or a saved model's file")
    cli.add_weights_option(parser)
    parser.add_argument(
        "--dataset", choices=DATASETS, help="data set, for a model's file (default: the run's)"
    )
    parser.add_argument("--data-dir", help="where CIFAR-10 lies: folder or archive (default: the run's)")
    parser.add_argument("--batch-size", type=int, default=256, help="images at a time (default: %(default)s)")
    cli.add_machine_options(parser)
    args = parser.parse_args(argv)
    if args.batch_size < 1:
        raise ValueError(f"[evaluate] --batch-size is {args.batch_size}, expected at least 1")

    machine = cli.choose_machine(args)
    path, model, run = open_model(args.run, args.weights)
    dataset, data_dir = _data_of(run, path, args)
    if model.optimizer is None:
        raise ValueError(
            f"[evaluate] {path} was saved before it was compiled, expected a loss and metrics in it"
        )
    model.to(machine.device)
    _, (x, y), _ = cli.load_dataset(dataset, data_dir)
    start = time.perf_counter()
    logs = model.evaluate(x, y, batch_size=args.batch_size, return_dict=True)
    seconds = time.perf_counter() - start
    print(f"{path} on {len(x):,} test images of {dataset} ({machine})")
    print(", ".join(f"{name} {value:.4f}" for name, value in logs.items()), end="")
    print(f", {len(x) / seconds:.0f} images/s")
    if run and path == run.best and not run.config["settings"].get("validation_split"):
        print(
            f"note: {run.best.name} was chosen by its accuracy on these very images, which flatters; "
            "--weights last takes the last epoch",
            file=sys.stderr,
        )
    return 0


def _data_of(run, path, args):
    """Return the data set and its folder, from the options and the run (None: a model's file alone)."""
    dataset = args.dataset or (run and run.config["settings"].get("dataset"))
    if dataset is None:
        raise ValueError(f"[evaluate] {path} lies in no run folder, expected --dataset")
    if run and dataset != run.config["settings"].get("dataset"):
        raise ValueError(
            f"[evaluate] {path} was trained on another data set, expected no --dataset {dataset}"
        )
    cli.check_data_dir(dataset, args.data_dir)
    if args.data_dir is not None:
        return dataset, args.data_dir
    return dataset, run and run.config["data_dir"]


if __name__ == "__main__":
    sys.exit(cli.run(main))
