"""The trainable parameters side by side, in groups that are updated together."""

import itertools

from pyconv import _core

_ALIGNMENT = 16  # floats: parameters start at cache lines


class Group:
    """Parameters that one optimizer updates, with one L2 coefficient; `hyper` is what its kernel reads.

    `weight`, `gradient` and each of `slots` (by name) are flat arrays over all of them; `places` has
    (parameter, its first float there).
    """

    def __init__(self, optimizer, l2, parameters, hyper, device):
        self.optimizer, self.l2, self.hyper = optimizer, l2, hyper
        self.places, end = [], 0
        for parameter in parameters:
            self.places.append((parameter, end))
            end += -(-parameter.size // _ALIGNMENT) * _ALIGNMENT
        self.weight, self.gradient = _core.zeros((end,), device=device), _core.zeros((end,), device=device)
        self.slots = {name: _core.zeros((end,), device=device) for name in optimizer.slots}
        for parameter, start in self.places:
            parameter.move(_view(self.weight, start, parameter))

    def gradients(self):
        """Yield (parameter, Tensor of its gradient)."""
        for parameter, start in self.places:
            yield parameter, _view(self.gradient, start, parameter)

    def slot_arrays(self):
        """Yield (slot, parameter, Tensor of its values)."""
        for name, array in self.slots.items():
            for parameter, start in self.places:
                yield name, parameter, _view(array, start, parameter)

    def update(self, guard):
        """Make the optimizer's call, on all of them at once or, where it asks so, on one after another."""
        common = {"l2": self.l2, "guard": guard}
        if not self.optimizer.takes_whole_parameters:
            self.optimizer.update(self.gradient, self.weight, self.slots, self.hyper, **common)
            return
        for parameter, start in self.places:
            gradient, weight = (_view(array, start, parameter) for array in (self.gradient, self.weight))
            slots = {name: _view(array, start, parameter) for name, array in self.slots.items()}
            self.optimizer.update(gradient, weight, slots, self.hyper, **common)


class FlatParameters:
    """All groups of the parameters `named` (name -> Parameter). A step is one call for each, as a rule."""

    def __init__(self, named, optimizer, device="cpu"):
        self.groups, self.hyper = [], []
        for part, chosen in optimizer.split(named):
            hyper = _core.empty((4,), "float32", device)
            self.hyper.append((part, hyper))
            ordered = sorted(chosen, key=lambda p: p.l2)  # stable: the model's order within a coefficient
            for l2, members in itertools.groupby(ordered, key=lambda p: p.l2):
                self.groups.append(Group(part, l2, members, hyper, device))
        self._held = [(p, p.moves) for group in self.groups for p, _ in group.places]

    def holds(self, parameters):
        """Whether these are the parameters that lie here, and no other model moved one away."""
        here = {id(parameter) for parameter, _ in self._held}
        return here == set(map(id, parameters)) and all(p.moves == moves for p, moves in self._held)

    def assign_hyper(self):
        """Write what the optimizers' kernels read in the next step."""
        for optimizer, hyper in self.hyper:
            hyper.assign(optimizer.hyper())

    def gradients(self):
        """Return {parameter: Tensor of its gradient}."""
        return dict(pair for group in self.groups for pair in group.gradients())

    def slot_arrays(self):
        """Yield (slot, parameter, Tensor of its values)."""
        for group in self.groups:
            yield from group.slot_arrays()


def _view(array, start, parameter):
    return array.view(4 * start, parameter.shape, "float32")
