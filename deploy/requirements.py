"""Print the project's requirements and those of the extras named: what an image installs before the source is there."""

import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).with_name("pyproject.toml")


def main(extras: list[str]) -> None:
    """One requirement a line."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    required = project["dependencies"] + [each for extra in extras for each in project["optional-dependencies"][extra]]
    sys.stdout.write("\n".join(required) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
