"""The reference of the command line, from the commands themselves."""

import inspect
from collections.abc import Iterator

import click

from steelyard.cli.main import VERBS, steelyard

INTRODUCTION = """# Command line

Generated from the commands when this site is built. `steelyard VERB --help` says the same.

A mistake of the operator's is one sentence and exit code 2; Ctrl-C is 130. Verbs that answer a question with
their exit code say so below. Colours, completion and exit codes: [the command line](../cli.md).
"""


def page() -> str:
    """The page as Markdown."""
    lines = [INTRODUCTION, "| verb | |", "|---|---|"]
    lines += [f"| [`{verb}`](#steelyard-{verb}) | {_cell(summary)} |" for verb, (_, summary) in VERBS.items()]
    context = click.Context(steelyard, info_name="steelyard")
    for verb in VERBS:
        command = steelyard.get_command(context, verb)
        if command is not None:
            lines += _section(command, f"steelyard {verb}", context)
    return "\n".join(lines) + "\n"


def _section(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    """One verb, and the verbs below it."""
    context = click.Context(command, info_name=name.rpartition(" ")[2], parent=parent)
    usage = " ".join(command.collect_usage_pieces(context))
    yield f"\n## {name}\n" if name.count(" ") == 1 else f"\n### {name}\n"
    yield f"```text\n{name} {usage}\n```\n"
    yield from _help(command)
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    if options:
        yield "| option | default | |\n|---|---|---|"
        yield from (_row(option, context) for option in options)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _section(found, f"{name} {child}", context)


def _help(command: click.Command) -> Iterator[str]:
    r"""Its help text; paragraphs that click keeps as they are (`\b`) become examples."""
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield f"```text\n{inspect.cleandoc(paragraph[2:])}\n```\n"
        else:
            yield f"{_cell(paragraph)}\n"


def _row(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
    kind = "" if option.is_flag else f" {_kind(option, context)}"
    return f"| {names}{kind} | {_default(option)} | {_cell(option.help or '')} |"


def _kind(option: click.Option, context: click.Context) -> str:
    if isinstance(option.type, click.Choice):
        return "one of " + ", ".join(f"`{choice}`" for choice in option.type.choices)
    return f"`{option.make_metavar(context)}`"


def _default(option: click.Option) -> str:
    value = option.default
    if option.required:
        return "required"
    if option.is_flag or callable(value) or not isinstance(value, str | int | float) or value == "":
        return ""
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[[", "\\[[")
