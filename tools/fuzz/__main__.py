"""Fuzz one target or all: python -m tools.fuzz all --seconds 60 [--count N] [--guided] [--seed N].

--guided uses atheris (coverage-guided), where it is installed; it sees into code that is not compiled
(`make pure`). What is found is written to out/fuzz; make it a test in tests/tools/test_fuzz.py.
"""

import argparse
import hashlib
import subprocess
import sys
from pathlib import Path

from tools.fuzz.seeds import SEEDS, WORDS

OUT = Path("out/fuzz")


def guided(name: str, seconds: float) -> None:
    """Run atheris in this process; it never returns."""
    import atheris

    with atheris.instrument_imports(include=["steelyard"]):  # the first import of them in this process
        from tools.fuzz import targets

    corpus = OUT / f"corpus-{name}"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(data)
    words = OUT / "words"
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in WORDS)
    words.write_text("".join(f'"{word}"\n' for word in escaped), encoding="ascii")
    options = [f"-max_total_time={int(seconds)}", "-max_len=4096", "-timeout=1", f"-dict={words}"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={OUT}/", str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()


def mutated(name: str, seconds: float, count: int, seed: int) -> bool:
    """Run the mutating loop; whether nothing was found."""
    from tools.fuzz.mutate import fuzz

    done, slowest_s, found = fuzz(name, seconds=seconds, count=count, seed=seed)
    slow = f"slowest {slowest_s * 1e3:.0f} ms" if slowest_s else "none near 50 ms"
    print(f"{name}: {done:,} inputs, {slow}", flush=True)
    if found is None:
        return True
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}-{hashlib.sha256(found.data).hexdigest()[:12]}"
    path.write_bytes(found.data)
    print(f"{name}: FOUND {found.problem}\n  {found.data!r}\n  written to {path}")
    return False


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("target", choices=["all", *SEEDS])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--count", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--guided", action="store_true")
    asked = parser.parse_args()
    names = list(SEEDS) if asked.target == "all" else [asked.target]
    if asked.guided and asked.target != "all":
        guided(asked.target, asked.seconds)
    if asked.guided:
        command = [sys.executable, "-m", "tools.fuzz", "--guided", "--seconds", str(asked.seconds)]
        return max(subprocess.run([*command, name], check=False).returncode for name in names)
    good = [mutated(name, asked.seconds, asked.count, asked.seed) for name in names]  # all are run
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
