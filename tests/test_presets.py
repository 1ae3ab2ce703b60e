import dataclasses

import pytest

from mamsf_keras.config import PhaseConfig, TrainConfig
from mamsf_keras.presets import PRESETS

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_a_valid_configuration(name):
    config = dataclasses.asdict(TrainConfig("data", **PRESETS[name]))
    phases = [PhaseConfig(**phase) for phase in PRESETS[name].get("phases", ())]
    expected = {**PRESETS[name], **({"phases": tuple(map(dataclasses.asdict, phases))} if phases else {})}
    assert {field: config[field] for field in expected} == expected


def test_paper_preset_has_the_protocol_of_the_companion_code():
    """FETC_CBAM_Enhanced_CNN: 224 px, batch 64, 3 frozen epochs, 20 of BCE, 10 of focal loss, weight decay 1e-3."""
    config = TrainConfig("data", **PRESETS["paper"])
    assert (config.image_size, config.batch_size, config.weight_decay) == (224, 64, 1e-3)
    phases = [(phase.epochs, phase.frozen, phase.loss or config.loss) for phase in config.phases]
    assert phases == [(3, True, "bce"), (20, False, "bce"), (10, False, "focal")]
