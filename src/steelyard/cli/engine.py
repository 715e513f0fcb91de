"""`steelyard engine`: an emulated LLM engine."""

import asyncio
import os
import signal
from typing import get_args

import click
import uvloop

from steelyard.cli.finite import FiniteRange
from steelyard.emulator.api import Continues
from steelyard.emulator.server import EmulatedEngine, start_engine
from steelyard.engines.profiles import PROFILES
from steelyard.model.errors import ConfigError


@click.command()
@click.option(
    "--profile", type=click.Choice(sorted(PROFILES)), default="llama2-70b-h100x4", show_default=True
)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one."
)
@click.option("--model", default="emulated", show_default=True, help="The model's name.")
@click.option(
    "--time-scale",
    type=FiniteRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="2 is twice as fast.",
)
@click.option(
    "--continues",
    type=click.Choice(get_args(Continues)),
    default="asked",
    show_default=True,
    help="Whether it continues an assistant's last message: when asked to (vLLM), always, ...",
)
def engine(profile: str, host: str, port: int, model: str, time_scale: float, continues: Continues) -> None:
    """Run an emulated LLM engine: real sockets and real timing, no GPU."""
    uvloop.run(_serve(EmulatedEngine(PROFILES[profile], model, time_scale, continues), host, port))


async def _serve(emulated: EmulatedEngine, host: str, port: int) -> None:
    try:
        server, taken = await start_engine(emulated, host, port)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}: choose another --port"
        ) from None
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    click.echo(f"engine listening on http://{host}:{taken}")
    await stop.wait()
    server.close()
