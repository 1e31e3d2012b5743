"""The documentation says what is there: its keys, links, commands and names are checked."""

import ast
import importlib
import re
from collections import Counter
from pathlib import Path

import pytest
from detectron2.engine import default_argument_parser

from kfashion_d2.config import get_kfashion_cfg

from .config_page import leaves

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", ROOT / "README.ko.md"]
PAGES = [*READMES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MAX_WIDTH = 120

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def text_of(page):
    return page.read_text("utf-8")


def code_blocks(text):
    """Each fenced code block of a page, as (language, code)."""
    return re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, re.M | re.S)


def without_code_blocks(text):
    """A page without its fenced code blocks, in which Markdown sees neither links nor headings."""
    return re.sub(r"^ *```.*?^ *```", "", text, flags=re.M | re.S)


def headings(text):
    """(level, title) of each heading of a page."""
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.+)$", without_code_blocks(text), re.M)]


def anchors(text):
    """The anchors that GitHub gives to a page's headings."""
    seen, names = Counter(), set()
    for _, title in headings(text):
        name = re.sub(r"[^\w\- ]", "", title.strip().lower()).replace(" ", "-")
        names.add(f"{name}-{seen[name]}" if seen[name] else name)
        seen[name] += 1
    return names


def commands(text):
    """The shell commands of a page, each in one line and without its comment."""
    lines = []
    for language, code in code_blocks(text):
        if language == "bash":
            lines += code.replace("\\\n", " ").splitlines()
    # A comment begins at a "#" that follows white space or begins the line.
    stripped = (" ".join(re.sub(r"(^|\s)#.*", "", line).split()) for line in lines)
    return [line for line in stripped if line]


# ------------------------------------------------------------------ all pages
@every_page
def test_relative_links_resolve(page):
    text = re.sub(r"`[^`\n]*`", "", without_code_blocks(text_of(page)))
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name} links to {target}, but there is no {file}"
        if anchor:
            assert anchor in anchors(text_of(file)), f"{page.name} links to {target}, but {file.name} has no #{anchor}"


# docs/benchmarks.md is wrapped when its figures are measured anew.
@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "benchmarks.md"], ids=lambda page: page.name)
def test_lines_are_not_too_long(page):
    for number, line in enumerate(text_of(page).splitlines(), 1):
        is_table, is_link = line.lstrip().startswith("|"), re.search(r"\]\(\S+\)|https?://", line)
        assert len(line) <= MAX_WIDTH or is_table or is_link, f"{page.name}:{number} has {len(line)} characters"


def options_of(tool):
    """The options of a tool, read from its source; those of Detectron2's own parser where the tool has that."""
    tree = ast.parse((ROOT / "tools" / tool).read_text("utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    options = {
        argument.value
        for call in calls
        if getattr(call.func, "attr", "") == "add_argument"
        for argument in call.args
        if isinstance(argument, ast.Constant) and str(argument.value).startswith("--")
    }
    if any(getattr(call.func, "id", "") == "default_argument_parser" for call in calls):
        options |= set(default_argument_parser()._option_string_actions)
    return options


@every_page
def test_commands_have_the_options_of_their_tools(page):
    for command in commands(text_of(page)):
        words = command.split()
        tools = [word for word in words if re.fullmatch(r"tools/\w+\.py", word)]
        # The options of benchmark.py are those of the benchmark that it is told to run.
        if not tools or tools == ["tools/benchmark.py"]:
            continue
        (tool,) = tools
        assert (ROOT / tool).is_file(), f"{page.name}: {command}"
        options = {word.partition("=")[0] for word in words[words.index(tool) :] if word.startswith("--")}
        unknown = options - options_of(Path(tool).name)
        assert not unknown, f"{page.name}: {tool} has no {', '.join(sorted(unknown))}: {command}"
        for file in words:
            if file.startswith("configs/"):
                assert (ROOT / file).is_file(), f"{page.name}: there is no {file}"


@every_page
def test_keys_in_commands_exist(page):
    known = dict(leaves(get_kfashion_cfg()))
    for command in commands(text_of(page)):
        for word in re.findall(r"\b(?:DATASETS|DATALOADER|INPUT|MODEL|SOLVER|TEST)\.[A-Z][\w.]*", command):
            assert word in known, f"{page.name}: there is no key {word}: {command}"


@every_page
def test_imports_in_examples_work(page):
    for language, code in code_blocks(text_of(page)):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("kfashion_d2"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{page.name}: {node.module} has no {alias.name}"


@every_page
def test_files_named_in_the_text_exist(page):
    package = ROOT / "kfashion_d2"
    parts = "|".join(["kfashion_d2", "configs", "tests", "tools", *(f.name for f in package.iterdir() if f.is_dir())])
    pattern = rf"`((?:{parts})/[\w/-]*(?:\.py|\.yaml|/)|[\w-]+\.py)`"
    for path in re.findall(pattern, without_code_blocks(text_of(page))):
        if "/" in path:
            assert (ROOT / path).exists() or (package / path).exists(), f"{page.name} names {path}: there is none"
        elif path.endswith(".py"):
            folders = (package, ROOT / "tools", ROOT / "tests")
            assert any(next(folder.rglob(path), None) for folder in folders), f"{page.name} names {path}: there is none"


# ------------------------------------------------------------------ the two READMEs
def test_both_readmes_have_the_same_parts():
    english, korean = map(text_of, READMES)
    assert [level for level, _ in headings(english)] == [level for level, _ in headings(korean)]
    assert [language for language, _ in code_blocks(english)] == [language for language, _ in code_blocks(korean)]
    assert commands(english) == commands(korean)
    link = r"\]\(((?!README)[^)\s]+)\)"
    assert set(re.findall(link, english)) == set(re.findall(link, korean))


def test_the_readmes_name_every_page():
    for readme in READMES:
        for page in (ROOT / "docs").glob("*.md"):
            assert f"](docs/{page.name})" in text_of(readme), f"{readme.name} does not name docs/{page.name}"
