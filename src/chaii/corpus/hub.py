"""Data sets of the Hugging Face Hub: fetched and prepared by `datasets`, read row by row."""

from pathlib import Path
from typing import Any

from datasets import Dataset, load_dataset
from datasets.exceptions import DatasetsError
from datasets.utils.logging import CRITICAL, set_verbosity

from chaii.config.corpora import CorpusConfig, HubLayout
from chaii.corpus import natural_questions, squad
from chaii.corpus.checks import Row, Tally
from chaii.corpus.records import (
    CorpusError,
    ParseRecord,
    PlacedRows,
    digest_text,
    read_records,
    take,
    take_identity,
)
from chaii.corpus.tydi import parse_tydi_record

_SQUAD = ("id", "title", "context", "question", "answers", "language")  # title, language: optional
_YES_NO = {-1: "NONE", 0: "NO", 1: "YES"}


def find_hub_files(name: str, corpus: CorpusConfig) -> list[Path]:
    """Arrow files into which `datasets` prepared the data set, after fetching it if need be.

    Raises:
        CorpusError: it cannot be loaded; says how to place the files by hand.
    """
    hub = corpus.hub
    assert hub is not None, "format hub without hub settings"
    set_verbosity(CRITICAL)  # what it logs of an error is in the error
    try:
        # not in memory, even if the environment sets it: the prepared files are read
        options = {"split": hub.split, "revision": hub.revision, "keep_in_memory": False}
        dataset = load_dataset(corpus.path, hub.subset, data_dir=hub.folder, **options)
    except (OSError, ValueError, RuntimeError, DatasetsError) as error:
        cause = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise CorpusError(
            f"corpus {name}: cannot load '{corpus.path}' (subset {hub.subset}, folder "
            f"{hub.folder}, split {hub.split}, revision {hub.revision}): {cause[0].rstrip('.')}. "
            f"Where the Hub cannot be reached, place the files of "
            f"https://huggingface.co/datasets/{corpus.path} in a folder by hand, "
            f"and set corpora.{name}.path to it"
        ) from error
    return [Path(file["filename"]) for file in dataset.cache_files]


def read_hub(path: Path, corpus: CorpusConfig, tally: Tally) -> PlacedRows:
    """Rows of one prepared file, in the layout that `corpus.hub` names.

    Raises:
        CorpusError: a column is missing, or a row is malformed; not with `on_error: skip`.
    """
    hub = corpus.hub
    assert hub is not None, "format hub without hub settings"
    columns, parse = _LAYOUTS[hub.layout]
    if unknown := set(hub.columns) - set(columns):
        rule = f"layout {hub.layout.name} has {list(columns)}"
        raise CorpusError(f"{path}: hub.columns: no column {sorted(unknown)}; {rule}")
    dataset = Dataset.from_file(str(path))
    theirs = {hub.columns.get(ours, ours): ours for ours in columns}
    dataset = dataset.select_columns([name for name in theirs if name in dataset.column_names])
    dataset = dataset.rename_columns({name: theirs[name] for name in dataset.column_names})

    def parse_record(where: str, record: Any, tally: Tally) -> Row | None:
        given = {"language": corpus.language} if corpus.language else {}
        return parse(where, {**record, **given}, tally)

    records = ((f"{path}, row {number}", record) for number, record in enumerate(dataset, start=1))
    return read_records(records, corpus, tally, parse=parse_record)


def parse_squad(where: str, record: Any, _tally: Tally) -> Row:
    """A record of the layout `squad` as a row; see `squad.build_row`."""
    question = dict(record)
    if "answers" in record:
        question["answers"] = _list_structs(record, "answers", where)
    keys = ("title", "language")
    title, language = (take(record, key, str, where) if record.get(key) else "" for key in keys)
    context = take(record, "context", str, where)
    return squad.build_row(where, question, context, title=title, language=language)


def parse_tydi(where: str, record: Any, tally: Tally) -> Row | None:
    """A record of the layout `tydi_primary` as a row.

    Unlike in the files, its annotations are flat, and its id is missing: a digest replaces it.
    """
    flat = _list_structs(record, "annotations", where) if "annotations" in record else None
    annotations = [
        {
            "minimal_answer": {
                "plaintext_start_byte": annotation.get("minimal_answers_start_byte"),
                "plaintext_end_byte": annotation.get("minimal_answers_end_byte"),
            },
            "passage_answer": {"candidate_index": annotation.get("passage_answer_candidate_index")},
            "yes_no_answer": annotation.get("yes_no_answer"),
        }
        for annotation in flat or []
    ]
    texts = [take(record, key, str, where) for key in ("question_text", "document_plaintext")]
    identity = digest_text("\n".join([*texts, str(annotations)]))
    simple = {**record, "example_id": identity}
    if flat is not None:
        simple["annotations"] = annotations
    return parse_tydi_record(where, simple, tally)


def parse_natural_questions(where: str, record: Any, tally: Tally) -> Row | None:
    """A record of the layout `natural_questions` as a row.

    The Hub has the full files: tokens with a mark on each tag, and a title.
    """
    document = take(record, "document", dict, where)
    annotations = [
        {
            "short_answers": _list_structs(annotation, "short_answers", where),
            "long_answer": annotation.get("long_answer"),
            "yes_no_answer": _YES_NO.get(take(annotation, "yes_no_answer", int, where)),
        }
        for annotation in _list_structs(record, "annotations", where)
    ]
    simple = {
        "example_id": take_identity(record, "id", where),
        "question_text": take(record, "question", dict, where).get("text"),
        "document_title": document.get("title"),
        "annotations": annotations,
    }
    tokens = (
        "" if token.get("is_html") else take(token, "token", str, where)
        for token in _list_structs(document, "tokens", where)
    )
    return natural_questions.build_row(where, simple, tokens=tokens, tally=tally)


def _list_structs(holder: Any, key: str, where: str) -> list[dict[str, Any]]:
    """A list of structs, which older data sets store as a struct of lists."""
    if not isinstance(holder, dict) or not isinstance(holder.get(key), dict):
        return take(holder, key, list, where)
    columns = {name: take(holder[key], name, list, f"{where}.{key}") for name in holder[key]}
    if len({len(cells) for cells in columns.values()}) > 1:
        raise CorpusError(f"{where}.{key}: its lists must be of one length")
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


_NATURAL_QUESTIONS = ("id", "document", "question", "annotations")
_TYDI = ("question_text", "document_title", "language", "annotations", "document_plaintext")
_LAYOUTS: dict[HubLayout, tuple[tuple[str, ...], ParseRecord]] = {
    HubLayout.squad: (_SQUAD, parse_squad),
    HubLayout.tydi_primary: (_TYDI, parse_tydi),
    HubLayout.natural_questions: (_NATURAL_QUESTIONS, parse_natural_questions),
}
