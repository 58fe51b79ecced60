"""A counterexample for people: what happened, in order, with a name for everybody; as text and for Mermaid.

The engine knows a story as a row of states in which alike participants are not told apart. Here it is played again with
positions kept, so that each participant has one name throughout. A drive's slot becomes the name of a gateway replica.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from simulator.explorer import damage
from simulator.explorer.parts import NOBODY, Step
from simulator.explorer.protocol import ProtocolModel

CLIENT = "client"
TELLS = "tells the client: "


@dataclass(frozen=True, slots=True)
class Scene:
    """One step of a story. `source` and `target` are the same where nothing travels; `message` is what does.

    `text`: what happens, besides. `notes`: what it brings about, in order. `told`: what the client hears of it.
    `by`: whoever does it, and the notes are about. `is_fault`: something went wrong, and was taken from the budget.
    """

    kind: str
    source: str
    target: str
    message: str
    text: str
    notes: tuple[str, ...]
    told: str = ""
    is_fault: bool = False

    @property
    def by(self) -> str:
        """Whoever does it."""
        return self.target


@dataclass(frozen=True, slots=True)
class Story:
    """A whole counterexample. `loop_from`: the scene from which it repeats for ever; None if it ends.

    `ending`: how everybody stands after the last scene, and who has lost what.
    """

    actors: tuple[str, ...]
    scenes: tuple[Scene, ...]
    loop_from: int | None = None
    ending: tuple[str, ...] = ()


def tell(model: ProtocolModel, path: Sequence[int], loop: Sequence[int] = ()) -> Story:
    """The story of the states of a counterexample."""
    states = [*path, *loop[1:], *loop[:1]] if loop else list(path)
    scenes, last = _played(model, states)
    replicas = [f"gateway-{index}" for index in range(model.bounds.replicas)]
    seen = {name for scene in scenes for name in (scene.source, scene.target)}
    hears = [CLIENT] if any(scene.told for scene in scenes) else []
    actors = (*hears, *(name for name in replicas if name in seen), *model.bounds.people)
    ending = damage.ending(model.bounds, model.core_of(last), [each.node for each in model.slices_of(last)])
    return Story(actors, tuple(scenes), len(path) - 1 if loop else None, ending)


def text(story: Story) -> list[str]:
    """Numbered lines."""
    width = len(str(len(story.scenes)))
    lines = []
    for number, scene in enumerate(story.scenes, 1):
        if story.loop_from == number - 1:
            lines.append(f"{'':>{width}}  from here on, for ever:")
        lines.append(f"{number:>{width}}. {sentence(scene)}")
    return lines


def sentence(scene: Scene) -> str:
    """A scene in one line."""
    head = f"{scene.source} -> {scene.target}: {scene.message}" if scene.message else scene.target
    told = [f"tells the client: {scene.told}"] if scene.told else []
    parts = [*([scene.text] if scene.text else []), *told_last(scene.notes, told)]
    what = "; ".join(parts)
    separator = " - " if scene.message else ": "
    return (f"{head}{separator}{what}" if what else head) + ("   (fault)" if scene.is_fault else "")


def told_last(notes: Iterable[str], told: list[str]) -> list[str]:
    """Notes with what the client hears, before a crash that ends the step."""
    kept = list(notes)
    if kept and "crashes" in kept[-1]:
        return [*kept[:-1], *told, kept[-1]]
    return [*kept, *told]


def mermaid(story: Story) -> str:
    """The story as a Mermaid sequence diagram."""
    lines = ["sequenceDiagram", "    autonumber"]
    lines += [f"    participant {_id(actor)} as {actor}" for actor in story.actors]
    for index, scene in enumerate(story.scenes):
        if story.loop_from == index:
            lines.append("    loop for ever")
        lines += [f"    {line}" for line in _mermaid_scene(scene)]
    if story.loop_from is not None:
        lines.append("    end")
    everybody = ",".join(_id(actor) for actor in (story.actors[0], story.actors[-1]))
    lines += [f"    Note over {everybody}: {line.replace(';', ',')}" for line in story.ending]
    return "\n".join(lines) + "\n"


def _mermaid_scene(scene: Scene) -> Iterable[str]:
    target = _id(scene.by)
    if scene.message:
        arrow = {"lose": "-x", "duplicate": "-)"}.get(scene.kind, "->>")
        yield f"{_id(scene.source)}{arrow}{_id(scene.target)}: {scene.message}"
    notes = [each for each in ((scene.text, *scene.notes) if scene.text else scene.notes) if "crashes" not in each]
    if notes:
        yield f"Note over {target}: {'<br/>'.join(each.replace(';', ',') for each in notes)}"
    if scene.told:
        yield f"{target}->>{_id(CLIENT)}: {scene.told}"
    crashed = [each for each in (scene.text, *scene.notes) if "crashes" in each]
    if crashed:
        yield f"Note over {target}: CRASH: {crashed[0]}"


def _id(actor: str) -> str:
    return actor.replace("-", "_")


def _played(model: ProtocolModel, states: Sequence[int]) -> tuple[list[Scene], int]:
    """Walk along, with everybody's position kept, and say what happens; also the last state with them kept."""
    names, scenes = _ReplicaNames(model.bounds.replicas), []
    with model.telling_apart():
        state = states[0]
        for wanted in states[1:]:
            label, state, is_fault = _step_to(model, state, wanted)
            step = model.step_of(label)
            live = {drive.replica for drive in model.core_of(state).drives}
            scenes.append(_scene(step, model.bounds.people[model.position_of(label)], names.of(step), is_fault))
            names.remember(live)
    return scenes, state


def _step_to(model: ProtocolModel, state: int, wanted: int) -> tuple[int, int, bool]:
    for moves, is_fault in ((model.steps(state), False), (model.faults(state), True)):
        for label, after in moves:
            if after == wanted or model.canonical(after) == wanted:
                return label, after, is_fault
    raise ValueError("no step leads to the next state of the story")


class _ReplicaNames:
    """Which gateway replica a slot stands for: after a crash, another one takes over if there is one."""

    def __init__(self, replicas: int) -> None:
        self._all = [f"gateway-{index}" for index in range(replicas)]
        self._live: dict[int, str] = {0: self._all[0]}
        self._owner = self._all[0]

    def of(self, step: Step) -> str:
        """The replica that a step is about; the present owner, where any would do."""
        if step.kind in ("claim", "order"):
            idle = [name for name in self._all if name not in self._live.values()]
            self._owner = self._live[step.replica] = next((name for name in idle if name != self._owner), idle[0])
        return self._live.get(step.replica, self._owner)

    def remember(self, live: set[int]) -> None:
        """Forget the drives that have ended."""
        self._live = {slot: name for slot, name in self._live.items() if slot in live}


def _scene(step: Step, participant: str, replica: str, is_fault: bool) -> Scene:
    told = next((note.removeprefix(TELLS) for note in step.notes if note.startswith(TELLS)), "")
    notes = tuple(note for note in step.notes if not note.startswith(TELLS))
    if step.arrow:
        ends = (replica, participant) if step.to_participant else (participant, replica)
        return Scene(step.kind, *ends, step.arrow, step.text, notes, told, is_fault)
    actor = participant if step.at_participant and step.replica == NOBODY else replica
    return Scene(step.kind, actor, actor, "", step.text, notes, told, is_fault)
