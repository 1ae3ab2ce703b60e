import keras
import pytest

from mamsf_keras import MAMSFNet, efficientnetv2
from mamsf_keras.model.cost import cost_table, cost_text, flops
from tests.toys import toy_backbone


def test_toy_costs_computed_by_hand():
    table = cost_table(MAMSFNet(toy_backbone(), ("A", "B")))
    # 32 px, stride 4 to 8x8: a 3x3x3x8 and a 3x3x8x12 kernel; fusion of 12 channels by 128 each, 512 joined
    assert table.loc["features", "flops"] == 2 * 64 * 3 * 3 * 3 * 8
    assert table.loc["online block", "flops"] == table.loc["shadow block", "flops"] == 2 * 64 * 3 * 3 * 8 * 12
    reduce, join = 3 * 12 * 128, 3 * 128 * 512
    assert table.loc["fusion", "flops"] == 2 * 64 * (reduce + (9 + 25) * 128 * 128 + join)
    assert table.loc["classifier", "flops"] == 2 * (512 + 12) * 2
    assert table.loc["total", "flops"] == table["flops"][:-1].sum()
    assert table.loc["shadow block", "trained"] == 0
    assert table.loc["online block", ["parameters", "trained"]].tolist() == [864 + 48, 864 + 24]


def test_depthwise_and_separable_convolutions():
    inputs = keras.Input((8, 8, 4))
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.SeparableConv2D(6, 3, padding="same")(x))
    assert flops(model) == 2 * 16 * (9 * 4) + 2 * 16 * (9 * 4 + 4 * 6)


@pytest.mark.tensorflow  # shapes alone: built once
def test_published_count_of_efficientnetv2_s():
    # torchvision, EfficientNet_V2_S at 384 px: 8.366 billion multiply-adds, the 1,000-class layer included
    features, final_block = efficientnetv2("efficientnetv2-s", image_size=384)
    assert (flops(features) + flops(final_block)) / 2 + 1280 * 1000 == pytest.approx(8.366e9, abs=0.5e6)


def test_unknown_image_size_is_shown_as_question_marks():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
    assert flops(model) is None
    entry = keras.Input((None, None, 2))
    text = cost_text(MAMSFNet((model, keras.Model(entry, keras.layers.Conv2D(2, 3)(entry)))))
    assert text.count("?") == 5 and "online block" in text
