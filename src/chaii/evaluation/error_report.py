"""An HTML page on the errors of a run or an ensemble: scores by slice, worst and changed rows."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from chaii.evaluation.excerpt import cut_excerpt, find_pieces
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.slices import ANSWER_KINDS, describe_scores, tabulate_slices

_KEY = ["corpus", "id"]
_MEMBER = ["name", "prediction", "start_char", "end_char"]
LANGUAGE_CODES = {"bengali": "bn", "english": "en", "hindi": "hi", "tamil": "ta", "telugu": "te"}
# Characters that HTML cannot hold are replaced.
_UNPRINTABLE = [*range(9), 11, *range(14, 32), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF]
_REPLACED = dict.fromkeys(_UNPRINTABLE, 0xFFFD) | {0x0C: " ", 0x0D: " "}
TEMPLATES = Environment(
    loader=PackageLoader("chaii", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    finalize=lambda value: value.translate(_REPLACED) if isinstance(value, str) else value,
)


def add_baseline(rows: pd.DataFrame, other: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Make another run's answer the first member of each row that both tables hold.

    Raises:
        ValueError: they share no row.
    """
    keys = pd.MultiIndex.from_frame(other[_KEY])
    known = dict(zip(keys, other.assign(name=name).to_dict("records"), strict=True))
    found = [known.get(key) for key in pd.MultiIndex.from_frame(rows[_KEY])]
    if not any(found):
        raise ValueError(f"{name}: its out-of-fold table holds none of these {len(rows)} rows")
    others = ([one for one in some if one["name"] != name] for some in rows["members"])
    pairs = zip(found, others, strict=True)
    members = [[answer, *rest] if answer else rest for answer, rest in pairs]
    return rows.assign(members=members)


def render_report(
    rows: pd.DataFrame, *, name: str, shown: int, baseline: str | None = None, seed: int = 2021
) -> str:
    """Render the page: one HTML file that needs no network and no script.

    Args:
        rows: an out-of-fold table.
        name: the run or ensemble, for the title.
        shown: the most rows in either list.
        baseline: the member whose answers are compared with those of the table; None: the first.
        seed: of the bootstrap.

    Raises:
        ValueError: there is no row.
    """
    if rows.empty:
        raise ValueError(f"{name}: no held-out row to report on")
    scores = score_rows(rows["prediction"], rows["answer_text"], rows["language"])
    clusters = pd.factorize(rows["context"])[0]
    rows = rows.reset_index(drop=True).assign(**scores, cluster=clusters)
    members = _score_members(rows)
    names = list(members["name"].unique())
    before = members[members["name"] == (baseline or next(iter(names), None))]
    now = rows.loc[before.index]
    changed = now["prediction"].str.split() != before["prediction"].str.split()
    gains = (now["jaccard"] - before["jaccard"])[changed]
    worst = rows[rows["jaccard"] < 1].sort_values(["jaccard", "score"], ascending=[True, False])
    most = gains.abs().sort_values(ascending=False, kind="stable")

    def make_card(row: Any) -> dict[str, Any]:
        return _make_card(rows.loc[row].to_dict(), members[members.index == row], names)

    tables = tabulate_slices(rows, seed=seed)
    if names:
        answered = [(name, rows), *members.groupby("name", sort=False)]
        lines = [
            {"label": label, **describe_scores(part, "jaccard", seed=seed)}
            for label, part in answered
        ]
        tables = {"answered by": pd.DataFrame(lines)} | tables
    highest = max(table[["mean", "high"]].max(axis=None) for table in tables.values())
    page = TEMPLATES.get_template("evaluation/error_report.html.jinja")
    return page.render(
        name=name,
        rows=len(rows),
        totals={metric: describe_scores(rows, metric, seed=seed) for metric in METRICS},
        tables={title: table.to_dict("records") for title, table in tables.items()},
        kinds=ANSWER_KINDS,
        scale=max(math.ceil(10 * highest), 1) / 10,  # where bars end
        baseline=next(iter(before["name"]), None),
        members=names,
        wrong=len(worst),
        gains=list(gains),
        worst=[make_card(row) | {"gain": None} for row in worst.index[:shown]],
        changed=[make_card(row) | {"gain": gains[row]} for row in most.index[:shown]],
    )


def _score_members(rows: pd.DataFrame) -> pd.DataFrame:
    """Score every member's answer to every row; the index holds the row."""
    given = rows[["members", "answer_text", "language", "cluster"]].explode("members")
    given = given.dropna(subset="members")
    members = pd.DataFrame(list(given["members"]), index=given.index, columns=_MEMBER)
    answers = members["prediction"], given["answer_text"], given["language"]
    scores = score_rows(*map(list, answers))
    return members.assign(jaccard=scores["jaccard"].to_numpy(), cluster=given["cluster"])


def _make_card(
    row: Mapping[str, Any], members: pd.DataFrame, names: Sequence[str]
) -> dict[str, Any]:
    """Gather what the page shows of one row; marks are G (gold), P, and the numbers of members."""
    context = row["context"]
    golds = list(zip(row["answer_text"], map(int, row["answer_start"]), strict=True))
    given = members.to_dict("records")
    answers = {"P": row} | {str(names.index(answer["name"]) + 1): answer for answer in given}
    ranges = {"G": [(start_char, start_char + len(text)) for text, start_char in golds]}
    for mark, answer in answers.items():
        place = int(answer["start_char"]), int(answer["end_char"])
        ranges[mark] = find_pieces(context, answer["prediction"], place)
    lines = [("G", text, None) for text, _ in golds]
    lines += [(mark, answer["prediction"], answer["jaccard"]) for mark, answer in answers.items()]
    code, segments = LANGUAGE_CODES.get(row["language"]), cut_excerpt(context, ranges)
    return {**row, "code": code, "segments": segments, "lines": lines}
