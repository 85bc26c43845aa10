"""A lock that threads take in the order in which they asked for it."""

import collections
import threading


class Turns:
    """A reentrant lock, fair: who has waited longest is next.

    `fit` takes it for each step, so that `predict` and `evaluate` in other threads get their turn between two
    steps; a plain lock would go back to the thread that has just let it go.
    """

    def __init__(self):
        self._mutex = threading.Lock()
        self._waiting = collections.deque()  # of (ticket, thread)
        self._owner = None
        self._depth = 0

    def __enter__(self):
        me = threading.get_ident()
        with self._mutex:
            if self._owner == me:
                self._depth += 1
                return self
            if self._owner is None:
                self._owner, self._depth = me, 1
                return self
            ticket = threading.Lock()
            ticket.acquire()
            self._waiting.append((ticket, me))
        try:
            ticket.acquire()  # until the one before hands over
        except BaseException:  # Ctrl-C while waiting
            self._give_up(ticket, me)
            raise
        return self

    def __exit__(self, *error):
        with self._mutex:
            self._depth -= 1
            if self._depth == 0:
                self._hand_over()

    def _hand_over(self):
        self._owner = None
        if self._waiting:
            ticket, self._owner = self._waiting.popleft()
            self._depth = 1
            ticket.release()

    def _give_up(self, ticket, me):
        with self._mutex:
            if self._owner == me:
                self._hand_over()
            else:
                self._waiting.remove((ticket, me))
