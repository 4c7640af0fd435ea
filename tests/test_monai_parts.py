"""MONAI is loaded without what it does not need here, which can be imported afterwards."""

import subprocess
import sys

import pytest

from hemexp.monai_parts import UNUSED, hidden


def test_a_verb_that_samples_loads_nothing_that_is_not_used():
    # scikit-image is the expansion's own.
    code = "import sys, hemexp.sampling.run; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.strip("[]\n").replace("'", "").split(", "))
    assert {"monai", "torch"} <= loaded and not loaded & (set(UNUSED) - {"skimage"})


def test_a_hidden_library_comes_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with hidden(("colorsys", "json")), pytest.raises(ImportError):
        import colorsys
    import colorsys

    assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)
