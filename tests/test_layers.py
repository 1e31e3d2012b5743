"""The house's rings and arrows, checked: who may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "kfashion_d2"

FIRST_RING = ["kfashion_d2", "kfashion_d2.schema", "kfashion_d2.data", "kfashion_d2.data.annotation.parser"]
SECOND_RING = [
    *FIRST_RING,
    "kfashion_d2.data.store.dataset",
    "kfashion_d2.data.conversion.convert",
    "kfashion_d2.data.statistics.analysis",
    "kfashion_d2.data.statistics.label_columns",
    "kfashion_d2.data.statistics.label_statistics",
    "kfashion_d2.data.formats.coco_json",
    "kfashion_d2.data.formats.coco_import",
    "kfashion_d2.data.splits.grouping",
    "kfashion_d2.data.torch_dataset",
    "kfashion_d2.data.splits.resplit",
    "kfashion_d2.data.training_batches",
    "kfashion_d2.data.formats.coco",
    "kfashion_d2.data.formats.fashionpedia",
    "kfashion_d2.data.formats.fiftyone",
    "kfashion_d2.data.formats.parquet",
    "kfashion_d2.data.formats.suspects",
    "kfashion_d2.data.formats.yolo",
    "kfashion_d2.synthetic",
    "fuzzing.run",
    "kfashion_d2.modeling.losses",
    "kfashion_d2.modeling.label_prior",
    "kfashion_d2.modeling.criterion",
    "kfashion_d2.evaluation.attribute_metrics",
    "kfashion_d2.evaluation.label_frequency",
    "kfashion_d2.evaluation.attribute_sets",
    "kfashion_d2.evaluation.coco_ap",
    "kfashion_d2.evaluation.iou_f1",
    "kfashion_d2.evaluation.iou_f1_arrays",
    "kfashion_d2.evaluation.matching",
    "kfashion_d2.evaluation.bootstrap",
    "kfashion_d2.evaluation.calibration",
    "kfashion_d2.evaluation.bootstrap_ap",
    "kfashion_d2.evaluation.coco_matching",
    "kfashion_d2.evaluation.comparison",
    "kfashion_d2.evaluation.comparison_text",
    "kfashion_d2.evaluation.confidence",
    "kfashion_d2.evaluation.error_analysis",
    "kfashion_d2.evaluation.group_metrics",
    "kfashion_d2.evaluation.label_noise",
    "kfashion_d2.evaluation.metrics_file",
    "kfashion_d2.evaluation.metrics_table",
    "kfashion_d2.evaluation.mistakes",
    "kfashion_d2.evaluation.per_label",
    "kfashion_d2.evaluation.prediction_ap",
    "kfashion_d2.evaluation.prediction_metrics",
    "kfashion_d2.evaluation.predictions",
    "kfashion_d2.evaluation.predictions_file",
    "kfashion_d2.evaluation.ranking",
    "kfashion_d2.evaluation.reliability",
    "kfashion_d2.evaluation.style_metrics",
    "kfashion_d2.exported",
    "kfashion_d2.visualization.drawing.instances",
    "kfashion_d2.visualization.reports.curves",
    "kfashion_d2.visualization.reports.comparison_report",
    "kfashion_d2.visualization.reports.evaluation_report",
    "kfashion_d2.visualization.reports.demo_page",
    "kfashion_d2.visualization.reports.data_report",
    "kfashion_d2.visualization.drawing.style",
    "kfashion_d2.visualization.drawing.thumbnails",
]

# What each part of the house may import of the others.
ARROWS = {
    "schema": set(),
    "utils": set(),
    "synthetic": {"schema"},
    "data": {"schema", "synthetic"},
    "modeling": {"schema"},
    "evaluation": {"schema"},
    "visualization": {"schema", "evaluation"},
    "checkpoint": {"schema", "evaluation"},
    "config": {"modeling", "schema"},
    "engine": {"schema", "data", "modeling", "evaluation", "visualization", "checkpoint", "config"},
    "exported": {"schema", "visualization"},
    "export": {"exported", "predictor"},
    "import_checkpoint": {"schema", "modeling", "checkpoint", "config"},
    "predictor": {"schema", "data", "modeling", "evaluation", "visualization", "checkpoint", "config"},
    "demo": {
        "schema",
        "data",
        "modeling",
        "evaluation",
        "visualization",
        "checkpoint",
        "config",
        "engine",
        "predictor",
    },
}

BLOCK = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"blocked: {{name}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize(
    "modules, blocked",
    [
        (FIRST_RING, ["torch", "detectron2", "pyarrow", "cv2", "matplotlib", "PIL"]),
        (SECOND_RING, ["detectron2"]),
    ],
    ids=["first", "second"],
)
def test_a_ring_imports_without_the_higher_ones(modules, blocked):
    run(BLOCK.format(blocked=blocked) + "\n".join(f"import {name}" for name in modules))


def test_the_first_ring_parses_without_torch():
    code = BLOCK.format(blocked=["torch", "detectron2", "pyarrow"]) + (
        "from kfashion_d2.data import parse_annotation\n"
        "from kfashion_d2 import kfashion_schema\n"
        "print(parse_annotation({}, kfashion_schema())[1][-1].reason)"
    )
    assert run(code).strip() == "no details"


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["torch", "numpy", "detectron2", "yaml", "pyarrow", "kfashion_d2.schema"]
    code = f"import kfashion_d2, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert run(code).strip() == "[]"


def test_without_detectron2_the_remedy_is_named():
    code = BLOCK.format(blocked=["detectron2"]) + (
        "import kfashion_d2\ntry:\n    kfashion_d2.Trainer\nexcept ModuleNotFoundError as error:\n    print(error)"
    )
    assert "tools/install_detectron2.py" in run(code)


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_parts(path):
    """The parts of the house that a file imports, relative and absolute imports alike."""
    package = path.relative_to(PACKAGE).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = [*package[: len(package) - node.level + 1]] if node.level <= len(package) + 1 else []
                module = [*base, *(node.module.split(".") if node.module else [])]
                names = [module] if module else [[alias.name] for alias in node.names]
            elif node.module and node.module.split(".")[0] == "kfashion_d2":
                names = [node.module.split(".")[1:]]
        elif isinstance(node, ast.Import):
            names = [a.name.split(".")[1:] for a in node.names if a.name.split(".")[0] == "kfashion_d2"]
        yield from (name[0] for name in names if name)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_arrows(path):
    part = part_of(path)
    if part in ("__init__", "_needs_detectron2"):
        return
    for imported in imported_parts(path):
        assert imported in ARROWS[part] | {part, "utils", "_needs_detectron2", "__version__"}, (
            f"{part} imports {imported}"
        )


def test_no_tool_imports_another():
    tools = {path.stem for path in (PACKAGE.parent / "tools").glob("*.py")}
    for path in (PACKAGE.parent / "tools").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            module = getattr(node, "module", None) or ""
            names = [alias.name for alias in getattr(node, "names", [])] if isinstance(node, ast.Import) else [module]
            assert not {name.split(".")[0] for name in names} & (tools | {"tools"})
