"""YAML files with a mapping in them; keys given twice are mistakes, not overwritten."""

from pathlib import Path

import yaml

from training.errors import RecipeError


class _Loader(yaml.SafeLoader):
    """YAML that remembers keys given twice instead of letting the last one win."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.mistakes: list[str] = []

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[str] = set()
        for key_node, _ in node.value:
            if key_node.value in seen:
                line = key_node.start_mark.line + 1
                self.mistakes.append(f"{key_node.value}: given twice, again in line {line}")
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


def read_mapping(path: Path) -> tuple[dict, list[str]]:
    """The mapping in a file, and a mistake for each key that it gives twice.

    Raises:
        RecipeError: it cannot be read, or is no mapping.
    """
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        content = loader.get_single_data()
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: a mapping of sections is expected")
    return content, loader.mistakes
