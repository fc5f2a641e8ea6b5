"""The command line of the process node: `python -m headrace_local.node --help`."""

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

from headrace_kube.errors import KubeError, NoClusterError
from headrace_local.node.agent import AgentOptions, FolderInUseError, HelperEndedError, run
from headrace_local.node.images import parse_image


def options_from(words: list[str] | None = None) -> AgentOptions:
    """Parses the command line; exits with a message if it is wrong."""
    parser = argparse.ArgumentParser(prog="python -m headrace_local.node", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="credentials of system:node:NAME")
    parser.add_argument("--name", required=True, help="the Node's name")
    parser.add_argument("--folder", type=Path, required=True, help="folder for the pods' files")
    parser.add_argument("--gpus", type=int, required=True, help="number of nvidia.com/gpu to offer")
    parser.add_argument("--cpu", default=str(os.cpu_count() or 1), help="cores to offer (default: all)")
    parser.add_argument("--memory", default="16Gi", help="memory to offer (default: %(default)s)")
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="NAME=ARGV...",
        help="an image and its entrypoint, with shell quoting; ARGV may be empty; can be repeated",
    )
    parser.add_argument("--serving-cert", type=Path, required=True, help="certificate of the logs server")
    parser.add_argument("--serving-key", type=Path, required=True, help="its key")
    parser.add_argument("--client-ca", type=Path, required=True, help="authority of the clients that may read logs")
    parser.add_argument(
        "--taint",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="keep pods without this toleration away (NoSchedule); can be repeated",
    )
    parser.add_argument(
        "--lease-seconds",
        type=int,
        default=8,
        help="lease duration; the node renews its lease four times per duration (default: %(default)s)",
    )
    values = vars(parser.parse_args(words))
    try:
        images = dict(parse_image(image) for image in values.pop("image"))
    except ValueError as error:
        parser.error(str(error))
    taints = dict(taint.partition("=")[::2] for taint in values.pop("taint"))
    return AgentOptions(images=images, taints=taints, **values)


def main() -> None:
    options = options_from()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        asyncio.run(run(options))
    except (FolderInUseError, HelperEndedError, KubeError, NoClusterError) as error:
        sys.exit(f"error: node {options.name}: {error}")


if __name__ == "__main__":
    main()
