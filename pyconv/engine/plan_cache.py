"""The plans that a model has made, for as long as they are likely to be run again."""

from pyconv import _core


class PlanCache:
    """A model's plans, by purpose, `Batch`, backend and precision; the least recently used ones go."""

    _MOST = 8

    def __init__(self):
        self._plans = {}  # the one used last comes last,
        self._newest = None  # under this key
        self._last = None, None  # what `again` was asked for, and its plan

    def get(self, key, make):
        """Return the plan under `key`, (purpose, Batch, ...), made by `make` where there is none."""
        key = (*key, _core.backend(), _core.precision())
        if key == self._newest:
            return self._plans[key]
        plan = self._plans.pop(key, None) or make()
        self._plans[key], self._newest = plan, key
        while len(self._plans) > self._MOST:
            self._plans.pop(next(iter(self._plans)))
        return plan

    def again(self, key, find):
        """Return the plan of the last call where `key` is the same, else what `find` returns.

        A quick way round `get` for one prediction after another: the key says all that the plan depends on.
        """
        key = (*key, _core.backend(), _core.precision())
        if key != self._last[0]:
            self._last = key, find()
        return self._last[1]

    def latest(self, purpose):
        """Return the plan for a purpose that was asked for last."""
        return next(plan for key, plan in reversed(self._plans.items()) if key[0] == purpose)

    def clear(self):
        """Drop all plans."""
        self._plans.clear()
        self._newest, self._last = None, (None, None)

    def forget_arrays(self, sources):
        """Drop the plans that hold on to a user's arrays, where there are some."""
        if sources:
            self._plans = {key: plan for key, plan in self._plans.items() if key[1].sources is not sources}
            self._newest = None
