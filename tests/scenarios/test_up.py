"""`paylab up` and `paylab down` with a fake platform: start, addresses, stop, and what goes wrong."""

import stat
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner, Result

from scenarios import keeper
from scenarios.cli import app
from scenarios.plan import PlatformPlan
from scenarios.state import PlatformState, read_state, state_file, write_state
from scenarios.worlds import processes
from scenarios.worlds.base import WorldError

from .fake_platform import BUSY_PORT, REGISTRY, FakePlatform

PROGRAM = (str(Path(__file__).with_name("fake_platform.py")),)
PLAN = PlatformPlan()


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(processes, "Platform", FakePlatform)


@pytest.fixture
def paylab() -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(app, list(map(str, arguments)))


def test_a_detached_platform_stays_until_down(paylab: Callable[..., Result], tmp_path: Path) -> None:
    state = keeper.detach(PLAN, 8761, tmp_path / "platform", PROGRAM)
    assert state.registry == REGISTRY
    assert stat.S_IMODE(state_file().stat().st_mode) == 0o600
    assert psutil.pid_exists(state.pid)
    second = paylab("up")
    assert second.exit_code == 3
    assert f"a platform is up already, at {REGISTRY}" in second.stderr
    down = paylab("down")
    assert down.exit_code == 0, down.output
    assert f"stopped the platform at {REGISTRY}" in down.stderr
    assert (tmp_path / "platform" / "stopped").exists()
    assert read_state() is None
    assert "no platform is up" in paylab("down").stderr


def test_a_detached_platform_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"port 1 on 127.0.0.1 is not free\n.*configcenter-0.log"):
        keeper.detach(PLAN, BUSY_PORT, tmp_path / "platform", PROGRAM)
    assert read_state() is None


def test_in_the_foreground_it_prints_addresses_and_the_locust_command(
    paylab: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakePlatform, "refresh", interrupt)
    monkeypatch.chdir(Path(__file__).parents[2])
    result = paylab("up", "--replicas", "gateway=2", "--set", "payment.channel_timeout_ms=500")
    assert result.exit_code == 0, result.output
    assert f"registry          {REGISTRY}" in result.stdout
    assert "gateway-0         http://127.0.0.1:1234" in result.stdout
    assert f"locust -f loadtests/locustfile.py --host {REGISTRY}" in result.stdout
    assert "the platform has stopped" in result.stderr
    assert read_state() is None


def interrupt(platform: FakePlatform) -> None:
    assert platform.options["replicas"] == {"gateway": 2}
    assert platform.options["profile_settings"] == {"payment.channel_timeout_ms": 500}
    raise KeyboardInterrupt


@pytest.mark.parametrize(("deaths", "ends_with"), [(2, KeyboardInterrupt), (9, WorldError)])
def test_a_service_that_dies_is_started_again_a_few_times(
    tmp_path: Path, deaths: int, ends_with: type[BaseException]
) -> None:
    said: list[str] = []
    plan = PlatformPlan(settings={"deaths": deaths, "interrupted": True})
    with pytest.raises(ends_with):
        keeper.keep(plan, 0, tmp_path, lambda state: None, said.append)
    assert said[0].startswith("gateway-0 died (status -9) and is started again; its log: ")
    restarts = (tmp_path / "stopped").read_text().split()
    assert restarts == ["gateway-0"] * min(deaths, keeper.RESTARTS_MAX)


def test_bad_options_are_all_listed(paylab: Callable[..., Result]) -> None:
    result = paylab("up", "--replicas", "gatewy=2", "--replicas", "order", "--set", "foo.bar=1", "--topology", "round")
    assert result.exit_code == 2
    assert "--replicas: gatewy: unknown service 'gatewy'; did you mean gateway?" in result.stderr
    assert "--replicas: 'order' is not of the form SERVICE=N" in result.stderr
    assert "--set: foo.bar: unknown setting" in result.stderr
    assert "--topology: unknown topology 'round'; expected one of compact, split, merged" in result.stderr


def test_a_platform_with_two_registries_is_not_even_tried(paylab: Callable[..., Result]) -> None:
    result = paylab("up", "--replicas", "configcenter=2")
    assert result.exit_code == 2
    assert "--replicas: configcenter: there is one, by which everybody finds everybody; expected 1" in result.stderr
    assert "starting the platform" not in result.stderr


def test_a_world_without_platform_is_refused(paylab: Callable[..., Result]) -> None:
    assert "no platform can be started in the world 'simulated'" in paylab("up", "--world", "simulated").stderr
    assert "no platform can be started in the world 'moon'" in paylab("down", "--world", "moon").stderr


@pytest.mark.parametrize("left", ["dead", "damaged"])
def test_what_a_killed_keeper_left_is_forgotten(paylab: Callable[..., Result], left: str) -> None:
    write_state(PlatformState(2**22 + 1, 1.0, REGISTRY, {}, "secret", "/nowhere"))
    if left == "damaged":
        state_file().write_text("{")
    result = paylab("down")
    assert result.exit_code == 0
    assert "no platform is up" in result.stderr
    assert not state_file().exists()


def test_old_platforms_do_not_pile_up(tmp_path: Path) -> None:
    parent = keeper.platform_folder().parent
    for number in range(9):
        (parent / f"2020010{number}-000000").mkdir(parents=True)
    keeper.platform_folder().mkdir()
    assert len(list(parent.iterdir())) == keeper.FOLDERS_KEPT
