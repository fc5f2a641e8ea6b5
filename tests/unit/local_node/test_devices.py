import pytest

from headrace_local.node.devices import Devices, NoDevicesError, gpus_of


def test_pods_get_different_gpus_and_give_them_back() -> None:
    devices = Devices(offered=3, real=4)
    assert devices.allocate("a", 2) == {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert devices.allocate("b", 1) == {"CUDA_VISIBLE_DEVICES": "2"}
    devices.release("a")
    devices.release("a")
    assert devices.allocate("c", 1) == {"CUDA_VISIBLE_DEVICES": "0"}


def test_slots_share_the_gpus_where_more_are_offered_than_there_are() -> None:
    devices = Devices(offered=2, real=1)
    assert [devices.allocate(uid, 1)["CUDA_VISIBLE_DEVICES"] for uid in "ab"] == ["0", "0"]


def test_a_pod_without_gpus_sees_none_where_there_are_some() -> None:
    assert Devices(offered=1, real=1).allocate("a", 0) == {"CUDA_VISIBLE_DEVICES": ""}


def test_no_variable_is_set_on_a_machine_without_gpus() -> None:
    assert Devices(offered=2, real=0).allocate("a", 1) == {}


def test_more_than_is_free_is_refused() -> None:
    devices = Devices(offered=2, real=0)
    devices.allocate("a", 1)
    with pytest.raises(NoDevicesError, match="Requested: 2, Available: 1"):
        devices.allocate("b", 2)


def test_gpus_are_counted_over_the_containers() -> None:
    limits = [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}, {"resources": {"limits": {"nvidia.com/gpu": "1"}}}]
    assert gpus_of({"spec": {"containers": [*limits, {}]}}) == 3
