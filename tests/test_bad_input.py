"""What a user may get wrong, through every script: one line that names the place, and status 1.

The faults of each corpus format have tables of their own beside the readers' tests.
"""

import errno
import json
import os
import re
import resource
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[1]
HEAD = b"id,context,question,answer_text,answer_start,language\n"
GOOD = b"a,Ravi was born in Pune.,Where was Ravi born?,Pune,17,hindi\n"
SEARCH = b"defaults: [demo]\nspace: "
FILES = {  # files and, where the content is None, folders of the place where the scripts run
    "good.csv": HEAD + GOOD,
    "empty.csv": b"",
    "header.csv": HEAD,
    "latin.csv": HEAD + "a,café,q?,café,0,hindi\n".encode("latin-1"),
    "utf16.csv": (HEAD + GOOD).decode().encode("utf-16"),
    "binary.csv": bytes(range(256)),
    "torn.csv": HEAD + b'a,"Ravi was',
    "cells.csv": HEAD + b"a,b\n",
    "twice.csv": HEAD + GOOD + GOOD.replace(b"Ravi", b"Mohan"),
    "columns.csv": b"id,text\na,b\n",
    "same_column.csv": HEAD.replace(b"language", b"id") + GOOD,
    "half.csv": b"id,context,question,answer_text,language\na,b,c,b,hindi\n",
    "start.csv": HEAD + GOOD.replace(b"17", b"seventeen"),
    "nan.csv": HEAD + GOOD.replace(b"17", b"nan"),
    "no_id.csv": HEAD + GOOD.replace(b"a,", b" ,", 1),
    "cut.csv.gz": b"\x1f\x8b\x08\x00",
    "folder.csv": None,
    "torn.json": b'{"data": [',
    "list.json": b"[]",
    "deep.json": b"[" * 100_000,
    "torn.jsonl": b'{"language": "english"\n',
    "number.jsonl": b"7\n",
    "latin.tsv": b"id\tscore\ncaf\xe9\t1\n",
    "other.tsv": b"id,score\n",
    "twice.tsv": b"id\tscore\na\t1\na\t2\n",
    "strange.tsv": b"id\tscore\nzz\t1\n",
    "labels.csv": b"id,answer_start\na,first\n",
    "labels_gone.csv": b"id,answer_start\nzz,1\n",
    "labels_wrong.csv": b"id,answer_start\na,3\n",
    "quote.csv": b'id,answer_start\n"a' + b"x" * 200_000,
    "file": b"no folder",
    "page.md": b"no markers\n",
    "latin.md": b"caf\xe9\n",
    "method_list.yaml": b"[vote]\n",
    "method_key.yaml": b"kind: vote\nties: keep\n",
    "method_latin.yaml": b"kind: caf\xe9\n",
    "conf/trainer/torn.yaml": b"logging_steps: [\n",
    "conf/trainer/list.yaml": b"- 1\n",
    "conf/trainer/latin.yaml": b"lr_scheduler_type: caf\xe9\n",
    "conf/trainer/tabs.yaml": b"a:\n\tb: 1\n",
    "conf/search/typo.yaml": SEARCH + b"{backbone.learning_rat: {kind: float, low: 1, high: 2}}\n",
    "conf/search/sign.yaml": SEARCH + b"{recipe.cutout.rate: {kind: float, low: -0.5, high: 0}}\n",
    "conf/search/log.yaml": SEARCH + b"{seed_: {kind: float, low: 0, high: 1, log: true}}\n",
    "conf/corpora/wrong.yaml": b"# @package corpora.wrong\nformat: xml\npath: x\n",
    "x_oof.parquet": b"PAR1 torn",
    "data/hub/train.parquet": b"PAR1 torn",
    "lock/download.lock.json": b"{",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A place with all the files, which no case changes."""
    place = tmp_path_factory.mktemp("bad")
    for name, content in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            (place / name).mkdir()
        else:
            (place / name).write_bytes(content)
    return place


@pytest.fixture
def call(run_script, tmp_path):
    """Call a script in the folder of the test; returns its exit status and standard error."""

    def run(script, *arguments, place=tmp_path):
        status, _, errors = run_script(script, *arguments, place=place)
        return status, errors

    return run


IN = "paths.output={out} paths.tokens={out}/tokens "
CSV = "inspect_labels chaii " + IN + "corpora.chaii.path={w}/"
GOOD_CSV = CSV + "good.csv "
SQUAD = "inspect_labels squad " + IN + "corpora.squad.path={w}/"
TYDI = SQUAD.replace("squad", "tydi_primary")
HUB = "inspect_labels hub/squad " + IN + "corpora.squad.path={w}/"
KEEP = GOOD_CSV + "corpora.chaii.keep_ids={w}/"
FILTER = "filter_questions --corpus chaii --like chaii corpora.chaii.path={w}/good.csv "
FILTER += IN + "corpora.chaii.keep_ids={out}/kept.tsv "
LABELLED = "check_leaks " + IN + "corpora.demo_chaii.labels_file={w}/"
FETCH = "download squad paths.input={out} corpora.squad.download="
GIVEN = "train hydra.searchpath=[{w}/conf] "
SCRATCH = "train " + IN + "backbone.scratch=null backbone.pretrained="
ANSWER = "answer --model gone "
ROWS = ANSWER + "--output {out}/answers.csv --input {w}/"
CASES = {  # a command, and what its line says
    # names of settings and of their values
    "train trainer.worker=2": "trainer.worker: no such setting; is num_workers meant",
    "train bacbone=tiny_muril": "bacbone: no such setting; is backbone meant",
    "train backbone=tiny_mural": "backbone=tiny_mural: conf/ has no .*; is tiny_muril meant",
    "train experiment=gone": "experiment=gone: conf/ has no .*; one of demo_muril, ",
    "train recipe=gone": "recipe=gone: conf/ has no .*; one of demo, ",
    "train trainer=gone": "trainer=gone: conf/ has no .*; one of .*gpu_16gb, ",
    "train paths=gone": "paths=gone: conf/ has no .*; one of kaggle, local",
    "train +corpora=gone": "corpora=gone: conf/ has no .*; one of chaii, ",
    "train trainer.tracker=gone": "trainer.tracker: Invalid value 'gone', expected one of",
    "train on_warning=gone": "on_warning: Invalid value 'gone', expected one of",
    "train debug=gone": "debug=gone: conf/ has no .*; one of overfit, profile, shapes, smoke",
    "train backbone=muril_base backbone.shrink=true backbone.family=gpt9": "family=gpt9: must be "
    "one of bert, ",
    "train corpora.gone.path=x": r"corpora.gone: not set yet; \+corpora.gone=... adds it",
    "train recipe.stages.0.sources.0.corpus=gone": r"sources\[0\].corpus: unknown corpus 'gone'",
    "train recipe.stages.9.sources.0.corpus=gone": r"recipe.stages\[9\]: Invalid type",
    "train folds.validation_corpora=[gone]": "folds.validation_corpora: unknown corpus 'gone'",
    "train folds.validation_corpora=gone": "folds.validation_corpora: Invalid value",
    "train fold=9": "fold=9: must be all, or below folds.num_folds=2",
    "train trainer.precision=fp8": "trainer.precision: Invalid value 'fp8', expected one of",
    "ensemble ensemble=gone": "ensemble=gone: conf/ has no .*; one of ",
    "ensemble method=gone": "method=gone: conf/ has no .*; one of auto, fusion, vote",
    "ensemble method.kind=guess": "method.kind: Invalid value 'guess', expected one of",
    "ensemble method.kind=single": "method.group=None: set it where method.kind is single",
    "ensemble +ensemble.weights.gone=1": "ensemble.weights.gone: no member",
    "ablate study=gone": "study=gone: conf/ has no .*; one of confirmation, demo, ",
    "ablate study.reference=gone": "study.reference=gone: must be one of the arms",
    "ablate study.folds=[9]": "fold=9: must be all, or below folds.num_folds=2",
    "ablate +study.arms.evil=[seed]": "seed: no override of the form key=value",
    "ablate study.arms.full=7": "study.arms.full: Invalid value assigned",
    "search search=gone": "search=gone: conf/ has no .*; one of demo, muril",
    "search search.base=['experiment=gone']": "experiment=gone: conf/ has no .*; one of demo_muril",
    "search search.seen.folds=[9]": "fold=9: must be all, or below folds.num_folds=2",
    "search search.sampler=guess": "search.sampler: Invalid value 'guess', expected one of",
    "search --config-dir={w}/conf search=typo": "backbone.learning_rat: no such setting; is lear",
    "search --config-dir={w}/conf search=sign": "recipe.cutout.rate=-0.5: must be a share",
    "search --config-dir={w}/conf search=log": "search.space.seed_: low=0.0, step=None: low",
    "inspect_recipe recipe=gone": "recipe=gone: conf/ has no .*; one of ",
    "check_leaks experiment=gone": "experiment=gone: conf/ has no .*; one of ",
    "inspect_labels gone": "corpora=gone: conf/ has no corpora/gone.yaml",
    "inspect_labels chaii paths=gone": "paths=gone: conf/ has no .*; one of kaggle, local",
    "download gone": "corpora=gone: conf/ has no corpora/gone.yaml",
    "download squad hub/squad": ".'squad'. and from hub/: name either",
    "download squad paths=gone": "paths=gone: conf/ has no .*; one of kaggle, local",
    "download squad corpora.gone.path=x": "corpora.gone: not set yet",
    "filter_questions --corpus gone": "corpora=gone: conf/ has no corpora/gone.yaml",
    "distill": r"distill.teachers=\[\]: name the finished runs that teach",
    "distill distill.teachers=[demo_muril]": "demo_muril'.: name each once, and not the student",
    "distill distill.teachers=[a,a]": r"teachers=\['a', 'a'\]: name each once, and not the student",
    "distill distill.teachers=[../a]": "distill.teachers=../a: must be a plain name",
    "distill distill.teachers=a": "distill.teachers: Invalid value",
    "distill distill.teacher=[a]": "distill.teacher: no such setting; is teachers meant",
    "distill distill.teachers=[gone] " + IN: "runs/gone/fold0: no finished fold; a teacher must",
    # the form of settings, types, numbers
    "train fold": "fold: no override of the form key=value",
    "train name=a=b": "name=a=b: no override of the form key=value; quote special characters",
    "train trainer=[": r"trainer=\[: no override of the form key=value",
    "train seed=": "seed: Value '' of type 'str' could not be converted to Integer",
    "train seed=one": "seed: Value 'one' of type 'str' could not be converted to Integer",
    "train seed=1.5": "seed: Value '1.5' of type 'float' could not be converted to Integer",
    "train seed=null": "seed: field 'seed' is not Optional",
    "train seed=99999999999999999999": "seed=99999999999999999999: must be from 0 to",
    "train backbone.learning_rate=nan": "backbone.learning_rate=nan: must be finite and above 0",
    "train backbone.learning_rate=1e999": "backbone.learning_rate=inf: must be finite and above 0",
    "train trainer.max_steps=0": "trainer.max_steps=0: must be at least 1",
    "train trainer.per_device_train_batch_size=9999999999": "effective_batch_size=8: must be",
    "train distill.temperature=0": "distill.temperature=0.0: must be finite and above 0",
    "train distill.temperature=-1": "distill.temperature=-1.0: must be finite and above 0",
    "train distill.weight=1.5": "distill.weight=1.5: must be a share, from 0 to 1",
    "train distill.weight=-0.1": "distill.weight=-0.1: must be a share, from 0 to 1",
    "train recipe.stages=null": "recipe.stages: field 'recipe.stages' is not Optional",
    "train recipe.stages=[]": "recipe.stages: must hold at least one stage",
    "train recipe.stages=[1]": r"recipe.stages\[0\]: Invalid type assigned: int",
    "train backbone.config.hidden_size=-1": "backbone.config.hidden_size=-1: must be",
    "train backbone.scratch=null": "set exactly one of pretrained and scratch",
    "ensemble time_budget=soon": "time_budget: Value 'soon' of type 'str' could not be converted",
    "ensemble ensemble.members=[]": r"ensemble.members=\[\]: name at least one run",
    "ensemble search.max_words=[0]": r"search.max_words\[0\]=0: must be at least 1",
    "ablate study.seeds=[1,1]": r"study.seeds=\[1, 1\]: name at least one, and each once",
    "ablate study.folds=[]": r"study.folds=\[\]: name at least one",
    "ablate rounds=0": "rounds=0: must be at least 1000",
    "inspect_recipe seed=-1": "seed=-1: must be from 0 to",
    "check_leaks a=b=c": "a=b=c: no override of the form key=value",
    GOOD_CSV + "corpora.chaii.max_examples=0": "max_examples 0 must be at least 1, or null",
    GOOD_CSV + "--rows many": "argument --rows: invalid count value: 'many'",
    GOOD_CSV + "--rows -1": "argument --rows: invalid count value: '-1'",
    "report gone --rows -1": "argument --rows: invalid count value: '-1'",
    FILTER + "--keep many": "argument --keep: invalid float value: 'many'",
    FILTER + "--keep 0": "keep=0.0: must be a share above 0 and up to 1, or a number of rows",
    FILTER + "--keep -1": "keep=-1.0: must be a share above 0",
    FILTER + "--keep nan": "keep=nan: must be a share above 0",
    FILTER + "--seed -1": "argument --seed: invalid count value: '-1'",
    FILTER: "1 distinct questions, but 5 folds need as many",
    # names that would lead elsewhere
    "train name=../evil": "name=../evil: must be a plain name, without slashes",
    "train name=a/b": "name=a/b: must be a plain name, without slashes",
    "train name=.hidden": "name=.hidden: must be a plain name, .* not beginning with a dot",
    "train name=": "name=: must be a plain name",
    "train name=???": "name: must be set",
    "ensemble ensemble.name=../evil": "ensemble.name=../evil: must be a plain name",
    "ensemble name=../evil": "name=../evil: must be a plain name",
    "ablate study.name=../evil": "study.name=../evil: must be a plain name",
    "inspect_labels ../evil": "conf/ has no corpora/../evil.yaml",
    # arguments of the scripts
    "train -m hydra/launcher=submitit_gone": "submitit_gone: is not installed; run: pip install",
    "train -m hydra/launcher=gone": "hydra/launcher=gone: conf/ has no .*; one of basic, ",
    "train --gone": "unrecognized arguments: --gone",
    "train --config-name=gone": "gone",
    "train --config-dir={w}/gone": "gone",
    "leaderboard --gone": "unrecognized arguments: --gone",
    "download --gone": "unrecognized arguments: --gone",
    "report": "one of the arguments run --ensemble is required",
    "relabel": "the following arguments are required: --run, --output",
    "publish": "the following arguments are required: run",
    "publish gone": "data/runs/gone: no finished fold of run 'gone'",
    "inspect_labels": "the following arguments are required: corpus",
    "check_leaks --test": "argument --test: expected at least one argument",
    "answer who? --context {w}/good.csv": "the following arguments are required: --model",
    ANSWER + "who?": "give a question and --context, or --input and --output",
    ROWS + "good.csv who?": "give a question and --context, or --input and --output",
    ANSWER + "who? --context {w}/good.csv --top-k many": "argument --top-k: invalid int value",
    # what the reader is asked; the model is loaded last
    ANSWER
    + "who? --context {w}/good.csv": "gone: no run in data/runs, no ensemble in .*, no check",
    ANSWER
    + "who? --context {w}/good.csv --precision int8": "precision=int8: is gone; write an export",
    "export gone": "gone: is neither a run nor a folder, so it has no exports",
    ANSWER + "who? --context {w}/good.csv --top-k 0": "top_k=0: must be at least 1",
    ANSWER + "who? --context {w}/gone.txt": "gone.txt: cannot be read: No such file or directory",
    ANSWER + "who? --context {w}": "bad0: cannot be read: Is a directory",
    ANSWER + "who? --context {w}/latin.tsv": "latin.tsv: cannot be read: 'utf-8' codec",
    ROWS + "good.csv --top-k 0": "top_k=0: must be at least 1",
    ROWS + "gone.csv": "gone.csv: No such file or directory",
    ROWS + "other.tsv": "other.tsv: must end with one of .csv, .jsonl, .parquet",
    ROWS.replace("answers.csv", "a.xls") + "good.csv": "a.xls: must end with one of .csv, .jsonl",
    ROWS + "good.csv --question-column asked": "good.csv, row 1: asked must be text; the columns",
    ROWS + "columns.csv": "columns.csv, row 1: question must be text; the columns are id, text",
    ROWS + "torn.jsonl": "torn.jsonl, line 1: not readable as JSON",
    ROWS + "number.jsonl": "number.jsonl, line 1: int where an object is needed",
    ROWS + "header.csv": "header.csv: holds no row",
    ROWS + "empty.csv": "empty.csv: cannot be read: No columns to parse",
    ROWS + "latin.csv": "latin.csv: cannot be read: 'utf-8' codec",
    ROWS + "x_oof.parquet": "x_oof.parquet: cannot be read: ",
    # YAML files
    GIVEN + "trainer=torn": "trainer/torn.yaml, line 2: ",
    GIVEN + "trainer=list": "trainer/list",
    GIVEN + "trainer=latin": r"'lr_scheduler_type: caf.xe9': must be UTF-8",
    GIVEN + "trainer=tabs": "trainer/tabs.yaml, line 2: ",
    GIVEN + "+corpora=wrong": "corpora/wrong.yaml: .*format: Invalid value 'xml'",
    "ensemble method_file={w}/gone.yaml": "gone.yaml: cannot be read: No such file or directory$",
    "ensemble method_file={w}": "bad0: cannot be read: Is a directory$",
    "ensemble method_file={w}/method_list.yaml": "method_list.yaml: must hold the settings of a",
    "ensemble method_file={w}/method_key.yaml": "method_key.yaml: ties: no such setting; is tie",
    "ensemble method_file={w}/method_latin.yaml": "method_latin.yaml: cannot be read: 'utf-8'",
    "ensemble method_file={w}/conf/trainer/torn.yaml": "torn.yaml: cannot be read: ",
    # backbones
    SCRATCH + "{w}/gone": "backbone.pretrained=.*gone: neither a local folder nor on the hub; ",
    SCRATCH + "{w}": "backbone.pretrained=.*: Unrecognized model",
    SCRATCH + "no/where": "backbone.pretrained=no/where: neither a local folder nor on the hub",
    "train backbone.scratch.architecture=gpt9": "architecture=gpt9: transformers has no such model",
    "train backbone.scratch.architecture=mt5-gone": "architecture=mt5-gone: transformers has no",
    "train +backbone.config.layers=2": "backbone.config.layers: bert has no such field",
    "train trainer.lr_scheduler_type=lineal": "lr_scheduler_type=lineal: must be of linear, ",
    "train recipe.predict_max_length=9999": "predict_max_length=9999: must be at most 512",
    # corpora
    CSV + "gone.csv": "corpus chaii: no file matches path '.*gone.csv'",
    CSV + "folder.csv": "corpus chaii: no file matches path '.*folder.csv'",
    CSV + "empty.csv": "empty.csv, row 1: the file is empty",
    CSV + "header.csv": "header.csv, row 1: the file holds no question",
    CSV + "latin.csv": "latin.csv, line 2: not UTF-8",
    CSV + "utf16.csv": "utf16.csv, line 1: not UTF-8",
    CSV + "binary.csv": "binary.csv, row 1: no column",
    CSV + "torn.csv": "torn.csv, row 1: not readable as CSV",
    CSV + "cells.csv": "cells.csv, row 2: 2 cells under 6 columns",
    CSV + "twice.csv": "twice.csv, row 3: id 'a' is already in .*, row 2, with another content",
    CSV + "columns.csv": r"columns.csv, row 1: no column .*; the header has \['id', 'text'\]",
    CSV + "half.csv": r"half.csv, row 1: no column \['answer_start'\]",
    CSV + "start.csv": "start.csv, row 2: answer_start must be an integer, not 'seventeen'",
    CSV + "nan.csv": "nan.csv, row 2: answer_start must be an integer, not 'nan'",
    CSV + "no_id.csv": "no_id.csv, row 2: id is empty; every row needs one",
    CSV + "cut.csv.gz": "cut.csv.gz, after line 0: the gzip stream ends too early; fetch the file",
    GOOD_CSV + "corpora.chaii.languages=[tamil]": r"no row is in languages \['tamil'\], but in",
    GOOD_CSV + "corpora.chaii.join=article": "join article does not go with format chaii_csv",
    GOOD_CSV + "corpora.chaii.on_error=skip": "on_error skip is not possible with format chaii_csv",
    SQUAD + "torn.json": "torn.json: not readable as JSON",
    SQUAD + "list.json": r"list.json, \$: list where an object is needed",
    SQUAD + "deep.json": "deep.json: not readable as JSON: maximum recursion depth",
    TYDI + "torn.jsonl": "torn.jsonl, line 1: not readable as JSON",
    TYDI + "number.jsonl": r"number.jsonl, line 1, \$: int where an object is needed",
    TYDI + "torn.jsonl corpora.tydi_primary.on_error=skip": "no row could be read; the first fault",
    HUB + "data/hub": "corpus squad: cannot load '.*data/hub' .*place the files of",
    HUB + "gone": "corpus squad: cannot load '.*gone' .*place the files of",
    KEEP + "gone": "gone: no such file; scripts/filter_questions.py writes it",
    KEEP + "folder.csv": "folder.csv: no such file; scripts/filter_questions.py writes it",
    KEEP + "latin.tsv": "latin.tsv: cannot be read: 'utf-8' codec",
    KEEP + "other.tsv": r"other.tsv, row 1: the columns must be \['id', 'score'\]",
    KEEP + "twice.tsv": "twice.tsv, row 3: id 'a' occurs twice",
    KEEP + "empty.csv": "empty.csv, row 1: the columns must be .* the file is empty",
    KEEP + "strange.tsv": "corpus chaii: none of its rows is in .*strange.tsv",
    LABELLED + "gone": "gone: no such file; scripts/relabel.py writes it",
    LABELLED + "labels.csv": "labels.csv, row 2: answer_start 'first' must be a number from 0",
    LABELLED + "quote.csv": "quote.csv(, row 2: 1 cells|: cannot be read: field larger)",
    FILTER.replace("chaii --like chaii", "squad --like chaii"): "corpora.squad.keep_ids: must name",
    # folders and files in each other's place
    GOOD_CSV + "--output {w}/file/x.csv": "file: File exists",
    GOOD_CSV + "--output {w}": "bad0: Is a directory",
    "train paths.output={w}/file": "file/runs/demo_muril: Not a directory",
    "train paths.output=": "paths.output=: must name a folder",
    "train paths.runs={w}/file": "file/demo_muril: Not a directory",
    "train paths.tokens={w}/file paths.output={out}": "file: File exists",
    "train paths.demo={w}/file paths.output={out}": "file exists and is no demo corpus",
    "train paths.output=/proc/gone": "/proc/gone: No such file or directory",
    "relabel --run {w} --output {out}/x.csv": "bad0: no finished fold of run 'bad0'",
    "relabel --run gone --output {out}/x.csv": "gone: no finished fold of run 'gone'",
    "report gone": "data/runs/gone: no finished fold of run 'gone'",
    "report --ensemble gone": "submissions/gone_oof.parquet: there is no such out-of-fold table",
    "report --ensemble x --submissions {w}": "x_oof.parquet: cannot be read: ",
    "ensemble ensemble.test=null " + IN: "runs/demo_muril: no finished fold of run 'demo_muril'",
    "ensemble ensemble.test.path={w}/gone.csv " + IN: "corpus test: no file matches path",
    "ensemble ensemble.test.path={w}/torn.csv " + IN: "torn.csv, row 1: not readable as CSV",
    "ensemble ensemble.test.path={w}/twice.csv " + IN: "twice.csv, row 3: id 'a' is already in",
    "ensemble ensemble.test.path={w}/folder.csv " + IN: "corpus test: no file matches path",
    "leaderboard --publish gone": "data/runs/gone: no finished fold of run 'gone'",
    "leaderboard --filter jaccard=high": "--filter jaccard=high: must be a condition such as",
    "leaderboard --sort gone": "argument --sort: invalid choice: 'gone'",
    "compare gone": "the following arguments are required: RUN",
    "compare gone other": "data/runs/gone: no finished fold of run 'gone'",
    "compare gone other --rows -1": "argument --rows: invalid count value: '-1'",
    "leaderboard --readme {w}/gone.md": "gone.md: cannot be read: No such file or directory$",
    "leaderboard --readme {w}": "bad0: cannot be read: Is a directory$",
    "leaderboard --readme {w}/page.md": "page.md: must hold <!-- leaderboard --> and",
    "leaderboard --readme {w}/latin.md": "latin.md: cannot be read: 'utf-8' codec",
    "leaderboard --results {w}/columns.csv": "columns.csv: its columns must be run,folds,",
    "leaderboard --results {w}/empty.csv": "empty.csv: cannot be read: No columns to parse",
    "leaderboard --results {w}/latin.csv": "latin.csv: cannot be read: 'utf-8' codec",
    "leaderboard --results {w}/torn.csv": "torn.csv: cannot be read: Error tokenizing data",
    "leaderboard --results {w}": "bad0: cannot be read: Is a directory$",
    # downloads
    "download squad paths.input={w}/lock": "download.lock.json: not a lock file .*; delete it",
    "download squad paths.input={w}/file": "Not a directory.*; to place it by hand, put https:",
    FETCH + "[http://127.0.0.1:9/a.json]": "only https is fetched; --insecure allows",
    FETCH + "[https://127.0.0.1:9/a.json]": "no network .*; to place it by hand, put https:",
    FETCH + "[file:///etc/passwd]": "file:///etc/passwd: only https is fetched",
    FETCH + "[hf://datasets/a]": "'hf://datasets/a' is not hf://datasets/<owner>/<name>",
    FETCH + "[kaggle:a]": "no `kaggle` command .pip install kaggle, .*; to place it by hand",
}


def read_line(status, errors):
    """The line of an error; the lines of progress bars do not count."""
    lines = [line for line in re.split(r"[\r\n]+", errors) if line.strip() and "%|" not in line]
    assert "Traceback" not in errors
    assert status in (1, 2)
    if status == 1:  # status 2 is of argparse, which prints the usage first
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
    return lines[-1]


@pytest.mark.parametrize("command", CASES)
def test_a_mistake_is_one_line_with_its_place(command, call, world, tmp_path):
    words = command.format(w=world, out=tmp_path / "out").split()
    assert re.search(CASES[command], read_line(*call(*words)))


def test_there_are_as_many_as_promised():
    assert len(CASES) + len(DAMAGES) + 2 * len(WRITERS) >= 200


def remove(file):
    shutil.rmtree(file) if file.is_dir() else file.unlink()


def tear(file):
    file.write_bytes(file.read_bytes()[:-20])


def replace(content):
    return lambda file: file.write_bytes(content)


def drop_key(key):
    def drop(file):
        content = json.loads(file.read_text(encoding="utf-8"))
        del content[key]
        file.write_text(json.dumps(content), encoding="utf-8")

    return drop


def drop_column(file):
    table = pd.read_parquet(file)
    table.drop(columns="context_to" if "context_to" in table else "prediction").to_parquet(file)


def shorten(file):
    np.save(file, np.load(file)[:-3])


def drop_group(file):
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r"(?m)^recipe:\n( .*\n|- .*\n)+", "", text), encoding="utf-8")


BOARD, REPORT = "leaderboard --publish demo_muril --runs {runs}", "report demo_muril --runs {runs}"
RELABEL = "relabel --run {runs}/demo_muril --corpus demo_chaii --output {out}/x --tokens {out}/t"
ENSEMBLE = "ensemble ensemble.members=[demo_muril] paths.runs={runs} " + IN
PUBLISH = "publish demo_muril --runs {runs}"
COMPARE = "compare demo_muril demo_muril --runs {runs} --csv {out}/x.csv"
ANSWERS = "answer --model demo_muril --runs {runs} --output {out}/answers.csv --input {w}/good.csv"
TRAIN = "train max_examples=40 paths.runs={runs} " + IN
STUDENT = "distill name=student distill.teachers=[demo_muril] max_examples=40 paths.runs={runs} "
STUDENT += IN
DAMAGES = [  # a file of a finished fold, what happens to it, who reads it, what is said
    ("metrics.json", remove, BOARD, "demo_muril: no finished fold of run 'demo_muril'"),
    ("metrics.json", tear, BOARD, "fold0/metrics.json: cannot be read: "),
    ("metrics.json", replace(b"[]"), BOARD, "fold0/metrics.json: cannot be read: list where"),
    ("metrics.json", replace(b"caf\xe9"), BOARD, "fold0/metrics.json: cannot be read: 'utf-8'"),
    ("metrics.json", drop_key("exact"), BOARD, "fold0: its metrics or environment lack"),
    ("metrics.json", drop_key("rows"), BOARD, "no fold of run 'demo_muril' held out any row"),
    ("metrics.json", tear, ENSEMBLE, "fold0/metrics.json: cannot be read: "),
    ("environment.json", remove, BOARD, "environment.json: cannot be read: No such file"),
    ("environment.json", tear, BOARD, "environment.json: cannot be read: "),
    ("environment.json", drop_key("hardware"), BOARD, "metrics or environment lack 'hardware'"),
    ("config.yaml", remove, ENSEMBLE, "fold0/config.yaml: cannot be read: No such file"),
    ("config.yaml", replace(b"a: ["), ENSEMBLE, "fold0/config.yaml: cannot be read: "),
    ("config.yaml", replace(b"[1]"), ENSEMBLE, "config.yaml: cannot be read: must hold the set"),
    ("config.yaml", replace(b"a: caf\xe9"), ENSEMBLE, "config.yaml: cannot be read: 'utf-8' codec"),
    (
        "config.yaml",
        replace(b"name: x"),
        ENSEMBLE,
        "fold0/config.yaml: lacks backbone.name, recipe",
    ),
    ("config.yaml", drop_group, ENSEMBLE, "fold0/config.yaml: lacks recipe.predict_max_length, "),
    ("config.yaml", replace(b"a: ["), TRAIN, "fold0/config.yaml: cannot be read: "),
    ("config.yaml", replace(b"name: x"), TRAIN, "fold0/config.yaml: lacks backbone.name, recipe"),
    ("metrics.json", remove, STUDENT, "demo_muril/fold0: no finished fold; a teacher must have"),
    ("config.yaml", replace(b"a: ["), STUDENT, "fold0/config.yaml: cannot be read: "),
    ("oof.parquet", remove, STUDENT, "demo_muril/fold0: held out 0 rows that the student does not"),
    ("model/model.safetensors", tear, STUDENT, "fold0/model: cannot be loaded"),
    ("oof.parquet", remove, REPORT, "no out-of-fold table: no example was held out"),
    ("oof.parquet", tear, REPORT, "fold0/oof.parquet: cannot be read: "),
    ("oof.parquet", replace(b""), REPORT, "fold0/oof.parquet: cannot be read: "),
    ("oof.parquet", drop_column, REPORT, "fold0/oof.parquet: lacks the column prediction"),
    ("logits", remove, RELABEL, "fold0/logits: the fold held out no row"),
    ("logits/examples.parquet", remove, RELABEL, "fold0/logits: cannot be read: "),
    ("logits/windows.parquet", tear, RELABEL, "fold0/logits: cannot be read: "),
    ("logits/windows.parquet", drop_column, RELABEL, "windows.parquet: context_to must be a"),
    ("logits/start_logits.npy", tear, RELABEL, "fold0/logits: cannot be read: "),
    ("logits/start_logits.npy", replace(b""), RELABEL, "fold0/logits: cannot be read: "),
    ("logits/end_logits.npy", shorten, RELABEL, "fold0/logits: cannot be read: .* tokens"),
    ("logits/null_logits.npy", shorten, RELABEL, "fold0/logits: cannot be read: "),
    ("logits/start_logits.npy", tear, ENSEMBLE, "fold0/logits: cannot be read: "),
    ("metrics.json", remove, COMPARE, "demo_muril: no finished fold of run 'demo_muril'"),
    ("metrics.json", tear, COMPARE, "fold0/metrics.json: cannot be read: "),
    ("environment.json", tear, COMPARE, "environment.json: cannot be read: "),
    ("config.yaml", replace(b"a: ["), COMPARE, "fold0/config.yaml: cannot be read: "),
    ("oof.parquet", remove, COMPARE, "no out-of-fold table: no example was held out"),
    ("oof.parquet", drop_column, COMPARE, "fold0/oof.parquet: lacks the column prediction"),
    ("metrics.json", tear, PUBLISH, "fold0/metrics.json: cannot be read: "),
    ("metrics.json", drop_key("exact"), PUBLISH, "fold0/metrics.json: cannot be read: lacks exact"),
    ("config.yaml", drop_group, PUBLISH, "fold0/config.yaml: .*lacks recipe.predict_max_length, "),
    ("environment.json", remove, PUBLISH, "environment.json: cannot be read: No such file"),
    ("metrics.json", remove, ANSWERS, "demo_muril: no finished fold of run 'demo_muril'"),
    ("config.yaml", replace(b"name: x"), ANSWERS, "fold0/config.yaml: lacks backbone.name, recipe"),
    ("model", remove, ANSWERS, "fold0/model: no run in .*, no ensemble in .*, no checkpoint"),
    ("model/model.safetensors", tear, ANSWERS, "fold0/model: cannot be loaded"),
    ("model", remove, ENSEMBLE, "fold0/model: cannot be loaded"),
    ("model/config.json", tear, ENSEMBLE, "fold0/model"),
    ("model/tokenizer.json", tear, ENSEMBLE, "fold0/model: cannot be loaded"),
    ("model/model.safetensors", tear, ENSEMBLE, "fold0/model: cannot be loaded"),
    ("model/model.safetensors", remove, ENSEMBLE, "fold0/model: cannot be loaded"),
]


@pytest.fixture
def runs(demo_run, tmp_path):
    """The folder of a finished fold, which a test may damage."""
    shutil.copytree(demo_run.path, tmp_path / "runs/demo_muril/fold0")
    return tmp_path / "runs"


@pytest.mark.parametrize(("file", "damage", "command", "said"), DAMAGES)
def test_a_damaged_run_is_one_line_that_names_it(
    file, damage, command, said, runs, call, world, tmp_path, demo_run
):
    damage(runs / "demo_muril/fold0" / file)
    words = command.format(runs=runs, out=tmp_path / "out", w=world).split()
    if words[0] in ("train", "distill", "ensemble"):
        words.append(f"paths.demo={demo_run.root.parent}/demo")
    assert re.search(said, read_line(*call(*words)))


WRITERS = [
    GOOD_CSV,
    BOARD + " --results {out}/results.csv",
    REPORT,
    RELABEL,
    PUBLISH,
    COMPARE,
    ENSEMBLE,
    ANSWERS,
    "train " + IN,
    "check_leaks " + IN,
    "download squad paths.input={out} corpora.squad.download=[https://127.0.0.1:9/a.json]",
    FILTER,
]


def forbid(path, *_, **__):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


@pytest.mark.parametrize("command", WRITERS)
def test_a_folder_that_may_not_be_made_is_named(command, runs, call, world, tmp_path, monkeypatch):
    words = command.format(runs=runs, out=tmp_path / "out", w=world).split()
    monkeypatch.setattr(os, "mkdir", forbid)
    assert re.search(": Permission denied|Permission denied: '/", read_line(*call(*words)))


@pytest.mark.parametrize("command", WRITERS)
def test_a_full_disk_names_the_file(command, runs, call, world, tmp_path):
    words = command.format(runs=runs, out=tmp_path / "out", w=world).split()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, limits[1]))  # no file may grow beyond 30 bytes
    try:
        ended = call(*words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    line = read_line(*ended)
    assert re.search("File too large|no network", line)
    assert "/" in line
