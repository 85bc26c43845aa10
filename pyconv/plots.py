"""Arrays to pictures, with matplotlib (extra `plot`), without a display. Each function returns a Figure."""

import numpy as np

_DPI = 110
_CELL = 1.15  # inches of a small image


def figure(width, height):
    """Return an empty Figure of so many inches, for no display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ModuleNotFoundError(
            "[plots] matplotlib is not installed: pip install 'pyconv[plot]' brings it"
        ) from None
    made = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(made)
    return made


def curves(history, title):
    """Draw loss and accuracy over epochs, of training and of validation.

    Args:
        history: {name: values, one an epoch} as `fit` logs them; None where an epoch had no validation.
        title: above both.
    """
    made = figure(9, 3.6)
    made.suptitle(title)
    metrics = [name for name in history if name.endswith("accuracy") and not name.startswith("val_")]
    shown = {"loss": (1, "loss, nats an image"), **{name: (100, f"{name}, %") for name in metrics[:1]}}
    every = made.subplots(1, len(shown), squeeze=False)[0]
    for axes, (name, (factor, label)) in zip(every, shown.items(), strict=True):
        for key, whose in ((name, "training"), (f"val_{name}", "validation")):
            points = [(i + 1, factor * v) for i, v in enumerate(history.get(key, ())) if v is not None]
            if points:
                last = f"{whose}, at last {points[-1][1]:.4g}"
                axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else "", label=last)
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    return made


def confusion(counts, names, title="Confusion"):
    """Draw how often a class was taken for another, `counts` (K, K), in per cent of the true class."""
    counts = np.asarray(counts)
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.2 + 0.5 * len(names)
    made = figure(side + 0.8, side)
    axes = made.subplots()
    drawn = axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.set(
        xlabel="predicted",
        ylabel="true",
        title=f"{title}: {np.trace(counts) / max(counts.sum(), 1):.1%} right",
    )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    for (i, j), value in np.ndenumerate(share):
        if value >= 0.5:
            colour = "white" if value > 50 else "black"
            axes.text(j, i, f"{value:.0f}", ha="center", va="center", fontsize=8, color=colour)
    made.colorbar(drawn, label="% of the true class", shrink=0.8)
    return made


def grid(images, titles=None, columns=10, title=None, cmap="gray"):
    """Draw images side by side, (N, H, W) or (N, H, W, 1 or 3) from 0 to 1 or 255, each with its title."""
    columns = max(1, min(columns, len(images)))
    rows = max(1, -(-len(images) // columns))
    extra = 0.42 if titles else 0.08
    made = figure(columns * _CELL, rows * (_CELL + extra) + (0.4 if title else 0))
    if title:
        made.suptitle(title, fontsize=11)
    cells = made.subplots(rows, columns, squeeze=False).ravel()
    for cell in cells:
        cell.axis("off")
    for i, image in enumerate(images):
        show(cells[i], image, cmap)
        if titles:
            cells[i].set_title(titles[i], fontsize=7)
    return made


def rows_of(rows, title=None, cmap="viridis"):
    """Draw rows of images, [(label, images), ...], each row with its label at the left."""
    columns = max(len(images) for _, images in rows)
    made = figure(columns * _CELL + 1.6, len(rows) * _CELL + (0.4 if title else 0))
    if title:
        made.suptitle(title, fontsize=11)
    cells = made.subplots(len(rows), columns, squeeze=False)
    for line, (label, images) in zip(cells, rows, strict=True):
        for cell in line:
            cell.set_xticks([])
            cell.set_yticks([])
            cell.set_frame_on(False)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=8)
        for cell, image in zip(line, images, strict=False):
            show(cell, image, cmap)
    return made


def show(axes, image, cmap="gray"):
    """Draw an image (H, W), in colours of its own range, or (H, W, C)."""
    image = np.asarray(image)
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim == 3:
        axes.imshow(shown(image))
    else:
        axes.imshow(image, cmap=cmap)


def shown(image):
    """Return a colour image as numbers from 0 to 1: of bytes, or of 0..1 or 0..255 by its largest value."""
    image = np.asarray(image, np.float64)
    return np.clip(image / 255 if image.max(initial=0) > 1.5 else image, 0, 1)
