"""Finds the API server and our credentials for it, through the `kubernetes` package's configuration.

A kubeconfig can hold certificates, tokens, token files, exec plugins, OIDC and a proxy; a pod has its service account.
"""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.kube_config import KubeConfigLoader

from headrace_kube.errors import NoClusterError
from headrace_kube.plugins import within
from headrace_kube.proxies import proxy_for

logger = logging.getLogger(__name__)

RENEW_SECONDS = 60
"""How often token files are reread and tokens checked for expiry; client-go also does it every minute."""
DOUBT_SECONDS = 10
"""How long to wait before rereading a kubeconfig whose credentials the server refuses: each reading runs the exec plugin."""
PLUGIN_SECONDS = 15
"""How long a request waits for an exec plugin or an OIDC provider before it is sent with the old credentials."""

UNUSABLE = (ConfigException, OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError)
"""What the package raises for a kubeconfig that it cannot use: it validates very little."""


class Connection:
    """One API server and one user. `connect` makes it.

    Args:
        configuration: the configuration for the package's clients.
        kubeconfig: the file it comes from; None for a service account, whose token the package rereads by itself.
        loader: the package's reader of `kubeconfig`, which remembers when a plugin's token expires.
    """

    def __init__(
        self, configuration: Configuration, kubeconfig: "Kubeconfig | None" = None, loader: KubeConfigLoader | None = None
    ) -> None:
        self.configuration = configuration
        self._kubeconfig = kubeconfig
        self._loader = loader
        self._read = time.monotonic()
        self._refused = False

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self.configuration.host)

    async def authorization(self) -> str | None:
        """Returns the Authorization header for a request sent now; None if a client certificate identifies us.

        Raises:
            OSError, ConfigException: the service account's token cannot be read.
        """
        if self._kubeconfig is not None and time.monotonic() - self._read > (DOUBT_SECONDS if self._doubtful else RENEW_SECONDS):
            self._read = time.monotonic()  # before we wait, so that requests sent in the meantime use the old credentials
            await self._renew(self._kubeconfig)
        header = await self.configuration.get_api_key_with_prefix("BearerToken")
        return header.strip() if header else None

    def refused(self) -> None:
        """Call this if the server rejects the credentials (401): they are then reread, however fresh they look."""
        self._refused = True

    @property
    def _doubtful(self) -> bool:
        """Whether the server rejects the credentials, or a failed plugin left us without any."""
        anonymous = not self.configuration.api_key and not self.configuration.cert_file
        return self._refused or (anonymous and self.server.startswith("https"))

    async def _renew(self, kubeconfig: "Kubeconfig") -> None:
        try:
            if self._loader is None or self._doubtful:
                self._loader = await kubeconfig.load(self.configuration)
                self._refused = False
            else:
                await within(PLUGIN_SECONDS, self._loader.load_and_set(self.configuration))
        except UNUSABLE as error:
            logger.warning("credentials of %s cannot be renewed: %s: %s", kubeconfig.paths, type(error).__name__, error)


@dataclass(frozen=True)
class Kubeconfig:
    """One file, or several joined by ":" as in $KUBECONFIG. The first file that sets a current context decides, as for kubectl."""

    paths: str

    async def load(self, configuration: Configuration) -> KubeConfigLoader:
        """Configures `configuration`, within PLUGIN_SECONDS if a plugin has to run. Raises one of UNUSABLE."""
        merged = [(path, content) for path, content in self._contents() if content]
        context = next((content["current-context"] for _, content in merged if content.get("current-context")), None)
        paths = os.pathsep.join(path for path, _ in merged) or self.paths
        loading = load_kube_config(paths, context=context, client_configuration=configuration, persist_config=False)
        loader: KubeConfigLoader = await within(PLUGIN_SECONDS, loading)
        if configuration.host.startswith("https") and not configuration.api_key and not configuration.cert_file:
            logger.warning("kubeconfig %s gives no credentials: until it does, requests are anonymous", self.paths)
        return loader

    def _contents(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each file with its content. Of several files, those that do not exist are skipped."""
        paths = [path for path in self.paths.split(os.pathsep) if path]
        for path in paths:
            if len(paths) == 1 or Path(path).exists():
                yield path, yaml.safe_load(Path(path).read_text())


async def connect(kubeconfig: Path | None = None, environ: Mapping[str, str] = os.environ) -> Connection:
    """Connects with `kubeconfig`, else with $KUBECONFIG, else with ~/.kube/config, else with the pod's service account.

    Raises:
        NoClusterError: none of these exists, or the first one that does cannot be used.
    """
    paths = str(kubeconfig) if kubeconfig is not None else _default_kubeconfig(environ)
    connection = await _from_kubeconfig(Kubeconfig(paths)) if paths else _from_service_account()
    configuration = connection.configuration
    try:
        configuration.proxy = configuration.proxy or proxy_for(connection.server, environ)
    except ValueError as error:
        raise NoClusterError(f"server {connection.server}: {error}") from error
    if configuration.proxy and not configuration.proxy.startswith(("http://", "https://")):
        scheme = configuration.proxy.partition("://")[0]  # the rest may hold a password
        raise NoClusterError(f"the proxy's scheme is {scheme}: only http and https proxies can be used")
    return connection


def _default_kubeconfig(environ: Mapping[str, str]) -> str | None:
    if named := environ.get("KUBECONFIG"):
        return named
    default = Path("~/.kube/config").expanduser()
    return str(default) if default.exists() else None


async def _from_kubeconfig(kubeconfig: Kubeconfig) -> Connection:
    configuration = Configuration()
    try:
        loader = await kubeconfig.load(configuration)
    except TimeoutError as error:
        raise NoClusterError(f"kubeconfig {kubeconfig.paths}: its exec plugin takes more than {PLUGIN_SECONDS} s") from error
    except UNUSABLE as error:
        raise NoClusterError(f"kubeconfig {kubeconfig.paths} cannot be used: {error}") from error
    return Connection(configuration, kubeconfig, loader)


def _from_service_account() -> Connection:
    """The pod's account, at the address that the kubelet gives every pod, so no DNS server is needed."""
    configuration = Configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        what = "set KUBECONFIG to a kubeconfig file, or run in a pod with a service account"
        raise NoClusterError(f"no API server configured: {what} ({error})") from error
    return Connection(configuration)
