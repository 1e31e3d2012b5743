"""This module writes one self-contained page: what a run reached, how it got there, and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...schema import AttributeSchema
from .evaluation_tables import pair
from .render import data_uri, number, render_page
from .words import words

__all__ = ["write_demo_page"]


def _image_uri(path: str | Path) -> str:
    path = Path(path)
    return data_uri("png" if path.suffix == ".png" else "jpeg", path.read_bytes())


def _both(text: str | tuple[str, str]) -> tuple[str, str]:
    return (text, text) if isinstance(text, str) else text


def write_demo_page(
    output: str | Path,
    *,
    title: str | tuple[str, str],
    results: Mapping[str, Mapping[str, float]],
    schema: AttributeSchema,
    curve: str | Path,
    pictures: Sequence[str | Path],
    notes: Sequence[str | tuple[str, str]] = (),
    language: str = "en",
) -> None:
    """
    Write what a run reached, how it got there, and its pictures as one HTML page.

    Args:
        output: path of the HTML file.
        title: the page's heading; one text, or an English and a Korean one.
        results: of the Trainer's test: "bbox", "attributes" and, where they are, "attributes_gt_boxes" and "style".
        schema: the groups to list.
        curve, pictures: image files, which the page takes in.
        notes: sentences under the heading; each as the title.
        language: "en" or "ko", in which it opens; a switch changes it.

    Raises:
        ValueError: there is no such language.
    """
    tasks = [task for task in ("attributes", "attributes_gt_boxes") if task in results]

    def cells(group: str, metric: str) -> list[str]:
        return [number(results[task].get(f"{group}/{metric}")) for task in tasks]

    rows = {
        kind: [
            {
                "name": pair(group),
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
        (words("Box AP50"), number(results["bbox"].get("AP50")), words("COCO, mean over the classes")),
        (
            words("Single-label accuracy"),
            number(mean.get("mean/accuracy")),
            words("always the commonest label: {share}", share=number(mean.get("mean/majority"))),
        ),
        (
            words("Multi-label micro F1"),
            number(mean.get("mean/micro_f1")),
            words("materials, prints, details"),
        ),
        (
            words("Garments found"),
            f"{number(mean.get('recall'))} %",
            words("at IoU 0.5, of the right class"),
        ),
    ]
    if "style" in results:
        style = results["style"]
        top3, majority = number(style.get("top3")), number(style.get("majority"))
        headline.append(
            (
                words("Style of the image"),
                number(style.get("top1")),
                words("among the best three: {top3}; always the commonest: {majority}", top3=top3, majority=majority),
            )
        )
    render_page(
        output,
        "demo_page.html.j2",
        language=language,
        heading=_both(title),
        notes=[_both(note) for note in notes],
        headline=headline,
        on_gt="attributes_gt_boxes" in tasks,
        rows=rows,
        curve=_image_uri(curve),
        pictures=[_image_uri(path) for path in pictures],
    )
