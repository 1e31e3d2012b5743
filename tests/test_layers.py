"""The house's rings and arrows, checked by rules: which module may import which, and what loads without what."""

import ast
import subprocess
import sys
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.subprocesses import BLOCK, run

ROOT = Path(__file__).parents[1]
PACKAGE = "kfashion_d2"
BESIDE = ("benchmarks", "fuzzing")  # folders beside the package that import it

# Modules of the first ring import Python, NumPy and YAML alone; those of the second ring all but Detectron2.
NOT_IN_FIRST_RING = {"torch", "detectron2", "pyarrow", "cv2", "matplotlib", "PIL"}
FIRST_RING = ("schema", "utils", "data.annotation")
SECOND_RING = (
    "data.conversion",
    "data.formats",
    "data.sources",
    "data.splits",
    "data.statistics",
    "data.store",
    "data.torch_dataset",
    "data.training_batches",
    "evaluation",
    "exported",
    "modeling.criterion",
    "modeling.label_prior",
    "modeling.losses",
    "synthetic",
    "visualization",
)
# What meets Detectron2's own classes inside a wing of the second ring.
THIRD_RING_GUESTS = {
    "kfashion_d2.evaluation.evaluator",
    "kfashion_d2.evaluation.predictions.gt_box_attributes",
    "kfashion_d2.evaluation.predictions.image",
}

# What each part of the house may import of the others, beside utils, which all of them may.
ARROWS = {
    "utils": set(),
    "schema": set(),
    "synthetic": {"schema"},
    "data": {"schema", "synthetic"},
    "modeling": {"schema"},
    "evaluation": {"schema"},
    "visualization": {"schema", "evaluation"},
    "config": {"modeling", "schema"},
    "checkpoint": {"schema", "evaluation"},
    "engine": {"schema", "data", "modeling", "evaluation", "visualization", "checkpoint", "config"},
    "exported": {"schema", "visualization"},
    "export": {"exported", "predictor"},
    "import_checkpoint": {"schema", "modeling", "checkpoint", "config"},
    "predictor": {"schema", "data", "modeling", "evaluation", "visualization", "checkpoint", "config"},
    "demo": {
        "schema",
        "synthetic",
        "data",
        "modeling",
        "evaluation",
        "visualization",
        "checkpoint",
        "config",
        "engine",
        "predictor",
    },
    "benchmarks": {"schema", "data", "synthetic", "modeling", "evaluation", "config", "engine"},
    "fuzzing": {"schema", "data", "synthetic"},
}


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(path): path for folder in (PACKAGE, *BESIDE) for path in sorted((ROOT / folder).rglob("*.py"))}
MODULES = [name for name in FILES if name.startswith(PACKAGE)]


@cache
def tree_of(module):
    return ast.parse(FILES[module].read_text("utf-8"))


@cache
def lazy_names(package):
    """Public name -> the module that a lazy package loads it from."""
    calls = [node for node in ast.walk(tree_of(package)) if isinstance(node, ast.Call)]
    calls = [call for call in calls if getattr(call.func, "id", "") == "lazy_exports"]
    if not calls or not isinstance(calls[0].args[1], ast.Dict):
        return {}
    return {name: resolve(package, target) for name, target in ast.literal_eval(calls[0].args[1]).items()}


def resolve(package, target):
    """The absolute name of a relative one, as importlib.import_module finds it."""
    level = len(target) - len(target.lstrip("."))
    base = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*base, *filter(None, [target.lstrip(".")])])


def statements(module, kind):
    """
    Imports of a module that run when it is imported, "guarded" ones too, which it does without where they fail; or
    "all", in functions and for types too.
    """
    if kind == "all":
        yield from (node for node in ast.walk(tree_of(module)) if isinstance(node, (ast.Import, ast.ImportFrom)))
        return
    waiting = list(tree_of(module).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If):
            waiting += node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse]
        elif isinstance(node, ast.Try):
            does_without = any("ImportError" in ast.unparse(handler.type) for handler in node.handlers if handler.type)
            waiting += [*([] if does_without and kind != "guarded" else node.body), *node.orelse, *node.finalbody]
        elif isinstance(node, (ast.With, ast.ClassDef)):
            waiting += node.body


