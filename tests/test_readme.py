"""What the README states and a machine can check: commands, settings, files, targets, names."""

import argparse
import importlib.util
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from chaii.config import checks
from chaii.config.checks import check_ablate, check_ensemble, check_search, check_train
from chaii.config.ensemble import MethodConfig

ROOT = Path(__file__).parents[1]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md")
}
README = PAGES["README.md"]
CODE = re.findall(r"```sh\n(.*?)```", README, re.S)
SPANS = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.S))
LINES = [line.partition("#")[0].strip() for block in CODE for line in block.splitlines()]
CALLS = [re.sub(r"^chaii (\w+)", r"python scripts/\1.py", line) for line in LINES]
COMMANDS = sorted({text for text in CALLS + SPANS if text.startswith("python scripts/")})
SETTINGS = sorted({text for text in SPANS if re.fullmatch(r"[\w.]+=[\w.]+", text)})
HYDRA = {  # scripts that Hydra configures: the configuration's name, and its check
    "train": ("train", check_train),
    "distill": ("train", check_train),
    "inspect_recipe": ("train", check_train),
    "ensemble": ("ensemble", check_ensemble),
    "ablate": ("study", check_ablate),
    "search": ("search", check_search),
}


def list_jobs(overrides):
    """Jobs in which every value of a sweep occurs once: two of ``fold=0,1 seed=1,2``."""
    choices = [override.partition("=")[::2] for override in overrides]
    choices = [(key, re.split(r",(?![^[]*\])", values)) for key, values in choices]
    count = max((len(values) for _, values in choices), default=1)
    for number in range(count):
        yield [f"{key}={values[number % len(values)]}" for key, values in choices]


def check_hydra(script, words, compose_config):
    config, check = HYDRA[script]
    for job in list_jobs([word for word in words if word != "-m"]):
        check(compose_config(config, *job))


class ParsedError(Exception):
    """Raised after a script has parsed its arguments, in place of its work."""


def check_arguments(script, words, monkeypatch):
    def stop(parser, *_):
        parsed, rest = parser.parse_known_args(words)
        assert all("=" in word for word in rest), f"{script}.py does not know {rest}"
        raise ParsedError(parsed)

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stop)
    spec = importlib.util.spec_from_file_location(script, ROOT / "scripts" / f"{script}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(ParsedError):
        module.main()


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_accepted(command, compose_config, monkeypatch):
    _, path, *words = shlex.split(command)
    script = Path(path).stem
    monkeypatch.setattr(checks, "read_method", lambda _: MethodConfig())  # a file of results
    if script in HYDRA:
        check_hydra(script, words, compose_config)
    else:
        check_arguments(script, words, monkeypatch)


def test_settings_exist(compose_config):
    settings = [setting.split("=") for setting in SETTINGS if not setting[0].isupper()]
    groups = [(key, value) for key, value in settings if (ROOT / "conf" / key).is_dir()]
    assert all((ROOT / "conf" / key / f"{value}.yaml").is_file() for key, value in groups)
    values = [f"{key}={value}" for key, value in settings if (key, value) not in groups]
    of_ensemble = [word for word in values if re.match("method|ensemble|n_best|time|precis", word)]
    compose_config("ensemble", "ensemble=winner", *of_ensemble)
    rest = [word for word in values if word not in of_ensemble]
    compose_config("train", "experiment=winner_119", *rest)


def test_corpora_that_are_downloaded_exist():
    commands = [shlex.split(command)[2:] for command in COMMANDS if "download.py" in command]
    named = {word for words in commands for word in words if "-" not in word}
    assert named
    assert named <= {path.stem for path in (ROOT / "conf/corpora").glob("*.yaml")}


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page):
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", PAGES[page])
    folders = "conf|notebooks|scripts|src|tests|benchmarks"
    spans = re.findall(rf"`((?:python )?(?:{folders})/[^`\s<]+)`", PAGES[page])
    named = {*links, *(span.removeprefix("python ") for span in spans)}
    assert named
    assert [name for name in sorted(named) if not list(ROOT.glob(name.rstrip("/")))] == []


