"""Rooms have an order: no module imports, at any depth, one that imports it."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "pyconv"


def imports():
    """Return {module: modules of pyconv that its file names in an import}, those inside functions too."""
    modules = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found = {}
    for name, path in modules.items():
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pyconv":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found[name].add(inner if inner in modules else node.module)
            elif isinstance(node, ast.Import):
                found[name] |= {alias.name for alias in node.names if alias.name in modules}
        found[name] -= {name, "pyconv"}  # the package's own file imports nothing of it when it is read
    return found


def test_no_import_goes_in_a_circle():
    found, done, circles = imports(), set(), []

    def visit(module, way):
        if module in way:
            circles.append(" > ".join([*way[way.index(module) :], module]))
        elif module not in done:
            for other in sorted(found.get(module, ())):
                visit(other, [*way, module])
            done.add(module)

    for module in found:
        visit(module, [])
    assert circles == []
