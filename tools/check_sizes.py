"""Refuse files over 400 lines and functions over 40 (60 for a state machine that says so).

A limit without a gate does not hold. A function is a state machine when the comment
`# state machine` stands on its `def` line. Usage: python tools/check_sizes.py FOLDER...
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MAX_STATE_MACHINE_LINES = 60


def function_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body, less its docstring."""
    body = node.body
    if ast.get_docstring(node) is not None:
        body = body[1:]
    if not body or body[-1].end_lineno is None:
        return 0
    return body[-1].end_lineno - body[0].lineno + 1


def oversized(path: Path) -> Iterator[str]:
    """Yield one sentence for each limit that a file breaks."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if len(lines) > MAX_FILE_LINES:
        yield f"{path}: {len(lines)} lines, the limit is {MAX_FILE_LINES}: split it by question answered"
    for node in ast.walk(ast.parse(text, filename=str(path))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            state_machine = "# state machine" in lines[node.lineno - 1]
            limit = MAX_STATE_MACHINE_LINES if state_machine else MAX_FUNCTION_LINES
            if (count := function_lines(node)) > limit:
                yield f"{path}:{node.lineno}: {node.name} has {count} lines, the limit is {limit}"


def main(folders: list[str]) -> int:
    """Print what is too big; return the exit code."""
    paths = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    findings = [finding for path in paths for finding in oversized(path)]
    print("\n".join(findings) or f"sizes: {len(paths)} files within the limits")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
