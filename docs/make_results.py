"""Draw docs/results/*.png: accuracy against minutes, of the curves in docs/results/*.csv.

    python docs/make_results.py        # with matplotlib

The curves are what benchmarks/bench_accuracy.py wrote, one file a run; docs/results.md says what each was.
"""

import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

FOLDER = Path(__file__).with_name("results")
WIDTH, HEIGHT, DPI = 7.5, 4.2, 120


def curve(path):
    """Return (minutes, validation accuracy in per cent) of a run."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return [float(row["minutes"]) for row in rows], [100 * float(row["val_accuracy"]) for row in rows]


def draw(title, paths, target):
    """Draw the curves of `paths`, named by their files, into the PNG `target`."""
    figure, axes = pyplot.subplots(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    for path in sorted(paths):
        minutes, accuracy = curve(path)
        (line,) = axes.plot(minutes, accuracy, linewidth=1.4, label=f"{path.stem}: {accuracy[-1]:.1f}%")
        axes.plot(minutes[-1], accuracy[-1], "o", markersize=4, color=line.get_color())
    axes.set(title=title, xlabel="minutes on two cores", ylabel="accuracy on the images kept aside, %")
    axes.set_ylim(bottom=50)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8, title="run, and its last epoch", title_fontsize=8)
    figure.savefig(target)
    pyplot.close(figure)


def main():
    for recipe in ("blog", "blog90"):
        if paths := list(FOLDER.glob(f"{recipe}-*.csv")):
            draw(f"CIFAR-10 (JPEG copies), recipe {recipe}", paths, FOLDER / f"{recipe}.png")


if __name__ == "__main__":
    main()
