"""What pyconv costs before it computes: the wheel's size, and the time to import it beyond NumPy's.

    python benchmarks/bench_package.py [--wheel FILE] [--repeats 21]

Without --wheel it builds one. Times are medians over fresh interpreters.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

IMPORTS = {
    "import pyconv": "import pyconv",
    "from pyconv import ops": "from pyconv import ops",
    "from pyconv import Sequential, layers": "from pyconv import Sequential, layers",
}
PROGRAM = """
import time
import numpy
start = time.perf_counter()
{statement}
print(time.perf_counter() - start)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--repeats", type=int, default=21)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        wheel = options.wheel or build_wheel(folder)
        with zipfile.ZipFile(wheel) as archive:
            extension = max(archive.infolist(), key=lambda file: file.file_size)
        print(f"wheel      {wheel.stat().st_size / 1e6:6.2f} MB  {wheel.name}")
        print(f"extension  {extension.file_size / 1e6:6.2f} MB  {extension.filename}")

    print("import, beyond NumPy:")
    for name, statement in IMPORTS.items():
        command = [sys.executable, "-c", PROGRAM.format(statement=statement)]
        seconds = [float(subprocess.check_output(command)) for _ in range(options.repeats)]
        print(f"{1e3 * statistics.median(seconds):10.1f} ms  {name}")


def build_wheel(folder):
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, root]
    subprocess.run(command, check=True)
    return next(Path(folder).glob("*.whl"))


if __name__ == "__main__":
    main()
