"""The TrainingJob CustomResourceDefinition: reads its text, and creates it in a cluster."""

from importlib import resources
from pathlib import Path

import yaml

from headrace_local.access import ClusterAccess

FILE_NAME = "headrace.dev_trainingjobs.yaml"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def crd_text() -> str:
    """The YAML, from the installed package or from the checkout.

    Raises:
        FileNotFoundError: neither place has it.
    """
    package = resources.files("headrace_api")
    installed = package / FILE_NAME
    if installed.is_file():
        return installed.read_text()
    # In a checkout the generated file is beside the package (`make manifests`).
    return (Path(str(package)).parent / FILE_NAME).read_text()


def create_contract(cluster: ClusterAccess) -> None:
    """Creates the CustomResourceDefinition and waits until the API server serves it."""
    definition = yaml.safe_load(crd_text())
    name = definition["metadata"]["name"]
    with cluster.api() as api:
        api.request("POST", DEFINITIONS, definition)

        def established() -> bool:
            status = api.request("GET", f"{DEFINITIONS}/{name}").get("status", {})
            return any(c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or ())

        cluster.wait_until(established, f"CustomResourceDefinition {name} is established")
