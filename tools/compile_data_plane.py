"""Compile the data plane with mypyc, beside its sources: `python tools/compile_data_plane.py [--remove]`.

The same Python, made into C extensions: half the CPU a request (benchmarks/results/overhead.md). Compiled
code hides its source from Python, so `make` compiles again when a source changes; the tests refuse to
run beside extensions that are older than their sources.
"""

import os
import shutil
import sys
import sysconfig
from pathlib import Path

# The way of a request, in its order. Message shapes (msgspec) and shells stay interpreted.
COMPILED = (
    "gateway/client_connection.py",
    "gateway/request_plan.py",
    "gateway/request_body.py",
    "gateway/routes.py",
    "gateway/receipts.py",
    "gateway/context.py",
    "gateway/outlet.py",
    "gateway/exchange.py",
    "gateway/setbacks.py",
    "gateway/upstream.py",
    "gateway/answer_head.py",
    "gateway/relay.py",
    "gateway/answers.py",
    "gateway/forwarding.py",
    "gateway/meters.py",
    "gateway/admission.py",
    "gateway/door.py",
    "gateway/tenants.py",
    "gateway/refusals.py",
    "policies/admission/token_bucket.py",
    "policies/admission/limiter.py",
    "policies/admission/vtc.py",
    "policies/admission/fair_queue.py",
    "policies/admission/gradient.py",
    "wire/head_memo.py",
    "wire/chunked.py",
    "wire/sse.py",
    "wire/answer_so_far.py",
    "routing/stream_keeper.py",
    "gateway/kept_stream.py",
    "wire/openai.py",
    "wire/prompt.py",
    "wire/decimal_bytes.py",
    "routing/router.py",
    "cluster/ledger.py",
    "runtime/shared_ledger.py",
    "policies/ties.py",
    "policies/ring.py",
    "policies/prefill_speed.py",
    "policies/prefix_index.py",
    "model/fleet.py",
    "model/fleet_order.py",
    "model/request.py",
    "model/pick.py",
    "cluster/membership.py",
    "policies/failure/retry_budget.py",
    "policies/failure/outlier.py",
)


def sources(root: Path) -> list[Path]:
    """What is compiled: the files above, and every routing policy."""
    package = root / "src" / "steelyard"
    policies = sorted((package / "policies" / "routing").glob("[a-z]*.py"))
    return [package / name for name in COMPILED] + [each for each in policies if each.stem != "registry"]


def remove_compiled(root: Path) -> None:
    """Take away what an earlier build left beside the sources."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for path in (root / "src").rglob(f"*{suffix}"):
        path.unlink()


def compile_in_place(root: Path) -> list[Path]:
    """Compile beside the sources; the extensions made. Raises when that fails."""
    from mypyc.build import mypycify
    from setuptools import setup

    remove_compiled(root)
    here = Path.cwd()
    os.chdir(root / "src")
    try:
        modules = [str(path.relative_to(root / "src")) for path in sources(root)]
        extensions = mypycify(
            ["--ignore-missing-imports", *modules],
            opt_level="3",
            debug_level="0",
            group_name="steelyard",
            target_dir=str(root / "build" / "mypyc"),
        )
        setup(
            name="steelyard",
            ext_modules=extensions,
            packages=[],
            script_args=["--quiet", "build", "--build-base", str(root / "build"), "build_ext", "--inplace"],
        )
    finally:
        os.chdir(here)
        shutil.rmtree(root / "src" / ".mypy_cache", ignore_errors=True)
    made = sorted((root / "src").rglob(f"*{sysconfig.get_config_var('EXT_SUFFIX')}"))
    for path in made:
        path.touch()  # what had not changed is copied with its old time
    return made


def stale(root: Path) -> list[Path]:
    """Sources that changed after they were compiled."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = ((path, path.with_name(path.stem + suffix)) for path in sources(root))
    return [path for path, built in made if built.exists() and built.stat().st_mtime < path.stat().st_mtime]


def main(arguments: list[str]) -> None:
    """Compile, or `--remove` what was compiled, or `--list` the sources."""
    root = Path(__file__).resolve().parent.parent
    if "--list" in arguments:
        print(*(path.relative_to(root) for path in sources(root)))
    elif "--remove" in arguments:
        remove_compiled(root)
    else:
        compile_in_place(root)


if __name__ == "__main__":
    main(sys.argv[1:])
