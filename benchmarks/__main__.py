"""Run all benchmarks that can run here: `python -m benchmarks`."""

from benchmarks import picks, placement, simulation
from benchmarks.overhead import command as overhead

if __name__ == "__main__":
    print(picks.run())
    print(simulation.run())
    print(placement.run())
    print(overhead.run([]))
