"""The planted study in words and a table: data set, method, what the truth says, what the trial says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kmerit.formats import DASH, fixed, interval, markdown_table
from kmerit.report.studies import read_study
from kmerit.store import write_text

MEASURES = {"auroc": "AUROC", "auprc": "AUPRC", "mass_inside": "mass inside", "correlation": "rank correlation"}


def write_planted(folder: str | Path) -> Path:
    """Write ``planted.md`` from a study's ``planted.json``.

    Raises:
        FormatError: There is none, or it is damaged.

    Example:
        >>> import json, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> unlearned = {"regime": "or", "learned": False, "auroc": {"value": 0.7}, "scrubbing_flips": 0.5}
        >>> _ = (folder / "planted.json").write_text(json.dumps({"mine": unlearned}))
        >>> "not learned" in write_planted(folder).read_text()
        True
    """
    folder = Path(folder)
    results = read_study(folder, "planted.json", "planted")
    sections = [
        "# Planted truth and the mutagenesis trial",
        _SUMMARY,
        "\n".join(f"- **{name}**: {sentence(result)}" for name, result in results.items()),
    ]
    if any(result["learned"] for result in results.values()):
        sections += [_rates(results), *_agreement(folder), _matrix(results)]
    sections += [_section(name, result) for name, result in results.items() if result["learned"]]
    write_text(folder / "planted.md", "\n\n".join(sections) + "\n")
    return folder / "planted.md"


_SUMMARY = (
    "Truth: how well a method's scores find the planted letters (AUROC per sequence, 0.5 by chance), or, for "
    "composition, their rank correlation with the generator's log-odds (0 by chance). Trial: the excess of the AOPC of "
    "the logit over the nearest deciding control, in logits, with its band. Other brackets: 95 % bootstrap intervals "
    "over sequences. A method *finds* the signal if its interval lies above chance. A mask counts every letter of a "
    "motif alike, and a model need not: a small reversal between two methods that both find the signal may be the "
    "mask's error, or the trial's."
)


def _matrix(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Set every method against every data set: truth, and the trial's verdict; in bold where the two disagree."""
    learned = {name: result for name, result in results.items() if result["learned"]}
    cells = {(name, row["method"]): _both(row) for name, result in learned.items() for row in result["methods"]}
    methods = dict.fromkeys(method for _, method in cells)
    rows = ([method, *(cells.get((name, method), DASH) for name in learned)] for method in methods)
    head = "Truth, and the trial's verdict; in bold where one says yes and the other does not."
    return f"{head}\n\n{markdown_table(['method', *learned], rows)}"


def _rates(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Count verdicts apart for what finds the signal and what does not: most methods find most signals."""
    rows = [row for result in results.values() if result["learned"] for row in result["methods"]]
    faithful = {
        finds: [row["verdict"] == "faithful" for row in rows if row["finds"] == finds] for finds in (True, False)
    }
    yes, no = faithful[True], faithful[False]
    return (
        f"Over all sets the trial calls faithful {sum(yes)} of {len(yes)} scores that find the signal, and "
        f"{sum(no)} of {len(no)} that do not."
    )


def _agreement(folder: Path) -> list[str]:
    """Say how often the trial agrees with the truth, hard negatives included; nothing of a study of before."""
    if not (folder / "agreement.json").is_file():
        return []
    found = read_study(folder, "agreement.json", "planted")
    share = f"{found['agree']} of {found['cases']} cases with a truth, which is at least {found['lower']:.1%}"
    return [
        "With hard negatives (turned, of another sequence, the wrong class, an early layer, shuffled labels): truth "
        f"and trial agree in {share} (Clopper-Pearson, one-sided 95 %); {found['unclear']} cases lie between. Of "
        f"{found['hard']} hard negatives that find nothing, {found['acquitted']} are called faithful."
    ]


def _both(row: Mapping[str, Any]) -> str:
    text = f"{'–' if row['truth'] is None else format(row['truth'], '.2f')}, {row['verdict']}"
    agrees = row["verdict"] == "undecided" or row["finds"] == (row["verdict"] == "faithful")
    return text if agrees else f"**{text}**"


def sentence(result: Mapping[str, Any]) -> str:
    """Say in a sentence or two whether the trial errs on a data set, and where."""
    if not result["learned"]:
        return (
            f"not learned (test AUROC {fixed(result['auroc']['value'])}, scrubbing flips "
            f"{result['scrubbing_flips']:.0%}), so nothing is concluded."
        )
    taus = [
        f"{interval(tau['value'], tau['low'], tau['high'])} by {MEASURES[measure]}"
        for measure, tau in result["kendall_tau"].items()
    ]
    text = f"Kendall's tau between truth and trial is {', '.join(taus)}; "
    by = MEASURES[result["ranked_by"]]
    errors = []
    if result["false_acquittals"]:
        named = ", ".join(map(_acquitted, _rows_of(result, result["false_acquittals"])))
        errors.append(f"it calls faithful what does not find the signal by {by} ({named})")
    if result["false_convictions"]:
        errors.append(f"it does not call faithful what finds the signal ({', '.join(result['false_convictions'])})")
    if pairs := result["reversed_pairs"]:
        worst = pairs[0]
        errors.append(
            f"it reverses {len(pairs)} of {result['pairs']} pairs beyond chance, the widest being "
            f"{worst['truth_prefers']} (truth) against {worst['trial_prefers']} (trial)"
        )
    text += f"the trial errs: {'; '.join(errors)}." if errors else "no error of the trial was found."
    left = result.get("undecided", [])
    return text + (f" It leaves undecided: {', '.join(left)}." if left else "")


def _rows_of(result: Mapping[str, Any], methods: Sequence[str]) -> list[Mapping[str, Any]]:
    return [row for row in result["methods"] if row["method"] in methods]


def _acquitted(row: Mapping[str, Any]) -> str:
    others = " and ".join(MEASURES[measure] for measure in row["finds_by"])
    return f"{row['method']}, which does by {others}" if others else str(row["method"])


def _section(name: str, result: Mapping[str, Any]) -> str:
    motifs = f", {' and '.join(result['motifs'])}" if result["motifs"] else ""
    auroc = result["auroc"]
    head = (
        f"## {name}\n\n{result['regime']}{motifs}; negatives {result['negatives']}. The model: test AUROC "
        f"{interval(auroc['value'], auroc['low'], auroc['high'])}; scrubbing flips {result['scrubbing_flips']:.0%} of "
        f"the positives called so, restoring the whole background {result['restoring_background_flips']:.0%}. "
        f"{result['sequences']} sequences."
    )
    local = result["ranked_by"] == "auroc"
    columns = ["method", MEASURES[result["ranked_by"]], *(["AUPRC", "mass inside"] if local else [])]
    columns += ["finds it", "trial's verdict", "excess", "control"]
    rows = []
    for row in result["methods"]:
        cells = [row["method"], interval(row["truth"], row["truth_low"], row["truth_high"])]
        cells += [interval(row[k], row[f"{k}_low"], row[f"{k}_high"]) for k in ("auprc", "mass_inside") if local]
        cells += ["yes" if row["finds"] else "no", row["verdict"]]
        cells += [interval(row["excess"], row["excess_low"], row["excess_high"]), row["control"] or DASH]
        rows.append(cells)
    return f"{head}\n\n{markdown_table(columns, rows)}"
