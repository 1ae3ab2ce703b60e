"""Presets: named sets of training options. Explicit options override them, and they override a configuration file.

- `demo`: two CPU cores, a few minutes, no download. `make demo` generates its data, 2,600 phantoms of 96 pixels. Scores
  are in `docs/benchmarks.md`.
- `paper`: follows the paper (arXiv 2605.02292) as closely as published sources allow. The backbone is that of the
  abstract. Image size, batch size, the three phases and weight decay are those of the same authors' companion code
  (FETC_CBAM_Enhanced_CNN). No source states the decay of the anchor, and the learning rates are ours. Not measured yet:
  needs the NIH images and a GPU.
- `server`: a GPU with bfloat16, where XLA is on by default. Not measured yet.
"""

PRESETS = {
    "demo": {
        "backbone": "efficientnetv2-b0",
        "weights": "none",
        "image_size": 64,
        "batch_size": 32,
        "epochs": 4,
        "augment": "none",
        "learning_rate": 1.5e-3,
    },
    "paper": {
        "backbone": "efficientnetv2-s",
        "image_size": 224,
        "batch_size": 64,
        "phases": [
            {"epochs": 3, "frozen": True},
            {"epochs": 20},
            {"epochs": 10, "loss": "focal", "learning_rate": 1e-4},
        ],
        "loss": "bce",
        "weight_decay": 1e-3,
    },
    "server": {"image_size": 384, "batch_size": 64, "precision": "mixed_bfloat16"},
}
