"""Images and releases: `python -m headrace_release {base-image,images,ship}`; docs/release.md explains them."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from headrace_local.binaries import BinariesMissingError
from headrace_local.go_build import BuildFailedError
from headrace_release import base_image, changelog, images, ship, version
from headrace_release.engine import Engine, EngineError

ERRORS = (
    BinariesMissingError,
    BuildFailedError,
    EngineError,
    changelog.ChangelogError,
    ship.NotReadyError,
    version.VersionError,
    OSError,
)


def main(words: list[str] | None = None) -> int:
    """Exit status 0: done; 1: it failed, with the reason on stderr."""
    options = _parser().parse_args(words)
    root, console = Path.cwd(), Console(highlight=False)
    try:
        match options.command:
            case "base-image":
                base_image.make_base_images(Engine.find(options.engine), options.mirror, options.renew)
                console.print(f"use it: make images BASE={base_image.BASE}", soft_wrap=True)
            case "images":
                engine = Engine.find(options.engine)
                plan = _plan(options, root, options.tag or version.current(root))
                images.tell(console, engine, images.build_images(engine, plan, [options.only] if options.only else images.PROGRAMS))
            case "ship":
                if options.version != version.current(root):
                    ship.prepare(root, options.version, console)
                else:
                    ship.ship(root, _plan(options, root, options.version), Engine.find(options.engine), console)
    except ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _plan(options: argparse.Namespace, root: Path, tag: str) -> images.Plan:
    return images.Plan(tag, images.revision(root), options.repository or "localhost", options.base, options.builder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m headrace_release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    base = commands.add_parser("base-image", help="make the base image from Debian packages")
    base.add_argument("--renew", action="store_true", help="make it again even if it exists")
    base.add_argument("--mirror", help="a mirror of Debian; default: Debian's own")
    building = commands.add_parser("images", help="build the operator's and the trainer's image")
    building.add_argument("--only", choices=images.PROGRAMS, help="default: both")
    building.add_argument("--tag", help="default: the version in pyproject.toml")
    shipping = commands.add_parser("ship", help="make a release: first set its version, then build everything that ships")
    shipping.add_argument("version", help="for example 1.2.3")
    for command in (base, building, shipping):
        command.add_argument("--engine", help="docker, podman or buildah; default: the first that works")
    for command in (building, shipping):
        command.add_argument("--repository", help="the part of the image name before /headrace-operator; default: localhost")
        command.add_argument("--base", help="the image to build on; default: the Dockerfile's")
        command.add_argument("--builder", help="the image to build in; default: the base's builder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
