"""Imported first by every module that needs Detectron2: where there is none, the error says how to get it."""

try:
    import detectron2  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "detectron2":
        raise
    raise ModuleNotFoundError(
        "this part of kfashion_d2 needs Detectron2, which is not installed. Run 'python tools/install_detectron2.py', "
        "or see https://github.com/facebookresearch/detectron2",
        name="detectron2",
    ) from error
