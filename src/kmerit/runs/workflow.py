"""A run as a Snakemake workflow: the plan, its shares and what joins them, on this machine or a cluster."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kmerit.errors import RunMismatch, UsageError
from kmerit.runs.commands import command_of
from kmerit.runs.settings import Preset, load_config, resolve
from kmerit.store import hold, settle_text

SNAKEFILE = "Snakefile"
LOCAL, SLURM, KUBERNETES = (f"profiles/{name}/config.yaml" for name in ("local", "slurm", "kubernetes"))

_SNAKEFILE = """\
# {title}, in {shares} shares. Written by kmerit workflow.
# The files under marks/ say what is done; Snakemake may remove them. The run's own files it does not know.
workdir: workflow.basedir


rule all:
    input:
        "marks/gathered",


rule plan:
    input:
        {inputs},
    output:
        touch("marks/planned"),
    threads: {threads}
    retries: 3
    shell:
        {plan}


rule share:
    input:
        "marks/planned",
    output:
        touch("marks/share-{{i}}-of-{shares}"),
    threads: {threads}
    retries: 3
    shell:
        {share}


rule gather:
    input:
        expand("marks/share-{{i}}-of-{shares}", i=range(1, {shares} + 1)),
    output:
        touch("marks/gathered"),
    threads: {threads}
    retries: 3
    shell:
        {gather}
"""
_LOCAL = """\
cores: all
rerun-incomplete: true
"""
_SLURM = """\
# For a partition, an account or a GPU, see the page of snakemake-executor-plugin-slurm.
executor: slurm
jobs: {shares}
latency-wait: 60
rerun-incomplete: true
default-resources:
  mem_mb: 4000
  runtime: 240
"""
_KUBERNETES = """\
# Every pod must see this folder under the same path: a volume that several nodes may write to (ReadWriteMany), mounted
# with kubernetes-persistent-volumes. The image must have kmerit and snakemake.
executor: kubernetes
jobs: {shares}
container-image: kmerit
latency-wait: 60
rerun-incomplete: true
default-resources:
  mem_mb: 4000
"""


def write_workflow(
    config: Path | str,
    out: Path | str,
    shares: int,
    overrides: Sequence[str] = (),
    preset: Preset | None = None,
) -> Path:
    """Write a Snakefile that makes a run in shares, and profiles for this machine, SLURM and Kubernetes.

    Args:
        config: As for `run`; or one with the command of a verb, see `kmerit.runs.commands`.
        out: A folder for the workflow; the run is made in ``run`` in it, scores in ``scores.parquet``.
        shares: How many shares the mutants have.
        overrides: As for `run`.
        preset: As for `run`.

    Returns:
        The Snakefile.

    Raises:
        ConfigError: The config is wrong.
        UsageError: Less than one share, or a path that Snakemake would misread.
        RunMismatch: A file is there that says something else; nothing was written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> write_workflow("bundled:demo", folder, 2).relative_to(folder).as_posix()
        'Snakefile'
    """
    if shares < 1:
        raise UsageError(f"--shares: expected a whole number from 1, got {shares}.")
    made = command_of(config, preset, overrides)
    threads = resolve(load_config(config, overrides, preset)).compute.threads if made is None else made.threads
    folder, source, inputs = Path(out), str(config), "[]"
    if not source.startswith("bundled:"):
        path = Path(os.path.realpath(Path(config).parent)) / Path(config).name
        source = Path(os.path.relpath(path, os.path.realpath(folder))).as_posix()  # they can be moved together
        inputs = repr(source)
        if "{" in source or "}" in source:
            raise UsageError(
                f"{config}: Snakemake takes braces in a path for wildcards. Rename it, or move --out next to it."
            )
    words = ["kmerit", "work", source, "--out", "run" if made is None else made.output]
    words += ["--preset", preset] if preset else []
    words += [word for each in overrides for word in ("--set", each)]
    steps = {"plan": "--plan", "share": f"--shard {{wildcards.i}}/{shares}", "gather": "--gather"}
    command = shlex.join(words).replace("{", "{{").replace("}", "}}")
    snakefile = _SNAKEFILE.format(
        title=ascii(source)[1:-1],
        shares=shares,
        threads=threads,
        inputs=inputs,
        **{name: repr(f"{command} {step}") for name, step in steps.items()},
    )
    profiles = {SLURM: _SLURM.format(shares=shares), KUBERNETES: _KUBERNETES.format(shares=shares)}
    files = {SNAKEFILE: snakefile, LOCAL: _LOCAL, **profiles}
    with hold(folder):
        for name, text in files.items():
            path = folder / name
            if path.exists() and not (path.is_file() and path.read_bytes() == text.encode()):
                raise RunMismatch(
                    f"{path} is there and says something else. Remove it, or choose a new folder with --out."
                )
        for name, text in files.items():
            settle_text(folder / name, text)
    return folder / SNAKEFILE
