"""`python -m headrace_operator run` and `python -m headrace_operator rbac`."""

import argparse
import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence

from headrace_api.environment import BadSettingsError, variable
from headrace_kube.connection import connect
from headrace_kube.errors import NoClusterError
from headrace_operator import handlers, rbac
from headrace_operator.kube import Kube
from headrace_operator.metrics import Metrics
from headrace_operator.preflight import Preflight
from headrace_operator.replica import Replica
from headrace_operator.serving import Server
from headrace_operator.settings import NAME, Settings, described

logger = logging.getLogger("headrace_operator")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 for bad settings or no cluster."""
    options = _parser().parse_args(arguments)
    if options.command == "rbac":
        watched = tuple(name.strip() for name in options.watch_namespaces.split(",") if name.strip())
        sys.stdout.write(
            rbac.to_yaml(rbac.manifests(options.namespace, watched, name=options.name, account=options.service_account))
        )
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
    async with Kube(await connect(), metrics.count_request) as kube:
        replica = Replica(kube, settings, metrics, identity)
        ending = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ending.set)
        async with Server(replica, settings):
            # 1. Wait for a cluster that is ready, and log what is missing. 2. Compete for the Lease, watch, act.
            working = asyncio.create_task(_work(kube, replica, settings, ending))
            ended = asyncio.create_task(ending.wait())
            await asyncio.wait([working, ended], return_when=asyncio.FIRST_COMPLETED)
            # 3. Stop acting and release the Lease (in replica.run), so that another replica takes over immediately.
            for task in (working, ended):
                task.cancel()
            for result in await asyncio.gather(working, ended, return_exceptions=True):
                if isinstance(result, Exception):
                    raise result


async def _work(kube: Kube, replica: Replica, settings: Settings, ending: asyncio.Event) -> None:
    await Preflight(kube, settings).passed()
    async with asyncio.TaskGroup() as group:
        group.create_task(replica.run())
        group.create_task(handlers.watch(replica.cache, replica.enqueue, settings, ending, replica.list_again))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headrace-operator", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    variables = "\n".join(f"  {variable(name):40} {text}" for name, text in described().items())
    commands.add_parser(
        "run",
        help="run one replica of the operator",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Runs one replica of the operator, with KUBECONFIG or, in a pod, with its service account.",
        epilog=f"environment:\n{variables}",
    )
    roles = commands.add_parser("rbac", help="print the service account and roles that the operator needs, as YAML")
    roles.add_argument("--namespace", required=True, help="the operator's own namespace")
    roles.add_argument("--watch-namespaces", default="", help="namespaces to serve, separated by commas; default: all")
    roles.add_argument(
        "--name", default=NAME, help="the operator's Deployment; its roles and Lease are named after it (%(default)s)"
    )
    roles.add_argument("--service-account", default="", metavar="NAME", help="the service account; default: the operator's name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
