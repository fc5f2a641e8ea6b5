"""`python -m tasks`: run the rows that have no result yet, then write docs/results.md."""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatch
from pathlib import Path

from tasks import measured, picture
from tasks.all_rows import ROWS
from tasks.page import page
from tasks.rows import Row
from tasks.run import RowFailedError, run

PAGE = Path("docs/results.md")


def main() -> int:
    """Returns the exit status: 1 if a row failed."""
    parser = argparse.ArgumentParser(prog="tasks", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default="*", help="rows whose names match: digits/*, *detection")
    parser.add_argument("--list", action="store_true", help="list the rows and which of them have a result; run nothing")
    parser.add_argument("--again", action="store_true", help="also run rows that have a result")
    parser.add_argument("--jobs", type=int, default=1, help="rows to run at a time, each on one thread (default: 1)")
    parser.add_argument("--render", action="store_true", help="write the page from the existing results; run nothing")
    parser.add_argument("--picture", action="store_true", help="draw docs/tasks.jpg with the existing models; run nothing")
    options = parser.parse_args()
    if options.picture:
        return picture.draw()
    chosen = [row for row in ROWS if fnmatch(row.name, options.only)]
    if options.list:
        for row in chosen:
            print(f"{row.name:40} {_state(row)}")
        return 0
    failed = 0
    if not options.render:
        wanted = [row for row in chosen if options.again or not measured.up_to_date(row)]
        with ThreadPoolExecutor(options.jobs) as pool:
            failed = sum(pool.map(_failed, wanted))
    PAGE.write_text(page())
    print(f"wrote {PAGE}")
    return 1 if failed else 0


def _state(row: Row) -> str:
    found = measured.read(row)
    if found is None:
        return row.data.missing() or "not measured"
    return f"measured {found['date']}" if measured.up_to_date(row) else "measured with an earlier definition"


def _failed(row: Row) -> bool:
    """Run a row and keep its result; True if that failed."""
    if (missing := row.data.missing()) is not None:
        print(f"{row.name}: skipped, {missing}")
        return False
    start = time.monotonic()
    try:
        result = run(row)
    except RowFailedError as error:
        print(f"{row.name}: FAILED, {error}", file=sys.stderr, flush=True)
        return True
    measured.write(row, result)
    print(f"{row.name}: {time.monotonic() - start:.0f} s: {result['scores']}", flush=True)
    return False


if __name__ == "__main__":
    sys.exit(main())
