"""The process node's agent: killed, restarted, stopped."""

import signal

import psutil
import pytest

from headrace_testing.process_nodes import NodeForTests, PodWatch, condition_of, ended, process_of, ready, state_of


def test_a_killed_agent_takes_its_pods_along_and_the_node_is_lost(own_node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(own_node.pod("setsid sleep 1000 & sleep 1000"))
    main = process_of(pods.until_ready(name))
    family = [main, *main.children(recursive=True)]
    own_node.process.kill()
    assert all(ended(process) for process in family)
    # The control plane notices the missing heartbeats; nothing reported the container's end.
    lost = pods.until(name, lambda _kind, pod: not ready(pod) and condition_of(pod, "Ready") != {} and "running" in state_of(pod))
    assert lost["status"]["phase"] == "Running"
    assert own_node.cluster.kubectl("get", "node", own_node.name).split()[6] == "NotReady"


@pytest.mark.parametrize("policy", ["Never", "Always"])
def test_a_new_agent_reports_what_its_predecessor_lost(own_node: NodeForTests, pods: PodWatch, policy: str) -> None:
    name = pods.create(own_node.pod("sleep 1000", restartPolicy=policy, terminationGracePeriodSeconds=1))
    pods.until_ready(name)
    own_node.process.kill()
    own_node.restart()
    if policy == "Never":
        end = state_of(pods.until_phase(name, "Failed"))["terminated"]
        assert (end["exitCode"], end["reason"]) == (137, "ContainerStatusUnknown")
    else:
        pod = pods.until(name, lambda _kind, pod: pod["status"].get("containerStatuses", [{}])[0].get("restartCount") == 1)
        assert pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"


def test_a_stopped_agent_kills_its_pods_and_exits_0(own_node: NodeForTests, pods: PodWatch) -> None:
    name = pods.create(own_node.pod("trap '' TERM; while :; do sleep 0.02; done", terminationGracePeriodSeconds=600))
    main = process_of(pods.until_ready(name))
    own_node.process.signal(signal.SIGTERM)
    assert own_node.process.wait(10) == 0
    assert ended(main)


def test_a_second_agent_in_the_same_folder_is_refused(own_node: NodeForTests) -> None:
    argv = psutil.Process(own_node.process.pid).cmdline()
    second = own_node.cluster.start("second-agent", argv)
    assert second.wait(20) != 0
    assert "is in use by another process node" in second.log_tail()
    second.expected_to_run = False
