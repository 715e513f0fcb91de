"""Lint a Helm chart and render it with some values, by Helm's library: `render_chart.py CHART VALUES.json`.

Runs in the environment of deploy/linters.txt, not in ours. Prints one JSON object: `findings`, and
`rendered`, the text of all manifests. Values that the chart refuses are a finding.
"""

import json
import sys
from pathlib import Path

import helm_python


def main(chart: str, values_file: str) -> int:
    """Print what Helm says."""
    values = json.loads(Path(values_file).read_text(encoding="utf-8"))
    report = helm_python.lint(chart, values, strict=True)
    findings = [f"{each['path']}: {each['error']}" for each in report["messages"] if each["severity"] >= 2]
    rendered = ""
    try:
        with helm_python.Chart.load(chart) as loaded:
            loaded.validate_schema(values)
            rendered = "\n---\n".join(loaded.render(values, name="try", namespace="default").values())
    except helm_python.HelmError as error:
        findings.append(str(error))
    print(json.dumps({"findings": findings + report["errors"], "rendered": rendered}))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
