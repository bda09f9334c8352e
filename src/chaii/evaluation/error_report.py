"""One page on the errors of a run or an ensemble: scores of like rows, worst and changed rows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined, Template

from chaii.evaluation.excerpt import Range, cut_excerpt, find_pieces
from chaii.evaluation.metrics import METRICS, score_rows
from chaii.evaluation.slices import ANSWER_KINDS, describe_scores, tabulate_slices

_KEY = ["corpus", "id"]
_EXAMPLE = [*_KEY, "language", "question", "context", "answer_text", "answer_start"]
_PLACE = ["start_char", "end_char"]
_ANSWER = ["prediction", "score", *_PLACE]
_LANGUAGE_CODES = {"bengali": "bn", "english": "en", "hindi": "hi", "tamil": "ta", "telugu": "te"}
# What HTML cannot hold.
_UNPRINTABLE = [*range(9), 11, *range(14, 32), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF]
_REPLACED = dict.fromkeys(_UNPRINTABLE, 0xFFFD) | {0x0C: " ", 0x0D: " "}


def add_baseline(rows: pd.DataFrame, other: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Make another run's answer the first member of each row that both have held out.

    Raises:
        ValueError: they share no row.
    """
    keys = pd.MultiIndex.from_frame(other[_KEY])
    known = dict(zip(keys, other.assign(name=name).to_dict("records"), strict=True))
    found = [known.get(key) for key in pd.MultiIndex.from_frame(rows[_KEY])]
    if not any(found):
        raise ValueError(f"{name}: has held out none of these {len(rows)} rows")
    members = [
        [*([answer] if answer else []), *(one for one in others if one["name"] != name)]
        for answer, others in zip(found, rows["members"], strict=True)
    ]
    return rows.assign(members=members)


def render_report(
    rows: pd.DataFrame, *, name: str, shown: int, baseline: str | None = None, seed: int = 2021
) -> str:
    """The page, whole: HTML that needs no network and no script.

    Args:
        rows: a held-out example each: id, corpus, language, question, context, answer_text and
            answer_start (lists), prediction, score, start_char and end_char (NaN where unknown),
            members (list of name, prediction, start_char and end_char).
        name: what the page is about.
        shown: the most rows in either list.
        baseline: the member that rows are said to have changed against; None: the first.
        seed: of the bootstrap.

    Raises:
        ValueError: there is no row.
    """
    if rows.empty:
        raise ValueError(f"{name}: no held-out row to report on")
    scores = score_rows(rows["prediction"], rows["answer_text"], rows["language"])
    rows = rows.reset_index(drop=True).assign(**scores, group=pd.factorize(rows["context"])[0])
    members = _score_members(rows)
    names = list(members["name"].unique())
    before = members[members["name"] == (baseline or next(iter(names), None))]
    gains = _find_gains(rows, before)
    worst = rows[rows["jaccard"] < 1].sort_values(["jaccard", "score"], ascending=[True, False])
    most = gains.abs().sort_values(ascending=False, kind="stable")

    def make_card(row: Any) -> dict[str, Any]:
        return _make_card(rows.loc[row].to_dict(), members[members.index == row], names)

    return _read_template().render(
        _summarise(rows, members, name=name, seed=seed),
        name=name,
        baseline=next(iter(before["name"]), None),
        marks=_describe_marks(names),
        wrong=len(worst),
        scored=rows["score"].notna().any(),
        gains=list(gains),
        worst=[make_card(row) | {"gain": None} for row in worst.index[:shown]],
        changed=[make_card(row) | {"gain": gains[row]} for row in most.index[:shown]],
    )


def _score_members(rows: pd.DataFrame) -> pd.DataFrame:
    """Every member's answer to every row, indexed by the row."""
    given = rows[["members", "answer_text", "language", "group"]].explode("members")
    given = given.dropna(subset="members")
    members = pd.DataFrame(
        list(given["members"]), index=given.index, columns=["name", "prediction", *_PLACE]
    )
    scores = score_rows(
        list(members["prediction"]), list(given["answer_text"]), list(given["language"])
    )
    return members.assign(jaccard=scores["jaccard"].to_numpy(), group=given["group"])


def _find_gains(rows: pd.DataFrame, before: pd.DataFrame) -> pd.Series:
    """What each row that changed against the baseline has gained in Jaccard."""
    now = rows.loc[before.index]
    changed = now["prediction"].str.split() != before["prediction"].str.split()
    return (now["jaccard"] - before["jaccard"])[changed]


def _summarise(
    rows: pd.DataFrame, members: pd.DataFrame, *, name: str, seed: int
) -> dict[str, Any]:
    """What stands above the lists of rows."""
    tables = tabulate_slices(rows, seed=seed)
    if not members.empty:
        answered = [(name, rows), *members.groupby("name", sort=False)]
        scores = [
            {"label": label, **describe_scores(part, "jaccard", seed=seed)}
            for label, part in answered
        ]
        tables = {"answered by": pd.DataFrame(scores)} | tables
    highest = max(table[["mean", "high"]].max(axis=None) for table in tables.values())
    return {
        "rows": len(rows),
        "totals": {metric: describe_scores(rows, metric, seed=seed) for metric in METRICS},
        "tables": {title: table.to_dict("records") for title, table in tables.items()},
        "kinds": ANSWER_KINDS,
        "scale": max(math.ceil(10 * highest), 1) / 10,  # where bars end
    }


def _describe_marks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the page calls each mark, its style, and how deep under the text it is drawn."""
    members = {
        str(lane): {"label": name, "style": f"member look-{lane % 4}", "lane": lane}
        for lane, name in enumerate(names, 1)
    }
    return {
        "G": {"label": "gold", "style": "gold", "lane": 0},
        "P": {"label": "prediction", "style": "predicted", "lane": 0},
        **members,
    }


def _make_card(
    example: Mapping[str, Any], members: pd.DataFrame, names: Sequence[str]
) -> dict[str, Any]:
    """All that the page shows of one row."""
    context = example["context"]
    golds = list(zip(example["answer_text"], map(int, example["answer_start"]), strict=True))
    answers = {"P": example} | {
        str(names.index(answer["name"]) + 1): answer for answer in members.to_dict("records")
    }
    ranges = {"G": [(start_char, start_char + len(text)) for text, start_char in golds]}
    ranges |= {mark: _locate(context, answer) for mark, answer in answers.items()}
    lines = [("G", text, None) for text, _ in golds]
    lines += [(mark, answer["prediction"], answer["jaccard"]) for mark, answer in answers.items()]
    return {
        **example,
        "code": _LANGUAGE_CODES.get(example["language"]),
        "segments": cut_excerpt(context, ranges),
        "lines": lines,
        "absent": [mark for mark, places in ranges.items() if not places],
    }


def _locate(context: str, answer: Mapping[str, Any]) -> list[Range]:
    place = answer["start_char"], answer["end_char"]
    known = not any(pd.isna(edge) or edge < 0 for edge in place)
    whole = (int(place[0]), int(place[1])) if known else None
    return find_pieces(context, answer["prediction"], whole)


def _read_template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value.translate(_REPLACED) if isinstance(value, str) else value,
    )
    text = files("chaii.evaluation").joinpath("error_report.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(text)
