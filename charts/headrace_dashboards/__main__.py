"""`python -m headrace_dashboards`: the dashboards' JSON, the table of metrics, pictures."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headrace_dashboards.ask import Prometheus


def main() -> None:
    """Runs one command."""
    parser = argparse.ArgumentParser(prog="python -m headrace_dashboards", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help="write the dashboards' JSON into a folder")
    write.add_argument("folder", type=Path)
    commands.add_parser("metrics", help="print docs/metrics.md")
    draw = commands.add_parser("draw", help="draw a picture of each dashboard from the data of a Prometheus")
    draw.add_argument("--prometheus", required=True, metavar="URL")
    draw.add_argument("--out", type=Path, default=Path("docs"), help="folder (docs)")
    draw.add_argument("--minutes", type=float, default=30, help="how far to look back (30)")
    draw.add_argument("--until", type=float, default=time.time(), metavar="UNIX_TIME", help="end of the range (now)")
    draw.add_argument("--set", action="append", default=[], metavar="PAGE.VARIABLE=VALUE", help="choose a value: job.job=street-2")
    arguments = parser.parse_args()
    # Each command imports what it needs: only `draw` needs matplotlib.
    if arguments.command == "write":
        from headrace_dashboards.generate import write as write_all

        write_all(arguments.folder)
    elif arguments.command == "metrics":
        from headrace_dashboards.metrics_page import to_markdown

        sys.stdout.write(to_markdown())
    else:
        from headrace_dashboards.ask import Prometheus

        prometheus = Prometheus(arguments.prometheus, arguments.until - 60 * arguments.minutes, arguments.until)
        _draw(prometheus, arguments.out, dict(pair.split("=", 1) for pair in arguments.set))


def _draw(prometheus: "Prometheus", folder: Path, wanted: dict[str, str]) -> None:
    from headrace_dashboards.ask import Filled
    from headrace_dashboards.draw import draw
    from headrace_dashboards.generate import as_json, dashboards

    for name, page in dashboards().items():
        filled = Filled(as_json(page))
        filled.choose(prometheus, {key.partition(".")[2]: value for key, value in wanted.items() if key.startswith(f"{name}.")})
        path = folder / f"dashboard-{name}.png"
        empty = draw(filled, prometheus, path)
        print(path, f"(without data: {', '.join(empty)})" if empty else "")


if __name__ == "__main__":
    main()
