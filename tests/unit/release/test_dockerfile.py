"""The Dockerfile agrees with other files. tests/e2e shows that it builds and runs."""

import re
from pathlib import Path

import pytest

from headrace_release import licences
from headrace_release.images import CA_VARIABLE, INDEX_VARIABLES, PROGRAMS, Plan

ROOT = Path(__file__).resolve().parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def stage(name: str) -> str:
    """The lines of one stage."""
    found = re.search(rf"(?ms)^FROM \S+ AS {name}\n(.*?)(?=^FROM |\Z)", DOCKERFILE)
    assert found, f"no stage {name}"
    return found.group(1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_image_starts_the_program_itself_so_that_it_hears_sigterm(program: str) -> None:
    assert f'ENTRYPOINT ["python", "-m", "headrace_{program}"]' in stage(program)


@pytest.mark.parametrize("program", PROGRAMS)
def test_packages_are_in_a_layer_below_the_code(program: str) -> None:
    copies = [line for line in stage(program).splitlines() if line.startswith("COPY")]
    assert copies == [
        f"COPY --from={program}-packages /opt/headrace /opt/headrace",
        f"COPY --from={program}-code /opt/headrace/code /opt/headrace/code",
    ]


@pytest.mark.parametrize("program", PROGRAMS)
def test_only_packages_whose_hash_is_locked_are_installed(program: str) -> None:
    (install,) = re.findall(r"uv pip install (.*) \\", stage(f"{program}-packages"))
    assert install == f"--python /opt/headrace --require-hashes --no-deps --requirements {program}.lock"


def test_the_user_is_a_number_that_kubernetes_can_tell_from_root() -> None:
    assert re.findall(r"(?m)^USER (.*)$", DOCKERFILE) == ["65532:65532"]


def test_uv_is_the_one_that_sets_up_this_repository() -> None:
    assert 'UV = ROOT / "local" / "uv.txt"\n' in (ROOT / "local/bootstrap.py").read_text()
    assert "COPY local/uv.txt " in DOCKERFILE
    pinned = (ROOT / "local/uv.txt").read_text()
    assert len(re.findall(r"(?m)^uv==[0-9.]+ ", pinned)) == 1
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", pinned)) > 1, "there must be a wheel for each architecture"


def test_what_the_trainer_leaves_out_is_not_in_the_list_of_licences() -> None:
    assert set(re.findall(r"echo (\S+) > excludes.txt", DOCKERFILE)) == licences.LEFT_OUT


def test_every_argument_of_a_build_is_known_to_the_dockerfile() -> None:
    plan = Plan("1.2.3", "abc", base="a-base", builder="a-builder")
    given = plan.arguments(dict.fromkeys(INDEX_VARIABLES, "an-index"))
    assert set(given) <= set(re.findall(r"(?m)^ARG (\w+)", DOCKERFILE))


def test_no_index_and_no_ca_is_named_in_what_is_shipped() -> None:
    shipped = "".join(stage(name) for name in ("runtime", *PROGRAMS))
    assert not any(name in shipped for name in (*INDEX_VARIABLES, CA_VARIABLE, "secret"))


def test_everything_that_is_copied_is_sent_to_the_builder() -> None:
    copied = {source for line in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", DOCKERFILE) for source in line.split()}
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert copied == sent
    assert all((ROOT / path).exists() for path in sent)
