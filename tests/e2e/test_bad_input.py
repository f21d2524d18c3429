"""What a user may get wrong: a line or two on stderr, the right exit code, nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from helpers.checkpoints import write_library
from helpers.command import Done
from helpers.small_run import write_sequences

GOOD = ">a\nACGTACGTACGT\n>b\nTTGACCATGGCA\n"


@pytest.fixture(autouse=True)
def nothing_half_written(tmp_path: Path) -> Iterator[None]:
    """Whatever the command, no result and no part of one is left at the place of the output."""
    yield
    left = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()]
    assert [name for name in left if "out" in name or ".partial-" in name] == []


def told(done: Done, code: int, *parts: str) -> None:
    """Check that a command failed with a line or two that say what is wrong."""
    assert (done.code, done.out) == (code, ""), done.err
    assert 1 <= done.err.count("\n") <= 2, done.err
    assert "Traceback" not in done.err
    for part in parts:
        assert part in done.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.fa", b"", "the file is empty"),
        ("x.fa", b"\n\n", "the file is empty"),
        ("x.fa", b"ACGT\n", "FormatError: "),
        ("x.fa", b">a\nACGU\n", "RNA; write T for U"),
        ("x.fa", b">a\nACGTRY\n", "an IUPAC ambiguity code"),
        ("x.fa", b">a\nACGT*\n", "not a nucleotide"),
        ("x.fa", b">a\nACG\n", "needs at least 6"),
        ("x.fa", b">a\nACGTACGNACG\n", "--drop-n"),
        ("x.fa", b">a\nACGTACGT\n>a\nACGTACGT\n", "'a'"),
        ("x.fa", b">a\n>b\nACGTACGT\n", "'a'"),
        ("x.fa", b">a\n" + b"ACGT" * 100 + b"\n", "Crop with --crop"),
        ("x.fa.gz", b"\x1f\x8b\x08", "truncated or damaged"),
        ("x.csv", b"name,sequence,label\na,ACGTACGT,1\nb,ACGTACGT,\n", "LabelError: "),
        ("x.csv", b"name,sequence,label\na,ACGTACGT,yes\nb,ACGTACGT,1\n", "LabelError: "),
        ("x.csv", b"one,two\n1,2\n", "FormatError: "),
        ("x.parquet", b"PAR1", "FormatError: "),
        ("x.docx", b"ACGT", "the suffix '.docx' is not known"),
        ("absent.fa", None, "no such file"),
    ],
)
def test_sequences(
    kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    process = kmerit(
        "predict", "--model", tiny_checkpoint, "--sequences", tmp_path / name, "--out", tmp_path / "out.csv"
    )
    told(process, 1, message)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """Two sequences that nothing is wrong with."""
    path = tmp_path / "good.fa"
    path.write_text(GOOD)
    return path


def _broken(tmp_path: Path, checkpoint: Path, **changes: object) -> Path:
    """Copy a checkpoint, with other values in its config."""
    folder = tmp_path / "broken"
    folder.mkdir()
    config = json.loads((checkpoint / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").write_bytes((checkpoint / "model.safetensors").read_bytes())
    return folder


def test_a_truncated_checkpoint(kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path, good: Path) -> None:
    model = _broken(tmp_path, tiny_checkpoint)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    process = kmerit("attribute", "--model", model, "--sequences", good, "--out", tmp_path / "out.parquet")
    told(process, 1, "CheckpointError", "truncated")


def test_a_checkpoint_without_a_head(
    kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path, good: Path
) -> None:
    from safetensors.numpy import load_file, save_file

    model = _broken(tmp_path, tiny_checkpoint)
    weights = load_file(model / "model.safetensors")
    body = {name: tensor for name, tensor in weights.items() if not name.startswith("classifier")}
    save_file(body, model / "model.safetensors")
    process = kmerit("attribute", "--model", model, "--sequences", good, "--out", tmp_path / "out.parquet")
    told(process, 1, "CheckpointError", "no classification head", "kmerit finetune")


def test_a_checkpoint_of_another_architecture(
    kmerit: Callable[..., Done], tmp_path: Path, tiny_checkpoint: Path, good: Path
) -> None:
    model = _broken(tmp_path, tiny_checkpoint, model_type="hyena", vocab_size=50257)
    process = kmerit("attribute", "--model", model, "--sequences", good, "--out", tmp_path / "out.parquet")
    told(process, 1, "CheckpointError", "hyena", "belongs to no known family")


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("nowhere/at/all", 1, "CheckpointError: nowhere/at/all: expected a"),
        ("owner/absent", 1, "the hub cannot be reached"),
        ("bundled:promotor", 2, "Unknown bundled model 'promotor'"),
    ],
)
def test_a_model_that_is_not_there(
    kmerit: Callable[..., Done], tmp_path: Path, good: Path, name: str, code: int, message: str
) -> None:
    told(kmerit("predict", "--model", name, "--sequences", good, "--out", tmp_path / "out.csv"), code, message)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--methods", "lpr"], 2, "Unknown method 'lpr'. Did you mean 'lrp'? See: kmerit list methods"),
        (["--target", "2"], 2, "TargetError"),
        (["--target", "label"], 1, "LabelError"),
        (["--target", "other"], 2, "'other'"),
        (["--option", "lrp.start_layr=1"], 2, "start_layr"),
        (["--option", "lrp"], 2, "KEY=VALUE"),
        (["--device", "abacus"], 2, "'abacus' is not available here"),
        (["--dtype", "float8"], 2, "float8"),
        (["--min-length", "100"], 1, "No sequence is left of 2"),
    ],
)
def test_attribute(
    kmerit: Callable[..., Done],
    tmp_path: Path,
    tiny_checkpoint: Path,
    good: Path,
    options: list[str],
    code: int,
    message: str,
) -> None:
    out = tmp_path / "out.parquet"
    told(kmerit("attribute", "--model", tiny_checkpoint, "--sequences", good, "--out", out, *options), code, message)


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--counts", "0,13"], 2, "cannot substitute 13 nucleotides in 'a', which has 12"),
        (["--counts", "0,few"], 2, "counts: expected whole numbers from 0, shares such as '10%', or 'all', got 'few'"),
        (["--counts", "-1"], 2, "-1"),
        (["--counts", "5", "--operator", "tranzition"], 2, "Did you mean 'transition'?"),
        (["--counts", "5", "--order", "lref"], 2, "Did you mean 'lerf'?"),
        (["--attributions", "absent.parquet"], 1, "no such file"),
        (["--counts", "5", "--crop", "8"], 1, "SequenceError"),
    ],
)
def test_mutate(
    kmerit: Callable[..., Done],
    tmp_path: Path,
    tiny_checkpoint: Path,
    good: Path,
    options: list[str],
    code: int,
    message: str,
) -> None:
    scores = tmp_path / "scores.parquet"
    shared = ["--model", tiny_checkpoint, "--sequences", good]
    assert kmerit("attribute", *shared, "--methods", "attention", "--out", scores).code == 0
    process = kmerit("mutate", *shared, "--attributions", scores, "--out", tmp_path / "out", *options)
    told(process, code, message)


@pytest.mark.parametrize(
    ("override", "code", "message"),
    [
        ("trial.draw=3", 2, "Unknown key 'trial.draw'. Did you mean 'draws'?"),
        ("trial.replicates=3", 2, "Unknown key 'trial.replicates': write trial.draws."),
        (
            "trial.controls=['random']",
            2,
            "Unknown key 'trial.controls': every preset has all controls; leave the key out.",
        ),
        ("trial.draws=three", 2, "trial.draws: expected a whole number, got 'three'"),
        ("attribution.methods=['rolout']", 2, "Unknown method 'rolout'. Did you mean 'rollout'?"),
        ("tasks.human_enhancers_dedupe.model=x", 2, "Did you mean 'human_enhancers_dedup'?"),
        ("trial.counts=[0, 41]", 2, "cannot substitute 41 nucleotides in 's"),
        ("compute.device=abacus", 2, "'abacus' is not available here"),
        ("tasks.mine.sequences=absent.csv", 1, "absent.csv: no such file"),
        ("tasks.mine.model=no/such/model", 1, "no/such/model"),
        ("tasks.mine.crop={length=5}", 1, "needs at least 6"),
        ("data.min_length=50", 1, "No sequence is left of 24"),
        ("draws", 2, "--set 'draws': expected KEY=VALUE"),
    ],
)
def test_run(
    kmerit: Callable[..., Done], tmp_path: Path, experiment: Path, override: str, code: int, message: str
) -> None:
    told(kmerit("run", experiment, "--out", tmp_path / "out", "--set", override), code, message)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("labels", "message"),
    [((0, 5), "has the label 5"), ((0.5, 1.5), "predicts classes, and the sequences are labelled with values")],
)
def test_run_with_labels_that_do_not_fit(
    kmerit: Callable[..., Done], tmp_path: Path, experiment: Path, labels: tuple[int, int], message: str
) -> None:
    mine = write_sequences(tmp_path / "labels.csv", labels=labels)
    told(kmerit("run", experiment, "--out", tmp_path / "out", "--set", f"tasks.mine.sequences={mine}"), 1, message)


def test_run_without_a_config(kmerit: Callable[..., Done], tmp_path: Path) -> None:
    told(kmerit("run", tmp_path / "absent.toml", "--out", tmp_path / "out"), 2, "There is no config file")


def test_run_into_a_folder_of_something_else(kmerit: Callable[..., Done], tmp_path: Path, experiment: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").touch()
    told(kmerit("run", experiment, "--out", tmp_path / "thesis"), 1, "is not empty and holds no run")
    assert (tmp_path / "thesis" / "chapter1.tex").exists()


def test_a_report_of_nothing(kmerit: Callable[..., Done], tmp_path: Path) -> None:
    told(kmerit("report", tmp_path / "absent"), 1, "RunError")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["finetune"], "ConfigError"),
        (["finetune", "--base", "x", "--set", "learnin_rate=1"], "learnin_rate"),
        (["pretrain", "--set", "layer=1"], "layer"),
    ],
)
def test_training(kmerit: Callable[..., Done], tmp_path: Path, arguments: list[str], message: str) -> None:
    told(kmerit(*arguments, "--out", tmp_path / "out"), 2, message)


def test_fetch(kmerit: Callable[..., Done]) -> None:
    told(kmerit("fetch", "human_nontata_promotors"), 2, "Did you mean 'human_nontata_promoters'?")


@pytest.mark.parametrize(
    "arguments",
    [["runn"], ["run"], ["predict", "--modle", "x"], ["list", "everything"], ["attribute", "--level", "codon"]],
)
def test_usage(kmerit: Callable[..., Done], arguments: list[str]) -> None:
    assert kmerit(*arguments).code == 2


def test_a_fault_of_ours_is_called_one(
    kmerit: Callable[..., Done], good: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> np.ndarray:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("kmerit.models.model.Model.predict", fail)
    process = kmerit("predict", "--model", tiny_checkpoint, "--sequences", good)
    told(process, 1, "Unexpected ZeroDivisionError: division by zero", "a bug in kmerit", "--verbose")
    assert "Traceback" in kmerit("predict", "--model", tiny_checkpoint, "--sequences", good, "--verbose").err


def test_a_method_that_the_family_cannot_serve(kmerit: Callable[..., Done], tmp_path: Path, good: Path) -> None:
    model = write_library(tmp_path / "model", "distilbert", dim=16, n_layers=1, n_heads=2, hidden_dim=8)
    shared = ["--model", model, "--sequences", good, "--out", tmp_path / "out.parquet"]
    process = kmerit("attribute", *shared, "--methods", "attention,lrp")
    told(process, 1, "UnsupportedMethod: lrp needs relevance rules", "family huggingface", "saliency")


def test_a_model_without_its_tokeniser(kmerit: Callable[..., Done], tmp_path: Path, good: Path) -> None:
    model = write_library(tmp_path / "model", "bert")
    (model / "tokenizer.json").unlink()
    told(kmerit("predict", "--model", model, "--sequences", good), 1, "no tokenizer file. Expected tokenizer.json")


@pytest.mark.parametrize("how", ["itself", "relative", "symlink", "link", "copy"])
@pytest.mark.parametrize(
    "verb",
    [
        ("predict", "--model", "M", "--sequences", "r.csv", "--out", "T.csv"),
        ("attribute", "--model", "M", "--sequences", "r.parquet", "--methods", "random", "--out", "T.parquet"),
        ("export", "--sequences", "r.csv", "--attributions", "r.parquet", "--to", "bed", "--out", "T.bed"),
        ("export", "--sequences", "r.csv", "--attributions", "s.parquet", "--to", "bed", "--out", "T.csv"),
        ("plot", "heatmap", "--attributions", "r.csv", "--method", "random", "--out", "T"),
        ("plot", "logo", "--attributions", "s.parquet", "--sequences", "r.csv", "--name", "a", "--out", "T.svg"),
        ("negatives", "--positives", "r.csv", "--kind", "shuffled", "--out", "T.csv"),
    ],
)
def test_nothing_that_is_read_is_written(
    kmerit: Callable[..., Done],
    tmp_path: Path,
    tiny_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: tuple[str, ...],
    how: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep").mkdir()
    text = "name,sequence\na,ACGTACGT\n"
    for name in ("r.csv", "r.parquet", "s.parquet"):
        Path(name).write_text(text + name)
    suffix = next(each for each in (".csv", ".parquet") if any(word == f"r{each}" for word in verb))
    stem = {"itself": "r", "relative": "deep/../r"}.get(how, "other")
    other = Path(f"{stem}{suffix}")
    if how == "symlink":
        other.symlink_to(f"r{suffix}")
    elif how == "link":
        other.hardlink_to(f"r{suffix}")
    elif how == "copy":
        other.write_bytes(Path(f"r{suffix}").read_bytes())
    if verb[-1] == "T.bed":  # whatever an ending says, the file is the one that is read
        verb = (*verb[:-1], str(other))
    arguments = [str(tiny_checkpoint) if word == "M" else word.replace("T", stem) for word in verb]
    told(kmerit(*arguments), 2, f"r{suffix} is read, and would be overwritten. Choose another with --out (")
    assert [Path(name).read_text() for name in ("r.csv", "r.parquet", "s.parquet")] == [
        text + name for name in ("r.csv", "r.parquet", "s.parquet")
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("mutate", "--model", "m", "--sequences", "d/r.csv", "--attributions", "s.parquet", "--out", "d"),
            "lies in d",
        ),
        (("mutate", "--model", "m", "--sequences", "r.csv", "--attributions", "s.parquet", "--out", "m"), "m is read"),
        (("predict", "--model", "m", "--sequences", "r.csv", "--out", "m/config.json"), "in m, which is read"),
        (("finetune", "--train", "d/r.csv", "--out", "."), "lies in ., which is written"),
        (("audit", "train=d/r.csv", "test=r.csv", "--out", "d"), "d/r.csv is read, and lies in d"),
        (("pretrain", "--corpus", "d", "--out", "d"), "d is read"),
    ],
)
def test_a_folder_that_is_read_is_not_written_to(
    kmerit: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("r.csv", "s.parquet", "d/r.csv", "m/config.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("name,sequence\na,ACGTACGT\n" + name)
    told(kmerit(*arguments), 2, message)


def test_an_unknown_preset(kmerit: Callable[..., Done]) -> None:
    process = kmerit("run", "bundled:fair", "--preset", "fast", "--out", "out")
    assert process.code == 2
    assert "'--preset': 'fast' is not one of 'fair'" in process.err
