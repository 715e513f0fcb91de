"""Makes the data set: sales of a year, one CSV file a day. The same numbers each time."""

import random
import sys
from pathlib import Path

DAYS, ROWS = 48, 4_000
SHOPS, PRODUCTS = 40, 200


def generate(folder: Path) -> None:
    """Write the files; whole integers only, so that sums do not depend on their order."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(2024)
    for day in range(DAYS):
        # Days differ in size, as shards of real data do.
        rows = [
            f"{day},{chance.randrange(SHOPS)},{chance.randrange(PRODUCTS)},{chance.randrange(1, 9)},"
            f"{chance.randrange(99, 20_000)}"
            for _ in range(chance.randrange(ROWS // 2, 2 * ROWS))
        ]
        text = "\n".join(["day,shop,product,pieces,price_cents", *rows, ""])
        (folder / f"day-{day:03d}.csv").write_text(text)


if __name__ == "__main__":
    generate(Path(sys.argv[1]))
