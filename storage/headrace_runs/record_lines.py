"""An attempt's log and metrics as one stream of lines, out of a folded file and the parts after it."""

from collections.abc import Iterator

from headrace_api.runfolder import Record
from headrace_storage.store import NotFoundError, Store


def lines(store: Store, record: Record) -> Iterator[str]:
    """Every line of `record` once, in order, without its end.

    Reads a part at a time. While the record grows or is folded at the same moment, lines may be missing at its end, and none twice.
    """
    rest = b""
    for content in _contents(store, record):
        *whole, rest = (rest + content).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


def _contents(store: Store, record: Record) -> Iterator[bytes]:
    # Listed before the file is read: what is folded in between is then in the file, and its parts are skipped below.
    parts = {offset: one.key for one in store.list(record.parts) if (offset := record.offset(one.key)) is not None}
    known = 0
    try:
        folded = store.read(record.folded)
        known = len(folded)
        yield folded
    except NotFoundError:
        pass
    for offset, key in sorted(parts.items()):
        if offset >= known:
            try:
                yield store.read(key)
            except NotFoundError:
                return  # folded since it was listed; a reader that comes back finds it in the file
