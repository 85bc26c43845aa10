"""Models from files and from their description."""

import contextlib
import json
import os
from pathlib import Path

from pyconv import arguments, checkpoint, saving
from pyconv.attributes import answering
from pyconv.models.model import Model
from pyconv.run_folder import RunFolder


@answering
def load_model(path):
    """Read what `Model.save` wrote: architecture, weights and, if compiled, the training's state.

    `path` may be a run's folder too: its best model is read.
    """
    path = arguments.path(path, "path", "load_model")
    if os.path.isdir(path):
        path = RunFolder.open(path).choose()
    arrays, metadata = checkpoint.load(path)
    if "model" not in metadata:
        raise checkpoint.CheckpointError(
            f"[load_model] {path} holds weights alone; build the model and give them to load_weights"
        )
    with checkpoint.reading(path):
        return saving.restored(arrays, metadata, Model)


def model_from_json(text):
    """Build the model that `Model.to_json` described, with new weights."""
    if not isinstance(text, (str, bytes, bytearray)):
        raise TypeError(f"[model_from_json] text is {arguments.shown(text)}, expected JSON as text")
    try:
        parts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"[model_from_json] text is not JSON: {error}") from None
    return saving.from_description(parts, Model)


def open_model(path, weights=None):
    """Return (file, model, run) of a run folder or of a model's file; run is None for a file in no run."""
    path = Path(path)
    if path.is_dir() or not (path.is_file() or path.suffix == ".safetensors"):
        run = RunFolder.open(path)
        file = run.choose(weights)
    else:
        if weights:
            raise ValueError(f"[run] {path} is one model, expected a run folder with --weights {weights}")
        file, run = path, None
        with contextlib.suppress(OSError, ValueError):  # a config.json of something else
            run = RunFolder.open(path.parent)
    with checkpoint.reading(file):
        return file, load_model(file), run
