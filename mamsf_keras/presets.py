"""Named sets of training options. Explicit options override them."""

PRESETS = {
    # Two cores, a few minutes, no download: phantoms of `mamsf-keras phantom`.
    "demo": {
        "backbone": "efficientnetv2-b0",
        "weights": "none",
        "image_size": 64,
        "batch_size": 32,
        "epochs": 4,
        "augment": "none",
        "learning_rate": 1.5e-3,
    },
    # As near to the paper (arXiv 2605.02292) as its sources say. The backbone is the abstract's; size, batch, three
    # frozen epochs, then 20 of cross-entropy and 10 of focal loss, and weight decay are those of the same authors'
    # companion code (FETC_CBAM_Enhanced_CNN). Neither says a decay of the anchor; learning rates are ours.
    "paper": {
        "backbone": "efficientnetv2-s",
        "image_size": 224,
        "batch_size": 64,
        "freeze_epochs": 3,
        "epochs": 33,
        "loss": "bce",
        "final_loss": "focal",
        "final_epochs": 10,
        "weight_decay": 1e-3,
    },
    # A GPU with bfloat16, where `jit` auto is on.
    "server": {"image_size": 384, "batch_size": 64, "precision": "mixed_bfloat16"},
}
