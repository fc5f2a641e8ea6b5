"""What can go wrong between us and an API server.

KubeError
├── NoAnswerError    no connection, no answer in time, or credentials that cannot be obtained
└── StatusError      the server answered, and the answer is an error
NoClusterError       nothing says where the API server is, or what says so cannot be used
"""


class KubeError(Exception):
    """A request that did not do what it was meant to."""


class NoAnswerError(KubeError):
    """The server did not answer. It may have carried out the request or not."""


class StatusError(KubeError):
    """The server refused the request: HTTP status, the reason of its Status object ("" without one), and its message."""

    def __init__(self, status: int, reason: str = "", message: str = "") -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NoClusterError(RuntimeError):
    """There is no usable kubeconfig and no service account."""
