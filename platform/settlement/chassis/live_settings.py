"""Typed reading of the settings in force; they change under a running service when the config center says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from settlement.settings import SETTINGS, Kind, SettingValue, defaults, normalized


class LiveSettings:
    """The settings of one process: the catalogue's defaults overlaid with what the config center sent last.

    Reading an unknown name, or a name as the wrong kind, is a bug and raises KeyError or TypeError at once.
    """

    def __init__(self, values: Mapping[str, object] | None = None, version: int = 0) -> None:
        self._values: dict[str, SettingValue] = {**defaults(), **normalized(values or {})}
        self.version = version
        self._listeners: list[Callable[[], None]] = []

    def integer(self, name: str) -> int:
        """The value of a setting of kind integer, in the unit its name ends with."""
        value = self._read(name, Kind.INTEGER)
        assert isinstance(value, int)  # noqa: S101 - the catalogue guarantees it
        return value

    def number(self, name: str) -> float:
        """The value of a setting of kind number."""
        value = self._read(name, Kind.NUMBER)
        assert isinstance(value, int | float)  # noqa: S101 - the catalogue guarantees it
        return float(value)

    def text(self, name: str) -> str:
        """The value of a setting of kind text."""
        value = self._read(name, Kind.TEXT)
        assert isinstance(value, str)  # noqa: S101 - the catalogue guarantees it
        return value

    def integers(self, name: str) -> tuple[int, ...]:
        """The value of a setting that is a list of integers."""
        value = self._read(name, Kind.INTEGERS)
        assert isinstance(value, tuple)  # noqa: S101 - the catalogue guarantees it
        return value

    def replace(self, values: Mapping[str, object], version: int) -> None:
        """Put a new version in force. Raises ValueError naming all problems and changes nothing."""
        self._values = {**defaults(), **normalized(values)}
        self.version = version
        for listener in self._listeners:
            listener()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every new version."""
        self._listeners.append(listener)

    def _read(self, name: str, kind: Kind) -> SettingValue:
        setting = SETTINGS[name]
        if setting.kind is not kind:
            raise TypeError(f"{name} is a setting of kind {setting.kind}, read as {kind}")
        return self._values[name]
