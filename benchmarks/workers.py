"""One process a library, all alive at once and asked in turn, so that noise meets them alike."""

import json
import os
import statistics
import subprocess
import sys
import time


class Worker:
    """A child process that runs `script --worker name` and answers each line of JSON with one."""

    def __init__(self, script, name, threads, environment=None):
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYCONV_NUM_THREADS"), str(threads))
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, script, "--worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **threads, **(environment or {})},
        )

    def ask(self, **request):
        """Send a request and return the answer."""
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"worker {self.name} ended with status {self._process.wait()}")
        return json.loads(answer)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def serve(tasks):
    """Answer requests {"task", "repeats", ...options} with the seconds of each repeat, until the input ends.

    `tasks` maps names to functions that take the options and return a function to time, or None.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        repeats = request.pop("repeats")
        key = json.dumps(request, sort_keys=True)
        if key not in ready:
            make = tasks.get(request.pop("task"))
            ready[key] = make(**request) if make else None
            for _ in range(3 if ready[key] else 0):
                ready[key]()
        seconds = []
        if ready[key]:
            ready[key]()  # caches and threads are cold after the others' turns
        for _ in range(repeats if ready[key] else 0):
            start = time.perf_counter()
            ready[key]()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), file=answers, flush=True)


def alternate(workers, requests, rounds, repeats):
    """Ask the workers in turn, `rounds` times; return {(worker name, request name): all seconds}."""
    times = {}
    for _ in range(rounds):
        for name, request in requests.items():
            for worker in workers:
                if seconds := worker.ask(repeats=repeats, **request):
                    times.setdefault((worker.name, name), []).extend(seconds)
    return times


def median(seconds):
    return statistics.median(seconds)


def spread(seconds):
    """Half the distance between the quartiles, as a fraction of the median."""
    if len(seconds) < 4:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4)
    return (high - low) / 2 / median(seconds)
