"""Prevalences given by the user, at which the positive predictive value is also reported."""

from collections.abc import Mapping, Sequence

from mamsf_keras.findings import find_name, with_nearest


def prevalence_by_finding(given: Mapping[str, float] | None, findings: Sequence[str]) -> dict[str, float]:
    """Returns prevalences keyed by the names that an evaluation uses.

    Args:
        given: prevalences by finding, in any spelling; the key "" applies to all others.
        findings: the evaluated findings.

    Raises:
        ValueError: if a prevalence is not in (0, 1), or its finding is unknown or given more than once.
    """
    found: dict[str, float] = {}
    for name, value in (given or {}).items():
        own = find_name(name, findings) if name else ""
        if own is None:
            raise ValueError(f"`prevalence` names the unknown finding {with_nearest(name, findings)}.")
        if own in found:
            raise ValueError(f"`prevalence` has more than one value for {own}.")
        if not 0 < value < 1:
            raise ValueError(f"`prevalence` must be in (0, 1). Received: {value:g} for {own or 'all findings'}.")
        found[own] = value
    return found


def check_calibrated(given: Mapping[str, float] | None, is_calibrated: bool) -> None:
    """Raises `ValueError` if prevalences are given for an evaluation without operating points."""
    if given and not is_calibrated:
        raise ValueError(
            "`prevalence` needs a calibration: the positive predictive value is computed at its operating points."
        )
