"""Results as Markdown and as JSON."""

from typing import Any

from benchmarks.overhead.rounds import Figures, medians

# For each scenario: (heading of the column, figure, format).
COLUMNS: dict[str, list[tuple[str, str, str]]] = {
    "request": [
        ("CPU µs a request", "cpu_us", ".1f"),
        ("user", "user_us", ".1f"),
        ("system", "system_us", ".1f"),
        ("requests/s", "requests_per_s", ",.0f"),
        ("core busy", "busy_fraction", ".0%"),
        ("p99 of the load, µs", "p99_us", ",.0f"),
        ("p50 added at 1 connection, µs", "added_p50_us", ".0f"),
        ("memory, MB", "memory_mb", ".0f"),
        ("its largest process, MB", "largest_process_mb", ".0f"),
    ],
    "stream": [
        ("CPU µs a stream", "cpu_us", ",.0f"),
        ("user", "user_us", ",.0f"),
        ("system", "system_us", ",.0f"),
        ("CPU µs an event", "cpu_event_us", ".1f"),
        ("core busy", "busy_fraction", ".0%"),
        ("events a read of the client", "events_a_read", ".2f"),
        ("p99 between reads, ms (sent every 10)", "gap_p99_ms", ".0f"),
        ("memory, MB", "memory_mb", ".0f"),
    ],
    "idle": [
        ("streams open at once", "streams", ",.0f"),
        ("errors", "errors", ".0f"),
        ("memory, MB", "memory_mb", ".0f"),
        ("grown, KiB a stream", "kib_a_stream", ".1f"),
    ],
    "replace": [("a new client waits after kill -9 of the worker, ms", "replaced_ms", ".0f")],
}
# The figure whose ratio to the reference is shown.
MAIN = {"request": "cpu_us", "stream": "cpu_us", "idle": "kib_a_stream"}
REFERENCES = ("haproxy", "nginx")
# HAProxy's defaults deliver several events at once, and late: that is another service, and cheaper.
STREAM_REFERENCES = ("haproxy-no-delay", *REFERENCES)


def table(scenario: str, rounds: dict[str, list[Figures]]) -> str:
    """One scenario's medians; the ratio is to the first reference that ran."""
    columns = COLUMNS[scenario]
    if not rounds:
        return "None of the chosen proxies can do this."
    middle = {name: medians(each) for name, each in rounds.items()}
    references = STREAM_REFERENCES if scenario == "stream" else REFERENCES
    reference = next((name for name in references if name in middle), None)
    main = MAIN.get(scenario)
    heads = [head for head, _, _ in columns]
    place = next((at + 1 for at, (_, key, _) in enumerate(columns) if key == main), 0)
    if reference and main:
        heads.insert(place, f"ratio to {reference}")
    lines = ["| proxy | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(heads)]
    for name, figures in middle.items():
        cells = [format(figures[key], form) for _, key, form in columns]
        if reference and main:
            cells.insert(place, f"{figures[main] / middle[reference][main]:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def document(head: dict[str, Any], scenarios: dict[str, dict[str, list[Figures]]]) -> str:
    """The whole page."""
    versions = ", ".join(f"{name} {version}" for name, version in head["versions"].items())
    lines = [
        "# Overhead\n",
        f"{head['machine']}; commit {head['commit']}; load before {head['load_before']}; "
        f"{head['rounds']} rounds of {head['seconds']} s, prompts of {head['prompt_bytes']:,} bytes.\n",
        f"Versions: {versions}.",
    ]
    if head["missing"]:
        lines.append(f"\nNot installed here: {', '.join(head['missing'])}.")
    for scenario, rounds in scenarios.items():
        lines.append(f"\n## {scenario}\n\n{table(scenario, rounds)}")
    return "\n".join(lines) + "\n"
