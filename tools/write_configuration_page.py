"""Write docs/configuration.md from the schema: python tools/write_configuration_page.py [--check]."""

import inspect
import re
import sys
from pathlib import Path

from steelyard.config import access, schema

PAGE = Path("docs/configuration.md")
TABLES = (
    ("", schema.Configuration),
    ("limits", schema.LimitOptions),
    ("routes", schema.RouteOptions),
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
    ("pools.streams", schema.StreamOptions),
)
_FIELD = re.compile(r"^    (\w+): ([^=#]+?)(?: = (.+?))?(?:  # (.+))?$")


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
        for line in inspect.getsource(options).splitlines():
            found = _FIELD.match(line)
            if found is None:
                continue
            key, kind, default, why = (part or "" for part in found.groups())
            shown = "" if "field(" in default else default
            lines.append(
                f"| `{key}` | `{kind.replace('|', 'or')}` | {f'`{shown}`' if shown else ''} | {why} |"
            )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or say whether it is current."""
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.read_text(encoding="utf-8") == page() else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
