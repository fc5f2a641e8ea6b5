"""Bad images and broken annotations: counted over the whole job, said, skipped, and too many once they pass the bound."""

import errno
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason

SAID_ONE_BY_ONE = 20
"""So many problems get a line of their own; later ones are only counted, so that a log stays readable."""

NAMED_AT_THE_END = 5
"""So many causes stand in the message that ends the job."""


class BadSampleError(Exception):
    """An image, or one layer's annotation of it, cannot be used; the message says where it is and what was expected."""


_OF_THE_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
"""What the system says of a file that is not there or is none, and (EINVAL) to a decoder that seeks where a broken file sends it,
as Pillow's for JPEG 2000 does."""


def is_of_the_machine(error: Exception) -> bool:
    """Whether `error`, met while a file was read, is no fault of the file: memory, descriptors, disk or network storage failed.

    What decoders themselves complain of has no errno, though Pillow makes it an OSError too.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_THE_FILE
    )


class Problems:
    """What went wrong so far. One object for all of a job's loading, from opening the dataset to its last batch; thread-safe."""

    def __init__(self, max_bad_images: int, say: Callable[[str], None]) -> None:
        self.max_bad_images = max_bad_images
        self.say = say
        self._causes: dict[str, str] = {}
        self._mended: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    @property
    def bad_images(self) -> int:
        """How many different images or annotation files were found to be bad."""
        return len(self._causes)

    @property
    def causes(self) -> Mapping[str, str]:
        """What is wrong, by what it is wrong with."""
        return self._causes

    def first_cause(self) -> str:
        """How many bad images there were and what was wrong with the first, in brackets, for the end of a message; "" for none."""
        if not self._causes:
            return ""
        name, cause = next(iter(self._causes.items()))
        return f" ({len(self._causes)} bad images or annotations were skipped; {name}: {cause})"

    def bad(self, name: str, cause: object) -> None:
        """Count `name` (an image, or an annotation without one) as bad; a second problem of the same name is not counted again.

        Raises FatalError(TOO_MANY_BAD_IMAGES) beyond the bound.
        """
        with self._lock:
            if name in self._causes:
                return
            self._causes[name] = str(cause)
            count = len(self._causes)
        if count <= SAID_ONE_BY_ONE:
            self.say(f"skipped {name}: {cause}")
        if count == SAID_ONE_BY_ONE + 1:
            self.say("further bad images are counted and not named")
        if count > self.max_bad_images:
            raise FatalError(Reason.TOO_MANY_BAD_IMAGES, self._too_many())

    def mended(self, what: str, count: int = 1) -> None:
        """Count something that was put right on the way in ("boxes clipped to their image"), to be said once by `summary`."""
        if count:
            with self._lock:
                self._mended[what] += count

    def warn_once(self, name: str, what: str) -> None:
        """Say of the first image for which it is so that `what` is wrong with it, though it is used."""
        with self._lock:
            if what in self._warned:
                return
            self._warned.add(what)
        self.say(f"WARNING: {name} has {what}")

    def summary(self) -> list[str]:
        """One line for each kind of thing that was mended, and one for the bad images."""
        lines = self.mended_lines()
        if self._causes:
            lines.append(f"{len(self._causes)} bad images or annotations skipped, of at most {self.max_bad_images}")
        return lines

    def mended_lines(self) -> list[str]:
        """One line for each kind of thing that was mended."""
        return [f"{count} {what}" for what, count in sorted(self._mended.items())]

    def _too_many(self) -> str:
        first = first_few((f"{name}: {cause}" for name, cause in self._causes.items()), NAMED_AT_THE_END, "; ")
        return f"{len(self._causes)} bad images, more than dataset.maxBadImages = {self.max_bad_images}: {first}"
