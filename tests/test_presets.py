import dataclasses

import pytest

from mamsf_keras.config import TrainConfig
from mamsf_keras.presets import PRESETS

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_a_valid_configuration(name):
    config = dataclasses.asdict(TrainConfig("data", **PRESETS[name]))
    assert config.items() >= PRESETS[name].items()


def test_paper_preset_has_the_protocol_of_the_companion_code():
    """FETC_CBAM_Enhanced_CNN: 224 px, batch 64, 3 frozen epochs, 20 of BCE, 10 of focal loss, weight decay 1e-3."""
    config = TrainConfig("data", **PRESETS["paper"])
    assert (config.image_size, config.batch_size, config.weight_decay) == (224, 64, 1e-3)
    phases = (config.freeze_epochs, config.epochs - config.freeze_epochs - config.final_epochs, config.final_epochs)
    assert phases == (3, 20, 10) and (config.loss, config.final_loss) == ("bce", "focal")
