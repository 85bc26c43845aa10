"""A trace with its memory decided: buffers whose lives do not overlap share bytes of one arena.

Elementwise calls run in place where their input ends with them. The calls are then made once while a program
records them, which runs in one go from there on.
"""

import numpy as np

from pyconv import _core
from pyconv.engine import changes
from pyconv.engine.trace import Buffer

_ALIGNMENT = 64


class Plan:
    """A trace with its memory decided, recorded as a program.

    Args:
        trace: the calls.
        outputs: name -> Buffer that the outside world reads after a run.
        epilogue: a function that makes further `_core` calls on Tensors, recorded after the trace's.
        updates: the parameters that a run changes.

    `plan[name]` is the Tensor of an input or output.
    """

    def __init__(self, trace, outputs, epilogue=None, updates=()):
        self.calls, self.inputs = [*trace.constants, *trace.calls], trace.inputs
        self._constants = len(trace.constants)
        self._updates = [
            vars(parameter) for parameter in updates
        ]  # past the guard of attributes, which takes time
        self._parameters = set()
        self._seen = self._version = None  # what the constants were computed from
        named = {**trace.inputs, **outputs}
        pinned = [*named.values(), *(b for call in trace.constants for b in call.buffers(written=True))]
        for buffer in pinned:
            buffer.storage.pinned = True
        self.arena_bytes = _place(self.calls, [buffer.storage for buffer in pinned])
        # Zeros fault the pages in now.
        self._arena = _core.zeros((max(self.arena_bytes, _ALIGNMENT),), "uint8", trace.device)
        self._tensors = {name: self._tensor(buffer) for name, buffer in named.items()}
        self._program = _core.Program()
        with self._program:
            for call in self.calls:
                getattr(_core, call.op)(**self._resolve(call.arguments))
            if epilogue:
                epilogue()

    def __getitem__(self, name):
        return self._tensors[name]

    def run(self):
        """Run all calls; constants only where a parameter has changed."""
        if self._constants and self._seen != changes.values.value:
            self._refresh_constants()
        self._program.run(self._constants)
        for attributes in self._updates:
            attributes["version"] += 1
        if self._updates:
            changes.values.bump()

    def _refresh_constants(self):
        seen = changes.values.value
        version = sum(parameter.version for parameter in self._parameters)
        if version != self._version:
            self._program.run(0, self._constants)
        self._seen, self._version = seen, version

    def time(self):
        """Run all calls and return (op, layer name, seconds) of each."""
        names = [call.layer.name if call.layer else "" for call in self.calls]
        names += [""] * (len(self._program) - len(names))
        return list(zip(self._program.ops, names, self._program.time(), strict=True))

    def first_not_finite(self):
        """Run the calls one by one; return the first whose output has a NaN or an infinity, or None."""
        for i, call in enumerate(self.calls):
            self._program.run(i, i + 1)
            for buffer in call.buffers(written=True):
                if buffer.dtype == "float32" and not np.isfinite(self._tensor(buffer).numpy()).all():
                    return call
        return None

    def _tensor(self, buffer):
        return self._arena.view(buffer.storage.root().offset, buffer.shape, buffer.dtype)

    def _resolve(self, value):
        if isinstance(value, Buffer):
            return self._tensor(value)
        if isinstance(value, dict):
            return {name: self._resolve(item) for name, item in value.items()}
        if hasattr(value, "tensor"):  # a Parameter's current tensor
            self._parameters.add(value)
            return value.tensor
        return value


def _place(calls, pinned):
    """Give every storage its offset; return the arena's size in bytes."""
    storages = {}
    for i, call in enumerate(calls):
        for buffer in call.buffers(written=False) + call.buffers(written=True):
            storage = buffer.storage
            storage.first = i if storage.first is None else storage.first
            storage.last = i
            storages[id(storage)] = storage
    storages.update((id(storage), storage) for storage in pinned)

    for i, call in enumerate(calls):
        buffers = call.named_buffers()
        for output, source in _core.OUTPUTS[call.op].items():  # that may take its place
            if source in buffers and output in buffers:
                _merge(buffers[source].storage.root(), buffers[output].storage, i)

    placed, arena = [], 0
    roots = [s for s in storages.values() if not s.merged]
    for storage in sorted(roots, key=lambda s: (-s.size, s.first or 0)):
        offset = 0
        for other in placed:  # in order of offset: the first gap among those alive at the same time
            if _overlap(storage, other):
                if other.offset - offset >= storage.size:
                    break
                offset = max(offset, _aligned(other.offset + other.size))
        storage.offset = offset
        placed.append(storage)
        placed.sort(key=lambda s: s.offset)
        arena = max(arena, offset + storage.size)
    return arena


def _merge(source, target, call):
    """Let `target`, first written by `call`, take `source`'s place if `source` ends there."""
    if source.pinned or target.pinned or target.merged or source is target:
        return
    if source.last == call and target.first == call and source.size == target.size:
        target.merged = source
        source.last = target.last


def _overlap(a, b):
    return a.pinned or b.pinned or (a.first <= b.last and b.first <= a.last)


def _aligned(size):
    return -(-size // _ALIGNMENT) * _ALIGNMENT
