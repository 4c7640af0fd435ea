"""Sheets that nobody thought of: each is read right, or refused in sentences."""

import math
from collections import Counter
from contextlib import chdir
from decimal import Decimal

import pytest
from fuzz import FUZZ, assert_told
from hypothesis import given
from hypothesis import strategies as st

from hemexp import HemexpError
from hemexp.columns import FILES, REQUIRED
from hemexp.ranges import RANGES
from hemexp.sheet import read_patient_row, read_rows

pytestmark = pytest.mark.slow

GOOD = {"center": "A", "split": "train", "onset_to_ct_h": "2.5"}
TYPED = """1,5 1.5 1.000 1,000 1'000 1_0 1e1 1e400 ٣ １２ −5 -5 +5 nan NaN inf -inf infinity 0x10
.5 5. ½ 5% 70y >24 1/2 NA n/a - -- 1e 1e-400 1e5 00012 五"""
NUMBERS = st.one_of(
    st.sampled_from(TYPED.split()),
    st.sampled_from(["1 0", "\u00a070", "70\u200b", "1\u202f0", "", " ", "9" * 5000]),
    st.floats(0, 300).map(str),
    st.floats().map(str),
    st.integers(-1, 20).map(str),
    st.text(max_size=8),
)
CELLS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["..", "/", "~", "a/../b", "C:\\scan", '"', '""', '"a', "{x}", "x" * 5000]),
    st.just('"' + "x" * 140_000 + '"'),
)
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "gb18030")


def patient(name):
    files = {column: f"results/phantom/{name}_{column}.nii.gz" for column in FILES}
    return GOOD | files | {"patient_id": name}


@st.composite
def sheets(draw):
    """Rows, and the bytes of a sheet of them: one or two patients, with anything changed."""
    columns = [*draw(st.permutations(REQUIRED))]
    columns += draw(st.lists(st.sampled_from(["age", "", "note", "expansion_prob"]), max_size=1))
    rows = [patient(name) for name in draw(st.sampled_from([["P1"], ["P1", "P2"]]))]
    for column in draw(st.lists(st.sampled_from(columns), max_size=3)):
        draw(st.sampled_from(rows))[column] = draw(NUMBERS if column in RANGES else CELLS)
    separator = draw(st.sampled_from(["\t"] * 6 + [",", ";", "|", " ", "\t\t"]))
    lines = [separator.join(columns)]
    lines += [separator.join(row.get(name, "") for name in columns) for row in rows]
    odd_lines = st.sampled_from(["", " ", "\t\t", "#", separator * 14])
    for line in draw(st.lists(odd_lines, max_size=1)):
        lines.insert(draw(st.integers(0, len(lines))), line)
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines)
    encoding = draw(st.sampled_from(["utf-8"] * 4 + [*ENCODINGS]))
    return rows, text.encode(encoding, errors="replace")


def number(cell):
    """What a cell says, by another program than the one that is tested."""
    assert "_" not in cell
    return float(Decimal(cell)) if cell.strip() else math.nan


def test_a_sheet_is_read_right_or_refused_in_sentences(tmp_path):
    path, outcomes = tmp_path / "samples.tsv", Counter()

    @FUZZ
    @given(sheets())
    def check(sheet):
        path.write_bytes(sheet[1])
        try:
            read = read_rows(path)
        except HemexpError as error:
            outcomes["refused"] += 1
            assert_told(error)
        else:
            outcomes["read"] += 1
            assert_right(read, sheet[0], path)

    # The phantom's files need not be there, below the working directory.
    with chdir(tmp_path):
        check()
    assert min(outcomes["read"], outcomes["refused"]) > 50


def assert_right(read, rows, path):
    """As many patients as were written, each with the numbers that were; one read alone alike."""
    assert [row["patient_id"] for row in read] == [row["patient_id"].strip() for row in rows]
    for row, written in zip(read, rows, strict=True):
        for column in RANGES.keys() & row.keys():
            assert row[column] == pytest.approx(number(written.get(column, "")), nan_ok=True)
        alone = read_patient_row(path, row["patient_id"])
        assert {k: str(v) for k, v in alone.items()} == {k: str(v) for k, v in row.items()}
