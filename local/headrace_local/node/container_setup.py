"""Turns a container's spec into the command that runs it on this machine."""

import os
from collections.abc import Mapping
from pathlib import Path

from headrace_api.quantity import parse_quantity
from headrace_local.node.container_logs import tail_text
from headrace_local.node.environment import Json, environment_of, expand, references
from headrace_local.node.images import command_line
from headrace_local.node.paths import rewrite
from headrace_local.node.pod_context import PodContext
from headrace_local.node.processes import Command, StartError
from headrace_local.node.volumes import mounts_of

# A kubelet's limits for the termination message, from the file and from the log.
MESSAGE_BYTES = 4096
LOG_MESSAGE_BYTES = 2048
LOG_MESSAGE_LINES = 80


async def command_for(context: PodContext, container: Json, restarts: int) -> Command:
    """The command for a container's next start.

    Raises ImageNotFoundError, ConfigError (a Secret, ConfigMap or key is missing), KubeError, StartError (no program).
    """
    entrypoint, words = command_line(container, context.node.images)
    objects = await context.objects(references(container))
    declared = environment_of(container, context.described(), objects, context.node.allocatable)
    if not entrypoint and not words:
        raise StartError(f"no command specified, and image {container['image']!r} has no entrypoint")

    home, termination_log = context.home(container["name"]), context.termination_log(container["name"])
    home.mkdir(parents=True, exist_ok=True)
    termination_log.write_bytes(b"")  # delete the message of an earlier start
    mounts = mounts_of(container, context.volumes)
    for place in mounts.values():  # create missing subPaths, as a kubelet does
        if not place.exists():
            place.mkdir(parents=True)
    rewritten = mounts | {_termination_path(container): termination_log}
    cwd = container.get("workingDir")
    return Command(
        argv=(*entrypoint, *(rewrite(expand(word, declared), rewritten) for word in words)),
        env=_image_env(context, home, mounts) | {name: rewrite(value, rewritten) for name, value in declared.items()},
        cwd=Path(rewrite(cwd, mounts)) if cwd else home,
        log=context.log_path(container["name"], restarts),
        memory=_memory_limit(container),
    )


def termination_message(context: PodContext, container: Json, code: int, log: Path | None) -> str:
    """What the container wrote to its terminationMessagePath, or the end of its log if the pod says so."""
    with context.termination_log(container["name"]).open("rb") as file:
        message = file.read(MESSAGE_BYTES).decode(errors="replace")
    if message or code == 0 or container.get("terminationMessagePolicy") != "FallbackToLogsOnError":
        return message
    return "" if log is None else tail_text(log, LOG_MESSAGE_BYTES, LOG_MESSAGE_LINES)


def _image_env(context: PodContext, home: Path, mounts: Mapping[str, Path]) -> dict[str, str]:
    """The environment that an image and a kubelet would set. From the agent's own environment, it has only PATH."""
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(home),
        "HOSTNAME": context.name,
        **context.device_env,
    }
    if "/tmp" in mounts:
        env["TMPDIR"] = str(mounts["/tmp"])
    return env


def _termination_path(container: Json) -> str:
    path: str = container.get("terminationMessagePath") or "/dev/termination-log"
    return path


def _memory_limit(container: Json) -> int | None:
    limit = container.get("resources", {}).get("limits", {}).get("memory")
    return None if limit is None else int(parse_quantity(str(limit)))
