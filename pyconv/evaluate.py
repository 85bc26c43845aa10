"""`pyconv evaluate`: loss and accuracy of a run's network on the test set."""

import argparse
import sys
import time

from pyconv import cli
from pyconv.models import load_model
from pyconv.run_folder import RunFolder


def main(argv=None):
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="pyconv evaluate", description=__doc__.partition(": ")[2])
    parser.add_argument("run", metavar="RUN", help="folder that pyconv train wrote")
    parser.add_argument("--weights", choices=("best", "last"), help="which model (default: best)")
    parser.add_argument("--data-dir", help="folder or archive of the data set (default: the run's)")
    parser.add_argument("--batch-size", type=int, default=256, help="images at a time (default: %(default)s)")
    cli.add_machine_options(parser)
    args = parser.parse_args(argv)

    machine = cli.choose_machine(args)
    run = RunFolder.open(args.run)
    path = getattr(run, args.weights) if args.weights else run.model
    model = load_model(path).to(machine.device)
    dataset = run.config["settings"]["dataset"]
    _, (x, y), _ = cli.load_dataset(dataset, args.data_dir or run.config["data_dir"])
    start = time.perf_counter()
    logs = model.evaluate(x, y, batch_size=args.batch_size, return_dict=True)
    seconds = time.perf_counter() - start
    print(f"{path} on {len(x):,} test images of {dataset} ({machine})")
    print(", ".join(f"{name} {value:.4f}" for name, value in logs.items()), end="")
    print(f", {len(x) / seconds:.0f} images/s")
    return 0


if __name__ == "__main__":
    sys.exit(cli.run(main))
