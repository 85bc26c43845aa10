"""How a model shows: the table of layers as text and as HTML, one line for it, and the calls of a plan."""

import html
import math
import textwrap

WIDTH = 80  # columns that everything fits
_LEAST_NAME = 20  # columns of a layer's name; columns of numbers go before it gets fewer
_TITLES = ("Layer (type)", "Output shape", "Parameters", "Multiply-adds", "Activations")


def summary_text(model, width=WIDTH):
    """Return the table: output shape, parameters, multiply-adds and activation memory of each layer.

    Long names are shortened where it would be wider than `width` columns.
    """
    titles, names, cells = _rows(model)
    columns = list(zip(titles[1:], *cells, strict=True))
    text = len(titles) - len(_TITLES) + 2  # columns of text, which begin at the left
    while len(columns) > 1 and _room(columns, width) < _LEAST_NAME:
        columns.pop()
    room = _room(columns, width)
    first = [titles[0], *(_layer_name(name, kind, room) for name, kind in names)]
    columns = [first, *columns]
    widths = [max(map(len, column)) for column in columns]
    lines = [
        "  ".join(
            cell.ljust(width) if i < text else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in zip(*columns, strict=True)
    ]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    title, *totals = _totals(model)
    return "\n".join([_shortened(title, width), rule, lines[0], rule, *lines[1:], rule, *totals])


def summary_html(model):
    """Return the same as an HTML table, for notebooks."""
    if not model.built:
        return f"<pre>{html.escape(line(model))}</pre>"
    titles, names, cells = _rows(model)
    head = "".join(f"<th>{html.escape(title)}</th>" for title in titles)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in (f"{name} ({kind})", *row)) + "</tr>"
        for (name, kind), row in zip(names, cells, strict=True)
    )
    title, *totals = (html.escape(text) for text in _totals(model))
    return (
        f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{'<br>'.join(totals)}</p>"
    )


def line(model):
    """Return what a model is in one line: its `repr`."""
    count = f"{len(model.layers)} layer{'s' * (len(model.layers) != 1)}"
    if not model.built:
        return f"<{type(model).__name__} {model.name!r}: {count}, not built>"
    parameters = sum(p.size for p in model.parameters)
    shapes = f"{_listed(model.network.input_shapes)} -> {_listed(model.network.output_shapes)}"
    return f"<{type(model).__name__} {model.name!r}: {count}, {shapes}, {parameters:,} parameters>"


def _rows(model):
    """Return the columns' titles, each layer's (name, type), and its other cells."""
    network, names, cells = model.network, [], []
    for layer in model.layers:
        uses = [i for i, node in enumerate(network.nodes) if node.layer is layer]
        shape = network.shapes[network.inputs + uses[0]]
        names.append((layer.name, type(layer).__name__))
        cells.append(
            (
                str(shape),
                f"{sum(p.size for p in layer.all_parameters):,}",
                f"{len(uses) * layer.multiply_adds(layer.input_shape):,}",
                _bytes(len(uses) * 4 * math.prod(shape)),
            )
        )
        if not network.is_chain:
            first = network.inputs  # values that no node gave
            reads = [[r - first for r in network.nodes[i].reads if r >= first] for i in uses]
            read = [[network.nodes[r].layer.name for r in some] for some in reads]
            cells[-1] = (cells[-1][0], "; ".join(map(", ".join, read)), *cells[-1][1:])
    titles = _TITLES if network.is_chain else (*_TITLES[:2], "Reads", *_TITLES[2:])
    return titles, names, cells


def _totals(model):
    """Return the lines above and below the table."""
    total = sum(p.size for p in model.parameters)
    trainable = sum(p.size for p in model.trainable_parameters)
    operations = sum(node.layer.multiply_adds(node.layer.input_shape) for node in model.network.nodes)
    activations = sum(4 * math.prod(shape) for shape in model.network.shapes[model.network.inputs :])
    return [
        f'Model "{model.name}", input {_listed(model.network.input_shapes)}',
        f"Parameters: {total:,} ({_bytes(4 * total)}), {trainable:,} of them trainable",
        f"One example forward: {operations:,} multiply-adds, {_bytes(activations)} of activations",
        *(["The loss includes an L2 penalty; data_loss is the loss without it"] if model.penalised else []),
    ]


def _listed(shapes):
    return ", ".join(map(str, shapes))


def _room(columns, width):
    """Return the columns that are left of `width` for the first column beside these."""
    return width - sum(2 + max(map(len, column)) for column in columns)


def _layer_name(name, kind, room):
    """Return "name (Type)", the name alone, or as much of it as there is room for."""
    full = f"{name} ({kind})"
    return full if len(full) <= room else _shortened(name, room)


def _shortened(text, room):
    """Return `text` with an ellipsis in place of its middle where it is longer than `room`."""
    if len(text) <= room:
        return text
    end = (room - 1) // 2
    return f"{text[: room - 1 - end]}…{text[len(text) - end :]}"


def plan_text(title, batch, plan):
    """Return a plan's calls, one a line: the op, its layer, and what else the call does."""
    rows = [(call.op, call.layer.name if call.layer else "", ", ".join(call.fused)) for call in plan.calls]
    width = max(len(row[0]) for row in rows)
    count = sum(len(call.fused) for call in plan.calls)
    lines = [
        f"{title}, batch {batch.size}: {len(rows)} calls, {count} more fused into them, "
        f"{_bytes(plan.arena_bytes)} of buffers"
    ]
    for op, name, fused in rows:
        text = f"  {op.ljust(width)}  {name} {'+ ' + fused if fused else ''}".rstrip()
        indent = " " * (width + 6)
        lines += [text] if len(text) <= WIDTH else textwrap.wrap(text, WIDTH, subsequent_indent=indent)
    return "\n".join(lines)


def _bytes(size):
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
