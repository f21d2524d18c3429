"""The Tab key, and names that are not known."""

from __future__ import annotations

import pytest
from typer.main import get_command

from kmerit.cli import options
from kmerit.cli.app import app
from kmerit.cli.showing import list_
from kmerit.errors import UnknownName


@pytest.mark.parametrize(
    ("path", "parameter", "typed", "offered"),
    [
        (["attribute"], "methods", "l", ["lrp", "lrp_last"]),
        (["attribute"], "methods", "attention,lrp,l", ["attention,lrp,lrp_last"]),
        (["sanity"], "methods", "roll", ["rollout"]),
        (["plot", "curve"], "methods", "roll", ["rollout"]),
        (["plot", "curve"], "measure", "a", ["accuracy"]),
        (["plot", "curve"], "control", "c", ["clump", "context"]),
        (["plot", "heatmap"], "method", "grad", ["gradcam", "gradient_shap"]),
        (["run"], "config", "bundled:d", ["bundled:demo", "bundled:distances"]),
        (["planted"], "config", "bundled:p", ["bundled:paper", "bundled:paper-mini", "bundled:planted"]),
        (["run"], "config", "", []),  # then the shell offers files
        (["run"], "config", "my", []),
        (["predict"], "model", "bundled:e", ["bundled:encoder", "bundled:enhancer"]),
        (["list"], "kind", "m", ["methods", "models"]),
    ],
)
def test_values_are_completed(path: list[str], parameter: str, typed: str, offered: list[str]) -> None:
    command = get_command(app)
    for name in path:
        command = command.commands[name]
    (result,) = [each for each in command.params if each.name == parameter]
    assert [item.value for item in result.shell_complete(command.context_class(command), typed)] == offered


def test_what_is_completed_is_what_there_is() -> None:
    from kmerit.attribution.method import methods
    from kmerit.config import bundled_configs
    from kmerit.models.checkpoint import bundled
    from kmerit.report.figures import MEASURES

    assert options.complete_methods("") == sorted(methods())
    assert tuple(MEASURES) == options.MEASURES
    assert options.configs("bundled:") == [f"bundled:{name}" for name in bundled_configs()]
    assert options.models("bundled:") == [f"bundled:{name}" for name in bundled()]


def test_an_unknown_list_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown kind of list 'method'\. Did you mean 'methods'\?"):
        list_("method")


def test_help_of_plots_shows_them_on_a_run() -> None:
    from kmerit.cli.showing import logo

    assert "--attributions RUN/tasks/TASK/attributions.parquet" in (logo.__doc__ or "")
    assert "--sequences RUN/tasks/TASK/sequences.parquet" in (logo.__doc__ or "")
