"""Files that give one value per id: read as written, and refused by row and rule."""

import pytest

from chaii.corpus.records import KEPT_IDS, LABELS, CorpusError


@pytest.mark.parametrize("kind", [KEPT_IDS, LABELS])
def test_values_are_read_as_written_in_their_order(kind, tmp_path):
    path = tmp_path / "new/file"
    kind.write(path, [("-2", "0.250000"), ("१", "0.5"), ('a,"b\t', "1")])
    values = {identity: value for identity, (value, _) in kind.read(path).items()}
    assert list(values.items()) == [("-2", "0.250000"), ("१", "0.5"), ('a,"b\t', "1")]


BROKEN = {
    "gone": (None, "no such file; scripts/filter_questions.py writes it"),
    "empty": ("", "the file is empty"),
    "other columns": ("id\n1\n", "row 1: the columns must be"),
    "twice": ("id\tscore\n1\t0.5\n1\t0.4\n", "row 3: id '1' occurs twice"),
    "no score": ("id\tscore\n1\n", "row 2: 1 cells, not 2"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_gives_one_error(content, message, tmp_path):
    path = tmp_path / "kept.tsv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CorpusError, match=f"kept.tsv.*{message}"):
        KEPT_IDS.read(path)
