"""The TrainingJob CustomResourceDefinition: reads its text, and creates it in a cluster."""

from importlib import resources
from pathlib import Path

import yaml

from headrace_local.access import ClusterAccess, found

FILE_NAME = "headrace.dev_trainingjobs.yaml"


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
    from kubernetes import client

    definition = yaml.safe_load(crd_text())
    name = definition["metadata"]["name"]
    with cluster.api() as api:
        extensions = client.ApiextensionsV1Api(api)
        extensions.create_custom_resource_definition(definition)

        def established() -> bool:
            served = found(lambda: extensions.read_custom_resource_definition(name))
            return any(c.type == "Established" and c.status == "True" for c in served.status.conditions or ())

        cluster.wait_until(established, f"CustomResourceDefinition {name} is established")
