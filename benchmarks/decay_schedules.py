"""Plots the decay d(t) of each schedule over the updates.

python -m benchmarks.decay_schedules --out decay.png
"""

import click
import matplotlib.pyplot as plt
import numpy as np
from keras import ops

from mamsf_keras.model.decay import DecaySchedule, decay_at


@click.command()
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="Image file to write (.png, .svg, .pdf).")
@click.option("--decay", type=click.FloatRange(0, 1), default=0.998, show_default=True)
@click.option("--updates", type=click.IntRange(2), default=5000, show_default=True, help="Number of updates.")
def main(out, decay, updates):
    """Plot the schedules."""
    schedules = {
        "constant": DecaySchedule(decay),
        "ratio: (1 + t) / (10 + t)": DecaySchedule(decay, warmup="ratio"),
        "power: 1 - (1 + t)^(-2/3)": DecaySchedule(decay, warmup="power"),
        "cosine to 1": DecaySchedule(decay, cosine_updates=updates),
    }
    steps = np.arange(updates, dtype="float32")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, schedule in schedules.items():
        decays = ops.convert_to_numpy(decay_at(ops.convert_to_tensor(schedule.numbers), ops.convert_to_tensor(steps)))
        left.plot(steps + 1, decays, label=name)
        right.plot(steps + 1, 1 - decays, label=name)
    left.set(xscale="log", xlabel="update t + 1", ylabel="decay d(t)")
    right.set(xscale="log", yscale="log", xlabel="update t + 1", ylabel="weight of the online block, 1 - d(t)")
    right.legend(frameon=False)
    figure.savefig(out, dpi=150)


if __name__ == "__main__":
    main()
