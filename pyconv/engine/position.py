"""Where a training stands."""

from pyconv import arguments


class Position:
    """Where a training stands: the epoch, the steps done in it and their sums. What an exact resume needs.

    `first_pass`: see `feeds`; random draws are keyed by the pass.
    """

    def __init__(self, epoch=0, step=0, sums=None, count=0, first_pass=0):
        self.epoch = epoch
        self.step = step
        self.sums = sums
        self.count = count
        self.first_pass = first_pass

    def get_state(self):
        """Return a JSON-ready dict; floats keep every bit."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "sums": self.sums and [float(s).hex() for s in self.sums],
            "count": self.count,
            "first_pass": self.first_pass,
        }

    @classmethod
    def from_state(cls, state):
        sums = state["sums"] and [float.fromhex(s) for s in state["sums"]]
        epoch, step, count = (
            arguments.integer(state[name], name, "position", least=0) for name in ("epoch", "step", "count")
        )
        first_pass = arguments.integer(state.get("first_pass", 0), "first_pass", "position")
        return cls(epoch, step, sums, count, first_pass)
