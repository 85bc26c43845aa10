"""How the benchmarks print: medians with their spread, the best of a library's variants, the machine."""

import os
import platform
import statistics


def median(seconds):
    return statistics.median(seconds)


def spread(seconds):
    """Half the distance between the quartiles, as a fraction of the median."""
    if len(seconds) < 4:
        return 0.0
    low, _, high = statistics.quantiles(seconds, n=4)
    return (high - low) / 2 / median(seconds)


def cell(seconds):
    return f"{1e3 * median(seconds):9.2f} ms ±{100 * spread(seconds):3.0f}%"


def best(times):
    """Return {library: (fastest variant, its seconds)} from {(library, variant): seconds}."""
    chosen = {}
    for (library, variant), seconds in times.items():
        if library not in chosen or median(seconds) < median(chosen[library][1]):
            chosen[library] = variant, seconds
    return chosen


def print_left_out(left_out):
    for who, reason in left_out.items():
        print(f"left out: {who} ({reason})")


def print_machine(options, libraries):
    """Print what the figures below hold for: processor, threads, runs and the libraries' own words."""
    cores = len(os.sched_getaffinity(0))
    print(f"{processor()}, {cores} processors, {options.threads} threads")
    print(f"medians ± half the distance of the quartiles, over {options.rounds} x {options.repeats} runs")
    print(", ".join(dict.fromkeys(libraries)))


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
