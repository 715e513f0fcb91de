"""`steelyard demo seed-math`: the seed's numbers, computed by its own formulas."""

import click

from steelyard.cli.terminal import console, listing
from steelyard.demo.seed_math import MinLoadRun, differences, section_4_4, section_5


@click.command(name="seed-math")
def seed_math() -> None:
    """Print sections 4.4 and 5 of the seed, computed rightly, beside what the article prints."""
    terminal = console()
    first = listing("what", "by its formula", "the article", "remark", title="section 4.4")
    for each in section_4_4():
        first.add_row(each.what, each.computed, each.article, each.remark)
    terminal.print(first)
    second = listing("", "least load", "the article's program", "the article prints", title="section 5")
    right, wrong = section_5(), section_5(least_remaining=True)
    second.add_row("order of placing", _order(right), _order(wrong), "")
    for index, row in enumerate(right.rows):
        printed = ((1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1))[index]
        second.add_row(f"A, task {index + 1}", _row(row), _row(wrong.rows[index]), _row(printed))
    second.add_row("utilisation", _row(right.utilisation), _row(wrong.utilisation), _row((0.5, 0.5, 0.5)))
    second.add_row("balance", f"{right.balance:.4f}", f"{wrong.balance:.4f}", "0.0")
    second.add_row("capacity left", _row(right.remaining), _row(wrong.remaining), "")
    second.caption = "rows of A in the order in which the tasks were given"
    terminal.print(second)
    for sentence in differences():
        terminal.print(f"· {sentence}")


def _order(run: MinLoadRun) -> str:
    return " ".join(f"task {index + 1}" for index in run.order)


def _row(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:g}" for value in values)
