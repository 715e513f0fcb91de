"""All placement policies by name: a literal dict."""

from collections.abc import Callable

from steelyard.model.placement_policy import PlacementPolicy
from steelyard.policies.placement.affinity import Affinity
from steelyard.policies.placement.best_fit import BestFit
from steelyard.policies.placement.data_locality import DataLocality
from steelyard.policies.placement.device_type import DeviceType
from steelyard.policies.placement.dot_product import DotProduct
from steelyard.policies.placement.first_fit import FirstFit
from steelyard.policies.placement.fragmentation_gradient import FragmentationGradient
from steelyard.policies.placement.gpu_clustering import GpuClustering
from steelyard.policies.placement.gpu_packing import GpuPacking
from steelyard.policies.placement.least_stranding import LeastStranding
from steelyard.policies.placement.least_tasks import LeastTasks
from steelyard.policies.placement.min_load import MinLoad
from steelyard.policies.placement.random_node import RandomNode
from steelyard.policies.placement.round_robin import RoundRobin
from steelyard.policies.placement.topology import TopologyPack, TopologySpread
from steelyard.policies.placement.worst_fit import WorstFit
from steelyard.policies.settings import PlacementSettings

Factory = Callable[[PlacementSettings], PlacementPolicy]

DEFAULT_PLACEMENT = "least-stranding"

PLACEMENTS: dict[str, Factory] = {
    "least-stranding": LeastStranding,
    "fgd": FragmentationGradient,
    "best-fit": BestFit,
    "worst-fit": WorstFit,
    "first-fit": FirstFit,
    "dot-product": DotProduct,
    "gpu-packing": GpuPacking,
    "gpu-clustering": GpuClustering,
    "min-load": MinLoad,
    "least-tasks": LeastTasks,
    "round-robin": RoundRobin,
    "random": RandomNode,
    "affinity": Affinity,
    "topology-pack": TopologyPack,
    "topology-spread": TopologySpread,
    "data-locality": DataLocality,
    "device-type": DeviceType,
}

PLACEMENT_SUMMARIES: dict[str, str] = {
    "least-stranding": "the fewest GPUs that stay idle for good, given what is usually asked (the default)",
    "fgd": "fragmentation gradient descent: the least that the next task cannot use",
    "best-fit": "the node that would be left with the least",
    "worst-fit": "the node that would be left with the most: spread",
    "first-fit": "the first node by name",
    "dot-product": "the node whose free resources are least like what is asked (Tetris)",
    "gpu-packing": "shared GPUs first, then nodes in use, untouched nodes last",
    "gpu-clustering": "beside tasks of the same GPU class",
    "min-load": "the least loaded node, reserved or measured",
    "least-tasks": "the node with the fewest tasks",
    "round-robin": "the nodes in turn",
    "random": "any node that fits",
    "affinity": "nearest to tasks that carry the wanted keys",
    "topology-pack": "a job's tasks in one rack, else in one zone",
    "topology-spread": "a job's tasks over zones, racks and nodes",
    "data-locality": "where the most of the task's data is near",
    "device-type": "the GPU model wanted first, or the most modest that suffices",
}
