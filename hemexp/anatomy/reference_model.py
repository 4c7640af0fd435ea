"""What the models were trained relative to, as `scale.json` says it."""

import json
from pathlib import Path
from typing import NamedTuple

from hemexp import Fault, HemexpError
from hemexp.anatomy.push_fit import PushModel
from hemexp.settings import Reference


class ReferenceModel(NamedTuple):
    """What latent differences are relative to.

    Attributes:
        kind: Which parts the reference has.
        push: How growth pushes tissue; None where nothing is warped.
        kept_texture: Share of its fine structure that a follow-up keeps; None: all.
    """

    kind: Reference
    push: PushModel | None
    kept_texture: float | None = None

    @property
    def sink_per_mm2(self) -> float:
        """How readily ventricles give way to it."""
        return self.push.sink_per_mm2 if self.push else 0.0


def load_reference(path: Path) -> ReferenceModel:
    """Reads what `scale.json` says of the reference.

    Raises:
        HemexpError: Another version of hemexp wrote it.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    if "reference" not in record:
        raise HemexpError(
            Fault(
                str(path),
                "nothing about the reference of differences",
                "a scale that was measured by this version",
                "Train again with this version.",
            )
        )
    kind = {name: record["reference"][name] for name in Reference.model_fields}
    push, kept = record["reference"]["push"], record["reference"].get("kept_texture")
    return ReferenceModel(Reference.model_validate(kind), push and PushModel.from_json(push), kept)