def test_the_cost_on_a_cluster_is_that_of_the_benchmark():
    result = json.loads((ROOT / "benchmarks/results/precision.json").read_text(encoding="utf-8"))
    [bf16] = [line for line in result["lines"] if line["what"] == "Jaccard by bf16"]
    rows, seconds = re.match(r"\d+", bf16["note"])[0], re.search(r"in ([\d.]+) s", bf16["ours"])[1]
    hours = 1e8 / int(rows) * float(seconds) * result["environment"]["threads"] / 3600
    section = " ".join(README[README.index("## On a cluster") :].split())
    assert f"{int(rows):,} questions" in section
    assert f"{seconds} s on {result['environment']['threads']} threads" in section
    assert f"{hours:.0f} core-hours, on 96 cores {hours / 96:.0f} hours" in section


def test_every_script_is_listed():
    tree = re.search(r"## The files\n+```\n(.*?)```", README, re.S)[1]
    listed = set(re.findall(r"^  (\w+\.py)", tree, re.M)) | {"__init__.py"}
    scripts = {path.name for path in (ROOT / "scripts").glob("*.py")}
    modules = {path.name for path in (ROOT / "src/chaii").glob("*.py")}
    assert scripts <= listed
    assert listed <= scripts | modules


def test_every_room_is_listed():
    tree = re.search(r"## The files\n+```\n(.*?)```", README, re.S)[1]
    rooms = {path.parent.name for path in (ROOT / "src/chaii").glob("*/__init__.py")}
    assert set(re.findall(r"^  (\w+)/ ", tree, re.M)) == rooms


@pytest.mark.parametrize("page", PAGES)
def test_make_targets_exist(page):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    named = re.findall(r"(?:^|`)make ([a-z-]+(?: [a-z-]+)*?)(?=`|\s{2,}|$)", PAGES[page], re.M)
    assert named
    assert {target for words in named for target in words.split()} <= targets


def read_backbones():
    """``{backbone: experiments that are said to use it}`` of the table."""
    table = README[README.index("## Backbones") : README.index("## Ensembles")]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("| `")]
    used = {}
    for names, *_, experiments in rows[1:]:
        for name in re.findall(r"`(\w+)`", names):
            used[name] = re.findall(r"\w+", experiments)
    return used


def test_backbones_of_the_table_are_those_of_conf():
    assert set(read_backbones()) == {path.stem for path in (ROOT / "conf/backbone").glob("*.yaml")}


def test_licences_of_the_table_are_those_of_conf():
    table = README[README.index("## Backbones") : README.index("## Ask a run")]
    for line in [line for line in table.splitlines() if line.startswith("| `")][1:]:
        names, _, licence = (cell.strip() for cell in line.split("|")[1:4])
        known = licence.lower().replace(" ", "-") if "none" not in licence else ""
        for name in re.findall(r"`(\w+)`", names):
            file = ROOT / f"conf/backbone/{name}.yaml"
            assert yaml.safe_load(file.read_text(encoding="utf-8")).get("licence", "") == known


def find_backbone(name="train", folder=ROOT / "conf"):
    """The backbone of an experiment: its own, that of its parent, or the one of conf/train.yaml."""
    content = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
    choices, parents = {}, []
    for entry in content.get("defaults", []):
        if isinstance(entry, dict):
            choices |= {key.removeprefix("override /"): value for key, value in entry.items()}
        elif entry != "_self_":
            parents.append(entry)
    if "backbone" in choices:
        return choices["backbone"]
    return find_backbone(parents[0], folder) if parents else find_backbone()


def test_backbones_are_used_by_the_experiments_beside_them():
    table = read_backbones()
    for experiment in {name for experiments in table.values() for name in experiments}:
        assert experiment in table[find_backbone(experiment, ROOT / "conf/experiment")]


def test_the_contents_are_the_headings():
    headings = re.findall(r"^## (.+)$", README, re.M)
    contents = re.findall(r"^\[([^]]+)\]\(#([^)]+)\)", README, re.M)
    slugs = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert [anchor for _, anchor in contents] == slugs


def test_versions_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert re.search(r"Python ([\d.]+) or newer", README)[1] == project["requires-python"].strip(
        ">="
    )
    assert all(version in pinned for version in re.findall(r"torch==[\d.]+", README))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
