"""The errors of requests to an API server.

KubeError
├── NoAnswerError    no connection, no answer in time, or credentials that cannot be obtained
└── StatusError      the server answered with an error
NoClusterError       no kubeconfig and no service account, or one that cannot be used
"""


class KubeError(Exception):
    """A request failed."""


class NoAnswerError(KubeError):
    """The server did not answer. It may or may not have carried out the request."""


class StatusError(KubeError):
    """The server refused the request: holds the HTTP status, the reason in its Status object ("" without one), and its message."""

    def __init__(self, status: int, reason: str = "", message: str = "") -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message


class NoClusterError(RuntimeError):
    """There is no usable kubeconfig and no service account."""
