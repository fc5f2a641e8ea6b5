"""Credentials: where they come from, and that they stay fresh."""

import asyncio
import datetime
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from kubernetes.aio.config import incluster_config

from headrace_kube import connection
from headrace_kube.connection import Connection, connect
from headrace_kube.errors import NoClusterError
from headrace_testing.leftovers import eventually

SERVER = "https://api.example:6443"


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hides the kubeconfig, proxy and service account of the user who runs the tests."""
    for name in ("KUBECONFIG", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


class Moment:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moment(monkeypatch: pytest.MonkeyPatch) -> Moment:
    moment = Moment()
    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=moment))
    return moment


def kubeconfig(folder: Path, user: dict[str, Any], **cluster: Any) -> Path:
    config = {
        "current-context": "second",
        "contexts": [
            {"name": "first", "context": {"cluster": "x", "user": "x"}},
            {"name": "second", "context": {"cluster": "c", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": SERVER, **cluster}}],
        "users": [{"name": "u", "user": user}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def story(path: Path, tell: Callable[[Connection], Awaitable[None]]) -> None:
    async def run() -> None:
        await tell(await connect(path, {}))

    asyncio.run(run())


class Plugin:
    """An exec plugin that numbers its tokens."""

    def __init__(self, folder: Path, lives: datetime.timedelta | None = None) -> None:
        self.runs = folder / "runs"
        self.runs.touch()
        self.fails = folder / "fails"
        status = {"token": "token-N"}
        if lives is not None:
            status["expirationTimestamp"] = (datetime.datetime.now(datetime.UTC) + lives).strftime("%Y-%m-%dT%H:%M:%SZ")
        answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        count = f'echo >> "{self.runs}"; n=$(wc -l < "{self.runs}")'
        script = f"test ! -e '{self.fails}' || exit 1; {count}; echo '{json.dumps(answer)}' | sed s/N/$n/"
        self.user = {"exec": {"apiVersion": answer["apiVersion"], "command": "sh", "args": ["-c", script]}}


def test_without_a_cluster_it_says_what_to_set() -> None:
    with pytest.raises(NoClusterError, match="set KUBECONFIG"):
        asyncio.run(connect())


def test_the_kubeconfigs_current_context_names_server_and_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, {"token": "secret"})))

    async def run() -> None:
        made = await connect()
        assert (made.server, await made.authorization()) == (SERVER, "Bearer secret")

    asyncio.run(run())


def test_the_kubeconfig_in_the_home_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path, {"token": "secret"}).rename(tmp_path / ".kube/config")
    assert asyncio.run(connect()).server == SERVER


def test_files_are_relative_to_the_kubeconfig(tmp_path: Path) -> None:
    for name in ("ca.crt", "user.crt", "user.key"):
        (tmp_path / name).touch()
    path = kubeconfig(tmp_path, {"client-certificate": "user.crt", "client-key": "user.key"}, **{"certificate-authority": "ca.crt"})

    async def tell(made: Connection) -> None:
        used = made.configuration
        assert [used.ssl_ca_cert, used.cert_file, used.key_file] == [str(tmp_path / n) for n in ("ca.crt", "user.crt", "user.key")]
        assert await made.authorization() is None

    story(path, tell)


@pytest.mark.parametrize("text", ["", "[]", "current-context: x", "{", "contexts: 1"])
def test_a_kubeconfig_that_is_not_one_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd").write_text(text)
    with pytest.raises(NoClusterError, match=r"kubeconfig .*/odd cannot be used"):
        asyncio.run(connect(tmp_path / "odd", {}))


def test_a_token_that_is_renewed_in_its_file_is_used(tmp_path: Path, moment: Moment) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")

    async def tell(made: Connection) -> None:
        assert await made.authorization() == "Bearer first"
        token.write_text("second\n")
        moment.now += connection.RENEW_SECONDS - 1
        assert await made.authorization() == "Bearer first"
        moment.now += 2
        assert await made.authorization() == "Bearer second"
        token.unlink()
        moment.now += connection.RENEW_SECONDS + 1
        assert await made.authorization() == "Bearer second", "an old token is better than none"

    story(kubeconfig(tmp_path, {"tokenFile": "token"}), tell)


def test_an_exec_plugin_runs_again_before_its_token_expires(tmp_path: Path, moment: Moment) -> None:
    plugin = Plugin(tmp_path, lives=datetime.timedelta(minutes=4))  # less than the package's five minutes before the end

    async def tell(made: Connection) -> None:
        assert await made.authorization() == "Bearer token-1"
        moment.now += connection.RENEW_SECONDS + 1
        assert await made.authorization() == "Bearer token-2"

    story(kubeconfig(tmp_path, plugin.user), tell)


def test_an_exec_plugin_does_not_run_while_its_token_is_good(tmp_path: Path, moment: Moment) -> None:
    plugin = Plugin(tmp_path, lives=datetime.timedelta(hours=1))

    async def tell(made: Connection) -> None:
        for _ in range(3):
            moment.now += connection.RENEW_SECONDS + 1
            assert await made.authorization() == "Bearer token-1"

    story(kubeconfig(tmp_path, plugin.user), tell)


def test_a_token_that_is_refused_is_replaced_but_not_at_every_request(tmp_path: Path, moment: Moment) -> None:
    plugin = Plugin(tmp_path, lives=datetime.timedelta(hours=1))

    async def tell(made: Connection) -> None:
        made.refused()
        assert await made.authorization() == "Bearer token-1"
        moment.now += connection.DOUBT_SECONDS + 1
        assert await made.authorization() == "Bearer token-2"
        moment.now += connection.DOUBT_SECONDS + 1
        assert await made.authorization() == "Bearer token-2"

    story(kubeconfig(tmp_path, plugin.user), tell)


def test_an_exec_plugin_that_failed_is_tried_again(tmp_path: Path, moment: Moment, caplog: pytest.LogCaptureFixture) -> None:
    plugin = Plugin(tmp_path, lives=datetime.timedelta(hours=1))
    plugin.fails.touch()

    async def tell(made: Connection) -> None:
        assert await made.authorization() is None
        plugin.fails.unlink()
        moment.now += connection.DOUBT_SECONDS + 1
        assert await made.authorization() == "Bearer token-1"

    story(kubeconfig(tmp_path, plugin.user), tell)
    assert "exec: process returned 1" in caplog.text
    assert f"kubeconfig {tmp_path / 'kubeconfig'} gives no credentials" in caplog.text


def test_requests_do_not_wait_for_a_renewal_that_another_began(tmp_path: Path, moment: Moment) -> None:
    plugin = Plugin(tmp_path, lives=datetime.timedelta(minutes=4))

    async def tell(made: Connection) -> None:
        moment.now += connection.RENEW_SECONDS + 1
        both = await asyncio.gather(made.authorization(), made.authorization())
        assert both == ["Bearer token-2", "Bearer token-1"]

    story(kubeconfig(tmp_path, plugin.user), tell)


@pytest.mark.parametrize(("host", "server"), [("10.96.0.1", "https://10.96.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")])
def test_in_a_pod_the_server_is_found_without_dns_and_a_renewed_token_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, host: str, server: str
) -> None:
    token, certificate = tmp_path / "token", tmp_path / "ca.crt"
    certificate.write_text("a certificate")
    token.write_text("first\n")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(certificate))
    now = [datetime.datetime(2026, 1, 1)]  # noqa: DTZ001 (the package's clock has no time zone)
    clock = SimpleNamespace(datetime=SimpleNamespace(now=lambda: now[0]), timedelta=datetime.timedelta)
    monkeypatch.setattr(incluster_config, "datetime", clock)

    async def run() -> None:
        made = await connect()
        assert (made.server, await made.authorization()) == (server, "bearer first")
        token.write_text("second\n")
        assert await made.authorization() == "bearer first"
        now[0] += datetime.timedelta(seconds=61)
        assert await made.authorization() == "bearer second"

    asyncio.run(run())


def test_the_kubeconfigs_proxy_counts_more_than_the_environments(tmp_path: Path) -> None:
    environ = {"HTTPS_PROXY": "http://environment:3128"}
    plain = asyncio.run(connect(kubeconfig(tmp_path, {}), environ))
    assert plain.configuration.proxy == "http://environment:3128"
    named = asyncio.run(connect(kubeconfig(tmp_path, {}, **{"proxy-url": "http://own:3128"}), environ))
    assert named.configuration.proxy == "http://own:3128"
    assert asyncio.run(connect(kubeconfig(tmp_path, {}), environ | {"NO_PROXY": ".example"})).configuration.proxy is None


def test_a_proxy_that_is_not_http_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match="scheme is socks5: only http and https"):
        asyncio.run(connect(kubeconfig(tmp_path, {}, **{"proxy-url": "socks5://own"}), {}))


def joined(folder: Path, *contents: Any) -> str:
    """Kubeconfigs with these contents, as $KUBECONFIG names several."""
    paths = [folder / f"{number}.yaml" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(yaml.safe_dump(content) if content else "")
    return ":".join(map(str, [folder / "missing.yaml", *paths]))


def whole(name: str) -> dict[str, Any]:
    """A kubeconfig of the cluster `name`, with its own current context."""
    return {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:1"}}],
        "users": [{"name": name, "user": {"token": name}}],
    }


def test_of_several_kubeconfigs_the_first_current_context_counts_as_for_kubectl(tmp_path: Path, moment: Moment) -> None:
    async def run() -> None:
        made = await connect(environ={"KUBECONFIG": joined(tmp_path, None, whole("staging"), whole("production"))})
        assert made.server == "https://staging:1"
        assert await made.authorization() == "Bearer staging"
        made.refused()
        moment.now += connection.RENEW_SECONDS + 1
        assert await made.authorization() == "Bearer staging"
        assert made.server == "https://staging:1"

    asyncio.run(run())


HANGING = "echo $$ > {}; sleep 600"
"""A plugin whose own child keeps its output open."""


def hanging_plugin(folder: Path) -> dict[str, Any]:
    script = HANGING.format(folder / "pid")
    return {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]}}


def test_a_plugin_that_hangs_is_named_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "PLUGIN_SECONDS", 0.5)
    with pytest.raises(NoClusterError, match="its exec plugin takes more than"):
        asyncio.run(connect(kubeconfig(tmp_path, hanging_plugin(tmp_path)), {}))
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_a_plugin_does_not_outlive_a_program_that_is_stopped(tmp_path: Path) -> None:
    pid = tmp_path / "pid"

    async def run() -> None:
        connecting = asyncio.create_task(connect(kubeconfig(tmp_path, hanging_plugin(tmp_path)), {}))
        assert await asyncio.to_thread(eventually, lambda: pid.exists() and bool(pid.read_text()))
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting

    asyncio.run(run())
    assert not psutil.pid_exists(int(pid.read_text()))


def test_a_refused_proxy_keeps_its_password(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match="scheme is socks5") as caught:
        asyncio.run(connect(kubeconfig(tmp_path, {}, **{"proxy-url": "socks5://user:secret@q:2"}), {}))
    assert "secret" not in str(caught.value)
