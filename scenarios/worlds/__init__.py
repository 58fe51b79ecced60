"""The worlds, found by name. A world is imported only when asked for: each brings heavy libraries of its own."""

from importlib import import_module

from scenarios.worlds.base import World, WorldError

# Every module has a factory `create() -> World`.
WORLDS = {
    "processes": "scenarios.worlds.processes",
    "simulated": "scenarios.worlds.simulated",
    "compose": "scenarios.worlds.compose",
}


# How services share processes where they do not choose: a container holds one.
_APART = {"compose": "split"}


class UnknownWorld(WorldError):
    """There is no world of that name."""


def world_named(name: str) -> World:
    """The world called `name`. Raises UnknownWorld with the names there are."""
    if name not in WORLDS:
        raise UnknownWorld(f"unknown world {name!r}; expected one of {', '.join(WORLDS)}")
    world: World = import_module(WORLDS[name]).create()
    return world


def topology_in(world: str, topology: str) -> str:
    """How services share processes in a world when the scenario says `topology`."""
    return _APART.get(world, topology)
