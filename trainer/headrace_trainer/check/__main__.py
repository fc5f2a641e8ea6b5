"""`headrace dataset check` as a program: `python -m headrace_trainer.check FOLDER|s3://... [--images] [--json]`.

The report goes to stdout, progress to stderr. Exit status: 0 no problems, 1 problems (or a failure that a retry may fix), 2 no
dataset to check, or storage refuses access; 143 SIGTERM. From object storage, the check pulls the annotation files into a temporary
folder, and only the headers of images; with `--images`, it pulls everything.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from headrace_api.errors import FatalError, TrainerError
from headrace_api.names import ExitCode, Reason
from headrace_storage.keys import path_for
from headrace_storage.places import local_path, open_store
from headrace_storage.pull import Pull, check_space, in_words
from headrace_storage.retry import Retry
from headrace_storage.scratch import scratch_folder
from headrace_storage.stop import Stop, exit_on_sigterm
from headrace_storage.store import Store, StoredObject
from headrace_trainer.check.dataset import check_dataset
from headrace_trainer.data.files import is_image
from headrace_trainer.data.picture import Picture

_HEADER_BYTES = 1 << 16
"""An image's size is in its first bytes, but a preview may come first, of up to 64 KiB in JPEG. If this is not enough, the whole
image is pulled."""
_CONNECTIONS = 32
_PATIENCE_SECONDS = 30.0


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ, stop: Stop | None = None) -> ExitCode:
    """Check the dataset, and print what was found. `stop` ends what is being pulled."""
    parser = argparse.ArgumentParser(prog="python -m headrace_trainer.check", description=__doc__)
    parser.add_argument("dataset", help="a folder, never written to, or s3://bucket/prefix/")
    parser.add_argument("--images", action="store_true", help="decode every image, and draw every annotation")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        with scratch_folder() as scratch:
            root = local_path(options.dataset)
            if root is not None:
                _refuse_nothing(root)
            else:
                retry = Retry(_PATIENCE_SECONDS, stop or Stop(), _say)
                store = open_store(options.dataset, environment, _CONNECTIONS)
                root = _Stored(store, scratch.folder, retry, whole=options.images).pull()
            report = check_dataset(root, options.dataset, options.images)
    except TrainerError as error:
        _say(f"error: {error.message}")
        return ExitCode.FATAL if isinstance(error, FatalError) else ExitCode.RETRY
    sys.stdout.write(json.dumps(report.to_json(), indent=2) + "\n" if options.json else report.to_text())
    return ExitCode.RETRY if report.problems else ExitCode.OK


def _refuse_nothing(root: Path) -> None:
    """Raise FatalError(BAD_DATASET) if there is no such folder, or nothing in it."""
    try:
        empty = not any(True for _ in root.iterdir())
    except OSError as error:
        raise FatalError(Reason.BAD_DATASET, f"{root}: {error.strerror}: expected the dataset's folder, or s3://...") from error
    if empty:
        raise FatalError(Reason.BAD_DATASET, f"{root} is empty: expected the dataset's folder")


@dataclass(frozen=True)
class _Stored:
    """A dataset in object storage. What the check needs of it is pulled into `scratch`."""

    store: Store
    scratch: Path
    retry: Retry
    whole: bool
    """Pull all of every image, not only its header."""

    def pull(self) -> Path:
        """Pull what is needed, and return its folder."""
        objects = self.retry.call("listing the dataset", self.store.list)
        if not objects:
            raise FatalError(Reason.BAD_DATASET, f"{self.store.uri} is empty: check the URI")
        headers = [one for one in objects if not self.whole and is_image(one.key) and one.size > _HEADER_BYTES]
        others = sorted(set(objects).difference(headers), key=lambda one: one.key)
        folder, partial = self.scratch / "dataset", self.scratch / "partial"
        folder.mkdir()
        partial.mkdir()
        free = os.statvfs(self.scratch).f_bavail * os.statvfs(self.scratch).f_frsize
        size = sum(one.size for one in others)
        check_space([*others, *(StoredObject(one.key, _HEADER_BYTES) for one in headers)], free, sys.maxsize)
        also = f", and the headers of {len(headers):,} images" if headers else ""
        _say(f"pulling {len(others):,} files, {in_words(size)}{also}, from {self.store.uri}")
        pull = Pull(self.store, folder, partial, self.retry, _CONNECTIONS)
        pull.run(others)
        pull.run(self._without_size(headers, folder))
        return folder

    def _without_size(self, images: Sequence[StoredObject], folder: Path) -> list[StoredObject]:
        """Write the beginning of each image; return those whose size it does not tell, which are not written."""
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            told = pool.map(lambda one: self._header(one, path_for(folder, one.key)), images)
            return [one for one, is_told in zip(images, told, strict=True) if not is_told]

    def _header(self, image: StoredObject, path: Path) -> bool:
        content = self.retry.call(f"reading {image.key}", lambda: self.store.read(image.key, _HEADER_BYTES))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        try:
            with Picture(path):
                return True
        except Exception:  # the whole image will show what is wrong with it
            path.unlink()
            return False


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    stop = Stop()
    exit_on_sigterm(stop)
    sys.exit(main(stop=stop))
