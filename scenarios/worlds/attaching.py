"""Playing on a project that is up: whether a run may, and that the project is afterwards as it was before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from scenarios.interrupts import interrupts_held
from scenarios.worlds.attachment import Attachment, faults_of, put_back, secrets_of, seen
from scenarios.worlds.base import WorldError
from scenarios.worlds.compose_project import ComposeProject
from scenarios.worlds.compose_secrets import ComposeSecrets
from scenarios.worlds.containers import Containers, engine
from scenarios.worlds.owner import is_gone, own_mark
from scenarios.worlds.wire import Unreachable, call
from settlement.settings import defaults
from settlement.topology import REGISTRY_SERVICE, SERVICES

if TYPE_CHECKING:
    import docker

    from scenarios.plan import Plan
    from scenarios.runfolder import RunFolder
    from scenarios.worlds.base import Progress

# Labels of the load's container, which is none of Compose's: whose it is, and on which project it plays.
LAB_LABEL: Final = "paylab.lab"
PLAYS_ON_LABEL: Final = "paylab.project"
TOLD_KINDS: Final = frozenset({"crash_at", "latency", "error", "drop_reply"})
FAULT_FILE: Final = "/run/secrets/fault_token"


@contextmanager
def attached(
    name: str, plan: Plan, folder: RunFolder, progress: Progress
) -> Iterator[tuple[ComposeProject, ComposeSecrets]]:
    """The project of that name; when the block ends, however it does, it is again what it was.

    Raises WorldError with everything that keeps the plan from being played there, or that could not be put back.
    """
    project, containers = ComposeProject(name), Containers(engine(), name)
    containers.look()
    refuse(containers, project, plan)
    secrets = secrets_of(containers)
    progress.stage("building the image of the load")
    project.build(["load"])
    before = Attachment(name, own_mark(), seen(containers))
    before.write(folder.path)
    try:
        for fault in plan.faults:
            if fault.kind == "crash_at":  # the lab restarts it, when the plan says so
                containers.set_restart(fault.target, "no")
        yield project, secrets
    except BaseException:
        for problem in _restored(project, containers, before, secrets, progress):
            progress.warning(problem)
        raise
    problems = _restored(project, containers, before, secrets, progress)
    if problems:
        raise WorldError(f"{name} is not as it was: {'; '.join(problems)}; `paylab recover {folder.path}` tries again")


def refuse(containers: Containers, project: ComposeProject, plan: Plan) -> None:
    """Raise WorldError with every reason why this plan cannot be played on this project now."""
    if not containers.names():
        raise WorldError(f"no project {project.name} is up; `paylab up --world compose` starts one")
    problems = [f"{each.name} is {each.state} {each.health}".rstrip() for each in project.ps() if not each.is_well]
    lab = lab_on(containers.client, project.name)
    if lab is not None:
        problems.append(f"another lab plays on it (process {lab.partition('-')[0]})")
    for service, count in plan.platform.replicas.items():
        running = len(containers.names_of(service))
        if running != count:
            problems.append(f"the scenario wants {count} of {service}, it has {running}")
    problems = problems or [*_setting_problems(containers, project, plan), *_fault_problems(containers, plan)]
    if problems:
        raise WorldError(f"cannot play on the project {project.name}: {'; '.join(problems)}")


def lab_on(client: docker.DockerClient, project: str) -> str | None:
    """The mark of the lab that plays on a project; None if none does. The load of one that is gone is removed."""
    for container in client.containers.list(all=True, filters={"label": f"{PLAYS_ON_LABEL}={project}"}):
        mark = str(container.labels.get(LAB_LABEL, ""))
        if not is_gone(mark):
            return mark
        container.remove(force=True)
    return None


def _setting_problems(containers: Containers, project: ComposeProject, plan: Plan) -> list[str]:
    wanted = plan.platform.settings
    if not wanted:
        return []
    known = _settings_in_force(containers, project.profile())
    return [
        f"the scenario wants {name}={value}, in force is {known.get(name)}; see `paylab config set`"
        for name, value in wanted.items()
        if known.get(name) != value
    ]


def _settings_in_force(containers: Containers, profile: str) -> Mapping[str, Any]:
    port = containers.port_of(containers.names_of(REGISTRY_SERVICE)[0], SERVICES[REGISTRY_SERVICE].port)
    try:
        return {**defaults(), **call("GET", f"http://127.0.0.1:{port}/config/{profile}").body["values"]}
    except (Unreachable, KeyError, TypeError) as error:
        raise WorldError(f"the config center of {containers.project} does not tell its settings: {error}") from error


def _fault_problems(containers: Containers, plan: Plan) -> list[str]:
    """Faults that replicas are told need fault endpoints, which exist only where the project was started with them."""
    told = " and ".join(sorted({fault.kind for fault in plan.faults} & TOLD_KINDS))
    if not told:
        return []
    token = secrets_of(containers).fault_token
    try:
        closed = any(faults_of(containers, name, token) is None for name in containers.names() if "-" in name)
    except Unreachable as error:
        return [str(error)]
    how = f"start it with PAYLAB_FAULT_TOKEN_FILE={FAULT_FILE}"
    return [f"its fault endpoints, which {told} need, are closed; {how}"] if closed else []


def _restored(
    project: ComposeProject, containers: Containers, before: Attachment, secrets: ComposeSecrets, progress: Progress
) -> list[str]:
    with interrupts_held():
        progress.stage("putting the project back as it was")
        done, problems = put_back(containers, before.containers, secrets.fault_token)
        for line in done:
            progress.stage(line)
        try:
            project.await_healthy()
        except WorldError as error:
            problems.append(str(error))
    return problems
