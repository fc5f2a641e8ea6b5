"""The embedded cluster from the command line: `python -m headrace_local {up,down,status,binaries,put,demo}`."""

import argparse
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from headrace_local.binaries import GROUPS, BinariesMissingError, find_binaries
from headrace_local.go_build import BuildFailedError
from headrace_local.local_folder import LocalFolder, NothingUpError, NotOursError
from headrace_local.processes import ProcessEndedError
from headrace_local.put import put_folder
from headrace_local.releases import ChecksumMismatchError
from headrace_local.up_down import StartFailedError, down, status, up

ERRORS = (
    BinariesMissingError,
    BuildFailedError,
    ChecksumMismatchError,
    NothingUpError,
    NotOursError,
    ProcessEndedError,
    StartFailedError,
    OSError,
    ValueError,
)


def main(words: list[str] | None = None) -> int:
    """Exit status 0: done; 1: it failed, with the reason on stderr; 130: Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m headrace_local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start a cluster and leave it running")
    start.add_argument("--gpus", type=int, default=int(os.environ.get("GPUS") or 2), help="default: $GPUS or 2")
    start.add_argument("--control-plane-only", action="store_true", help="start neither the operator nor a node")
    commands.add_parser("down", help="stop it and remove .local")
    commands.add_parser("status", help="show what is running; exit status 1 unless everything is")
    programs = commands.add_parser("binaries", help="download or build programs and print their paths")
    programs.add_argument("groups", nargs="*", choices=GROUPS, default=["cluster"], help="groups of programs; default: cluster")
    putting = commands.add_parser("put", help="upload a folder to the running cluster's storage")
    putting.add_argument("folder", type=Path)
    putting.add_argument("uri", help="s3://bucket/prefix/")
    commands.add_parser("demo", help="submit jobs of two projects and watch them learn", add_help=False)
    options, rest = parser.parse_known_args(words)
    if rest and options.command != "demo":
        parser.error(f"unrecognised arguments: {' '.join(rest)}")

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that unfinished work is cleaned up
    console = Console(highlight=False)
    try:
        match options.command:
            case "up":
                up(Path.cwd(), options.gpus, console, options.control_plane_only)
            case "down":
                down(Path.cwd(), console)
            case "status":
                return 0 if status(Path.cwd(), console) else 1
            case "binaries":
                wanted = [binary for group in options.groups for binary in GROUPS[group]]
                for name, path in find_binaries(wanted=wanted).items():
                    console.print(f"{name:24} {path}", soft_wrap=True)
            case "put":
                with LocalFolder(Path.cwd()).running_cluster() as cluster:
                    count = put_folder(cluster.minio(), options.folder, options.uri)
                console.print(f"{count} files at {options.uri}")
            case "demo":
                from headrace_local.demo import main as demo

                return demo(rest)
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
