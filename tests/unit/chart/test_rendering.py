"""What the chart renders for a matrix of values. `UPDATE_GOLDEN=1 make test TESTS=tests/unit/chart` writes the golden files."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace_api import names
from headrace_api.crd import custom_resource_definition
from headrace_chart import user_roles
from headrace_operator import rbac
from headrace_operator.pods import USER
from headrace_release import version
from headrace_testing.charts import CHART, MATRIX, NAMESPACE, NUMBERS, Helm, of_kind

GOLDEN = Path(__file__).parent / "golden"
CHECKOUT = CHART.parents[1]
Json = dict[str, Any]


@pytest.mark.parametrize("case", MATRIX)
def test_helm_lint_passes(helm: Helm, case: str) -> None:
    helm.run("lint", "--strict", CHART, "--namespace", NAMESPACE, "--values", helm.values(MATRIX[case]))


@pytest.mark.parametrize("case", MATRIX)
def test_the_rendering_matches_the_golden_file(helm: Helm, case: str) -> None:
    """Without the CustomResourceDefinition and the dashboards' JSON, which have their own files, and without versions."""
    documents = re.split(r"(?m)^---\n", helm.template(MATRIX[case]))
    shown = [document for document in documents if "kind: CustomResourceDefinition" not in document]
    text = "---\n".join(re.sub(r"(?ms)^(  headrace-\w+\.json: )\|\n.*", r"\1…\n", document) for document in shown)
    text = text.replace(version.current(CHECKOUT), "VERSION")
    file = GOLDEN / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text(), f"{file.name} differs; if you meant it to, set UPDATE_GOLDEN=1"


def test_no_golden_file_is_left_over() -> None:
    assert {file.stem for file in GOLDEN.iterdir()} == set(MATRIX)


@pytest.mark.parametrize("case", MATRIX)
def test_no_two_objects_have_the_same_name(helm: Helm, case: str) -> None:
    ids = [(o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]) for o in helm.render(MATRIX[case])]
    assert len(ids) == len(set(ids))


