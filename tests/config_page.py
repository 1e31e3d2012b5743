"""
Write docs/configs.md from the comments in kfashion_d2/config.py.

    python -m tests.config_page
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "kfashion_d2" / "config.py"
PAGE = ROOT / "docs" / "configs.md"
BASE_CONFIG = ROOT / "configs" / "Base-KFashion-RCNN-FPN.yaml"
COMMAND = "python -m tests.config_page"
WIDTH = 120

INTRODUCTION = f"""\
<!-- This page is made from the comments in kfashion_d2/config.py. To change it, change the comments and run
     {COMMAND}
-->

# Configuration keys

These are the keys that kfashion_d2 adds to Detectron2's own
([its list](https://detectron2.readthedocs.io/en/latest/modules/config.html#yaml-config-references)). A yaml file of
`configs/` sets them, and so does `KEY VALUE` at the end of a command:

```bash
python tools/train_net.py --config-file configs/attribute_rcnn_R_50_FPN_1x.yaml \\
    DATASETS.KFASHION.ROOT datasets/kfashion MODEL.ROI_ATTRIBUTE_HEAD.GROUPS "['color', 'collar']"
```

A key that does not exist is an error. Where `Base-KFashion-RCNN-FPN.yaml`, which the shipped configs inherit from, sets
another value than the default, that value is given too. [models.md](models.md) says which of Detectron2's keys take a
part of ours, and [training.md](training.md#lazyconfig) what the keys are called in a LazyConfig.
"""


@dataclass
class ConfigKey:
    """
    A configuration key, or a paragraph that introduces the keys after it.

    Attributes:
        path (str): the key's path, as in "DATASETS.KFASHION.ROOT".
        default (str | None): the default as config.py writes it; None for a node that only holds other keys.
        comment (list[str]): the lines of the comment above the key, without "# ".
    """

    path: str
    default: str | None
    comment: list[str]


@dataclass
class Section:
    """The keys under one heading of config.py."""

    title: str
    keys: list[ConfigKey] = field(default_factory=list)


def read_sections(source: str) -> list[Section]:
    """
    Return the sections of ``add_kfashion_config``, read from the text of config.py.

    A line "# ----- Title" begins a section. The comment directly above an assignment to ``cfg.…`` belongs to its key.
    """
    lines = source.splitlines()
    (function,) = (
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == "add_kfashion_config"
    )
    keys = {
        node.lineno: (ast.unparse(node.targets[0]).removeprefix("cfg."), ast.get_source_segment(source, node.value))
        for node in function.body
        if isinstance(node, ast.Assign)
    }
    sections: list[Section] = []
    comment: list[str] = []
    for number in range(function.lineno + 1, (function.end_lineno or 0) + 1):
        line = lines[number - 1].strip()
        if heading := re.fullmatch(r"# -{5,} (.+)", line):
            sections.append(Section(heading[1]))
            comment = []
        elif line.startswith("#"):
            comment.append(line[2:])
        else:
            if number in keys:
                path, default = keys[number]
                sections[-1].keys.append(ConfigKey(path, None if default == "CN()" else default, comment))
            comment = []
    return sections


def wrap(text: str, first: str = "", rest: str = "") -> str:
    """Return the text as lines of at most WIDTH characters, with a prefix for the first and for the other lines."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


# The words of a comment that the page shows as code.
_CODE = re.compile(
    r"""
    "[\w/]+"                                          # quoted values
    | \$\w+/\w+ | kfashion_<\w+> | \b\w+\.pth\b      # folders, splits, checkpoints
    | (?:tools/)?\w+\.py(?:[ ]--[\w-]+)?             # tools, with an option
    | \b[A-Z]+(?:_[A-Z]+)*(?:\.[A-Z_]+)+(?:[ ](?:Attribute|Random)\w+)?  # paths of keys, with a value
    | \b[A-Z]+(?:_[A-Z]+)+\b | \b(?:GROUPS|PATIENCE|DECAY|TAU)\b       # last parts of keys
    | \b[a-z0-9]+(?:_[a-z0-9]+)+\b | \bTrue\b | \bAttributeRCNN\b      # names in Python
    """,
    re.VERBOSE,
)


def with_code(text: str) -> str:
    """Return the text with values, keys and files marked as code, and with mentions of other pages as links."""
    return re.sub(r"\bdocs/(\w+\.md)\b", r"[\1](\1)", _CODE.sub(r"`\g<0>`", text))


def text_and_choices(comment: list[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return a comment's text, and the choices that its indented lines list, each with what it means."""
    text = " ".join(line for line in comment if not line.startswith("  "))
    choices: list[tuple[str, str]] = []
    for line in comment:
        if choice := re.fullmatch(r"  (\S+) +(.+)", line):
            choices.append((choice[1], choice[2]))
        elif line.startswith("  "):
            name, meaning = choices[-1]
            choices[-1] = (name, f"{meaning} {line.strip()}")
    return text, choices


def leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (path, value) of each key below a node of a config."""
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def render_key(key: ConfigKey, base_values: Mapping[str, Any]) -> str:
    """Return the Markdown of a key: a list item with its default and its meaning, or a paragraph for a node."""
    text, choices = text_and_choices(key.comment)
    if key.default is None:
        return f"\n{wrap(with_code(text))}\n"
    default = f"default `{key.default}`"
    if key.path in base_values and repr(base_values[key.path]) != repr(ast.literal_eval(key.default)):
        default += f", in the base config `{base_values[key.path]}`"
    lines = [wrap(f"**`{key.path}`** ({default}): {with_code(text)}", "- ", "  ")]
    lines += [wrap(f"`{name}`: {with_code(meaning)}", "  - ", "    ") for name, meaning in choices]
    return "\n".join(lines)


def config_page() -> str:
    """Return the text of docs/configs.md."""
    base_values = dict(leaves(yaml.safe_load(BASE_CONFIG.read_text("utf-8"))))
    parts = [INTRODUCTION]
    for section in read_sections(SOURCE.read_text("utf-8")):
        body = "\n".join(render_key(key, base_values) for key in section.keys if key.comment or key.default is not None)
        parts.append(f"## {section.title}\n\n{body.strip()}\n")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(parts))


if __name__ == "__main__":
    PAGE.write_text(config_page(), encoding="utf-8")
