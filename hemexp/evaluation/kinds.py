"""How a patient's draws of a quantity stand for its distribution."""

from hemexp.statistics.scores import Kind


def kind_of(target: str, driver: Kind) -> Kind:
    """How draws of a target were made where those of the growth that drives it were `driver`.

    IVH growth is drawn on its own. All blood counts as the growth does: on 130 phantom patients
    its draws followed the told growth with a correlation of .98 (median .99), raw IPH with .99,
    and IVH with .38 (scoring.md).
    """
    return "independent" if target == "ivh_ml" else driver
