"""The reduce step: the sums of all shards, once all of them are done."""

import json
from pathlib import Path

from count import Sums, merged, write

total: Sums = {}
for part in sorted(Path("parts").glob("*.json")):
    total = merged(total, json.loads(part.read_text()))
write(Path("result.json"), total)
print(f"{len(total)} shops, {sum(shop[0] for shop in total.values())} sales", flush=True)
