"""A run's folder: config.json, history.csv, and the models best.safetensors and last.safetensors."""

import csv
import io
import json
import time
from pathlib import Path

from pyconv import checkpoint


class RunFolder:
    """The files of a run. `config` holds the recipe, its settings and where the data came from."""

    def __init__(self, path, config):
        self.path = Path(path)
        self.config = config
        self.history = self.path / "history.csv"
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"

    @classmethod
    def create(cls, path, config):
        """Make the folder; without a path it is runs/<recipe>-<dataset>-<time>."""
        if path is None:
            stem = f"{config['recipe']}-{config['settings']['dataset']}-{time.strftime('%Y%m%d-%H%M%S')}"
            path = Path("runs", stem)
        run = cls(path, config)
        if (run.path / "config.json").exists():
            raise ValueError(
                f"[run] {path} holds a run already; continue it with --resume {path}, or name another folder"
            )
        run.path.mkdir(parents=True, exist_ok=True)
        run.write_config()
        return run

    @classmethod
    def open(cls, path):
        """Return the run in the folder `path`."""
        file = Path(path) / "config.json"
        if not file.is_file():
            raise FileNotFoundError(f"[run] {path} is not a run folder: there is no {file}")
        try:
            config = json.loads(file.read_text())
            config["recipe"], config["settings"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"[run] {file} is damaged: {error!r}") from None
        return cls(path, config)

    @property
    def model(self):
        """The file of the best model, or of the last one where no epoch was finished."""
        return self.best if self.best.exists() else self.last

    def write_config(self):
        """Write config.json."""
        checkpoint.replace(self.path / "config.json", (json.dumps(self.config, indent=2) + "\n").encode())

    def keep_history(self, epochs):
        """Drop the lines of history.csv after the first `epochs` epochs: they will be run again."""
        if not self.history.exists():
            return
        with open(self.history, newline="") as file:
            rows = list(csv.reader(file))
        kept = io.StringIO(newline="")
        csv.writer(kept).writerows(rows[: 1 + epochs])
        checkpoint.replace(self.history, kept.getvalue().encode())
