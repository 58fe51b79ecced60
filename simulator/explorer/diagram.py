"""A story as an SVG sequence diagram: one lifeline for each actor, time downwards, faults in red."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from simulator.explorer.story import CLIENT, Scene, Story

LANE, LEFT, TOP, LINE = 230, 34, 64, 17
ARROW_GAP, SCENE_GAP = 26, 14
TEXT_MAX = 32
"""Characters that fit beside a lifeline."""

STYLE = """
text { font: 13px system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; fill: var(--text, #1c1e23); }
.head { font-weight: 650; text-anchor: middle; }
.box { fill: var(--card, #ffffff); stroke: var(--line, #c9c5bd); }
.life { stroke: var(--line, #c9c5bd); stroke-dasharray: 3 4; }
.number { fill: var(--soft, #5b616c); text-anchor: end; font-size: 12px; }
.note { fill: var(--soft, #5b616c); font-size: 12.5px; }
.durable { fill: var(--pass, #0b7350); font-weight: 600; font-size: 12.5px; }
.wrong { fill: var(--fail-word, #b3261e); font-weight: 650; font-size: 12.5px; }
.ending { font-weight: 600; }
.message { text-anchor: middle; }
.arrow { stroke: var(--text, #1c1e23); stroke-width: 1.4; fill: none; }
.lost { stroke: var(--fail-word, #b3261e); stroke-dasharray: 5 4; }
.tip { fill: var(--text, #1c1e23); }
.cross { stroke: var(--fail-word, #b3261e); stroke-width: 2.2; }
.dot { fill: var(--text, #1c1e23); }
"""


def svg(story: Story, title: str) -> str:
    """The whole diagram; it takes the colours of the page it stands in, and has its own elsewhere."""
    body, bottom = _scenes(story)
    width, height, name = LEFT + LANE * len(story.actors) + 90, bottom + 12, escape(title)
    lives = "".join(_life(story, actor, bottom) for actor in story.actors)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img" '
        f'aria-label="{name}"><title>{name}</title><style>{STYLE}</style>{lives}{body}</svg>\n'
    )


def _scenes(story: Story) -> tuple[str, int]:
    parts = []
    y = TOP
    for number, scene in enumerate(story.scenes, 1):
        drawn = _Scene(story, scene, y)
        parts += [f'<text class="number" x="{LEFT - 12}" y="{y + 4}">{number}</text>', *drawn.parts()]
        y = drawn.y + SCENE_GAP
    if story.loop_from is not None:
        parts.append(f'<text class="wrong" x="{LEFT}" y="{y}">and again from {story.loop_from + 1}, for ever</text>')
        y += LINE
    for line in story.ending:
        for part in _wrapped(line, LANE * len(story.actors) // 8):
            parts.append(f'<text class="ending" x="{LEFT}" y="{y + 4}">{escape(part)}</text>')
            y += LINE
    return "".join(parts), y


class _Scene:
    """One scene, drawn downwards from `y`."""

    def __init__(self, story: Story, scene: Scene, y: int) -> None:
        self._story, self._scene, self.y = story, scene, y

    def parts(self) -> Iterator[str]:
        """Its arrow, what it brings about, what the client hears, and the crash that may end it."""
        scene = self._scene
        if scene.message:
            yield from self._arrow(scene.source, scene.target, scene.message, scene.kind == "lose")
        else:
            yield f'<circle class="dot" cx="{_x(self._story, scene.by)}" cy="{self.y}" r="3.5"/>'
        lines = [each for each in (scene.text, *scene.notes) if each and not _is_crash(each)]
        crashed = [each for each in (scene.text, *scene.notes) if _is_crash(each)]
        for line in lines:
            yield from self._lines(line, _tone(scene, line))
        if scene.told:
            self.y += 6
            yield from self._arrow(scene.by, CLIENT, scene.told, False)
        for line in crashed:
            yield from self._crash(line)

    def _arrow(self, source: str, target: str, message: str, lost: bool) -> Iterator[str]:
        start, end = _x(self._story, source), _x(self._story, target)
        way = 1 if end > start else -1
        end = (start + end) // 2 + 40 * way if lost else end
        middle = (start + end) // 2
        self.y += 8
        yield f'<text class="message" x="{middle}" y="{self.y - 5}">{escape(message)}</text>'
        yield f'<path class="arrow{" lost" if lost else ""}" d="M{start} {self.y}H{end - 7 * way}"/>'
        if lost:
            yield self._cross(end)
        else:
            yield f'<path class="tip" d="M{end} {self.y}l{-9 * way} -4.5v9z"/>'
        self.y += LINE

    def _lines(self, text: str, tone: str) -> Iterator[str]:
        x = _x(self._story, self._scene.by) + 10
        for line in _wrapped(text):
            yield f'<text class="{tone}" x="{x}" y="{self.y + 4}">{escape(line)}</text>'
            self.y += LINE

    def _crash(self, text: str) -> Iterator[str]:
        yield self._cross(_x(self._story, self._scene.by))
        yield from self._lines(text, "wrong")

    def _cross(self, x: int) -> str:
        return f'<path class="cross" d="M{x - 6} {self.y - 6}l12 12m0 -12l-12 12"/>'


def _tone(scene: Scene, line: str) -> str:
    if line.startswith("durable"):
        return "durable"
    return "wrong" if scene.is_fault and line == scene.text else "note"


def _is_crash(line: str) -> bool:
    return "crashes" in line


def _life(story: Story, actor: str, bottom: int) -> str:
    x = _x(story, actor)
    return (
        f'<line class="life" x1="{x}" x2="{x}" y1="40" y2="{bottom}"/>'
        f'<rect class="box" x="{x - 68}" y="10" width="136" height="30" rx="7"/>'
        f'<text class="head" x="{x}" y="30">{escape(actor)}</text>'
    )


def _x(story: Story, actor: str) -> int:
    return LEFT + 74 + LANE * story.actors.index(actor)


def _wrapped(text: str, characters_max: int = TEXT_MAX) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > characters_max:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