def test_the_definition_matches_the_contract_and_outlives_the_release(helm: Helm) -> None:
    (crd,) = of_kind(helm.render({}), "CustomResourceDefinition")
    assert crd["spec"] == custom_resource_definition()["spec"]
    assert crd["metadata"]["name"] == custom_resource_definition()["metadata"]["name"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    (crd,) = of_kind(helm.render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert "annotations" not in crd["metadata"]
    assert not of_kind(helm.render({"crds": {"enabled": False}}), "CustomResourceDefinition")


@pytest.mark.parametrize("watched", [[], ["team-a", "team-b"]])
def test_the_roles_are_the_operators_own(helm: Helm, watched: list[str]) -> None:
    def granted(objects: list[Json]) -> dict[tuple[str, str | None, str], Any]:
        """What each role and binding allows, by kind, namespace and name."""
        roles = [one for one in objects if one["kind"].removesuffix("Binding").endswith("Role") and one not in of_users]
        told = ("rules", "roleRef", "subjects")
        return {
            (r["kind"], r["metadata"].get("namespace"), r["metadata"]["name"]): {key: r[key] for key in told if key in r}
            for r in roles
        }

    objects = helm.render({"watchNamespaces": watched})
    of_users = [one for one in of_kind(objects, "ClusterRole") if one["metadata"]["name"].startswith("headrace-trainingjobs-")]
    rendered = granted(objects)
    assert rendered == granted(rbac.manifests(NAMESPACE, watched))
    assert any(kind == "ClusterRole" for kind, _, _ in rendered) is not bool(watched)


def test_roles_of_users_come_and_stay_with_the_definition(helm: Helm) -> None:
    def of_users(values: Json) -> list[Json]:
        roles = of_kind(helm.render(values), "ClusterRole")
        return [role for role in roles if role["metadata"]["name"].startswith("headrace-trainingjobs-")]

    rendered, want = of_users({"watchNamespaces": ["team-a"]}), user_roles.user_roles()
    assert [(role["metadata"]["name"], role["rules"]) for role in rendered] == [(r["metadata"]["name"], r["rules"]) for r in want]
    for role, wanted in zip(rendered, want, strict=True):
        assert wanted["metadata"]["labels"].items() <= role["metadata"]["labels"].items()
        assert role["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert all("annotations" not in role["metadata"] for role in of_users({"crds": {"keep": False}}))
    assert not of_users({"crds": {"enabled": False}})
    assert not of_users({"rbac": {"userRoles": False}})


def test_roles_of_users_are_written_next_to_the_definition() -> None:
    assert (CHECKOUT / "crds/headrace.dev_user_roles.yaml").read_text() == user_roles.to_yaml()


@pytest.mark.parametrize("case", MATRIX)
def test_the_operators_pod_is_restricted(helm: Helm, case: str) -> None:
    (deployment,) = of_kind(helm.render(MATRIX[case]), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == USER
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


NAMES = {"name", "namespace", "serviceAccountName", "priorityClassName", "value", "image"}
MAPS_OF_WORDS = {"labels", "annotations", "matchLabels", "nodeSelector"}


def words(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What Kubernetes accepts only as strings, by its path: names, and values of labels and annotations."""
    if isinstance(node, list):
        for number, item in enumerate(node):
            yield from words(item, f"{path}[{number}]")
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in MAPS_OF_WORDS and isinstance(value, dict):
                yield from ((f"{path}.{key}.{name}", word) for name, word in value.items())
            elif key in NAMES and not isinstance(value, dict | list):
                yield f"{path}.{key}", value
            else:
                yield from words(value, f"{path}.{key}")


@pytest.mark.parametrize("override", [{}, {"fullnameOverride": "e1"}])
def test_names_that_look_like_numbers_stay_names(helm: Helm, override: Json) -> None:
    objects = [one for one in helm.render(NUMBERS | override, "4711", "2024") if one["kind"] != "CustomResourceDefinition"]
    found = [(f"{one['kind']}{path}", word) for one in objects for path, word in words(one)]
    assert len(found) > 200
    assert [(path, word) for path, word in found if not isinstance(word, str)] == []
    assert {one["metadata"].get("namespace") for one in objects} == {"4711", "5e3", None}
    assert {one["metadata"]["labels"]["app.kubernetes.io/instance"] for one in objects} == {"2024"}


def test_the_name_of_a_service_begins_with_a_letter(helm: Helm) -> None:
    """Kubernetes refuses other names for a Service, but allows them for a release."""
    for release, want in (
        ("2024", "headrace-2024-operator"),
        ("1headrace", "headrace-1headrace-operator"),
        ("a1", "a1-headrace-operator"),
    ):
        (service,) = of_kind(helm.render({}, release=release), "Service")
        assert service["metadata"]["name"] == want


def test_a_drain_may_evict_replicas_that_are_not_ready(helm: Helm) -> None:
    """They may wait long for a definition or a permission; without this setting two of them would block any drain."""
    (budget,) = of_kind(helm.render({}), "PodDisruptionBudget")
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_every_label_of_a_selector_is_on_the_operators_pods(helm: Helm) -> None:
    objects = helm.render({"networkPolicies": MATRIX["fenced"]["networkPolicies"], "operator": {"podLabels": {"team": "vision"}}})
    (deployment,) = of_kind(objects, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    (service,), (budget,) = of_kind(objects, "Service"), of_kind(objects, "PodDisruptionBudget")
    policy = next(one for one in of_kind(objects, "NetworkPolicy") if one["metadata"]["namespace"] == NAMESPACE)
    (spread,) = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
    selectors = [s["spec"]["selector"]["matchLabels"] for s in (deployment, budget)]
    selectors += [service["spec"]["selector"], policy["spec"]["podSelector"]["matchLabels"], spread["labelSelector"]["matchLabels"]]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels.items()


def test_trainers_are_found_as_the_operator_makes_them(helm: Helm) -> None:
    """The templates repeat words from the contract: labels, and the trainer's port by name and number."""
    want = {
        "matchLabels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
        "matchExpressions": [{"key": names.LABEL_JOB, "operator": "Exists"}],
    }
    objects = helm.render({**MATRIX["fenced"], **MATRIX["monitored"]})
    (monitor,) = of_kind(objects, "PodMonitor")
    policies = {one["metadata"]["namespace"]: one["spec"] for one in of_kind(objects, "NetworkPolicy")}
    assert set(policies) == {NAMESPACE, "team-a", "team-b"}
    assert monitor["spec"]["selector"] == want
    assert policies["team-a"]["podSelector"] == want
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == names.PORT_NAME
    assert policies["team-a"]["ingress"][0]["ports"] == [{"port": names.PORT, "protocol": "TCP"}]
    to_trainers = policies[NAMESPACE]["egress"][1]
    assert to_trainers["to"][0]["podSelector"] == want
    assert to_trainers["ports"] == [{"port": names.PORT, "protocol": "TCP"}]
    relabelled = {r["targetLabel"]: r["sourceLabels"] for r in endpoint["relabelings"]}
    labels = {"project": names.LABEL_PROJECT, "trainingjob": names.LABEL_JOB, "attempt": names.LABEL_ATTEMPT}
    as_prometheus_says = {name: ["__meta_kubernetes_pod_label_" + re.sub(r"\W", "_", label)] for name, label in labels.items()}
    assert relabelled == as_prometheus_says


def test_trainers_reach_the_storage_and_dns_and_nothing_else(helm: Helm) -> None:
    (policy,) = [
        one
        for one in of_kind(helm.render(MATRIX["fenced_namespaced"]), "NetworkPolicy")
        if one["metadata"]["namespace"] == "team-a"
    ]
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    by_address, by_label, dns = policy["spec"]["egress"]
    assert by_address == {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 443, "protocol": "TCP"}]}
    assert by_label["to"] == [
        {"namespaceSelector": {"matchLabels": {"team": "storage"}}, "podSelector": {"matchLabels": {}}},
    ]
    assert {(p["port"], p["protocol"]) for p in dns["ports"]} == {(53, "UDP"), (53, "TCP")}


def test_each_dashboard_is_a_config_map(helm: Helm) -> None:
    maps = of_kind(helm.render(MATRIX["dashboards"]), "ConfigMap")
    dashboards = {f"headrace-{file.name}": file.read_text() for file in (CHART / "dashboards").glob("*.json")}
    assert len(dashboards) >= 3
    assert {name: text for one in maps for name, text in one["data"].items()} == dashboards
    assert all(one["metadata"]["labels"]["grafana_dashboard"] == "1" for one in maps)


def test_a_second_release_has_its_own_names(helm: Helm) -> None:
    text = helm.run("template", "other", CHART, "--namespace", "there", "--values", helm.values(MATRIX["namespaced"]))
    (deployment,) = of_kind([one for one in yaml.safe_load_all(text) if one], "Deployment")
    assert deployment["metadata"]["name"] == "other-headrace-operator"
