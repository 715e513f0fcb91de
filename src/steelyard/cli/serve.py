"""`steelyard serve`: the gateway."""

import contextlib
import functools
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from steelyard.cli.emulated_engines import MAX_ENGINES, emulated_engines
from steelyard.cli.serve_console import OriginBook, console_maker
from steelyard.config.load import completed, from_engines, load_file
from steelyard.config.schema import Configuration
from steelyard.gateway import supervisor
from steelyard.model.errors import ConfigError


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, readable=False))
@click.option(
    "--engine", "engines", multiple=True, metavar="URL", help="An engine, http://HOST:PORT; may be repeated."
)
@click.option(
    "--emulated",
    type=click.IntRange(0, MAX_ENGINES),
    default=0,
    metavar="N",
    help="Start N engines that only pretend, to try it without any.",
)
@click.option("--listen", metavar="HOST:PORT", help="Where requests come in (127.0.0.1:8080).")
@click.option("--admin", metavar="HOST:PORT", help="Where metrics and actions are (127.0.0.1:9090).")
@click.option("--workers", type=int, metavar="N", help="Worker processes (one a core).")
@click.option("--policy", metavar="NAME", help="Routing policy; see `steelyard policies`.")
@click.option("--access-log", metavar="FILE", help="One JSON line a request.")
@click.option("--seed", type=int, metavar="N", help="Of the policies' chance.")
def serve(
    file: Path | None, engines: tuple[str, ...], emulated: int, policy: str | None, **options: Any
) -> None:
    """Balance requests over engines, from a FILE or from --engine options.

    \b
    steelyard serve --emulated 2
    steelyard serve --engine http://127.0.0.1:8000 --engine http://127.0.0.1:8001
    steelyard serve steelyard.toml
    """
    given = {name: value for name, value in options.items() if value is not None}
    with contextlib.ExitStack() as stack:
        pretended = stack.enter_context(emulated_engines(emulated)) if emulated else ()
        for url in pretended:
            print(f"engine listening on {url}", flush=True)
        code = _serve(file, (*engines, *pretended), policy, given)
    sys.exit(code)


def _serve(file: Path | None, engines: tuple[str, ...], policy: str | None, given: dict[str, Any]) -> int:
    """Run the supervisor to its end; its exit code. Raises ConfigError."""
    book = OriginBook()

    def load() -> Configuration:
        configuration = configured(file, engines, policy, dict(given))
        flags = given if policy is None else {**given, "policy": policy}
        book.note(configuration, file, len(engines), flags)
        return configuration

    configuration = load()
    make_console = console_maker(configuration, book)
    return supervisor.run(configuration, functools.partial(print, flush=True), load, make_console)


def configured(
    file: Path | None, engines: tuple[str, ...], policy: str | None, given: dict[str, Any]
) -> Configuration:
    """The configuration that a command line asks for; options win over the file. Raises ConfigError."""
    if file is None:
        return from_engines(engines, policy=policy, **given)
    if engines:
        raise ConfigError(
            "give a file or --engine (--emulated) options, not both: engines belong into "
            "[[pools.replicas]] of the file"
        )
    configuration = load_file(file)
    if policy is not None:
        given["pools"] = tuple(replace(pool, policy=policy) for pool in configuration.pools)
    return completed(replace(configuration, **given))
