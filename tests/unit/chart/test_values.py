"""Which values the chart refuses and with which message, and that values reach each setting of the operator."""

import json
from typing import Any

import pytest

from headrace_chart.generate import files
from headrace_chart.values import ELSEWHERE
from headrace_operator.settings import Settings
from headrace_testing.charts import CHART, NAMESPACE, RELEASE, STORAGE, Helm, HelmError, of_kind

Json = dict[str, Any]
MONITORS = {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}

REFUSED: dict[str, tuple[Json, str]] = {
    # Contradictions, refused by the chart.
    "no images": ({"images": {}}, "images.repository is not set"),
    "one image of two": ({"images": {"trainer": "t:1"}}, "images.repository is not set"),
    "cap below base": (
        {"operator": {"settings": {"backoffBase": 60, "backoffCap": 30}}},
        r"backoffCap \(30\) must be at least operator.settings.backoffBase \(60\)",
    ),
    "a setting given as a variable": (
        {"operator": {"extraEnv": [{"name": "HEADRACE_WORKERS", "value": "1"}]}},
        "extraEnv sets HEADRACE_WORKERS",
    ),
    "a variable twice": ({"operator": {"extraEnv": [{"name": "A"}, {"name": "A"}]}}, "extraEnv sets A twice"),
    "a label of the selector": (
        {"operator": {"podLabels": {"app.kubernetes.io/name": "x"}}},
        "by which the Deployment selects its pods",
    ),
    "no account": ({"serviceAccount": {"create": False}}, "serviceAccount.name is empty"),
    "nothing to remove": ({"crds": {"enabled": False, "keep": False}}, "crds.keep and crds.enabled are both false"),
    "a monitor without a Service": (
        {"metrics": {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}},
        "metrics.serviceMonitor.enabled needs metrics.service.enabled",
    ),
    "alerts without metrics": (
        {"metrics": {"rules": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
        "needs .* metrics.podMonitor.enabled",
    ),
    "a scrape that takes longer than its interval": (
        {"metrics": {"serviceMonitor": {"enabled": True, "interval": "1m", "scrapeTimeout": "1m30s"}}},
        r"metrics.serviceMonitor.scrapeTimeout \(1m30s\) must be at most metrics.serviceMonitor.interval \(1m\)",
    ),
    "a scrape of trainers that takes longer": (
        {"metrics": {"podMonitor": {"enabled": True, "interval": "500ms", "scrapeTimeout": "1s"}}},
        r"metrics.podMonitor.scrapeTimeout \(1s\) must be at most metrics.podMonitor.interval \(500ms\)",
    ),
    "cut off from storage": ({"networkPolicies": {"enabled": True}, "watchNamespaces": ["a"]}, "needs networkPolicies.storage"),
    "storage that selects nothing": (
        {"networkPolicies": {"enabled": True, "storage": [{"ports": [443]}]}, "watchNamespaces": ["a"]},
        r"networkPolicies.storage\[0\] has no addresses and no labels",
    ),
    "a Prometheus that selects nothing": (
        {
            "networkPolicies": {"enabled": True, "storage": STORAGE, "prometheus": {"namespaceLabels": None}},
            "watchNamespaces": ["a"],
        },
        "networkPolicies.prometheus has no addresses and no labels",
    ),
    "isolation of nothing": ({"networkPolicies": {"enabled": True, "storage": STORAGE}}, "jobNamespaces or watchNamespaces"),
    "isolation where nothing runs": (
        {"networkPolicies": {"enabled": True, "storage": STORAGE, "jobNamespaces": ["b"]}, "watchNamespaces": ["a"]},
        "jobNamespaces has b, but watchNamespaces does not",
    ),
    # Values that are wrong by themselves, refused by the schema.
    "an unknown value": ({"replicas": 2}, "additional properties 'replicas' not allowed"),
    "an unknown setting": ({"operator": {"settings": {"worker": 2}}}, "additional properties 'worker' not allowed"),
    "no replica": ({"operator": {"replicas": 0}}, r"/operator/replicas'.*minimum: got 0, want 1"),
    "a namespace twice": ({"watchNamespaces": ["a", "b", "a"]}, r"/watchNamespaces'.*items at 0 and 2 are equal"),
    "an invalid namespace": ({"watchNamespaces": ["Team_A"]}, r"/watchNamespaces/0'.*does not match pattern"),
    "namespaces as a string": ({"watchNamespaces": "a,b"}, r"/watchNamespaces'.*got string, want array"),
    "pull secrets as Kubernetes has them": (
        {"images": {"pullSecrets": [{"name": "x"}]}},
        r"/images/pullSecrets/0'.*got object, want string",
    ),
    "a pull secret alone": ({"trainers": {"pullSecrets": "x"}}, r"/trainers/pullSecrets'.*got string, want array"),
    "an unknown pull policy": ({"images": {"pullPolicy": "Sometimes"}}, r"/images/pullPolicy'.*must be one of"),
    "an output that is a folder": (
        {"trainers": {"defaultOutputUri": "/runs"}},
        r"/trainers/defaultOutputUri'.*does not match pattern",
    ),
    "a duration that Prometheus cannot read": (
        {"metrics": {"podMonitor": {"interval": "30s1m"}}},
        r"/podMonitor/interval'.*does not match pattern",
    ),
    "a name that no object may have": ({"fullnameOverride": "Vision"}, r"/fullnameOverride'.*does not match pattern"),
    "a name that no Service may have": ({"fullnameOverride": "2024"}, r"/fullnameOverride'.*does not match pattern"),
    "an invalid account name": ({"serviceAccount": {"name": "a_b"}}, r"/serviceAccount/name'.*"),
    "an invalid priority class": ({"operator": {"priorityClassName": "High"}}, r"/operator/priorityClassName'.*"),
    "an invalid port": ({"metrics": {"port": 0}}, r"/metrics/port'.*minimum"),
    "too many workers": (
        {"operator": {"settings": {"workers": 5000}}},
        r"/operator/settings/workers'.*maximum: got 5,?000, want 1,?024",
    ),
    "a budget that stops drains": ({"operator": {"podDisruptionBudget": {"maxUnavailable": 0}}}, r"/maxUnavailable'.*minimum"),
    "storage without ports": (
        {"networkPolicies": {"storage": [{"cidrs": ["10.0.0.0/8"]}]}},
        r"/storage/0'.*missing property 'ports'",
    ),
    "an address without a range": (
        {"networkPolicies": {"storage": [{"cidrs": ["10.0.0.1"], "ports": [443]}]}},
        r"/cidrs/0'.*does not match pattern",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_values_are_refused_with_the_reason(helm: Helm, case: str) -> None:
    values, want = REFUSED[case]
    with pytest.raises(HelmError, match=want):
        helm.template(values)


SCRAPES = [("1m30s", "90s"), ("500ms", "500ms"), ("1h", "59m59s999ms"), ("2m", "08s"), ("1s", "1000ms"), ("1h1m", "61m")]


@pytest.mark.parametrize(("interval", "timeout"), SCRAPES)
def test_a_scrape_may_take_as_long_as_its_interval(helm: Helm, interval: str, timeout: str) -> None:
    monitor = {"enabled": True, "interval": interval, "scrapeTimeout": timeout}
    assert of_kind(helm.render({"metrics": {"serviceMonitor": monitor, "podMonitor": monitor}}), "PodMonitor")


@pytest.mark.parametrize("old", ["1.30.9", "v1.30.3-gke.100"])
def test_a_cluster_that_is_too_old_is_refused(helm: Helm, old: str) -> None:
    with pytest.raises(HelmError, match=f"kubeVersion: >=1.31.0-0 which is incompatible with Kubernetes v{old.removeprefix('v')}"):
        helm.run("template", RELEASE, CHART, "--values", helm.values({}), "--kube-version", old)


@pytest.mark.parametrize("new", ["1.31.0", "v1.32.1-eks-1a2b3c4", "1.35.4"])
def test_a_newer_cluster_is_not_refused(helm: Helm, new: str) -> None:
    assert helm.run("template", RELEASE, CHART, "--values", helm.values({}), "--kube-version", new)


PLACES: dict[str, tuple[Json, Any]] = {
    "watch_namespaces": ({"watchNamespaces": ["a", "b"]}, ("a", "b")),
    "trainer_image": ({"images": {"repository": "r", "trainer": "t:2"}}, "t:2"),
    "trainer_pull_policy": ({"trainers": {"pullPolicy": "Never"}}, "Never"),
    "trainer_pull_secrets": ({"trainers": {"pullSecrets": ["x", "y"]}}, ("x", "y")),
    "default_storage_secret": ({"trainers": {"defaultStorageSecret": "keys"}}, "keys"),
    "default_output_uri": ({"trainers": {"defaultOutputUri": "s3://runs/"}}, "s3://runs/"),
    "metrics_port": ({"metrics": {"port": 9000}}, 9000),
    "leader_lease_name": ({"fullnameOverride": "vision"}, "vision-operator.headrace.dev"),
}
"""Settings outside `operator.settings`: the values that set them, and what the operator then gets."""


def settings_of(helm: Helm, values: Json) -> Settings:
    """The settings of an operator started with the rendered environment."""
    (deployment,) = of_kind(helm.render(values), "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    environment = {one["name"]: one.get("value", "") for one in container["env"]}
    assert len(environment) == len(container["env"])
    unknown = {name for name in environment if name.removeprefix("HEADRACE_").lower() not in Settings.model_fields}
    assert not unknown
    (namespace,) = [one for one in container["env"] if one["name"] == "HEADRACE_NAMESPACE"]
    assert namespace["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
    return Settings.from_environment(environment | {"HEADRACE_NAMESPACE": NAMESPACE})


def test_by_default_the_operator_has_its_own_defaults(helm: Helm) -> None:
    settings = settings_of(helm, {})
    assert settings == Settings(trainer_image=settings.trainer_image)


def test_every_setting_outside_operator_settings_is_tested() -> None:
    assert set(PLACES) | {"namespace"} == set(ELSEWHERE)


@pytest.mark.parametrize("name", PLACES)
def test_settings_outside_operator_settings_reach_the_operator(helm: Helm, name: str) -> None:
    values, want = PLACES[name]
    assert getattr(settings_of(helm, values), name) == want


def test_all_other_settings_reach_the_operator(helm: Helm) -> None:
    """Each gets a value other than its default."""
    words = {"listen_host": "127.0.0.1", "log_level": "ERROR"}
    others = {name: field.default for name, field in Settings.model_fields.items() if name not in ELSEWHERE}
    changed = {name: words[name] if name in words else default + 1 for name, default in others.items()}
    camel = {
        "".join([first, *map(str.title, rest)]): value for (first, *rest), value in ((n.split("_"), v) for n, v in changed.items())
    }
    settings = settings_of(helm, {"operator": {"settings": camel}})
    assert {name: getattr(settings, name) for name in changed} == changed


def walk(node: Any) -> Any:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(value)


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    closed = [node for node in walk(schema) if "properties" in node and node.get("type") == "object"]
    assert len(closed) > 15
    assert all(node["additionalProperties"] is False for node in closed)


def test_the_generated_files_are_up_to_date() -> None:
    for path, text in files().items():
        assert (CHART / path).read_text() == text, f"{path}: run `make manifests`"


def test_the_chart_can_be_part_of_another(helm: Helm) -> None:
    assert of_kind(helm.render({"global": {"anything": 1}}), "Deployment")
