"""The plans that a model has made, for as long as they are likely to be run again."""

from pyconv import _core


class PlanCache:
    """A model's plans, by purpose, `Batch`, backend and precision; the least recently used ones go."""

    _MOST = 8

    def __init__(self):
        self._plans = {}

    def get(self, key, make):
        """Return the plan under `key`, (purpose, Batch, ...), made by `make` where there is none."""
        key = (*key, _core.backend(), _core.precision())
        plan = self._plans.pop(key, None) or make()
        self._plans[key] = plan
        while len(self._plans) > self._MOST:
            self._plans.pop(next(iter(self._plans)))
        return plan

    def latest(self, purpose):
        """Return the plan for a purpose that was asked for last."""
        return next(plan for key, plan in reversed(self._plans.items()) if key[0] == purpose)

    def clear(self):
        """Drop all plans."""
        self._plans.clear()

    def forget_arrays(self, source):
        """Drop the plans that hold on to a user's array, where there is one."""
        if source is not None:
            self._plans = {key: plan for key, plan in self._plans.items() if key[1].source is not source}
