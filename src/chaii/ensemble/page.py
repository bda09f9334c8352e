"""What the page of scripts/app.py shows: answers in their context, and how backbones vote."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from chaii.config.ensemble import VoteBy
from chaii.config.errors import EXPECTED, describe_error
from chaii.demo.article import ask, write_article
from chaii.ensemble.answerer import Answerer, load_answerer
from chaii.ensemble.vote import held_words
from chaii.evaluation.error_report import TEMPLATES
from chaii.evaluation.excerpt import cut_excerpt, find_pieces
from chaii.files import reading
from chaii.run_folder import list_runs

STYLE = Path(__file__).with_name("page.css")

_MARGIN = 1500  # characters that are shown on either side of an answer
_EXAMPLES = ("hindi", "tamil", "hindi", "tamil")  # their languages

Answer = Mapping[str, Any]  # score, start, end, answer


def find_choices(runs: Path, conf: Path) -> list[str]:
    """List the finished runs, then the ensembles whose runs are all there, by name.

    An ensemble that has the name of a run is left out, as that name means the run.

    Raises:
        FileNotFoundError: no run is finished.
    """
    finished = list_runs(runs)
    if not finished:
        raise FileNotFoundError(f"{runs}: holds no finished run yet; make demo trains some")
    ensembles = []
    for file in sorted((conf / "ensemble").glob("*.yaml")):
        with reading(file):
            members = {str(name) for name in OmegaConf.select(OmegaConf.load(file), "members")}
        if file.stem not in finished and members <= set(finished):
            ensembles.append(file.stem)
    return finished + ensembles


def make_loader(runs: Path, conf: Path) -> Callable[[str], Answerer]:
    """Make a function that loads a run or an ensemble, and keeps the last few that it loaded."""
    return lru_cache(maxsize=4)(partial(load_answerer, runs=runs, conf=conf))


def write_examples(seed: int = 2021) -> Iterator[tuple[str, str]]:
    """Write a question and its context in the languages of the competition, as the demo does.

    >>> len(list(write_examples()))
    4
    """
    rng = np.random.default_rng(seed)
    for language in _EXAMPLES:
        article = write_article(language, 700, rng=rng)
        yield ask(article, str(rng.choice(sorted(article.answers))), rng), article.context


def render_page(
    load: Callable[[str], Answerer], name: str, question: str, context: str, top_k: int
) -> tuple[str, str]:
    """Answer a question; return the HTML of the answers, and that of what each backbone says.

    `load` loads the run or ensemble `name`. All text is escaped. An error of a run or a setting
    becomes one line in place of both.
    """
    try:
        answers, own = load(name).compare(question, context, top_k=top_k)
    except EXPECTED as error:
        message = render_message(f"error: {describe_error(error)}")
        return message, message
    return render_answers(context, answers, voters=len(own)), render_vote(context, answers[0], own)


def _render(macro: str, *values: Any, **more: Any) -> str:
    template = TEMPLATES.get_template("ensemble/page.html.jinja")
    return str(getattr(template.module, macro)(*values, **more))


def render_message(text: str) -> str:
    """Render a line of text in place of answers."""
    return _render("message", text)


HINT = render_message("Ask a question, or choose an example.")


def render_answers(context: str, answers: Sequence[Answer], *, voters: int) -> str:
    """Render answers, best first, as a list with probabilities and inside their context."""
    marks = {str(rank): answer for rank, answer in enumerate(answers, 1)}
    return _render_marked("answers", context, marks, is_vote=voters > 1)


def render_vote(context: str, answer: Answer, own: Mapping[str, Answer]) -> str:
    """Render the answer of each backbone, the words they hold, and which of them are kept."""
    if len(own) == 1:
        return render_message(f"{next(iter(own))} answers alone: choose an ensemble to see a vote.")
    alone = {str(number): {"name": name, **own[name]} for number, name in enumerate(own, 1)}
    words = list_words(context, {mark: (one["start"], one["end"]) for mark, one in alone.items()})
    return _render_marked("vote", context, {"P": answer} | alone, words=words)


def list_words(context: str, places: Mapping[str, tuple[int, int]]) -> list[dict[str, Any]]:
    """List the words that the answers overlap, in the order of the context, each with its holders.

    `places` gives the half-open characters of each voter's answer. A word is kept if more than half
    of the voters hold it, as in `chaii.ensemble.vote` with equal weights.

    >>> list_words("in old Patna", {"a": (3, 12), "b": (7, 12)})[1]
    {'word': 'Patna', 'holders': ['a', 'b'], 'kept': True}
    """
    holders: dict[Any, list[str]] = {}
    for name, place in places.items():
        for key in held_words(context, place, by=VoteBy.place):
            holders.setdefault(key, []).append(name)
    return [
        {"word": context[slice(*key)], "holders": names, "kept": 2 * len(names) > len(places)}
        for key, names in sorted(holders.items())
    ]


def _render_marked(macro: str, context: str, marks: Mapping[str, Answer], **more: Any) -> str:
    """Render a macro of the template with the context cut into segments around the answers."""
    ranges = {
        mark: find_pieces(context, answer["answer"], (answer["start"], answer["end"]))
        for mark, answer in marks.items()
    }
    return _render(macro, cut_excerpt(context, ranges, margin=_MARGIN), marks, **more)
