"""One self-contained page: what a run reached, how it got there, and its pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ...schema import AttributeSchema
from ..drawing.fonts import carry_hangul

__all__ = ["write_demo_page"]

_TEMPLATE = Path(__file__).parent / "templates" / "demo_page.html.j2"


def _data_uri(path: Path) -> str:
    kind = "png" if path.suffix == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def _number(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{value:.1f}"


def write_demo_page(
    output: str | Path,
    *,
    title: str,
    results: Mapping[str, Mapping[str, float]],
    schema: AttributeSchema,
    curve: str | Path,
    pictures: Sequence[str | Path],
    notes: Sequence[str] = (),
) -> None:
    """
    Args:
        output: path of the HTML file.
        title: the page's heading.
        results: of the Trainer's test: "bbox", "attributes" and, where they are, "attributes_gt_boxes" and "style".
        schema: the groups to list.
        curve, pictures: image files, which the page takes in.
        notes: sentences under the heading.
    """
    from jinja2 import Environment, FileSystemLoader

    tasks = [task for task in ("attributes", "attributes_gt_boxes") if task in results]

    def cells(group: str, metric: str) -> list[str]:
        return [_number(results[task].get(f"{group}/{metric}")) for task in tasks]

    rows = {
        kind: [
            {
                "name": group.text("en"),
                "korean": group.korean,
                "support": int(results[tasks[0]].get(f"{group.name}/support", 0)),
                "score": cells(group.name, "accuracy" if group.is_single else "micro_f1"),
                "majority": cells(group.name, "majority"),
                "other": cells(group.name, "macro_f1" if group.is_single else "mAP"),
            }
            for group in schema.groups
            if group.kind == kind
        ]
        for kind in ("single", "multi")
    }
    mean = results[tasks[0]]
    headline = [
        ("Box AP50", _number(results["bbox"].get("AP50")), "COCO, mean over the classes"),
        (
            "Single-label accuracy",
            _number(mean.get("mean/accuracy")),
            f"always the commonest label: {_number(mean.get('mean/majority'))}",
        ),
        ("Multi-label micro F1", _number(mean.get("mean/micro_f1")), "materials, prints, details"),
        ("Garments found", f"{_number(mean.get('recall'))} %", "at IoU 0.5, of the right class"),
    ]
    if "style" in results:
        style = results["style"]
        top3, majority = _number(style.get("top3")), _number(style.get("majority"))
        headline.append(
            (
                "Style of the image",
                _number(style.get("top1")),
                f"among the best three: {top3}; always the commonest: {majority}",
            )
        )
    environment = Environment(loader=FileSystemLoader(_TEMPLATE.parent), autoescape=True, trim_blocks=True)
    html = environment.get_template(_TEMPLATE.name).render(
        title=title,
        notes=notes,
        headline=headline,
        on_gt="attributes_gt_boxes" in tasks,
        rows=rows,
        curve=_data_uri(Path(curve)),
        pictures=[_data_uri(Path(path)) for path in pictures],
    )
    Path(output).write_text(carry_hangul(html), encoding="utf-8")
