"""The flow diagram of patients."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hemexp.reporting.flow import Flow, SplitFlow, read_flow
from hemexp.reporting.reader import Reader
from hemexp.reporting.style import MM, WIDE
from hemexp.settings import Reporting

HEIGHT_MM, FONT_PT = 92, 7
STEPS = {
    "strip-skull": "could not be read or skull-stripped",
    "strip-unmasked": "without masks, and could not be read or stripped",
    "segment-scan": "without masks, and no bleed was found",
    "register-followup": "could not be registered",
    "resample-scan": "could not be brought onto the grid",
    "evacuated": "evacuated between the scans",
    "died": "died before the follow-up scan",
}
"""What a failed step means to a reader."""

USES = {
    "train": "Training\n(split train)",
    "val": "Weighing of maps\n(split val)",
    "test": "Test\n(split test)",
    "predict": "Forecast only\n(split predict)",
}
MIDDLE = 0.38
TOP, KEPT, BAR, SPLIT, END = 0.95, 0.68, 0.53, 0.46, 0.12
"""Upper edges of the text of the four levels, and the line between the second and the third."""

PAD_PT = 4.5
PAD = PAD_PT / (HEIGHT_MM * 72 / 25.4)
"""From a text to its box, as a share of the figure's height."""


def draw(reader: Reader, settings: Reporting) -> Figure:
    """Patients of the run."""
    return draw_flow(read_flow(reader))


def draw_flow(flow: Flow) -> Figure:
    """Boxes and arrows: screened, excluded, kept, by split, scored."""
    figure = Figure(figsize=(WIDE, HEIGHT_MM * MM))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    _box(axes, MIDDLE, TOP, f"Screened: rows of the sheet\nn = {flow.screened}")
    _box(axes, MIDDLE, KEPT, f"Analysed, of {flow.centers} centre(s)\nn = {flow.kept}")
    _arrow(axes, (MIDDLE, TOP), (MIDDLE, KEPT + PAD))
    _box(axes, 0.58, TOP - 0.11, describe_excluded(flow), align="left")
    _arrow(axes, (MIDDLE, TOP - 0.135), (0.58 - PAD * HEIGHT_MM * MM / WIDE, TOP - 0.135))
    places = [(n + 0.5) / len(flow.splits) for n in range(len(flow.splits))]
    _line(axes, (MIDDLE, KEPT), (MIDDLE, BAR))
    _line(axes, (min(*places, MIDDLE), BAR), (max(*places, MIDDLE), BAR))
    for x, (name, split) in zip(places, flow.splits.items(), strict=True):
        _arrow(axes, (x, BAR), (x, SPLIT + PAD))
        _arrow(axes, (x, SPLIT), (x, END + PAD))
        _box(axes, x, SPLIT, f"{USES[name]}\nn = {split.kept}\n{describe_outcomes(split)}")
        _box(axes, x, END, describe_end(name, split))
    return figure


def describe_excluded(flow: Flow) -> str:
    """How many were excluded, and by what."""
    lines = [f"Excluded: n = {sum(flow.excluded.values())}"]
    return "\n".join(lines + [f"{STEPS[step]}: {n}" for step, n in flow.excluded.items()])


def describe_outcomes(split: SplitFlow) -> str:
    """How many have a follow-up, and how many of them expanded."""
    if not split.followed:
        return "no follow-up"
    return f"with follow-up: {split.followed}\nwith expansion (HE): {split.expanded}"


def describe_end(name: str, split: SplitFlow) -> str:
    """What became of a split's patients."""
    if name == "train" and not split.scored:
        return f"Learned from: n = {split.kept}"
    if name == "val" and not split.scored:
        return f"Maps weighed on: n = {split.kept}"
    done, count = ("Scored", split.scored) if split.followed else ("Forecast", split.forecast)
    left = split.kept - count
    return f"{done}: n = {count}" + (f"\nnot {done.lower()}: {left}" if left else "")


def _box(axes: Axes, x: float, y: float, text: str, align: str = "center") -> None:
    """A text in its box; its upper edge is at `y`."""
    pad = PAD_PT / FONT_PT
    shape = {"boxstyle": f"square,pad={pad}", "facecolor": "white", "edgecolor": "0.2", "lw": 0.8}
    axes.text(
        x, y, text, ha=align, va="top", bbox=shape, linespacing=1.4, fontsize=FONT_PT, zorder=2
    )


def _line(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.plot(*zip(start, end, strict=True), lw=0.8, color="0.2", zorder=1)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """To the edge of a box; what lies behind a box is hidden."""
    style = {"arrowstyle": "-|>", "lw": 0.8, "color": "0.2", "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=style, zorder=1)