@cache
def imports_of(module, kind):
    """Modules that a module names in its imports; a name of a lazy package stands for the module that defines it."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    found = set()
    for node in statements(module, kind):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
            continue
        base = resolve(package, "." * node.level + (node.module or "")) if node.level else node.module
        for alias in node.names:
            if f"{base}.{alias.name}" in FILES:
                found.add(f"{base}.{alias.name}")
            elif base in FILES:
                found.add(lazy_names(base).get(alias.name, base))
            else:
                found.add(base)
    return found


@cache
def loaded_with(module, kind):
    """All that importing a module imports: modules of ours, and the top-level names of others' packages."""
    loaded, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        if name not in FILES:
            loaded.add(name.partition(".")[0])
        elif name not in loaded:
            loaded.add(name)
            parents = [name.rsplit(".", i)[0] for i in range(1, name.count(".") + 1)]
            waiting += [*parents, *imports_of(name, kind)]
    return loaded


def in_wing(module, wings):
    return any(f"{module}.".startswith(f"{PACKAGE}.{wing}.") for wing in wings)


def ring(blocked):
    """Modules that import without the blocked packages; modeling's own guard is against a missing Detectron2 alone."""
    kind = "unguarded" if blocked == {"detectron2"} else "guarded"
    return [module for module in MODULES if not loaded_with(module, kind) & blocked]


@pytest.mark.parametrize(
    "wings, blocked, guests",
    [(FIRST_RING, NOT_IN_FIRST_RING, set()), (SECOND_RING, {"detectron2"}, THIRD_RING_GUESTS)],
    ids=["first", "second"],
)
def test_a_ring_imports_without_the_higher_ones(wings, blocked, guests):
    modules = ring(blocked)
    wanted = {module for module in MODULES if in_wing(module, wings)} | {PACKAGE, f"{PACKAGE}.data"}
    assert all(any(in_wing(module, [wing]) for module in MODULES) for wing in wings)
    assert wanted - set(modules) <= guests
    run(BLOCK.format(blocked=sorted(blocked)) + "\n".join(f"import {name}" for name in modules))


def test_the_first_ring_parses_without_torch():
    code = BLOCK.format(blocked=["torch", "detectron2", "pyarrow"]) + (
        "from kfashion_d2.data import parse_annotation\n"
        "from kfashion_d2 import kfashion_schema\n"
        "print(parse_annotation({}, kfashion_schema())[1][-1].reason)"
    )
    assert run(code).strip() == "no details"


def test_a_conversion_and_the_exports_load_no_more_than_they_need():
    code = (
        "import sys, kfashion_d2.data.conversion.convert\n"
        "print('torch' in sys.modules)\n"
        "import kfashion_d2.data.formats.fiftyone, kfashion_d2.data.formats.yolo, kfashion_d2.data.splits.grouping\n"
        "print('torchvision' in sys.modules)"
    )
    assert run(code).split() == ["False", "False"]


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["torch", "numpy", "detectron2", "yaml", "pyarrow", "kfashion_d2.schema"]
    code = f"import kfashion_d2, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert run(code).strip() == "[]"


def test_without_detectron2_every_public_name_loads_or_names_the_remedy():
    packages = [module for module in MODULES if FILES[module].name == "__init__.py" and lazy_names(module)]
    code = BLOCK.format(blocked=["detectron2"]) + (
        "import importlib\n"
        f"for package in {packages!r}:\n"
        "    module = importlib.import_module(package)\n"
        "    for name in module.__all__:\n"
        "        try:\n"
        "            getattr(module, name)\n"
        "        except ModuleNotFoundError as error:\n"
        "            assert error.name == 'detectron2' and 'tools/install_detectron2.py' in str(error), error\n"
        "            print(f'{package}.{name}')\n"
    )
    refused = set(run(code).split())
    assert {
        "kfashion_d2.Trainer",
        "kfashion_d2.data.register_kfashion",
        "kfashion_d2.engine.hooks.UpdateEMA",
    } <= refused
    assert not refused & {"kfashion_d2.AttributeSchema", "kfashion_d2.data.KFashionDataset"}
    assert all(not in_wing(name, ["schema", "utils", "synthetic", "visualization"]) for name in refused)


