"""How full a node would be: the score that best fit takes most of, worst fit least of, and others add."""

from steelyard.model.placement_policy import WHOLE_GPU, Demand, NodeColumns
from steelyard.policies.score_board import Score


def fullness(demand: Demand, table: NodeColumns) -> Score:
    """100 × (1 − mean of what would be left of each resource, as a share of the largest node's).

    The resources are CPU and GPUs, or CPU and memory in a cluster without GPUs.
    """
    cpu_free, second_free, cpu, second, second_most = _two_resources(demand, table)
    cpu_weight = 50.0 / max(1, max(table.cpu_total, default=1))
    second_weight = 50.0 / second_most

    def score(row: int) -> float:
        return 100.0 - cpu_weight * (cpu_free[row] - cpu) - second_weight * (second_free[row] - second)

    return score


def _two_resources(demand: Demand, table: NodeColumns) -> tuple[list[int], list[int], int, int, int]:
    most_devices = max((len(devices) for devices in table.devices), default=0)
    if most_devices:
        return table.cpu_free, table.gpu_free, demand.cpu_milli, demand.gpu_milli, WHOLE_GPU * most_devices
    most_memory = max(1, max(table.memory_total, default=1))
    return table.cpu_free, table.memory_free, demand.cpu_milli, demand.memory_bytes, most_memory


def alignment(demand: Demand, table: NodeColumns) -> Score:
    """100 × (1 − mean of free × wanted, both as shares of the largest node's)."""
    cpu_free, second_free, cpu, second, second_most = _two_resources(demand, table)
    cpu_most = max(1, max(table.cpu_total, default=1))
    cpu_weight = 50.0 * cpu / cpu_most / cpu_most
    second_weight = 50.0 * second / second_most / second_most

    def score(row: int) -> float:
        return 100.0 - cpu_weight * cpu_free[row] - second_weight * second_free[row]

    return score
