"""Training that starts from the whole model of another run, such as its `best.keras`."""

import json
import logging
import zipfile

from mamsf_keras.model.backbone import Blocks
from mamsf_keras.model.block import finalize
from mamsf_keras.model.mamsf import MAMSFNet, load_model

logger = logging.getLogger(__name__)


def is_model_file(path: str) -> bool:
    """Returns True if a file holds a `MAMSFNet`, and not the weights of a backbone."""
    try:
        with zipfile.ZipFile(path) as file:
            return json.loads(file.read("config.json")).get("registered_name") == "mamsf_keras>MAMSFNet"
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False


def read_model(path: str, backbone: Blocks) -> MAMSFNet:
    """Reads the model to start from and gives its weights to both blocks of a backbone.

    Raises:
        ValueError: if the file cannot be loaded, or its blocks differ.
    """
    model = load_model(path)
    for block, source in zip(backbone, model.backbone, strict=True):
        if [weight.shape for weight in block.weights] != [weight.shape for weight in source.weights]:
            raise ValueError(
                f"`weights` must be a file with the backbone and the cut of this run. Received: {path}, whose "
                f"{source.name} does not fit {block.name}."
            )
        block.set_weights(source.get_weights())
        finalize(block)
    return model


def copy_head(source: MAMSFNet, model: MAMSFNet) -> None:
    """Copies the weights that both models have besides the backbone (shadow, fusion, classifier), and logs which.

    The counts of the anchor start at 0. A shadow that the source lacks remains a copy of the online block, and a
    classifier of a model with other findings or another head remains as it is.
    """
    taken = ["features", "final block"]
    if source.anchor and model.anchor:
        model.anchor.shadow.set_weights(source.anchor.shadow.get_weights())
        finalize(model.anchor.shadow)
        taken.append("shadow")
    if source.fusion and model.fusion:
        model.fusion.set_weights(source.fusion.get_weights())
        taken.append("fusion")
    parts = [(net.findings, net.use_anchor, net.use_fusion, net.classifier.kernel.shape) for net in (source, model)]
    if parts[0] == parts[1]:
        model.classifier.set_weights(source.classifier.get_weights())
        taken.append("classifier")
    logger.info("initial weights: %s", ", ".join(taken))
    if "classifier" not in taken:
        logger.info("note: the classifier weights are not copied, because the findings, anchor or fusion differ")
