"""docs/configs.md documents every key of the package."""

import ast
import re

from detectron2.config import get_cfg

from kfashion_d2.config import get_kfashion_cfg

from . import config_page


def test_the_page_of_keys_is_what_the_generator_makes():
    assert config_page.PAGE.read_text("utf-8") == config_page.config_page(), (
        f"docs/configs.md differs from the comments in kfashion_d2/config.py: run `{config_page.COMMAND}`"
    )


def test_the_page_has_every_key_with_its_default_and_a_sentence():
    keys = [key for section in config_page.read_sections(config_page.SOURCE.read_text("utf-8")) for key in section.keys]
    detectron2_keys = dict(config_page.leaves(get_cfg()))
    ours = {path: value for path, value in config_page.leaves(get_kfashion_cfg()) if path not in detectron2_keys}
    documented = {key.path: ast.literal_eval(key.default) for key in keys if key.default is not None}
    assert documented == ours
    for key in keys:
        if key.default is not None:
            text, _ = config_page.text_and_choices(key.comment)
            assert re.fullmatch(r"[A-Z0-9].{10,}\.", text), f"{key.path}: {text!r} is not a sentence"


def test_a_comment_becomes_text_and_choices():
    source = (
        "def add_kfashion_config(cfg):\n"
        "    # ----- Part\n"
        "    # One key.\n"
        "    cfg.A = CN()\n"
        "    # Which one it is.\n"
        "    #   left   The one\n"
        "    #          at the left.\n"
        "    #   right  The other.\n"
        '    cfg.A.SIDE = "left"\n'
        "    cfg.A.BARE = 1\n"
    )
    (section,) = config_page.read_sections(source)
    node, side, bare = section.keys
    assert (section.title, node.path, node.default, node.comment) == ("Part", "A", None, ["One key."])
    assert (side.path, side.default) == ("A.SIDE", '"left"')
    assert config_page.text_and_choices(side.comment) == (
        "Which one it is.",
        [("left", "The one at the left."), ("right", "The other.")],
    )
    assert (bare.path, bare.default, bare.comment) == ("A.BARE", "1", [])
