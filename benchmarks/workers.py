"""One process a library, all alive at once and asked in turn, so that noise meets them alike."""

import contextlib
import os
import pickle
import resource
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

SETTLE = 0.05  # seconds before a turn: the others' threads spin on after theirs, and must have gone to sleep


class UnavailableError(Exception):
    """A worker cannot do what it was asked; says why."""


class Worker:
    """A child process that runs `script --worker name` and answers requests in order."""

    def __init__(self, script, name, threads, environment):
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYCONV_NUM_THREADS"), str(threads))
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, script, "--worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **threads, **environment},
        )

    def ask(self, action, task="", **options):
        """Return the answer to a request: see `serve`. Raises UnavailableError."""
        pickle.dump((action, task, options), self._process.stdin)
        self._process.stdin.flush()
        try:
            value, reason = pickle.load(self._process.stdout)
        except EOFError:
            raise RuntimeError(f"worker {self.name} ended with status {self._process.wait()}") from None
        if reason:
            raise UnavailableError(reason)
        return value

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def start(stack, script, environments, threads):
    """Start a worker for each {library: environment}; `stack` closes them.

    Returns ({library: worker}, [what they say they are], {library: why it is left out}).
    """
    workers, about, left_out = {}, [], {}
    for name, environment in environments.items():
        worker = stack.enter_context(contextlib.closing(Worker(script, name, threads, environment)))
        try:
            about.append(worker.ask("value", "about"))
            workers[name] = worker
        except UnavailableError as reason:
            left_out[name] = str(reason)
    return workers, about, left_out


def serve(tasks):
    """Answer requests (action, task, options) with (value, reason why there is none), until the input ends.

    `tasks` maps names to functions that take the options and return the function to time, or a pair: that
    function and one that turns what it returns into arrays. Actions: "value" is what one call returns, "time"
    the seconds of `repeats` calls; "forget" drops all that was made for earlier requests.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    made = {}
    while True:
        try:
            action, task, options = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = _ACTIONS[action](made, tasks, task, **options), None
        except Exception as error:  # any of a library's own: the parent leaves it out and says why
            text = str(error).strip() or "no message"
            answer = None, f"{type(error).__name__}: {text.splitlines()[0][:200]}"
        pickle.dump(answer, answers)
        answers.flush()


class _Made:
    """What a task made for its options; `warm` once it ran often enough to be timed."""

    def __init__(self, made):
        self.run, self.convert = made if isinstance(made, tuple) else (made, lambda value: value)
        self.warm = False


def _get(made, tasks, task, options):
    key = (task, *sorted(options.items()))
    if key not in made:
        made[key] = _Made(tasks[task](**options))
    return made[key]


def _value(made, tasks, task, **options):
    it = _get(made, tasks, task, options)
    return it.convert(it.run())


def _time(made, tasks, task, *, repeats, **options):
    it = _get(made, tasks, task, options)
    for _ in range(1 if it.warm else 4):  # caches and threads are cold after the others' turns
        it.run()
    it.warm = True
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        it.run()
        seconds.append(time.perf_counter() - start)
    return seconds


def _forget(made, tasks, task):
    made.clear()


_ACTIONS = {"value": _value, "time": _time, "forget": _forget}


class Row(NamedTuple):
    """Who does the same work: {who: (worker, task, options)}, the first one being the reference.

    Values may differ from the reference's by `tolerance`, norm-wise and relative; None: nothing to compare.
    """

    contestants: dict
    tolerance: float | None = None


def contest(rows, rounds, repeats):
    """Compare the values of each row, then time all in turn, `rounds` times.

    Returns ({row: {who: all seconds}}, {who: why it was left out}).
    """
    times, left_out = {name: {} for name in rows}, {}
    for name, row in rows.items():
        reference = None
        for who, (worker, task, options) in row.contestants.items():
            try:
                value = worker.ask("value", task, **options)
            except UnavailableError as reason:
                left_out[label(who)] = f"{label(name)}: {reason}"
                continue
            times[name][who] = []
            if row.tolerance is None:
                continue
            if reference is None:
                reference = value
            elif (found := difference(value, reference)) > row.tolerance:
                first = next(iter(times[name]))
                raise SystemExit(
                    f"{label(name)}: {label(who)} and {label(first)} differ by {found:.1e}, "
                    f"expected {row.tolerance:.1e} at most"
                )
    for _ in range(rounds):
        for name, taken in times.items():
            for who, seconds in taken.items():
                worker, task, options = rows[name].contestants[who]
                time.sleep(SETTLE)
                seconds += worker.ask("time", task, repeats=repeats, **options)
    return times, left_out


def label(name):
    """Return a name, or a tuple of them, as words."""
    return name if isinstance(name, str) else " ".join(map(str, name)).strip()


def difference(value, reference):
    """Return |value - reference| / |reference|; of tuples, the largest of their arrays'."""
    if isinstance(value, tuple):
        return max(difference(*pair) for pair in zip(value, reference, strict=True))
    value, reference = np.asarray(value, np.float64), np.asarray(reference, np.float64)
    if value.shape != reference.shape:
        raise SystemExit(f"shapes {value.shape} and {reference.shape} differ")
    found = np.linalg.norm(value - reference) / np.linalg.norm(reference)
    return float(np.nan_to_num(found, nan=np.inf))


def page_faults():
    """Return how often this process has touched a page that the system had yet to give it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
