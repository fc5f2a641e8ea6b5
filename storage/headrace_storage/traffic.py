"""What has left for a store, and when: the sign that a slow upload is alive."""

import threading
import time


class Traffic:
    """Counts bytes that were sent, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.sent_bytes = 0
        """Headers and repeated tries included."""
        self.last_sent_at = 0.0
        """`time.monotonic()` when a byte last left; 0 before the first."""

    def add(self, count: int) -> None:
        """Count bytes that have just left."""
        with self._lock:
            self.sent_bytes += count
            self.last_sent_at = time.monotonic()
