"""Where the values of a configuration come from, and whether there is a console."""

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.harness.processes import gateway, running

from steelyard.cli.serve_console import REMEMBERED, OriginBook
from steelyard.config.load import from_engines, load_file


def test_values_come_from_lines_options_and_defaults(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text('workers = 3\n[[pools]]\nname = "a"\n[[pools.replicas]]\nurl = "http://127.0.0.1:1"\n')
    configuration, book = load_file(file), OriginBook()
    book.note(configuration, file, 0, {"access_log": "x", "policy": "random"})
    origins = book.of(configuration)
    assert origins.of(("workers",)) == f"{file}:1"
    assert origins.of(("pools", 0, "replicas", 0, "url")) == f"{file}:5"
    assert origins.of(("access_log",)) == "--access-log"
    assert origins.of(("pools", 0, "policy")) == "--policy"
    assert origins.of(("seed",)) == ""


def test_engines_come_from_options() -> None:
    configuration, book = from_engines(["http://127.0.0.1:1", "http://127.0.0.1:2"]), OriginBook()
    book.note(configuration, None, 2, {})
    assert book.of(configuration).of(("pools", 0, "replicas", 1, "url")) == "--engine"


def test_a_reload_that_fails_leaves_the_origins_of_what_serves() -> None:
    serving, book = from_engines(["http://127.0.0.1:1"]), OriginBook()
    book.note(serving, None, 1, {})
    for _ in range(REMEMBERED - 1):
        book.note(from_engines(["http://127.0.0.1:1"]), None, 1, {})
    assert book.of(serving).flags
    assert not book.of(from_engines(["http://127.0.0.1:1"])).flags


def test_the_port_leads_a_browser_to_the_pages() -> None:
    with (
        gateway("http://127.0.0.1:1") as child,
        urllib.request.urlopen(child.addresses["admin"] + "/", timeout=20) as answer,
    ):
        assert (answer.status, answer.url.endswith("/console")) == (200, True)


def test_a_console_that_is_switched_off_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(
        'listen = "127.0.0.1:0"\nadmin = "127.0.0.1:0"\nworkers = 1\n[console]\nenabled = false\n'
        '[[pools]]\n[[pools.replicas]]\nurl = "http://127.0.0.1:1"\n'
    )
    with running("serve", str(file), listens=("gateway", "admin")) as child:
        for path in ("/", "/console"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(child.addresses["admin"] + path, timeout=20)
