"""A chart of how many times as fast as stock rthread is, for the README.

python -m benches.chart OUT.svg build/*/bench.json

Needs matplotlib, which the `bench` extra has. The picture has no background of its own, and greys
and colours that can be told from white and from near-black alike: GitHub shows a page in either,
and not always in the one that the system prefers, which is all that a picture could ask for.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from .rows import RTHREAD, interpreter, rows
from .summary import Results, load

_GREY = "#7a7f85"
_FAINT = "#7a7f8540"
# One for each interpreter, in this order.
_COLOURS = ["#3f87d9", "#2f9e78", "#c98a1b", "#d9604c", "#9a6fd0", "#5f8f2f", "#c25d96", "#4aa3b5"]
_COLUMNS = 2
# In inches.
_WIDTH, _BAR, _HEAD = 13.0, 0.115, 1.5
# What there is between the bars of two operations, in bars.
_GAP = 1.2
_STYLE = {
    # Text stays text, in the reader's own font.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": _GREY,
    "axes.labelcolor": _GREY,
    "axes.edgecolor": _FAINT,
    "xtick.color": _GREY,
    "ytick.color": _GREY,
    # The same results make the same file.
    "svg.hashsalt": "rthread",
}

# By operation, the ratio on each interpreter that has it.
Ratios = dict[str, dict[str, float]]


def _ratios(results: Results) -> Ratios:
    found: Ratios = {}
    for result in results:
        for row in rows(result):
            if row.is_speed and RTHREAD in row.times:
                of_row = found.setdefault(row.name.replace("`", ""), {})
                of_row[_label(result)] = row.times[RTHREAD]
    return found


def _label(result: dict[str, Any]) -> str:
    return f"CPython {interpreter(result['machine'])}"


def _title(results: Results) -> str:
    machines = [result["machine"] for result in results]
    versions = dict.fromkeys(interpreter(machine).partition(" ")[0] for machine in machines)
    cpus = dict.fromkeys(f"{machine['cpu']}, {machine['cpus']} CPUs" for machine in machines)
    return (
        "rthread against the standard library: how many times as fast\n"
        f"CPython {', '.join(versions)} on {'; '.join(cpus)}"
    )


def draw(results: Results) -> Any:
    """The figure, which matplotlib can save in whatever form."""
    ratios, labels = _ratios(results), [_label(result) for result in results]
    names = list(ratios)
    rows_each = -(-len(names) // _COLUMNS)
    height = _HEAD + rows_each * (len(labels) + _GAP) * _BAR
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(_WIDTH, height))
    figure.patch.set_alpha(0)
    panels = figure.subplots(1, _COLUMNS, sharex=True)
    for place, panel in enumerate(panels):
        _draw_panel(panel, names[place * rows_each :][:rows_each], rows_each, ratios, labels)
    # The same scale on both: bars are compared across.
    every = [ratio for of_name in ratios.values() for ratio in of_name.values()]
    panels[0].set_xlim(min([0.5, *every]) / 1.15, max([2.0, *every]) * 1.9)
    figure.suptitle(_title(results), y=1 - 0.12 / height, va="top", fontsize=11)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(
        handles,
        texts,
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.55 / height),
        ncols=min(len(texts), 4),
        frameon=False,
    )
    top = 1 - (_HEAD - 0.5) / height
    figure.subplots_adjust(left=0.19, right=0.99, top=top, bottom=0.4 / height, wspace=0.55)
    return figure


def _draw_panel(
    panel: Any, names: list[str], rows_each: int, ratios: Ratios, labels: list[str]
) -> None:
    step = len(labels) + _GAP
    for number, label in enumerate(labels):
        places = [row * step + number for row, name in enumerate(names) if label in ratios[name]]
        values = [ratios[name][label] for name in names if label in ratios[name]]
        colour = _COLOURS[number % len(_COLOURS)]
        # From 1 on, to the right if faster and to the left if slower.
        widths = [value - 1 for value in values]
        panel.barh(places, widths, height=0.9, left=1, color=colour, label=label)
        for place, value in zip(places, values, strict=True):
            panel.annotate(
                f"{value:.2f}" if value < 10 else f"{value:.0f}",
                (max(value, 1), place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6,
            )
    panel.set_xscale("log")
    panel.axvline(1, color=_GREY, linewidth=1)
    panel.set_axisbelow(True)
    panel.grid(axis="x", color=_FAINT, linewidth=0.6)
    panel.patch.set_alpha(0)
    panel.set_yticks([row * step + (len(labels) - 1) / 2 for row in range(len(names))], names)
    panel.tick_params(axis="y", length=0)
    panel.tick_params(axis="x", which="both", labelbottom=True)
    panel.set_ylim(rows_each * step - _GAP / 2, -1)
    ticker = importlib.import_module("matplotlib.ticker")
    panel.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_minor_locator(ticker.NullLocator())
    panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)


def main(path: str, results: Results) -> None:
    with importlib.import_module("matplotlib").rc_context(_STYLE):
        draw(results).savefig(path, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1], load(sys.argv[2:]))