@pytest.mark.parametrize(
    "tool, args, is_parsed_without",
    [
        ("calibrate", ["--config-file", "a.yaml"], True),
        ("demo", [], True),
        ("evaluate", ["--config-file", "a.yaml", "--output", "{folder}"], True),
        ("export_model", ["--config-file", "a.yaml", "--output", "{folder}"], True),
        ("import_checkpoint", ["a.pth", "b.pth", "--config-file", "a.yaml"], True),
        ("lazyconfig_train_net", ["--config-file", "a.py"], False),
        ("predict", ["--config-file", "a.yaml", "--input", "a.jpg", "--output", "{folder}"], True),
        ("train_net", ["--config-file", "a.yaml"], False),
        ("visualize_data", ["a", "--output", "{folder}"], True),
    ],
)
def test_without_detectron2_a_tool_names_the_remedy_in_one_line(tmp_path, tool, args, is_parsed_without):
    start = BLOCK.format(blocked=["detectron2"]) + (
        f"import runpy\nsys.argv[0] = '{tool}.py'\n"
        f"runpy.run_path({str(ROOT / 'tools' / tool)!r} + '.py', run_name='__main__')"
    )

    def call(*words):
        command = [sys.executable, "-c", start, *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)

    done = call(*(word.format(folder=tmp_path) for word in args))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"{tool}.py: error: ") and "tools/install_detectron2.py" in line
    if is_parsed_without:
        assert call("--help").stdout.startswith(f"usage: {tool}.py")


def part_of(module):
    parts = module.split(".")
    return parts[0] if parts[0] in BESIDE else parts[1]


@pytest.mark.parametrize("module", [name for name in FILES if name != PACKAGE])
def test_imports_follow_the_arrows(module):
    part = part_of(module)
    imported = {*imports_of(module, "all"), *lazy_names(module).values()} - {PACKAGE}
    parts = {part_of(name) for name in imported if name in FILES and name != part} - {part, "utils"}
    assert parts <= ARROWS[part], f"{module} imports {sorted(parts - ARROWS[part])}"


def test_no_modules_import_each_other():
    graph = {module: imports_of(module, "all") & FILES.keys() - {module} for module in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"{' <- '.join(error.args[1])}")


def test_importing_the_benchmarks_registers_no_part_of_theirs():
    modules = [name for name in FILES if name.startswith("benchmarks")]
    code = "\n".join(f"import {name}" for name in modules) + (
        "\nfrom kfashion_d2.modeling import ROI_ATTRIBUTE_HEAD_REGISTRY"
        "\nprint(sorted(head.__module__.partition('.')[0] for _, head in ROI_ATTRIBUTE_HEAD_REGISTRY))"
    )
    assert set(ast.literal_eval(run(code))) == {PACKAGE}


def test_no_tool_imports_another():
    tools = {path.stem for path in (ROOT / "tools").glob("*.py")}
    for path in (ROOT / "tools").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            module = getattr(node, "module", None) or ""
            names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else [module]
            assert not {name.split(".")[0] for name in names} & (tools | {"tools"})


def test_reports_are_given_what_they_show():
    """They name the evaluation's containers and constants, and call none of its functions that compute."""
    lays_out = {"comparison_rows", "threshold_row"}
    for name in [name for name in MODULES if name.startswith(f"{PACKAGE}.visualization.reports.")]:
        for node in ast.walk(tree_of(name)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "evaluation":
                functions = {alias.name for alias in node.names if alias.name[0].islower()}
                assert functions <= lays_out, f"{name} imports {', '.join(functions - lays_out)}"


def test_no_test_imports_another():
    """What tests share stands in modules of its own, and fixtures in conftest.py."""
    folder = ROOT / "tests"
    modules = {name_of(path): path for path in sorted(folder.rglob("*.py"))}
    tests = {name for name, path in modules.items() if path.name == "conftest.py" or path.name.startswith("test_")}
    for name, path in modules.items():
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = resolve(package, "." * node.level + (node.module or "")) if node.level else node.module
                imported = {base, *(f"{base}.{alias.name}" for alias in node.names)}
            else:
                continue
            assert not imported & tests, f"{name} imports {sorted(imported & tests)}"
