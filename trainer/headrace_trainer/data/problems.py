"""Bad images and broken annotations: counted over the whole job, logged, skipped, and fatal beyond a limit."""

import errno
import threading
from collections import Counter
from collections.abc import Callable, Mapping

from headrace_api.errors import FatalError
from headrace_api.first_few import first_few
from headrace_api.names import Reason

SAID_ONE_BY_ONE = 20
"""How many problems get a line of their own; later ones are only counted, to keep the log readable."""

NAMED_AT_THE_END = 5
"""How many causes the message that ends the job names."""


class BadSampleError(Exception):
    """An image, or one layer's annotation of it, cannot be used; the message says where, and what was expected."""


_OF_THE_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
"""The system's errors for a file that is missing or not a file, and (EINVAL) for a decoder that seeks where a broken file sends it,
as Pillow's for JPEG 2000 does."""


def is_of_the_machine(error: Exception) -> bool:
    """Whether `error`, raised while reading a file, is not the file's fault: memory, descriptors, disk or network storage failed.

    Decoders' own errors have no errno, though Pillow makes them OSErrors too.
    """
    return isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno is not None and error.errno not in _OF_THE_FILE
    )


class Problems:
    """What went wrong so far. One thread-safe object for all of a job's loading, from opening the dataset to its last batch."""

    def __init__(self, max_bad_images: int, say: Callable[[str], None]) -> None:
        self.max_bad_images = max_bad_images
        self.say = say
        self._causes: dict[str, str] = {}
        self._mended: Counter[str] = Counter()
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    @property
    def bad_images(self) -> int:
        """How many different images or annotation files are bad."""
        return len(self._causes)

    @property
    def causes(self) -> Mapping[str, str]:
        """What is wrong, by the name of what is bad."""
        return self._causes

    def first_cause(self) -> str:
        """The number of bad images and the first one's cause, in brackets, to end a message with; "" if there are none."""
        if not self._causes:
            return ""
        name, cause = next(iter(self._causes.items()))
        return f" ({len(self._causes)} bad images or annotations were skipped; {name}: {cause})"

    def bad(self, name: str, cause: object) -> None:
        """Count `name` (an image, or an annotation without one) as bad, once however many problems it has.

        Raises FatalError(TOO_MANY_BAD_IMAGES) beyond the limit.
        """
        with self._lock:
            if name in self._causes:
                return
            self._causes[name] = str(cause)
            count = len(self._causes)
        if count <= SAID_ONE_BY_ONE:
            self.say(f"skipped {name}: {cause}")
        if count == SAID_ONE_BY_ONE + 1:
            self.say("further bad images are counted but not named")
        if count > self.max_bad_images:
            raise FatalError(Reason.TOO_MANY_BAD_IMAGES, self._too_many())

    def mended(self, what: str, count: int = 1) -> None:
        """Count a correction made while reading ("boxes clipped to their image"), which `summary` reports once."""
        if count:
            with self._lock:
                self._mended[what] += count

    def warn_once(self, name: str, what: str) -> None:
        """Warn about `what` for the first image that has it; the image is used all the same."""
        with self._lock:
            if what in self._warned:
                return
            self._warned.add(what)
        self.say(f"WARNING: {name} has {what}")

    def summary(self) -> list[str]:
        """One line for each kind of correction, and one for the bad images."""
        lines = self.mended_lines()
        if self._causes:
            lines.append(f"{len(self._causes)} bad images or annotations skipped (limit: {self.max_bad_images})")
        return lines

    def mended_lines(self) -> list[str]:
        """One line for each kind of correction."""
        return [f"{count} {what}" for what, count in sorted(self._mended.items())]

    def _too_many(self) -> str:
        first = first_few((f"{name}: {cause}" for name, cause in self._causes.items()), NAMED_AT_THE_END, "; ")
        return f"{len(self._causes)} bad images, more than dataset.maxBadImages = {self.max_bad_images}: {first}"
