"""Groups of findings by their frequency: head, medium and tail."""

from collections.abc import Mapping

from mamsf_keras.findings import HEAD_SHARE, MEDIUM_SHARE


def frequency_groups(counts: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Returns "head" (findings in at least 5% of the images), "medium" (2% to 5%) or "tail" by finding.

    Findings without labeled images have no group.

    Args:
        counts: positive and labeled images by finding.
    """
    groups = {}
    for name, (positives, images) in counts.items():
        if images == 0:
            continue
        share = positives / images
        groups[name] = "head" if share >= HEAD_SHARE else "medium" if share >= MEDIUM_SHARE else "tail"
    return groups
