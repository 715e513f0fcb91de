"""An example for the help of every verb that does not show one in its own words."""

import click

EXAMPLES: dict[str, tuple[str, ...]] = {
    "serve": (
        "steelyard serve --engine http://127.0.0.1:8000 --engine http://127.0.0.1:8001",
        "steelyard serve steelyard.toml",
    ),
    "check": ("steelyard check steelyard.toml", "steelyard check steelyard.toml --json"),
    "keys": ("steelyard keys add search", "steelyard keys list", "steelyard keys revoke 3f9c2d1e"),
    "keys add": ("steelyard keys add search --days 90 --config /etc/steelyard/steelyard.toml",),
    "keys list": ("steelyard keys list --json",),
    "keys revoke": ("steelyard keys revoke 3f9c2d1e",),
    "reload": ("steelyard reload", "steelyard reload --admin 127.0.0.1:9091"),
    "upgrade": ("steelyard upgrade --admin 127.0.0.1:9091",),
    "status": ("steelyard status", "steelyard status --admin 127.0.0.1:9091 --json"),
    "audit": ("steelyard audit /var/log/steelyard/audit.log",),
    "policies": ("steelyard policies", "steelyard policies --json"),
    "why": ("steelyard why", "steelyard why 1a2b3c4d-7 --json"),
    "shadow": ("steelyard shadow", "steelyard shadow --log access.jsonl"),
    "engine": ("steelyard engine --port 8000", "steelyard engine --profile llama2-70b-a100x4 --time-scale 4"),
    "up": (
        "steelyard up",
        "steelyard up --node A:cpu_cores=2,memory=4GiB --node B:cpu_cores=2,memory=4GiB --detach",
        "steelyard up --executor ray --address head:6379",
    ),
    "down": ("steelyard down --grace 30",),
    "jobs": ("steelyard jobs --only running", "steelyard jobs --json"),
    "job": ("steelyard job 17",),
    "logs": ("steelyard logs 17 --follow", "steelyard logs 17.3 --tail 2000"),
    "cancel": ("steelyard cancel 17 18",),
    "pause": ("steelyard pause 17",),
    "resume": ("steelyard resume 17",),
    "move": ("steelyard move 17.3 B",),
    "nodes": ("steelyard nodes --json",),
    "drain": ("steelyard drain B --reason 'new memory'", "steelyard drain B --undo"),
    "top": ("steelyard top", "steelyard top --admin 127.0.0.1:9091 --once"),
    "completion": ('eval "$(steelyard completion bash)"', "steelyard completion fish > steelyard.fish"),
    "demo": ("steelyard demo --seconds 10",),
    "demo jobs": ("steelyard demo jobs --hour 12",),
    "demo seed-math": ("steelyard demo seed-math",),
}


def with_examples(command: click.Command, path: str) -> click.Command:
    """The command, its help ended by its examples, and so for the verbs under it."""
    if lines := EXAMPLES.get(path):
        title = "Example:" if len(lines) == 1 else "Examples:"
        command.epilog = "\n".join(["\b", title, *(f"  {line}" for line in lines)])
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            with_examples(inner, f"{path} {name}")
    return command
