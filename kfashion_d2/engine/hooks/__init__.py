"""Detectron2 hooks: what goes on around a training step, one file each."""
