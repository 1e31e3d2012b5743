"""This module has Detectron2's DefaultTrainer with our loaders, evaluator, optimizer and checkpoints."""

from __future__ import annotations

import functools
import logging
import os
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import torch
from detectron2.data import MetadataCatalog
from detectron2.engine import DefaultTrainer, hooks
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.modeling import META_ARCH_REGISTRY
from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate
from detectron2.solver import build_optimizer
from detectron2.solver.build import get_default_optimizer_params, maybe_add_gradient_clipping
from fvcore.nn.precise_bn import get_bn_modules
from torch import nn

from ..checkpoint import KFashionCheckpointer, to_plain
from ..evaluation import KFashionEvaluator, evaluate_predictions
from ..modeling import AttributeRCNN, AttributeRCNNWithTTA
from ..modeling.config_checks import check_attribute_branch, check_compiled_operators
from .hooks.best_checkpoint import StopTraining, build_best_checkpoint, unknown_metric
from .hooks.ema import ModelEMA
from .hooks.finite_loss import StopAtNonFiniteLoss
from .hooks.last_batch import LastBatch
from .hooks.seed_iterations import SeedIterations
from .label_counts import set_label_counts
from .launch import ddp_without_device
from .learning_rates import base_learning_rates, settle_learning_rates
from .loaders import build_test_loader, build_train_loader, start_at_iteration
from .output_dir import check_max_iter
from .setup import amp_precision, with_checked_classes, with_seed
from .training_hooks import training_hooks
from .writers import build_writers

__all__ = ["Trainer", "attribute_head"]

logger = logging.getLogger(__name__)


def attribute_head(model: nn.Module | None) -> nn.Module | None:
    """Return a model's attribute branch, DistributedDataParallel or not; None where it has none."""
    return getattr(getattr(getattr(model, "module", model), "roi_heads", None), "attribute_head", None)


