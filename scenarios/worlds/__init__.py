"""The worlds, found by name. A world is imported only when asked for: each brings heavy libraries of its own."""

from importlib import import_module

from scenarios.worlds.base import World, WorldError

# Every module has a factory `create() -> World`.
WORLDS = {
    "processes": "scenarios.worlds.processes",
    "simulated": "scenarios.worlds.simulated",
    "compose": "scenarios.worlds.compose",
}


class UnknownWorld(WorldError):
    """There is no world of that name."""


def world_named(name: str) -> World:
    """The world called `name`. Raises UnknownWorld with the names there are."""
    if name not in WORLDS:
        raise UnknownWorld(f"unknown world {name!r}; expected one of {', '.join(WORLDS)}")
    world: World = import_module(WORLDS[name]).create()
    return world
