"""`python -m headrace_operator run` and `python -m headrace_operator rbac`."""

import argparse
import asyncio
import logging
import os
import secrets
import socket
import sys
from collections.abc import Sequence

from headrace_operator import handlers, permissions, rbac
from headrace_operator.api import ApiError, NotFoundError
from headrace_operator.connection import NoClusterError, connect
from headrace_operator.kube import Kube
from headrace_operator.metrics import Metrics
from headrace_operator.replica import Replica
from headrace_operator.serving import Server
from headrace_operator.settings import PREFIX, BadSettingsError, Settings

logger = logging.getLogger("headrace_operator")

PREFLIGHT_SECONDS = 1
"""Pause between two tries to reach a cluster that is ready for an operator."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 when what it was given makes no sense."""
    options = _parser().parse_args(arguments)
    if options.command == "rbac":
        watched = tuple(name.strip() for name in options.watch_namespaces.split(",") if name.strip())
        sys.stdout.write(rbac.to_yaml(rbac.manifests(options.namespace, watched)))
        return 0
    try:
        settings = Settings.from_environment(os.environ)
        logging.basicConfig(level=settings.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        handlers.quiet_kopf()
        asyncio.run(run(settings))
    except (BadSettingsError, NoClusterError) as error:
        sys.stderr.write(f"headrace-operator: {error}\n")
        return 2
    return 0


async def run(settings: Settings) -> None:
    """One replica, from start to SIGTERM."""
    metrics = Metrics()
    identity = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    async with Kube(connect(), metrics.count_request) as kube:
        # 1. Wait for a cluster that is ready; say what is missing.
        await _preflight(kube, settings)
        replica = Replica(kube, settings, metrics, identity)
        # 2. Answer probes; compete for the Lease; watch, until SIGTERM or SIGINT comes, which kopf handles.
        ending = asyncio.Event()
        watching = asyncio.create_task(handlers.watch(replica.cache, replica.queue, settings, ending))
        async with Server(replica, settings):
            ours = asyncio.create_task(replica.run())
            signal = asyncio.create_task(ending.wait())
            await asyncio.wait([ours, watching, signal], return_when=asyncio.FIRST_COMPLETED)
            # 3. Stop the work first, then give the Lease away (replica.run does), so that two never act at once.
            signal.cancel()
            ours.cancel()
            await asyncio.wait([ours])
        # 4. kopf's end waits for every task that began after its own; only now are there none.
        if not ending.is_set():
            watching.cancel()
        for result in await asyncio.gather(ours, watching, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


async def _preflight(kube: Kube, settings: Settings) -> None:
    """Returns once the API server answers and knows TrainingJobs. A missing permission is told, and met again when it is needed."""
    while True:
        try:
            for line in await permissions.missing(kube, settings):
                logger.error("this account %s; apply the output of `python -m headrace_operator rbac`", line)
            for namespace in settings.watch_namespaces or (None,):
                await kube.list_all_jobs(namespace)
            return
        except NotFoundError:
            logger.error("the API server knows no TrainingJobs: apply the CustomResourceDefinition (kubectl apply -f crds/)")
        except ApiError as error:
            logger.error("not ready to work: %s", error)
        await asyncio.sleep(PREFLIGHT_SECONDS)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headrace-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    variables = "\n".join(f"  {PREFIX + name.upper():40} {field.description}" for name, field in Settings.model_fields.items())
    commands.add_parser(
        "run",
        help="run one replica of the operator",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs one replica of the operator on KUBECONFIG, or in a pod on its service account.",
        epilog=f"environment:\n{variables}",
    )
    roles = commands.add_parser("rbac", help="print the service account and roles that the operator needs, as YAML")
    roles.add_argument("--namespace", required=True, help="the operator's own namespace")
    roles.add_argument("--watch-namespaces", default="", help="namespaces to serve, with commas between them; default: all")
    return parser


if __name__ == "__main__":
    sys.exit(main())
