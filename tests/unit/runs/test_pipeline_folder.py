from __future__ import annotations

import json
from pathlib import Path

import pytest

from kmerit.errors import RunError, RunMismatch
from kmerit.runs.pipeline import RunFolder

MANIFEST = {"schema": 1, "versions": {"torch": "2.6"}}
CONFIG = {"seed": 0, "trial": {"draws": 5}}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.begin(CONFIG, MANIFEST)
    run.mark_done("mine.data", [])
    return run


@pytest.mark.parametrize("name", ["thesis.tex", "config.toml", "tasks"])
def test_a_folder_with_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(RunMismatch, match=rf"is not empty and holds no run \(there is '{name}'\)"):
        RunFolder(tmp_path).begin(CONFIG, MANIFEST)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("text", ["", "{", '{"mine": "precious"}', "[1]"])
def test_a_manifest_of_another_program_is_left_alone(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RunError, match="is not of a run, or damaged"):
        RunFolder(tmp_path).begin(CONFIG, MANIFEST)
    assert (tmp_path / "manifest.json").read_text() == text


def test_a_start_that_was_cut_off_is_started_again(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST))
    for name in (".kmerit.lock", ".partial-config.toml", "run.log"):
        (tmp_path / name).touch()
    RunFolder(tmp_path).begin(CONFIG, MANIFEST)
    assert (tmp_path / "config.toml").exists()


def test_a_config_that_led_nowhere_may_be_corrected(tmp_path: Path) -> None:
    RunFolder(tmp_path).begin(CONFIG, MANIFEST)
    RunFolder(tmp_path).begin({"seed": 1}, MANIFEST)
    assert (tmp_path / "config.toml").read_text() == "seed = 1\n"


def test_the_same_run_goes_on_and_a_changed_comment_is_no_other_run(folder: RunFolder) -> None:
    text = (folder.path / "config.toml").read_text()
    (folder.path / "config.toml").write_text(f"# by hand\n{text}")
    folder.begin(CONFIG, MANIFEST)
    assert (folder.path / "config.toml").read_text() == text


@pytest.mark.parametrize(
    ("config", "versions", "message"),
    [
        ({"seed": 1, "trial": {"draws": 5}}, "2.6", "another config: seed was 0, now it is 1."),
        ({"seed": 0, "trial": {"draws": 3}}, "2.6", "another config: trial.draws was 5, now it is 3."),
        ({"seed": 0, "trial": {}}, "2.6", "another config: trial.draws was 5, now it is absent."),
        (CONFIG, "2.7", "another environment: torch was '2.6', now it is '2.7'."),
    ],
)
def test_another_run_is_refused_by_the_key_that_differs(
    folder: RunFolder, config: dict[str, object], versions: str, message: str
) -> None:
    with pytest.raises(RunMismatch) as caught:
        folder.begin(config, {"schema": 1, "versions": {"torch": versions}})
    assert message in str(caught.value)


def test_a_table_may_be_added_but_not_changed(folder: RunFolder) -> None:
    optional = {"motifs": ["a.motifs", "b.motifs"]}
    for name in ("a.motifs", "a.mutate", "b.motifs"):
        folder.mark_done(name, [])
    with pytest.raises(RunMismatch, match=r"motifs.match was absent, now it is 0.9"):
        folder.begin({**CONFIG, "motifs": {"match": 0.9}}, MANIFEST)
    with pytest.raises(RunMismatch, match="seed was 0, now it is 1"):
        folder.begin({**CONFIG, "seed": 1, "motifs": {"match": 0.9}}, MANIFEST, optional)
    assert folder.recorded("a.motifs") == {}
    folder.begin({**CONFIG, "motifs": {"match": 0.9}}, MANIFEST, optional)
    assert [folder.recorded(name) for name in ("a.motifs", "b.motifs", "a.mutate")] == [None, None, {}]
    for corrected in ({"motifs": {"match": 0.7}}, {}, {"motifs": {"match": 0.9}}):  # nothing is done with it yet
        folder.begin({**CONFIG, **corrected}, MANIFEST, optional)
        assert folder.settings() == {**CONFIG, **corrected}
    folder.mark_done("a.motifs", [])
    folder.begin({**CONFIG, "motifs": {"match": 0.9}}, MANIFEST, optional)
    assert folder.recorded("a.motifs") == {}
    with pytest.raises(RunMismatch, match=r"motifs.match was 0.9, now it is 0.8"):
        folder.begin({**CONFIG, "motifs": {"match": 0.8}}, MANIFEST, optional)
    with pytest.raises(RunMismatch, match=r"motifs.match was 0.9, now it is absent"):
        folder.begin(CONFIG, MANIFEST, optional)


def test_another_preset_is_named_and_not_what_follows_from_it(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    run.begin({"data": {"per_class": 60, "test_per_class": 250}, "trial": {"preset": "quick"}}, MANIFEST)
    run.mark_done("mine.data", [])
    with pytest.raises(RunMismatch, match=r"trial\.preset was 'quick', now it is 'fair'"):
        run.begin({"data": {"per_class": 200}, "trial": {"preset": "fair"}}, MANIFEST)
    with pytest.raises(RunMismatch, match=r"data\.test_per_class was 250, now it is absent\."):
        run.begin({"data": {"per_class": 60}, "trial": {"preset": "quick"}}, MANIFEST)
