"""Momentum-Anchored Multi-Scale Fusion (MAMSF, arXiv 2605.02292) for long-tailed chest X-ray classification in Keras 3.

Not a medical device. For research and engineering only; do not use it for diagnosis or treatment.

```python
from mamsf_keras import MAMSFNet, SelectiveEMACallback

model = MAMSFNet("efficientnetv2-s")
model.compile("adamw", "binary_crossentropy")
model.fit(images, labels, callbacks=[SelectiveEMACallback(decay=0.999)])
model.save("best.keras")
```

Public names are imported on first use (PEP 562): `import mamsf_keras` imports neither Keras nor TensorFlow.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "DataConfig": "mamsf_keras.config",
    "Dataset": "mamsf_keras.data.dataset",
    "FINDINGS": "mamsf_keras.findings",
    "LabelsCsv": "mamsf_keras.config",
    "MAMSFNet": "mamsf_keras.model.mamsf",
    "MomentumAnchor": "mamsf_keras.model.momentum_anchor",
    "MultiScaleFusion": "mamsf_keras.model.fusion",
    "PhaseConfig": "mamsf_keras.config",
    "RunDir": "mamsf_keras.run_dir",
    "SelectiveEMACallback": "mamsf_keras.training.callbacks.selective_ema",
    "TrainConfig": "mamsf_keras.config",
    "compare": "mamsf_keras.evaluation.compare",
    "efficientnetv2": "mamsf_keras.model.backbone",
    "evaluate": "mamsf_keras.evaluation.evaluate",
    "export_model": "mamsf_keras.export.export",
    "export_run": "mamsf_keras.export.export",
    "load_model": "mamsf_keras.model.mamsf",
    "open_dataset": "mamsf_keras.data.open",
    "predict": "mamsf_keras.inference.predict",
    "prepare": "mamsf_keras.data.cache.prepare",
    "register_backbone": "mamsf_keras.model.backbone",
    "stop_tracking": "mamsf_keras.training.callbacks.selective_ema",
    "train": "mamsf_keras.training.train",
    "write_phantoms": "mamsf_keras.phantoms",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
