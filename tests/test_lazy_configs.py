"""Every LazyConfig builds the model of its yaml twin, and takes a step; the tiny one trains, evaluates and resumes."""

from pathlib import Path

import pytest
import torch
from detectron2.config import LazyCall, LazyConfig, instantiate
from detectron2.data import transforms as T
from detectron2.modeling import build_model
from detectron2.solver import build_lr_scheduler
from detectron2.structures import PolygonMasks
from detectron2.utils.events import EventStorage
from fvcore.common.param_scheduler import LinearParamScheduler

from kfashion_d2.config import get_config_file, get_kfashion_cfg
from kfashion_d2.data import AttributeDatasetMapper
from kfashion_d2.engine import Trainer
from kfashion_d2.engine.lazy_trainer import (
    build_lazy_model,
    check_lazy_run,
    clip_gradients,
    load_lazy_config,
    train_lazy,
)
from tests.modeling.tiny_models import make_input, make_targets

ROOT = Path(get_config_file("Base-KFashion-RCNN-FPN.yaml")).parent / "lazy"
pytestmark = pytest.mark.usefixtures("clean_catalogs")
CONFIGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if path.parent.name != "common")


def load(name):
    if "vitdet" in name:
        pytest.importorskip("timm", reason="Detectron2's ViT needs timm")
    lazy = LazyConfig.load(str(ROOT / name))
    assert set(lazy) == {"dataloader", "kfashion", "lr_multiplier", "model", "optimizer", "schema", "train"}
    cfg = get_kfashion_cfg()
    cfg.merge_from_file(str((ROOT.parent / name).with_suffix(".yaml")))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu"])
    if "vitdet" in name:  # small pictures: the positions' shapes follow from them
        cfg.MODEL.VIT.IMAGE_SIZE = lazy.model.backbone.net.img_size = lazy.model.backbone.square_pad = 128
    return lazy, cfg


