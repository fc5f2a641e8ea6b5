"""The RBAC manifests, and the check of granted permissions."""

import asyncio
from typing import Any

import pytest
import yaml

from headrace_operator.__main__ import main
from headrace_operator.permissions import missing
from headrace_operator.rbac import manifests
from headrace_operator.settings import Settings


def rules(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for document in documents for rule in document.get("rules", [])]


@pytest.mark.parametrize("watched", [(), ("a", "b")])
def test_no_wildcard_no_secrets_no_exec(watched: tuple[str, ...]) -> None:
    for rule in rules(manifests("system", watched)):
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
        assert not {"secrets", "pods/exec", "trainingjobs/finalizers"} & set(rule["resources"])


def test_namespaced_mode_needs_no_cluster_wide_permission() -> None:
    documents = manifests("system", ("a", "b"))
    assert {document["kind"] for document in documents} == {"ServiceAccount", "Role", "RoleBinding"}
    roles = [d["metadata"] for d in documents if d["kind"] == "Role"]
    assert {(role["namespace"], role["name"]) for role in roles} == {
        ("system", "headrace-operator-leader"),
        ("a", "headrace-operator"),
        ("b", "headrace-operator"),
    }
    assert not any("nodes" in rule["resources"] for rule in rules(documents))


def test_every_role_is_bound_to_the_operators_account() -> None:
    documents = manifests("system", ("a",))
    for binding in (d for d in documents if d["kind"] == "RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "headrace-operator", "namespace": "system"}]
        assert binding["roleRef"]["name"] == binding["metadata"]["name"]


def test_the_command_prints_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rbac", "--namespace", "system", "--watch-namespaces", "a,b"]) == 0
    assert list(yaml.safe_load_all(capsys.readouterr().out)) == manifests("system", ("a", "b"))


def test_another_release_has_another_account_and_another_lease(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rbac", "--namespace", "system", "--name", "vision-operator", "--service-account", "runner"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert {(d["kind"], d["metadata"]["name"]) for d in documents} == {
        ("ServiceAccount", "runner"),
        *((kind, "vision-operator-leader") for kind in ("Role", "RoleBinding")),
        *((kind, "vision-operator") for kind in ("ClusterRole", "ClusterRoleBinding")),
    }
    assert {s["name"] for d in documents for s in d.get("subjects", [])} == {"runner"}
    assert [rule["resourceNames"] for rule in rules(documents) if "resourceNames" in rule] == [["vision-operator.headrace.dev"]]


def test_it_may_change_only_one_lease_in_its_namespace() -> None:
    (leader,) = [d for d in manifests("system", ("a",)) if d["kind"] == "Role" and d["metadata"]["namespace"] == "system"]
    assert [rule["verbs"] for rule in leader["rules"] if "resourceNames" not in rule] == [["create"]]


class Reviewer:
    """Grants what the manifests grant, with a few exceptions."""

    def __init__(self, documents: list[dict[str, Any]], denied: tuple[str, str]) -> None:
        self.granted = {
            (verb, r["apiGroups"][0], "/".join([*r["resources"], *r.get("resourceNames", [])]))
            for r in rules(documents)
            for verb in r["verbs"]
        }
        self.denied = denied

    async def may(self, verb: str, group: str, resource: str, subresource: str, namespace: str | None) -> bool:
        full = f"{resource}/{subresource}" if subresource else resource
        return (verb, group, full) in self.granted and (verb, full) != self.denied


def check(denied: tuple[str, str], watched: tuple[str, ...] = ()) -> list[str]:
    settings = Settings(trainer_image="t", namespace="system", watch_namespaces=watched)
    return asyncio.run(missing(Reviewer(manifests("system", watched), denied), settings))  # type: ignore[arg-type]


def test_the_manifests_grant_everything_that_is_checked() -> None:
    assert check(("", "")) == []
    assert check(("", ""), ("a",)) == []


def test_a_lease_of_another_name_is_found_to_be_missing() -> None:
    settings = Settings(trainer_image="t", namespace="system", watch_namespaces=("a",), leader_lease_name="b-operator.headrace.dev")
    granted = Reviewer(manifests("system", ("a",)), ("", ""))
    (line,) = asyncio.run(missing(granted, settings))  # type: ignore[arg-type]
    want = (
        "may not get, update leases.coordination.k8s.io b-operator.headrace.dev in namespace system (needed for: leader election)"
    )
    assert line == want


def test_a_missing_verb_is_named_with_its_resource_place_and_purpose() -> None:
    (line,) = check(("patch", "trainingjobs/status"), ("a",))
    assert line == "may not patch trainingjobs.headrace.dev/status in namespace a (needed for: states and progress)"
    (line,) = check(("get", "nodes"))
    assert line == "may not get nodes in the cluster (needed for: whether the node of a silent pod still exists)"
