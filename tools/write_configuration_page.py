"""Write docs/configuration.md from the schema: python tools/write_configuration_page.py [--check]."""

import ast
import inspect
import io
import json
import sys
import textwrap
import tokenize
from dataclasses import dataclass
from pathlib import Path

from steelyard.config import access, console, fallback, schema, tracing

PAGE = Path("docs/configuration.md")
TABLES = (
    ("", schema.Configuration),
    ("limits", schema.LimitOptions),
    ("routes", schema.RouteOptions),
    ("models", fallback.ModelOptions),
    ("fallback", fallback.FallbackOptions),
    ("pools", schema.PoolOptions),
    ("pools.replicas", schema.ReplicaOptions),
    ("pools.timeouts", schema.TimeoutOptions),
    ("pools.retries", schema.RetryOptions),
    ("pools.health", schema.HealthOptions),
    ("pools.outlier", schema.OutlierOptions),
    ("pools.upstream", schema.UpstreamOptions),
    ("pools.admission", access.AdmissionOptions),
    ("pools.engine", access.EngineAccessOptions),
    ("tls", access.TlsOptions),
    ("keys", access.KeyOptions),
    ("tenants", access.TenantOptions),
    ("tenants.model_limits", access.ModelLimitOptions),
    ("admin_access", access.AdminOptions),
    ("tracing", tracing.TracingOptions),
    ("pools.streams", schema.StreamOptions),
    ("console", console.ConsoleOptions),
)

WORDS = ("required", "computed", "its table")  # defaults that are not a value


@dataclass(frozen=True, slots=True)
class Key:
    """One key as it stands in the schema; the comment on its lines is its text."""

    name: str
    kind: str
    default: str
    text: str


def keys_of(options: type) -> list[Key]:
    """All keys of a class of options, in order."""
    source = textwrap.dedent(inspect.getsource(options))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (definition,) = ast.parse(source).body
    keys = []
    for node in definition.body if isinstance(definition, ast.ClassDef) else []:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            lines = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            text = " ".join(comments[line] for line in lines if line in comments)
            default = _default(node, source)
            text = text or ("see below" if default == "its table" else "")
            keys.append(Key(node.target.id, ast.unparse(node.annotation), default, text))
    return keys


def _default(node: ast.AnnAssign, source: str) -> str:
    """What stands when the key is left out, as the schema writes it."""
    if node.value is None:
        return "required"
    written = ast.get_source_segment(source, node.value) or ""
    named = isinstance(node.value, ast.Name) and getattr(schema, node.value.id, None)
    if named:
        return json.dumps(named)
    if "field(" in written:
        return "computed" if "lambda" in written else "its table"
    return written


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Configuration",
        "",
        "Generated from `steelyard/config/schema.py` by `tools/write_configuration_page.py`.",
    ]
    for name, options in TABLES:
        lines += ["", f"## {f'`[{name}]`' if name else 'Top level'}", "", inspect.getdoc(options) or "", ""]
        lines += ["| key | type | default | |", "|---|---|---|---|"]
        for key in keys_of(options):
            default = f"`{key.default}`" if key.default not in WORDS else key.default
            lines.append(f"| `{key.name}` | `{key.kind.replace('|', 'or')}` | {default} | {key.text} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or say whether it is current."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
