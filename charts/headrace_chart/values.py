"""The chart's values: names, types, bounds, defaults, meaning. values.yaml, its schema and the chart's README come from here.

Types restrict each value by itself. The chart's `templates/_checks.tpl` checks how values fit together.
"""

from copy import copy
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from headrace_operator.settings import Settings

ELSEWHERE: Final = {
    "namespace": "the release's namespace",
    "watch_namespaces": "watchNamespaces",
    "trainer_image": "images",
    "trainer_pull_policy": "trainers.pullPolicy",
    "trainer_pull_secrets": "trainers.pullSecrets",
    "default_storage_secret": "trainers.defaultStorageSecret",
    "default_output_uri": "trainers.defaultOutputUri",
    "metrics_port": "metrics.port",
    "leader_lease_name": "the release's name, or fullnameOverride",
}
"""Settings of the operator that other values set; `operator.settings` has the rest."""

Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
ObjectName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")]
Namespaces = Annotated[list[Namespace], Field(json_schema_extra={"uniqueItems": True})]
ObjectNames = Annotated[list[ObjectName], Field(json_schema_extra={"uniqueItems": True})]
Port = Annotated[int, Field(ge=1, le=65535)]
Cidr = Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]
Duration = Annotated[str, Field(min_length=2, pattern=r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$")]
Amounts = dict[str, Annotated[str, Field(min_length=1)] | float]
PullPolicy = Literal["Always", "IfNotPresent", "Never"]
Strings = dict[str, str]


class Model(BaseModel):
    """Refuses values that are not fields, and names them."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, populate_by_name=True)


def _tuning() -> type[Model]:
    """The operator's settings, without those in ELSEWHERE. Names, bounds, defaults and descriptions are the operator's own."""
    fields: dict[str, Any] = {
        name: (field.annotation, copy(field)) for name, field in Settings.model_fields.items() if name not in ELSEWHERE
    }
    model: type[Model] = create_model("Tuning", __base__=Model, **fields)
    return model


Tuning = _tuning()


class Images(Model):
    """Where the images are."""

    repository: str = Field(
        "",
        description="Registry and folder of the images: the part before `/headrace-operator` and `/headrace-trainer`.",
    )
    tag: str = Field("", description='Their tag. "": the chart\'s appVersion.')
    operator: str = Field("", description="The operator's whole image name, with tag or digest, instead of the two above.")
    trainer: str = Field("", description="The same for trainers, unless a job names its own image.")
    pull_policy: PullPolicy = Field("IfNotPresent", description="Pull policy of the operator's image.")
    pull_secrets: ObjectNames = Field([], description="Secrets in the release's namespace for pulling the operator's image.")


class Trainers(Model):
    """What trainer pods get unless their job says otherwise."""

    pull_policy: Literal["", "Always", "IfNotPresent", "Never"] = Field(
        "", description="Pull policy of trainers' images. \"\": Kubernetes' own default, by the image's tag."
    )
    pull_secrets: ObjectNames = Field(
        [], description="Secrets for pulling trainers' images. Create them in every namespace that has jobs: the chart does not."
    )
    default_storage_secret: ObjectName | Literal[""] = Field(
        "", description='Secret, in the job\'s namespace, for jobs without spec.storage. "": these jobs end in Error.'
    )
    default_output_uri: Annotated[str, Field(pattern=r"^(s3://.+)?$")] = Field(
        "", description='s3:// folder for jobs without spec.output. "": these jobs end in Error.'
    )


class Resources(Model):
    """Requests and limits of a container."""

    requests: Amounts = Field({"cpu": "100m", "memory": "128Mi"}, description="What the node reserves for it.")
    limits: Amounts = Field({"memory": "512Mi"}, description="The most it may use. No CPU limit: one would only slow it down.")


class Toleration(Model):
    """A taint that the pods tolerate, as in a pod."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Affinity(Model):
    """As in a pod; the API server checks the nested fields."""

    node_affinity: dict[str, Any] | None = None
    pod_affinity: dict[str, Any] | None = None
    pod_anti_affinity: dict[str, Any] | None = None


class Spread(Model):
    """A topology spread constraint, as in a pod. The chart adds the selector of the operator's pods."""

    max_skew: Annotated[int, Field(ge=1)]
    topology_key: Annotated[str, Field(min_length=1)]
    when_unsatisfiable: Literal["ScheduleAnyway", "DoNotSchedule"]
    min_domains: Annotated[int, Field(ge=1)] | None = None
    node_affinity_policy: Literal["Honor", "Ignore"] | None = None
    node_taints_policy: Literal["Honor", "Ignore"] | None = None


class EnvironmentVariable(Model):
    """As in a container."""

    name: Annotated[str, Field(min_length=1)]
    value: str | None = None
    value_from: dict[str, Any] | None = None


class Budget(Model):
    """The PodDisruptionBudget."""

    enabled: bool = Field(True, description="Create one.")
    max_unavailable: Annotated[int, Field(ge=1)] = Field(
        1, description="How many replicas a drain may evict at once. The chart refuses 0, which would block every drain."
    )


class Operator(Model):
    """The operator's Deployment."""

    replicas: Annotated[int, Field(ge=1)] = Field(
        2,
        description="One replica leads, by a Lease; the others stand by. They take over at once after an orderly exit, and within "
        "leaderLease after a crash.",
    )
    settings: Tuning = Field(  # type: ignore[valid-type]  # a model created from another
        default_factory=Tuning, description="The operator's own settings; each is an environment variable HEADRACE_<NAME>."
    )
    extra_env: list[EnvironmentVariable] = Field(
        [],
        description="Additional variables, such as POD_IP from status.podIP. They come first, so a setting may refer to one as "
        "$(POD_IP). HTTPS_PROXY and NO_PROXY (with ranges such as 10.96.0.0/12) apply to requests to the API server.",
    )
    resources: Resources = Field(default_factory=Resources, description="Requests and limits.")
    pod_disruption_budget: Budget = Field(default_factory=Budget, description="How many replicas a drain may evict.")
    topology_spread_constraints: list[Spread] = Field(
        [Spread(max_skew=1, topology_key="kubernetes.io/hostname", when_unsatisfiable="ScheduleAnyway")],
        description="How replicas spread over nodes.",
    )
    priority_class_name: ObjectName | Literal[""] = Field("", description="PriorityClass of its pods.")
    node_selector: Strings = Field({}, description="Labels that the node must have.")
    tolerations: list[Toleration] = Field([], description="Taints that its pods tolerate.")
    affinity: Affinity = Field(default_factory=Affinity, description="Affinity of its pods, in a pod's format.")
    pod_labels: Strings = Field({}, description="Additional labels of its pods.")
    pod_annotations: Strings = Field({}, description="Annotations of its pods.")


class ServiceAccount(Model):
    """The account that the operator runs as."""

    create: bool = Field(True, description="Create the account.")
    name: ObjectName | Literal[""] = Field("", description='Its name. "": the Deployment\'s.')
    annotations: Strings = Field({}, description="Annotations of the account.")


class Rbac(Model):
    """The operator's permissions."""

    create: bool = Field(
        True, description="Create roles with exactly the verbs that the operator uses, and bind them to the account."
    )
    user_roles: bool = Field(
        True,
        description="Create ClusterRoles that extend admin, edit and view of a namespace to its TrainingJobs. One set serves the "
        "cluster: the chart creates it with the definition (crds.enabled), and keeps it with the definition.",
    )


class Crds(Model):
    """The TrainingJob CustomResourceDefinition."""

    enabled: bool = Field(
        True,
        description="Install it, and update it with every upgrade. With false, the release needs no cluster-wide permission for "
        "it: an administrator applies `crds/` once.",
    )
    keep: bool = Field(
        True,
        description="Keep it, and so every TrainingJob, when you uninstall the release. With false, uninstalling deletes both, "
        "and so does a rollback to a revision that had crds.enabled=false; the chart refuses an upgrade to crds.enabled=false.",
    )


class Service(Model):
    """The Service in front of the operator's port."""

    enabled: bool = Field(True, description="Create it.")
    annotations: Strings = Field({}, description="Annotations of the Service.")


class Monitor(Model):
    """A ServiceMonitor or PodMonitor of the Prometheus Operator."""

    enabled: bool = Field(False, description="Create it. Needs the Prometheus Operator's CRDs.")
    labels: Strings = Field({}, description="Labels by which your Prometheus selects it, such as `release: prometheus`.")
    interval: Duration = Field("15s", description="Pause between two scrapes.")
    scrape_timeout: Duration = Field("10s", description="No longer than the interval.")


class Rules(Model):
    """Alerts, as a PrometheusRule. They need what both monitors scrape."""

    enabled: bool = Field(False, description="Create them.")
    labels: Strings = Field({}, description="Labels by which your Prometheus selects the PrometheusRule.")
    alert_labels: Strings = Field({}, description="Additional labels of every alert, such as a team.")
    queue_stuck_minutes: Annotated[int, Field(ge=1)] = Field(
        30,
        description="HeadraceQueueStuck, HeadraceJobStuckStarting and HeadracePodLost: how long a project may make no progress.",
    )
    checkpoint_age_minutes: Annotated[int, Field(ge=1)] = Field(
        60,
        description="HeadraceCheckpointTooOld: how much training is at risk. Must exceed your jobs' checkpoint interval.",
    )


class Metrics(Model):
    """Prometheus."""

    port: Port = Field(8081, description="The operator's port for /metrics, /healthz and /readyz.")
    service: Service = Field(default_factory=Service, description="The Service in front of it.")
    service_monitor: Monitor = Field(default_factory=Monitor, description="Scrapes the operator.")
    pod_monitor: Monitor = Field(
        default_factory=Monitor,
        description="Scrapes trainers, and adds the labels project, trainingjob and attempt.",
    )
    rules: Rules = Field(default_factory=Rules, description="Alerts.")


class Dashboards(Model):
    """Grafana dashboards, as ConfigMaps for Grafana's sidecar."""

    enabled: bool = Field(False, description="Create them.")
    labels: Strings = Field({"grafana_dashboard": "1"}, description="Labels by which Grafana's sidecar finds them.")
    annotations: Strings = Field({}, description="Annotations, such as the one that sets the folder in Grafana.")


class Peer(Model):
    """Addresses, or pods by their own and their namespace's labels. An empty field does not restrict anything."""

    cidrs: list[Cidr] = Field([], description="Address ranges.")
    namespace_labels: Strings = Field({}, description="Labels of the pods' namespace.")
    pod_labels: Strings = Field({}, description="Labels of the pods.")


class Destination(Peer):
    """A peer, and its ports."""

    ports: Annotated[list[Port], Field(min_length=1)] = Field(description="TCP ports.")


class NetworkPolicies(Model):
    """NetworkPolicies for the operator and for trainers. They have an effect only if your CNI enforces them."""

    enabled: bool = Field(False, description="Create them.")
    job_namespaces: Namespaces = Field(
        [], description="Namespaces that get the trainers' policy. []: watchNamespaces; set one of the two."
    )
    storage: list[Destination] = Field(
        [],
        description="The object storage: apart from DNS, trainers reach nothing else. Required; an item has ports, and cidrs or "
        "labels.",
    )
    prometheus: Peer = Field(
        Peer(namespace_labels={"kubernetes.io/metadata.name": "monitoring"}),
        description="Who may scrape trainers and the operator.",
    )
    dns: Destination = Field(
        Destination(
            cidrs=["169.254.20.10/32"],
            namespace_labels={"kubernetes.io/metadata.name": "kube-system"},
            pod_labels={"k8s-app": "kube-dns"},
            ports=[53],
        ),
        description="The DNS servers, over UDP and TCP; the address is NodeLocal DNSCache's. OpenShift: namespaceLabels "
        "kubernetes.io/metadata.name openshift-dns, podLabels dns.operator.openshift.io/daemonset-dns default, ports [5353].",
    )
    api_server: Destination = Field(
        Destination(cidrs=["0.0.0.0/0", "::/0"], ports=[443, 6443]),
        description="The API server, as seen behind its Service. By default any address, and the ports of most clusters; minikube "
        "uses 8443, MicroK8s 16443. `kubectl get endpointslices kubernetes` shows yours.",
    )


class Values(Model):
    """All values of the chart."""

    images: Images = Field(default_factory=Images, description="Where the images are.")
    trainers: Trainers = Field(default_factory=Trainers, description="What trainer pods get unless their job says otherwise.")
    watch_namespaces: Namespaces = Field(
        [],
        description="Namespaces whose TrainingJobs the operator runs; they must exist. It gets Roles there and no cluster-wide "
        "permission. []: the whole cluster.",
    )
    operator: Operator = Field(default_factory=Operator, description="The operator's Deployment.")
    service_account: ServiceAccount = Field(default_factory=ServiceAccount, description="The account that the operator runs as.")
    rbac: Rbac = Field(default_factory=Rbac, description="The operator's permissions.")
    crds: Crds = Field(default_factory=Crds, description="The TrainingJob CustomResourceDefinition.")
    metrics: Metrics = Field(default_factory=Metrics, description="Prometheus.")
    dashboards: Dashboards = Field(default_factory=Dashboards, description="Grafana dashboards, as ConfigMaps for its sidecar.")
    network_policies: NetworkPolicies = Field(
        default_factory=NetworkPolicies,
        description="Which pods may connect to which. They have an effect only if your CNI enforces them.",
    )
    fullname_override: Annotated[str, Field(max_length=40, pattern=r"^([a-z]([-a-z0-9]*[a-z0-9])?)?$")] = Field(
        "", description='Prefix of object names. "": the release\'s name, with `headrace` if it lacks that word.'
    )
