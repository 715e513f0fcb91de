"""What each tenant took and was refused, as Prometheus text. They come from the configuration: bounded."""

from collections.abc import Mapping

from steelyard.policies.admission.limiter import REFUSED, REQUESTS, RUNNING, TOKENS
from steelyard.runtime.limit_page import LimitPage

_FAMILIES = (
    ("requests_total", "counter", "Requests admitted.", REQUESTS),
    ("tokens_total", "counter", "Tokens taken: reserved while a request runs, what it used after.", TOKENS),
    ("requests_running", "gauge", "Requests that run now.", RUNNING),
    ("refused_total", "counter", "Requests refused over a limit.", REFUSED),
)


def render(page: LimitPage, slots: Mapping[str, int]) -> bytes:
    """One series a tenant; limits on single models are within their tenant's."""
    totals = {subject: page.totals(slot) for subject, slot in slots.items() if " " not in subject}
    lines = []
    for name, kind, text, word in _FAMILIES if totals else ():
        lines += [f"# HELP steelyard_tenant_{name} {text}", f"# TYPE steelyard_tenant_{name} {kind}"]
        lines += [
            f'steelyard_tenant_{name}{{tenant="{tenant}"}} {sums[word]}' for tenant, sums in totals.items()
        ]
    return "".join(f"{line}\n" for line in lines).encode()


def render_supervisor(generation: int, retiring: int, admin_refused: int) -> bytes:
    """What the supervisor counts itself."""
    return (
        "# HELP steelyard_generation How often the configuration was loaded.\n"
        "# TYPE steelyard_generation gauge\n"
        f"steelyard_generation {generation}\n"
        "# HELP steelyard_generations_retiring Older generations that still finish answers.\n"
        "# TYPE steelyard_generations_retiring gauge\n"
        f"steelyard_generations_retiring {retiring}\n"
        "# HELP steelyard_admin_refused_total Requests on the admin port without its key.\n"
        "# TYPE steelyard_admin_refused_total counter\n"
        f"steelyard_admin_refused_total {admin_refused}\n"
    ).encode()
