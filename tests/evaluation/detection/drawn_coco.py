"""Random COCO dicts with attributes, as awkward as they come: ties, crowds, boxes that touch, empty images."""

import numpy as np


def drawn_coco(
    seed, images=12, detections=8, categories=46, used=(0, 1, 13, 27, 30, 31), attributes=9, crowd=0.15, grid=None
):
    rng = np.random.default_rng(seed)
    ids = [5 * i + 2 for i in range(attributes)]

    def some(most):
        return [ids[i] for i in rng.choice(attributes, rng.integers(0, min(most, attributes) + 1), replace=False)]

    def snapped(box):
        return (np.maximum(np.round(box / grid), 1) * grid if grid else box).tolist()

    gt = {
        "images": [{"id": 3 * i + 1, "height": 400, "width": 300} for i in range(images)],
        "categories": [{"id": i, "name": f"c{i}"} for i in range(categories)],
        "attributes": [{"id": i, "name": f"a{i}"} for i in ids],
        "annotations": [],
    }
    dt = []
    for image in gt["images"]:
        garments = []
        for _ in range(rng.integers(0, 6)):
            width, height = rng.choice([20, 60, 150]) * rng.uniform(0.6, 1.4, 2)
            box = np.array([rng.uniform(0, 300 - width), rng.uniform(0, 400 - height), width, height])
            category, labels = int(rng.choice(used)), some(4)
            x, y, w, h = snapped(box)
            gt["annotations"].append(
                {
                    "id": len(gt["annotations"]) + 1,
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": [x, y, w, h],
                    "area": float(w * h * rng.choice([1, 0.7])),
                    "iscrowd": int(rng.random() < crowd),
                    "attribute_ids": labels,
                    "segmentation": [[x, y, x + w, y, x + 0.8 * w, y + h, x, y + h]],
                }
            )
            garments.append((box, category, labels))
        for _ in range(rng.poisson(detections)):
            if garments and rng.random() < 0.8:
                box, category, labels = garments[rng.integers(len(garments))]
                box = box + rng.normal(0, rng.choice([1, 5, 30]), 4)
                labels = sorted({a for a in labels if rng.random() < 0.8} | set(some(2) if rng.random() < 0.5 else []))
                category = category if rng.random() < 0.9 else int(rng.choice(used))
            else:
                box = np.array([rng.uniform(0, 200), rng.uniform(0, 300), *rng.uniform(5, 150, 2)])
                category, labels = int(rng.choice(used)), some(3)
            box[2:] = np.maximum(box[2:], 2)
            dt.append(
                {
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": snapped(box),
                    "score": float(np.round(rng.random(), 1)),
                    "attribute_ids": labels,
                }
            )
    return gt, dt
