"""Run all benchmarks that can run here: `python -m benchmarks`."""

from benchmarks import overhead, picks, simulation

if __name__ == "__main__":
    print(picks.run())
    print(simulation.run())
    print(overhead.run())