def shapes(module):
    trained = {name: p.requires_grad for name, p in module.named_parameters()}
    return {name: (tuple(x.shape), x.dtype, trained.get(name)) for name, x in module.state_dict().items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_model_is_the_twins_and_takes_a_step(name):
    lazy, cfg = load(name)
    heads, rpn = lazy.model.roi_heads, lazy.model.proposal_generator
    yaml = build_model(cfg)
    model = instantiate(lazy.model)
    assert shapes(model) == shapes(yaml)
    assert rpn.post_nms_topk[0] == cfg.MODEL.RPN.POST_NMS_TOPK_TRAIN
    assert rpn.pre_nms_topk == [cfg.MODEL.RPN.PRE_NMS_TOPK_TRAIN, cfg.MODEL.RPN.PRE_NMS_TOPK_TEST]
    assert heads.batch_size_per_image == cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    assert torch.equal(model.pixel_mean, yaml.pixel_mean) and torch.equal(model.pixel_std, yaml.pixel_std)
    assert model.roi_heads.attribute_head.schema.hash == yaml.roi_heads.attribute_head.schema.hash
    ours, theirs = model.roi_heads.attribute_head, yaml.roi_heads.attribute_head
    assert (ours.loss_weight, ours.mask_impossible) == (theirs.loss_weight, theirs.mask_impossible)
    schema, row = ours.schema, torch.linspace(-3, 3, ours.schema.num_labels)[None]
    known, prior = schema.encode({"color": 3, "length": 0, "detail": [1]}, "top"), torch.rand(schema.num_labels)
    losses = [head.criterion(row, torch.from_numpy(known)[None], prior) for head in (ours, theirs)]
    assert losses[0] == losses[1] > 0
    assert (lazy.train.init_checkpoint or "") == cfg.MODEL.WEIGHTS
    assert type(model.roi_heads) is type(yaml.roi_heads)
    # The same weights give the same boxes and attributes.
    model.load_state_dict(yaml.state_dict())
    image = make_input(size=(96, 128))
    with torch.no_grad():
        a, b = (x.eval()([image])[0]["instances"] for x in (model, yaml))
    assert torch.equal(a.pred_boxes.tensor, b.pred_boxes.tensor)
    assert torch.equal(a.pred_attributes, b.pred_attributes)

    model.train()
    schema = model.roi_heads.attribute_head.schema
    targets = make_targets([([10, 10, 60, 100], 0, {"color": 3, "length": 0})], schema=schema)
    if cfg.MODEL.MASK_ON:
        targets.gt_masks = PolygonMasks([[torch.tensor([10.0, 10, 60, 10, 60, 100]).numpy()]])
        targets.gt_mask_valid = torch.tensor([True])
    lazy.optimizer.params.model = model
    optimizer = instantiate(lazy.optimizer)
    before = model.roi_heads.attribute_head.predictor.bias.detach().clone()
    with EventStorage():
        losses = model([make_input(targets)])
    sum(losses.values()).backward()
    optimizer.step()
    assert ("loss_mask" in losses) == cfg.MODEL.MASK_ON
    assert not torch.equal(before, model.roi_heads.attribute_head.predictor.bias)


@pytest.mark.parametrize("name", CONFIGS)
def test_optimizer_schedule_and_images_are_the_twins(name):
    lazy, cfg = load(name)
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    lazy.optimizer.params.model = net
    if "vitdet" in name:
        lazy.optimizer.params.lr_factor_func = None
    mine, yaml = instantiate(lazy.optimizer), Trainer.build_optimizer(cfg, net)
    assert type(mine).__mro__[0] in type(yaml).__mro__
    settings = ("lr", "weight_decay", "momentum", "betas")
    facts = [[[g.get(k) for k in settings] for g in x.param_groups for _ in g["params"]] for x in (mine, yaml)]
    assert sorted(map(str, facts[0])) == sorted(map(str, facts[1]))
    clipping = {key.lower(): value for key, value in cfg.SOLVER.CLIP_GRADIENTS.items()}
    assert lazy.train.clip_gradients == clipping
    scheduler = build_lr_scheduler(cfg, yaml)
    multiplier = instantiate(lazy.lr_multiplier)
    assert lazy.train.max_iter == cfg.SOLVER.MAX_ITER
    for where in (0, 0.0001, 0.001, 0.1, 0.7, 0.8, 0.95):
        assert multiplier(where) == pytest.approx(scheduler._multiplier(where))
    mapper = instantiate(lazy.dataloader.train.mapper)
    twin = AttributeDatasetMapper(cfg, True)
    assert mapper.use_instance_mask == twin.use_instance_mask and mapper.image_format == twin.image_format
    sizes = [m.augmentations.augs[0] for m in (mapper, twin)]
    assert isinstance(sizes[0], T.ResizeShortestEdge)
    assert set(sizes[0].short_edge_length) == set(sizes[1].short_edge_length)
    assert sizes[0].max_size == sizes[1].max_size


def test_the_tiny_one_trains_resumes_and_scores(demo_store, tmp_path):
    def run(folder, iterations, resume=False):
        cfg = LazyConfig.load(str(ROOT / "quick/attribute_rcnn_tiny.py"))
        cfg.kfashion.root, cfg.train.output_dir = str(demo_store), str(folder)
        cfg.train.max_iter, cfg.train.seed, cfg.train.checkpointer.period = iterations, 1, 2
        cfg.train.ema.enabled, cfg.train.best.metric = True, "attributes_gt_boxes/mean/macro_f1"
        cfg.dataloader.train.num_workers, cfg.dataloader.train.total_batch_size = 0, 2
        # A schedule that does not know its end, so that a run may be made longer.
        cfg.lr_multiplier = LazyCall(LinearParamScheduler)(start_value=1.0, end_value=1.0)
        Path(folder).mkdir(exist_ok=True)
        torch.manual_seed(0)
        return train_lazy(cfg, resume=resume)

    results = run(tmp_path / "whole", 4)
    assert set(results) == {"bbox", "attributes", "attributes_gt_boxes"}
    run(tmp_path / "parts", 2)
    again = run(tmp_path / "parts", 4, resume=True)
    assert again["attributes_gt_boxes"] == pytest.approx(results["attributes_gt_boxes"], nan_ok=True, abs=0)
    a, b = (torch.load(tmp_path / x / "model_final.pth", weights_only=True) for x in ("whole", "parts"))
    for key in ("model", "raw_model"):
        assert all(torch.equal(a[key][name], b[key][name]) for name in a[key])
    assert (tmp_path / "parts/model_best.pth").is_file()


def test_label_counts_are_those_of_the_data_not_of_the_weights_to_start_from(demo_store, tmp_path):
    cfg = LazyConfig.load(str(ROOT / "quick/attribute_rcnn_tiny.py"))
    cfg.kfashion.root, cfg.train.output_dir, cfg.train.max_iter = str(demo_store), str(tmp_path), 1
    cfg.dataloader.train.num_workers, cfg.dataloader.train.total_batch_size = 0, 2
    cfg.model.roi_heads.attribute_head.class_prior = True
    train_lazy(cfg)
    key, file = "roi_heads.attribute_head.prior.counts", tmp_path / "model_final.pth"
    counts = torch.load(file, weights_only=True)["model"][key]
    assert counts.sum() > 0
    other = torch.load(file, weights_only=True)
    other["model"][key] += 7  # as if trained on another set
    torch.save(other, tmp_path / "other.pth")
    cfg.train.init_checkpoint = str(tmp_path / "other.pth")
    train_lazy(cfg)
    assert torch.equal(torch.load(file, weights_only=True)["model"][key], counts)


def test_classes_must_agree():
    cfg = LazyConfig.load(str(ROOT / "quick/attribute_rcnn_tiny.py"))
    cfg = LazyConfig.apply_overrides(cfg, ["kfashion.classes=category", "train.device=cpu"])
    with pytest.raises(ValueError, match=r"num_classes is 4, but kfashion\.classes 'category' has 21"):
        build_lazy_model(cfg)


def test_gradients_are_clipped():
    options = {"enabled": True, "clip_type": "norm", "clip_value": 1.0, "norm_type": 2.0}
    net = torch.nn.Linear(2, 1, bias=False)
    optimizer = clip_gradients(torch.optim.SGD(net.parameters(), lr=0.0), options)
    net.weight.grad = torch.tensor([[3.0, -4.0]])
    optimizer.step()
    assert net.weight.grad[0].tolist() == pytest.approx([0.6, -0.8], rel=1e-5)
    net.weight.grad = torch.tensor([[3.0, -4.0]])
    clip_gradients(torch.optim.SGD(net.parameters(), lr=0.0), {**options, "enabled": False}).step()
    assert net.weight.grad[0].tolist() == [3.0, -4.0]


def test_mistakes_of_a_command_line(tmp_path):
    tiny = str(ROOT / "quick/attribute_rcnn_tiny.py")
    (tmp_path / "empty.py").write_text("train = dict()\n")
    for file, overrides, error, message in (
        ("gone.py", [], FileNotFoundError, r"no config file 'gone\.py'"),
        (str(ROOT.parent.parent / "README.md"), [], ValueError, r"README\.md is no LazyConfig: name a \.py file"),
        (
            str(tmp_path / "empty.py"),
            [],
            ValueError,
            r"empty\.py has no dataloader, kfashion, model: begin with one of",
        ),
        (tiny, ["nonsense"], ValueError, r"tiny\.py with nonsense: [^\n]+$"),
    ):
        with pytest.raises(error, match=message):
            load_lazy_config(file, overrides)
    cfg = load_lazy_config(tiny, [f"train.output_dir={tmp_path}"])
    with pytest.raises(ValueError, match=r"train\.init_checkpoint is empty: name the checkpoint to evaluate"):
        check_lazy_run(cfg, eval_only=True)
    check_lazy_run(cfg)
    (tmp_path / "last_checkpoint").write_text("model_final.pth")
    with pytest.raises(FileExistsError, match=r"holds another training"):
        check_lazy_run(cfg)
    cfg.train.init_checkpoint = str(tmp_path / "gone.pth")
    with pytest.raises(FileNotFoundError, match=r"gone\.pth: no such file"):
        check_lazy_run(cfg, overwrite=True)
    assert (tmp_path / "last_checkpoint").exists()
