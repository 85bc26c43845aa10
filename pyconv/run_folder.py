"""A run's folder: config.json, history.csv, and the models best.safetensors and last.safetensors.

last.safetensors is the run: it holds the config and the history too, so that the state to continue from
changes in one step. config.json and history.csv say the same for people to read, and are written after it.
"""

import contextlib
import csv
import fcntl
import io
import json
import os
import sys
import time
from pathlib import Path

from pyconv import checkpoint, saving


class RunFolder:
    """The files of a run. `config` holds the recipe, its settings, the classes and where the data lie."""

    def __init__(self, path, config):
        self.path = Path(path)
        self.config = config
        self.config_file = self.path / "config.json"
        self.history = self.path / "history.csv"
        self.best = self.path / "best.safetensors"
        self.last = self.path / "last.safetensors"

    @classmethod
    def new(cls, path, config):
        """Return a run to be; without a path it is runs/<recipe>-<dataset>-<time>. Nothing is made yet."""
        if path is None:
            stem = f"{config['recipe']}-{config['settings']['dataset']}-{time.strftime('%Y%m%d-%H%M%S')}"
            path = next(p for p in (Path("runs", stem + end) for end in _endings()) if not p.exists())
        return cls(path, config)

    @classmethod
    def open(cls, path):
        """Return the run in the folder `path`."""
        run = cls(path, None)
        if run.config_file.is_file():
            try:
                run.config = run._read_config()
            except ValueError:
                if not run.last.is_file():
                    raise
                print(f"note: {run.config_file} is damaged; {run.last} counts", file=sys.stderr)
                run.config = run.load()[1]["run"]
        elif run.last.is_file():
            run.config = run.load()[1]["run"]
        else:
            hint = ""
            if run.path.is_dir() and all(name.startswith(".") for name in os.listdir(run.path)):
                hint = "; its training ended before anything was saved: start it again with --run-dir"
            raise FileNotFoundError(f"[run] {path} is not a run folder: there is no {run.config_file}{hint}")
        return run

    @contextlib.contextmanager
    def hold(self, *, new):
        """Keep other processes from training here until the end.

        A `new` run's folder is made, and goes again where the training ends before it saved anything.
        """
        made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()] if new else []
        if new:
            self._expect_a_folder()
            self.path.mkdir(parents=True, exist_ok=True)
        with _lock(self.path):
            if new:
                self._expect_unused()
            for file in (self.config_file, self.history, self.best, self.last):
                checkpoint.sweep(file)
            try:
                yield self
            finally:
                if new and not self.last.exists():
                    self._remove(made)

    def save(self, model, config, callbacks):
        """Write last.safetensors in one step: what `Model.save` writes, the callbacks' states, the config."""
        arrays, metadata = saving.contents(model)
        checkpoint.save(self.last, arrays, {**metadata, "callbacks": callbacks, "run": config})

    def load(self):
        """Return (arrays, metadata) of last.safetensors: metadata has model, training, callbacks and run."""
        arrays, metadata = checkpoint.load(self.last)
        for name in (*saving.CONTENTS, "callbacks", "run"):
            if not isinstance(metadata.get(name), dict):
                raise checkpoint.CheckpointError(
                    f"[run] {self.last} is no training's state: it has no {name}"
                )
        return arrays, {**metadata, "run": _checked(metadata["run"], self.last)}

    def choose(self, weights=None):
        """Return the file of the model that `weights` ("best", "last" or None, the best) means."""
        if weights == "last" or self.best.exists():
            return self.last if weights == "last" else self.best
        raise ValueError(
            f"[run] {self.path} has no finished epoch, its network is untrained; "
            f"--weights last takes it as it is, from {self.last.name}"
        )

    @property
    def unsaved(self):
        """Whether nothing has been trained here: the process died before it saved anything."""
        return not any(file.exists() for file in self._models()) and not _holds_text(self.history)

    def write_config(self):
        """Write config.json."""
        checkpoint.replace(self.config_file, (json.dumps(self.config, indent=2) + "\n").encode())

    def write_history(self, epochs, logs):
        """Write history.csv anew: `epochs` are the epochs' numbers, `logs` maps names to their values."""
        text = io.StringIO(newline="")
        if epochs:
            writer = csv.writer(text)
            writer.writerow(["epoch", *logs])
            columns = (["NA" if value is None else value for value in column] for column in logs.values())
            writer.writerows(zip(epochs, *columns, strict=True))
        checkpoint.replace(self.history, text.getvalue().encode())

    def _read_config(self):
        try:
            config = json.loads(self.config_file.read_bytes())  # in UTF-8 or 16, with or without a mark
        except (ValueError, RecursionError) as error:
            raise ValueError(f"[run] {self.config_file} is damaged: {error}") from None
        return _checked(config, self.config_file)

    def _models(self):
        files = (self.best, self.last)
        return [*files, *(file.with_name(f"{file.name}.previous") for file in files)]

    def _expect_a_folder(self):
        if self.path.exists() and not self.path.is_dir():
            raise NotADirectoryError(f"[run] {self.path} is a file, expected a folder to write")

    def _expect_unused(self):
        if not self.unsaved:
            if not self.config_file.exists() and not self.last.exists():
                raise ValueError(
                    f"[run] {self.path} holds files of a run that has no state; name another folder"
                )
            raise ValueError(
                f"[run] {self.path} holds a run already; continue it with --resume {self.path}, "
                "or name another folder"
            )
        if self.config_file.exists():
            try:
                self._read_config()
            except ValueError:
                raise ValueError(
                    f"[run] {self.path} has a config.json that is no run's; name another folder"
                ) from None

    def _remove(self, made):
        """Take away what a training has made that saved nothing. An error on the way hides none before it."""
        with contextlib.suppress(OSError):
            for file in (self.config_file, self.history, self.path / _LOCK):
                file.unlink(missing_ok=True)
            for folder in made:
                folder.rmdir()


_LOCK = ".lock"


@contextlib.contextmanager
def _lock(folder):
    """Hold the folder's lock, which the system takes back when the process ends, however it ends."""
    path = folder / _LOCK
    for _ in range(10):
        file = open(path, "a+")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip()
            file.close()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise BlockingIOError(f"[run] {folder} is in use: {who} trains there") from None
        except OSError as error:
            why = error.strerror
            print(f"note: {folder} cannot be locked ({why}): train there once at a time", file=sys.stderr)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(path), os.fstat(file.fileno())):
                break
        file.close()  # one that ended has just removed it
    with file:
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _checked(config, file):
    """Return a run's config. Raises ValueError where it is not one."""
    kinds = {"recipe": str, "settings": dict, "class_names": list, "data_dir": (str, type(None))}
    for name, kind in kinds.items():
        if not isinstance(config, dict) or not isinstance(config.get(name), kind):
            raise ValueError(f"[run] {file} is damaged: it has no {name}")
    return config


def _holds_text(path):
    return path.exists() and path.stat().st_size > 0


def _endings():
    yield ""
    number = 2
    while True:
        yield f"-{number}"
        number += 1
