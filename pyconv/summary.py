"""What `Sequential.summary` prints: the table of layers, the calls of a plan."""

import math


def summary_text(model):
    """Return the table: output shape, parameters, multiply-adds and activation memory of each layer."""
    rows = [("Layer (type)", "Output shape", "Parameters", "Multiply-adds", "Activations")]
    for layer in model.layers:
        shape = tuple(layer.output_shape(layer.input_shape))
        rows.append(
            (
                f"{layer.name} ({type(layer).__name__})",
                str(shape),
                f"{sum(p.size for p in layer.all_parameters):,}",
                f"{layer.multiply_adds(layer.input_shape):,}",
                _bytes(4 * math.prod(shape)),
            )
        )
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    rule = "-" * len(lines[0])
    total = sum(p.size for p in model.parameters)
    trainable = sum(p.size for p in model.trainable_parameters)
    operations = sum(layer.multiply_adds(layer.input_shape) for layer in model.layers)
    activations = sum(4 * math.prod(layer.output_shape(layer.input_shape)) for layer in model.layers)
    return "\n".join(
        [
            f'Model "{model.name}", input {tuple(model.input_shape)}',
            rule,
            lines[0],
            rule,
            *lines[1:],
            rule,
            f"Parameters: {total:,} ({_bytes(4 * total)}), {trainable:,} of them trainable",
            f"One example forward: {operations:,} multiply-adds, {_bytes(activations)} of activations",
        ]
    )


def plan_text(title, batch, plan):
    """Return a plan's calls, one a line: the op, its layer, and what else the call does."""
    rows = [(call.op, call.layer.name if call.layer else "", ", ".join(call.fused)) for call in plan.calls]
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    lines = [
        f"  {op.ljust(widths[0])}  {name.ljust(widths[1])}  {'+ ' + fused if fused else ''}".rstrip()
        for op, name, fused in rows
    ]
    count = sum(len(call.fused) for call in plan.calls)
    return "\n".join(
        [
            f"{title}, batch {batch.size}: {len(rows)} calls, {count} more fused into them, "
            f"{_bytes(plan.arena_bytes)} of buffers",
            *lines,
        ]
    )


def _bytes(size):
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
