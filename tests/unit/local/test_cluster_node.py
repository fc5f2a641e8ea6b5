from headrace_api.trainingjob import Resources
from headrace_local.cluster_node import CPUS_PER_JOB, MEMORY_GIB_PER_JOB


def test_the_node_has_room_for_a_job_of_the_default_size_per_gpu() -> None:
    default = Resources()
    assert default.cpu == str(CPUS_PER_JOB)
    assert default.memory == f"{MEMORY_GIB_PER_JOB}Gi"
