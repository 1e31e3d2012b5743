import hashlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from kfashion_d2.evaluation import read_predictions
from tests.evaluation.evaluator_cases import NAME

ROOT = Path(__file__).parents[2]

# Each process sees the images that Detectron2's own sampler gives it; 13 images do not share evenly.
SCRIPT = """
import sys
import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from detectron2.evaluation import inference_on_dataset
from detectron2.utils import comm
from torch import nn
from kfashion_d2.engine.launch import launch
from kfashion_d2.evaluation import KFashionEvaluator, write_predictions
from tests.evaluation.evaluator_cases import NAME, SCHEMA, Model, quarters, random_case

class Found(Model):
    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs):
        super().forward(inputs)
        return [self.outputs[x["image_id"]] for x in inputs]

def main(folder):
    records, outputs = random_case(13)
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).set(attribute_schema=SCHEMA, classes="part")
    model = Found(outputs)
    loader = build_detection_test_loader(
        records, mapper=lambda r: {"image": quarters(), **{k: r[k] for k in ("image_id", "height", "width")}}
    )
    evaluator = KFashionEvaluator(NAME, model=model)
    results = inference_on_dataset(model, loader, evaluator)
    if comm.is_main_process():
        write_predictions(evaluator.predictions, f"{folder}/{comm.get_world_size()}.parquet")
        with open(f"{folder}/{comm.get_world_size()}.txt", "w") as file:
            file.write(repr(results))
    else:
        assert results == {} and evaluator.predictions is None

if __name__ == "__main__":
    launch(main, int(sys.argv[1]), dist_url="auto", args=(sys.argv[2],))
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One process, this one; and two of their own."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "run.py").write_text(SCRIPT)
    try:
        runpy.run_path(str(folder / "run.py"))["main"](str(folder))
    finally:
        DatasetCatalog.pop(NAME, None)
        MetadataCatalog.pop(NAME, None)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, str(folder / "run.py"), "2", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_two_processes_give_the_results_of_one_to_the_bit(runs):
    one, two = ((runs / f"{n}.txt").read_text() for n in (1, 2))
    assert one == two and "attributes_gt_boxes" in one
    digests = {hashlib.sha256((runs / f"{n}.parquet").read_bytes()).hexdigest() for n in (1, 2)}
    assert len(digests) == 1
    predictions = read_predictions(runs / "2.parquet")
    assert predictions.image_indices.tolist() == list(range(13))
    assert predictions.num_detections and predictions.gt_attributes.any()
