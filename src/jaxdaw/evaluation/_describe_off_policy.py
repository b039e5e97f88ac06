"""Off-policy reports as text and as a plot."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jaxdaw.evaluation._off_policy import OffPolicyReport

_BLUE, _GREY, _ORANGE = "#2b6cb0", "#a0aec0", "#c05621"
_MAX_ARMS = 12


def describe_off_policy(report: OffPolicyReport) -> str:
    """Returns estimates with intervals, overlap, comparisons, and whatever is not to be trusted, in lines."""
    low, high = report.logged.interval
    lines = [
        f"{report.num_decisions:,} decisions among {report.num_arms} arms, {report.confidence:.0%} bootstrap intervals",
        f"logged      {report.logged.value:.6g}  [{low:.6g}, {high:.6g}]",
    ]
    if report.num_learned:
        lines[0] += f"; {report.num_learned:,} more were learned from, and judge nothing"
    for one in report.candidates:
        lines += ["", one.name]
        for name, estimate in one.estimates.items():
            low, high = estimate.interval
            mark = " *" if name == report.estimator else ""
            told = f"  {name:11s} {estimate.value:.6g}  [{low:.6g}, {high:.6g}]"
            if estimate.bernstein is not None:
                told += f"  empirical Bernstein [{estimate.bernstein.low:.4g}, {estimate.bernstein.high:.4g}]"
            if not estimate.is_reliable:
                told += "  interval not reliable: few rows decide it"
            lines.append(told + mark)
        overlap = one.overlap
        share = overlap.effective_sample_size / report.num_decisions
        lines.append(
            f"  overlap     effective sample size {overlap.effective_sample_size:,.0f} ({share:.1%}), largest weight "
            f"{overlap.largest_weight:.4g}, mean weight {overlap.mean_weight:.4f}, "
            f"unsupported {overlap.unsupported:.1%}"
        )
        low, high = one.gain.interval
        lines.append(f"  gain        {one.gain.value:+.6g}  [{low:+.6g}, {high:+.6g}] over the logged policy")
        lines += [f"  DO NOT TRUST: {reason}" for reason in one.reasons]
    if report.comparisons:
        lines += ["", f"on the same rows, by {report.estimator}"]
    for pair in report.comparisons:
        low, high = pair.interval
        lines.append(f"  {pair.first} - {pair.second}: {pair.difference:+.6g}  [{low:+.6g}, {high:+.6g}]")
    return "\n".join(lines)


def plot_off_policy(report: OffPolicyReport, path: str | Path) -> Path:
    """Draws estimates with intervals beside the logged mean, and the overlap of each arm; returns the path.

    Args:
      report: from `evaluate_off_policy`; what is not to be trusted is drawn hollow.
      path: a .png, .svg or .pdf.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 1.6 + 0.32 * _rows(report)), dpi=150)
    place, ticks = 0, []
    for one in report.candidates:
        for name, estimate in one.estimates.items():
            color = _BLUE if name == report.estimator else _GREY
            face = color if one.is_trusted else "white"
            error = [[estimate.value - estimate.interval.low], [estimate.interval.high - estimate.value]]
            if np.isfinite(error).all():
                style = {"color": color, "markerfacecolor": face, "capsize": 2, "ms": 5, "lw": 1.4}
                left.errorbar(estimate.value, -place, xerr=np.maximum(error, 0), fmt="o", **style)
            ticks.append(f"{one.name}  {name}" if one.is_trusted else f"not trusted: {one.name}  {name}")
            place += 1
    left.axvspan(*report.logged.interval, color=_ORANGE, alpha=0.15, lw=0)
    left.axvline(report.logged.value, color=_ORANGE, lw=1.2, label="logged policy")
    left.set_yticks([-index for index in range(place)], ticks, fontsize=7)
    left.set_xlabel(f"mean reward, {report.confidence:.0%} intervals")
    left.legend(frameon=False, fontsize=8)
    most = np.argsort(-report.candidates[0].overlap.arm_count, kind="stable")[:_MAX_ARMS]
    arms, width = np.arange(len(most)), 0.8 / (1 + len(report.candidates))
    right.bar(arms, report.candidates[0].overlap.arm_logged[most], width, color=_ORANGE, label="logged")
    for index, one in enumerate(report.candidates, 1):
        right.bar(arms + index * width, one.overlap.arm_candidate[most], width, label=one.name)
    right.set_xticks(arms + 0.4 - width / 2, [str(arm) for arm in most], fontsize=7)
    right.set_xlabel(
        "arm" if len(most) == report.num_arms else f"arm, the {len(most)} most frequent of {report.num_arms}"
    )
    right.set_ylabel("mean probability")
    right.legend(frameon=False, fontsize=8)
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(Path(path))
    pyplot.close(figure)
    return Path(path)


def _rows(report: OffPolicyReport) -> int:
    return sum(len(one.estimates) for one in report.candidates)
