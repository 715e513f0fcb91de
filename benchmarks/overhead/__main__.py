"""`python -m benchmarks.overhead`."""

from benchmarks.overhead.command import run

if __name__ == "__main__":
    print(run())