class Trainer(DefaultTrainer):
    """
    This trainer trains an Attribute R-CNN from a yaml config::

        cfg = setup_config("configs/attribute_rcnn_R_50_FPN_1x.yaml", ["DATASETS.KFASHION.ROOT", "datasets/kfashion"])
        default_setup(cfg, args)
        trainer = Trainer(cfg)
        trainer.resume_or_load(resume=False)
        trainer.train()
    """

    def __init__(self, cfg):
        check_attribute_branch(cfg)
        check_compiled_operators(cfg)
        self._seed_is_drawn = cfg.SEED < 0
        cfg = with_seed(with_checked_classes(cfg))
        amp = cfg.SOLVER.AMP
        precision = amp_precision(amp.PRECISION, cfg.MODEL.DEVICE) if amp.ENABLED else None
        with ddp_without_device() if cfg.MODEL.DEVICE == "cpu" else nullcontext():
            super().__init__(cfg)
        if precision is not None:
            self._trainer.precision = precision
        if precision is torch.bfloat16:  # its range is float32's
            self._trainer.grad_scaler = torch.amp.GradScaler("cuda", enabled=False)
        self._finite_loss = StopAtNonFiniteLoss(self._trainer.model, self.last_batch)
        self._trainer.register_hooks([self._finite_loss])
        set_label_counts(self._trainer.model, self.cfg.DATASETS.TRAIN)
        self._check_best_metric()

    def _check_best_metric(self) -> None:
        """
        Evaluate no image, which gives the names of all metrics, and look for ``TEST.BEST.METRIC`` among them.

        Raises:
            ValueError: it is not there. The metrics of test-time augmentation, and those that the data may not have,
                are not judged.
        """
        metric, names = self.cfg.TEST.BEST.METRIC, self.cfg.DATASETS.TEST
        if not metric or "_TTA/" in metric or "_no_ignore" in metric:
            return
        options = {"metrics": "none", "distributed": False, "gt_boxes": self.cfg.TEST.ATTRIBUTES.ON_GT_BOXES}
        known: list[str] = []
        for name in names:
            evaluator = self.build_evaluator(self.cfg, name, model=self.evaluated_model, **options)
            if not isinstance(evaluator, KFashionEvaluator):  # a subclass measures something else
                return
            evaluator.reset()
            evaluator.evaluate()
            metrics = evaluate_predictions(evaluator.predictions, detailed=False).metrics
            known += flatten_results_dict(metrics if len(names) == 1 else {name: metrics})
        if metric not in known:
            raise ValueError(unknown_metric(metric, known))

    def resume_or_load(self, resume: bool = True):
        super().resume_or_load(resume)
        if self.start_iter:
            check_max_iter(self.start_iter, self.max_iter, self.checkpointer.get_checkpoint_file())
        if self.start_iter == 0:  # weights of another training set bring their counts along
            set_label_counts(self._trainer.model, self.cfg.DATASETS.TRAIN)
        elif not start_at_iteration(self.data_loader, self.start_iter):
            logger.warning("the data loader begins anew: it is not one of build_train_loader's")

    def build_hooks(self):
        cfg, model, net = self.cfg, self._trainer.model, self.checkpointer.model
        if cfg.SOLVER.EMA.ENABLED and cfg.TEST.PRECISE_BN.ENABLED:
            raise ValueError("TEST.PRECISE_BN does not reach the average of SOLVER.EMA: enable one of the two")
        self.ema = ModelEMA(net, cfg.SOLVER.EMA.DECAY, warmup=cfg.SOLVER.EMA.WARMUP) if cfg.SOLVER.EMA.ENABLED else None
        self.last_batch = LastBatch(model)
        # Before the hooks, because the one that saves keeps a reference.
        self.checkpointer = KFashionCheckpointer(model, cfg.OUTPUT_DIR, ema=self.ema, trainer=weakref.proxy(self))
        proxy = weakref.proxy(self)
        return training_hooks(
            seed=cfg.SEED,
            scheduler=hooks.LRScheduler(),
            last_batch=self.last_batch,
            model=net,
            ema=self.ema,
            checkpointer=self.checkpointer,
            checkpointing={"period": cfg.SOLVER.CHECKPOINT_PERIOD},
            evaluate=self.evaluate,
            eval_period=cfg.TEST.EVAL_PERIOD,
            best_checkpoint=build_best_checkpoint(cfg, self.checkpointer, lambda: proxy.results),
            build_writers=self.build_writers,
            precise_bn=self._build_precise_bn(),
        )

    def _build_precise_bn(self) -> hooks.PreciseBN | None:
        if not self.cfg.TEST.PRECISE_BN.ENABLED or not get_bn_modules(self.model):
            return None
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.DATALOADER.NUM_WORKERS = 0  # its loader lives beside the training's
        return hooks.PreciseBN(
            cfg.TEST.EVAL_PERIOD, self.model, self.build_train_loader(cfg), cfg.TEST.PRECISE_BN.NUM_ITER
        )

    def build_writers(self):
        return build_writers(self.cfg.OUTPUT_DIR, self.max_iter)

    def train(self):
        try:
            with self._finite_loss.named_divergence():
                return super().train()
        except StopTraining as stop:
            logger.info("Stopped at iteration %d: %s", self.iter, stop)
            if self.iter > self.start_iter:
                self._last_eval_results.update(self._test_with_TTA_if_enabled())
            return self.results

    @property
    def results(self) -> Mapping[str, Mapping[str, float]]:
        """
        Return the metrics of the last evaluation, task -> name -> value; empty before the first, and on other
        processes.
        """
        return getattr(self, "_last_eval_results", {})

    @property
    def evaluated_model(self) -> nn.Module:
        """Return the model, or its average."""
        return self.model if self.ema is None else self.ema.module

    def evaluate(self) -> OrderedDict:
        """Test :attr:`evaluated_model`; at the end of the training with test-time augmentation too, if it is on."""
        self._last_eval_results = self.test(self.cfg, self.evaluated_model)
        if self.iter >= self.max_iter:
            self._last_eval_results.update(self._test_with_TTA_if_enabled())
        return self._last_eval_results

    def _test_with_TTA_if_enabled(self) -> OrderedDict:
        return self.test_with_TTA(self.cfg, self.evaluated_model) if self.cfg.TEST.AUG.ENABLED else OrderedDict()

    def state_dict(self):
        return {**to_plain(super().state_dict()), "seed": self.cfg.SEED}

    def load_state_dict(self, state_dict):
        seed = state_dict.get("seed")
        if self._seed_is_drawn and seed is not None:  # the data's order goes on
            self.cfg = self.cfg.clone()
            self.cfg.defrost()
            self.cfg.SEED = seed
            self.cfg.freeze()
            self._trainer.reset_data_loader(lambda: self.build_train_loader(self.cfg))
            for hook in self._hooks:
                if isinstance(hook, SeedIterations):
                    hook.seed = seed
        scaler, inner = getattr(self._trainer, "grad_scaler", None), state_dict["_trainer"]
        if scaler is not None and not inner.get("grad_scaler"):  # of a run in float32 or bfloat16
            state_dict = {**state_dict, "_trainer": {**inner, "grad_scaler": scaler.state_dict()}}
        configured = base_learning_rates(self.optimizer)
        super().load_state_dict(state_dict)
        settle_learning_rates(
            self.optimizer,
            self.scheduler,
            configured,
            reset=self.cfg.SOLVER.RESET_LR_ON_RESUME,
            key="SOLVER.RESET_LR_ON_RESUME",
        )

    @classmethod
    def build_train_loader(cls, cfg):
        return build_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg, dataset_name: str):
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_optimizer(cls, cfg, model: nn.Module) -> torch.optim.Optimizer:
        """
        Build the optimizer named by ``SOLVER.OPTIMIZER``; learning rates, weight decays and clipping are those of
        SOLVER.

        Raises:
            ValueError: there is no such optimizer.
        """
        if cfg.SOLVER.OPTIMIZER == "SGD":
            return build_optimizer(cfg, model)
        if cfg.SOLVER.OPTIMIZER != "ADAMW":
            raise ValueError(f"SOLVER.OPTIMIZER is {cfg.SOLVER.OPTIMIZER!r}; choose SGD or ADAMW")
        params = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay=cfg.SOLVER.WEIGHT_DECAY,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            bias_lr_factor=cfg.SOLVER.BIAS_LR_FACTOR,
            weight_decay_bias=cfg.SOLVER.WEIGHT_DECAY_BIAS,
            lr_factor_func=functools.partial(get_vit_lr_decay_rate, lr_decay_rate=cfg.SOLVER.LAYER_DECAY),
            overrides={"pos_embed": {"weight_decay": 0.0}},
        )
        optimizer = maybe_add_gradient_clipping(cfg, torch.optim.AdamW)
        return optimizer(params, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)

    @classmethod
    def build_evaluator(
        cls,
        cfg,
        dataset_name: str,
        output_folder: str | None = None,
        model: nn.Module | None = None,
        *,
        gt_boxes: bool | None = None,
        **options: Any,
    ) -> KFashionEvaluator:
        """
        Build the evaluator of boxes, masks, attributes and styles, as far as the config's model predicts them.

        Args:
            model: the one to be evaluated; the thresholds of its calibration, if it has one, take the place of
                ``TEST.ATTRIBUTES.SCORE_THRESHOLD``.
            gt_boxes: whether to read attributes from ground-truth boxes too, which needs the model; None: as
                ``TEST.ATTRIBUTES.ON_GT_BOXES`` says.
            options: further arguments of :class:`KFashionEvaluator`, or others in place of the config's.

        Raises:
            ValueError: the dataset is not one of ours.
        """
        metadata = MetadataCatalog.get(dataset_name)
        if getattr(metadata, "evaluator_type", None) != "kfashion":
            raise ValueError(
                f"{dataset_name} is not a K-Fashion dataset (its evaluator_type: "
                f"{getattr(metadata, 'evaluator_type', None)!r}); register it with kfashion_d2.register_kfashion"
            )
        calibration = getattr(attribute_head(model), "calibration", None)
        style_tasks: tuple[str, ...] = ()
        if issubclass(META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE), AttributeRCNN):
            style_tasks = ("style", "sub_style") if cfg.MODEL.STYLE_HEAD.SUB_STYLE else ("style",)
        if gt_boxes is None:
            gt_boxes = cfg.TEST.ATTRIBUTES.ON_GT_BOXES
        arguments = {
            "schema": metadata.attribute_schema.subset(cfg.MODEL.ROI_ATTRIBUTE_HEAD.GROUPS),
            "threshold": cfg.TEST.ATTRIBUTES.SCORE_THRESHOLD if calibration is None else dict(calibration.thresholds),
            "iou_threshold": cfg.TEST.ATTRIBUTES.IOU_THRESHOLD,
            "model": model if gt_boxes else None,
            "masks": cfg.MODEL.MASK_ON,
            "style_tasks": style_tasks,
            "output_dir": output_folder or os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name),
        }
        return KFashionEvaluator(dataset_name, **{**arguments, **options})

    @classmethod
    def test(cls, cfg, model: nn.Module, evaluators=None) -> OrderedDict:
        """Test as :meth:`DefaultTrainer.test` does, with evaluators that may look into the model."""
        if evaluators is None:
            evaluators = [cls.build_evaluator(cfg, name, model=model) for name in cfg.DATASETS.TEST]
        return super().test(cfg, model, evaluators)

    @classmethod
    def test_with_TTA(cls, cfg, model: nn.Module) -> OrderedDict:
        """
        Call :meth:`test` with test-time augmentation (``TEST.AUG``): boxes and masks of all views, attributes of the
        plain image. The results' names end in ``_TTA``.
        """
        logger.info("Running inference with test-time augmentation ...")
        folder = os.path.join(cfg.OUTPUT_DIR, "inference_TTA")
        evaluators = [
            cls.build_evaluator(cfg, name, os.path.join(folder, name), model, gt_boxes=False)  # nothing to merge there
            for name in cfg.DATASETS.TEST
        ]
        results = cls.test(cfg, AttributeRCNNWithTTA(cfg, model), evaluators)
        return OrderedDict((f"{name}_TTA", metrics) for name, metrics in results.items())
