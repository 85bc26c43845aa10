"""`python -m pyconv COMMAND`, as the console script `pyconv`."""

import sys

from pyconv.cli import main

sys.exit(main())
