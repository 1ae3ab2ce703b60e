import dataclasses

import keras
import numpy as np
import pytest

from mamsf_keras import FINDINGS, MAMSFNet, SelectiveEMACallback, efficientnetv2, open_dataset
from mamsf_keras.data.batches.feed import training_batches
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.evaluation.metrics import per_finding
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.training.losses import CellwiseBCE
from mamsf_keras.training.phases import resolve_jit


def sample_with_every_finding(table, images=64, least=2):
    """Takes two images of each finding, the rarest first, then the first of the others."""
    names = list(FINDINGS)
    rows = []
    for name in table[names].sum().sort_values().index:
        positive = table.index[table[name] == 1]
        have = int(table.loc[rows, name].sum())
        rows += [row for row in positive if row not in rows][: max(0, least - have)]
    rows += [row for row in table.index if row not in rows][: images - len(rows)]
    return table.loc[rows].reset_index(drop=True)


@pytest.mark.slow
def test_real_images_can_be_memorized(nih_dir):
    dataset = open_dataset(nih_dir).resolved
    dataset = dataclasses.replace(dataset, table=sample_with_every_finding(dataset.table))
    assert len(dataset.table) == 64 and dataset.table[list(FINDINGS)].sum().min() >= 2
    keras.utils.set_random_seed(0)
    model = MAMSFNet(efficientnetv2("efficientnetv2-b0", image_size=64), classifier_activation=None)
    steps = 960
    schedule = keras.optimizers.schedules.CosineDecay(2e-3, steps)
    model.compile(keras.optimizers.AdamW(schedule), CellwiseBCE(), jit_compile=resolve_jit("auto"))
    model.optimizer.build(model.trainable_variables)
    stream = Stream(dataset, image_size=64, batch_size=16)
    callbacks = [SelectiveEMACallback(0.95, warmup="ratio")]
    batches = training_batches(stream, 0, steps)
    model.fit(batches, steps_per_epoch=steps, callbacks=callbacks, shuffle=False, verbose=2)
    metrics = per_finding(stream.labels, KerasPredictor(model).predict_stream(stream, progress=False), FINDINGS)
    auroc = [row["auroc"] for row in metrics.values()]
    assert None not in auroc and np.mean(auroc) > 0.99
