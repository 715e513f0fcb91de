"""The reduce step: all answers in the order of the prompts, in one file."""

import json
from pathlib import Path

lines = [
    json.loads(line) for path in Path("answers").glob("*.jsonl") for line in path.read_text().splitlines()
]
lines.sort(key=lambda line: line["prompt"])
Path("answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
print(f"{len(lines)} answers to {len({line['prompt'] for line in lines})} prompts", flush=True)
