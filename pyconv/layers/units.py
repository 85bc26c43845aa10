"""Units of a layer's maps, and what units of a layer see of the one before."""

from typing import NamedTuple

from pyconv import _core


class Units(NamedTuple):
    """The units of a map at the crossings of `rows` and `columns`.

    `beyond`: those that padding stands for count too; numbers may then lie outside the map.
    """

    rows: frozenset
    columns: frozenset
    beyond: bool = False

    def windows(self, sizes, kernel, stride=(1, 1), padding=0, dilation=(1, 1)):
        """Return what the windows of these units read of a map of `sizes`, (height, width)."""
        pads = _core.window_padding(sizes, kernel, stride=stride, padding=padding, dilation=dilation)
        read = [
            {i * s - before + k * d for i in given for k in range(length)}
            for given, s, (before, _), length, d in zip(self[:2], stride, pads, kernel, dilation, strict=True)
        ]
        if not self.beyond:
            read = [{i for i in some if 0 <= i < size} for some, size in zip(read, sizes, strict=True)]
        return Units(*map(frozenset, read), self.beyond)


def joined(a, b):
    """Return the units of both; None, which stands for all there are, where one is None."""
    return None if a is None or b is None else Units(a.rows | b.rows, a.columns | b.columns, a.beyond)
