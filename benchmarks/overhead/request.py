"""Scenario `request`: CPU a short request, latency added at one connection, memory under load."""

from pathlib import Path

from benchmarks.overhead.load import Answers, key_of, run_wrk, write_script
from benchmarks.overhead.processes import Memory, cpu_time, memory
from benchmarks.overhead.rounds import Running, Settings

CONNECTIONS = 256
LATENCY_S = 1

Figures = dict[str, float]


def measure(proxy: Running, engines: list[int], settings: Settings, folder: Path) -> Figures:
    """One round for one proxy. Raises SystemExit when an answer was wrong or missing."""
    script = write_script(folder, settings.prompt_bytes, key_of(folder / proxy.name))
    seen: list[Memory] = []
    before = cpu_time(proxy.process.pid)
    loaded = run_wrk(
        proxy.port,
        script,
        connections=CONNECTIONS,
        seconds=settings.seconds,
        halfway=lambda: seen.append(memory(proxy.process.pid)),
    )
    used = cpu_time(proxy.process.pid).since(before)
    _refuse_errors(proxy.name, loaded)
    # One connection, direct and through the proxy in turn, so that a drift of the machine meets both.
    direct = run_wrk(engines[0], script, connections=1, seconds=LATENCY_S)
    single = run_wrk(proxy.port, script, connections=1, seconds=LATENCY_S)
    _refuse_errors(proxy.name, single)
    return {
        "cpu_us": used.total_s / loaded.requests * 1e6,
        "user_us": used.user_s / loaded.requests * 1e6,
        "system_us": used.system_s / loaded.requests * 1e6,
        "requests_per_s": loaded.requests / loaded.seconds,
        "busy_fraction": used.total_s / loaded.seconds,
        "p99_us": loaded.p99_us,
        "added_p50_us": single.p50_us - direct.p50_us,
        "memory_mb": seen[0].total_bytes / 1e6,
        "largest_process_mb": seen[0].largest_bytes / 1e6,
    }


def _refuse_errors(name: str, answers: Answers) -> None:
    if answers.errors or not answers.requests:
        raise SystemExit(
            f"{name}: of {answers.requests} requests {answers.wrong_status} were answered with an error "
            f"status and {answers.socket_errors} ended in a socket error: nothing is measured from that"
        )
