"""Run the blocks of docs/tour.md, which draw its pictures, in docs/.

    python docs/make_tour.py        # with pyconv importable, and matplotlib

The last two pictures, of a network trained on CIFAR-10, are not among them: `pyconv inspect` writes them.
"""

import os
import re
from pathlib import Path

PAGE = Path(__file__).with_name("tour.md")


def blocks():
    """Return the page's Python, block by block."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def main(folder=PAGE.parent):
    """Run all blocks in one namespace; pictures go to `folder`/tour."""
    os.chdir(folder)
    Path("tour").mkdir(exist_ok=True)
    space = {}
    for block in blocks():
        exec(block, space)


if __name__ == "__main__":
    main()
