"""Messages that stay in the process, where tests can look at them."""

from headrace_trainer.protocol import MESSAGE, Message
from headrace_trainer.worker.messages import Messages


class KeptMessages(Messages):
    """Keeps what is sent, as the other end of the pipe would read it."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(MESSAGE.validate_json(message.model_dump_json()))
