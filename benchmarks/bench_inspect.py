"""pyconv.inspect on the blog's network beside PyTorch's hooks and autograd, in one run.

    python benchmarks/bench_inspect.py [--batch 64] [--steps 100] [--size 512] [--threads 2] [--rounds 5]

Feature maps of all convolutions, gradients of images, maximisation of eight channels, and a dream of size x
size pixels in four octaves. Values are compared where nothing is drawn at random. pyconv's functions are
called as a user calls them, with the making of their plans.
"""

import argparse
import contextlib

import inspect_pyconv
import inspect_torch
from report import best, cell, median, print_left_out, print_machine
from workers import Row, contest, serve, start

LIBRARIES = {
    "pyconv": (inspect_pyconv.TASKS, ("",)),
    "PyTorch": (inspect_torch.TASKS, inspect_torch.VARIANTS),
}
# Where rounding differs, a ReLU or a maximum may switch, and with it a whole path of the gradient.
TOLERANCE = {"features": 1e-4, "gradient": 1e-2, "maximise": None, "dream": None}
CHANNELS = 8


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=100, help="of maximisation")
    parser.add_argument("--size", type=int, default=512, help="of the dream's image, pixels; 0: none")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--worker", choices=LIBRARIES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(LIBRARIES[options.worker][0])
        return

    tasks = {
        "features": {"batch": options.batch},
        "gradient": {"batch": options.batch},
        "maximise": {"batch": CHANNELS, "steps": options.steps},
    }
    if options.size:
        tasks["dream"] = {"size": options.size, "steps": 20}
    with contextlib.ExitStack() as stack:
        workers, about, left_out = start(stack, __file__, {name: {} for name in LIBRARIES}, options.threads)
        print_machine(options, about)
        rows = {}
        for task, arguments in tasks.items():
            contestants = {}
            for name, worker in workers.items():
                for variant in LIBRARIES[name][1]:
                    more = {"variant": variant} if variant else {}
                    contestants[name, variant] = (worker, task, {**arguments, **more})
            rows[task] = Row(contestants, TOLERANCE[task])
        times, more = contest(rows, options.rounds, options.repeats)
    for task, taken in times.items():
        chosen = best(taken)
        ours = median(chosen["pyconv"][1])
        print(f"\n{task} {', '.join(f'{name} {value}' for name, value in tasks[task].items())}")
        for name, (variant, seconds) in chosen.items():
            ratio = "" if name == "pyconv" else f"  pyconv is {median(seconds) / ours:.2f} x as fast"
            print(f"  {name:<8} {variant:<14} {cell(seconds)}{ratio}")
    print_left_out(left_out | more)


if __name__ == "__main__":
    main()
