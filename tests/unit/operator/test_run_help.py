import re

import pytest

from headrace_api.environment import PREFIX
from headrace_operator.__main__ import main
from headrace_operator.settings import Settings


def test_run_help_shows_default_and_unit_of_every_setting(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    lines = dict(re.findall(rf"^  {PREFIX}(\w+) +(.*)$", capsys.readouterr().out, re.MULTILINE))
    assert set(lines) == {name.upper() for name in Settings.model_fields}
    assert all(re.search(r"[Dd]efault: |Required\.|\[default ", line) for line in lines.values()), lines
    assert lines["RESYNC"].endswith("[default 300 s]")
    assert lines["METRICS_PORT"].endswith("[default 8081]")
    assert lines["WAITING_MESSAGES_PER_SECOND"].endswith("[default 10 per second]")
    assert lines["LOG_LEVEL"].endswith("[default INFO]")
    assert lines["LISTEN_HOST"].endswith('[default ""]')
    assert lines["TRAINER_IMAGE"].endswith("Required.")
