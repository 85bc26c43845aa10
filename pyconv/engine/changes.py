"""Counters that say whether something has changed since one last looked.

What is derived from layers and parameters is kept, with the counter at which it was computed, and computed
anew once the counter stands elsewhere: a look costs one comparison, however many layers there are.
"""

import itertools


class Counter:
    """A number that never stands twice where it stood before, in any thread."""

    def __init__(self):
        self._numbers = itertools.count(1)
        self.value = 0

    def bump(self):
        """Say that something has changed."""
        self.value = next(self._numbers)


structure = Counter()  # what trains, layers' attributes, where parameters lie
values = Counter()  # what is in any parameter
