"""A run as a Snakemake workflow: the plan, its shares and what joins them, on this machine or a cluster."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kmerit.config import parse_override
from kmerit.errors import RunMismatch, UsageError
from kmerit.runs.commands import command_of
from kmerit.runs.settings import Preset, RunConfig, load_config, resolve
from kmerit.store import hold, settle_text

SNAKEFILE = "Snakefile"
LOCAL, SLURM = "profiles/local/config.yaml", "profiles/slurm/config.yaml"
KUBERNETES = {step: f"kubernetes/{step}.yaml" for step in ("plan", "share", "gather")}

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
# The claim holds what {above} holds, seen from here: the config, what it names, and this folder.
# All nodes may write to it (ReadWriteMany); the image has kmerit.
apiVersion: batch/v1
kind: Job
metadata:
  name: kmerit-{step}
spec:
{spec}
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: kmerit
          image: kmerit
          workingDir: {folder}
          command: ["sh", "-c", {command}]
          resources:
            requests: {{cpu: {threads}, memory: 4Gi}}
          volumeMounts:
            - {{name: data, mountPath: /data}}
      volumes:
        - name: data
          persistentVolumeClaim: {{claimName: kmerit}}
"""
_ONE, _INDEXED = (
    "  backoffLimit: 3",
    "  completionMode: Indexed\n  completions: {shares}\n  parallelism: {shares}\n  backoffLimitPerIndex: 3",
)


def threads_of_a_part(config: Path | str, overrides: Sequence[str] = (), preset: Preset | None = None) -> int:
    """Read how many threads each part takes, and so of how many cores Snakemake runs one at a time.

    Raises:
        ConfigError: The config is wrong.

    Example:
        >>> threads_of_a_part("bundled:demo"), threads_of_a_part("bundled:demo", ["compute.threads=1"])
        (2, 1)
    """
    command = command_of(config, preset, overrides)
    return resolve(load_config(config, overrides, preset)).compute.threads if command is None else command.threads


def write_workflow(
    config: Path | str,
    out: Path | str,
    shares: int,
    overrides: Sequence[str] = (),
    preset: Preset | None = None,
) -> Path:
    """Write a Snakefile that makes a run in shares, profiles for this machine and SLURM, and jobs for Kubernetes.

    Snakemake's own executor for Kubernetes knows no folder that all pods share, which the parts of a run need; so the
    jobs are Kubernetes' own, the shares one indexed job.

    Args:
        config: As for `run`; or one with the command of a verb, see `kmerit.runs.commands`.
        out: A folder for the workflow; the run is made in ``run`` in it, scores in ``scores.parquet``.
        shares: How many shares the mutants have.
        overrides: As for `run`. Files that those of a bundled config name are written as seen from ``out``.
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
    one_command, threads = command_of(config, preset, overrides), threads_of_a_part(config, overrides, preset)
    folder, source, inputs = Path(out), str(config), "[]"
    if source.startswith("bundled:"):
        overrides = _seen_from(folder, load_config(config, overrides, preset), overrides)
    else:
        path = Path(os.path.realpath(Path(config).parent)) / Path(config).name
        source = Path(os.path.relpath(path, os.path.realpath(folder))).as_posix()  # they can be moved together
        inputs = repr(source)
        if "{" in source or "}" in source:
            raise UsageError(
                f"{config}: Snakemake takes braces in a path for wildcards. Rename it, or move --out next to it."
            )
    words = ["kmerit", "work", source, "--out", "run" if one_command is None else one_command.output]
    words += ["--preset", preset] if preset else []
    words += [word for each in overrides for word in ("--set", each)]
    steps = {"plan": "--plan", "share": f"--shard {{wildcards.i}}/{shares}", "gather": "--gather"}
    plain = shlex.join(words)
    command = plain.replace("{", "{{").replace("}", "}}")
    above = max(("..", *re.findall(r"(?<![^\s'\"=\[,])\.\.(?:/\.\.)*(?=/)", plain)), key=len)
    snakefile = _SNAKEFILE.format(
        title=ascii(source)[1:-1],
        shares=shares,
        threads=threads,
        inputs=inputs,
        **{name: repr(f"{command} {step}") for name, step in steps.items()},
    )
    ends = {"plan": "--plan", "share": f"--shard $((JOB_COMPLETION_INDEX + 1))/{shares}", "gather": "--gather"}
    jobs = {
        KUBERNETES[step]: _KUBERNETES.format(
            step=step,
            spec=_INDEXED.format(shares=shares) if step == "share" else _ONE,
            above=above,
            folder=json.dumps("/data/" + folder.resolve().relative_to((folder / above).resolve()).as_posix()),
            command=json.dumps(f"{plain} {end}"),
            threads=threads,
        )
        for step, end in ends.items()
    }
    files = {SNAKEFILE: snakefile, LOCAL: _LOCAL, SLURM: _SLURM.format(shares=shares), **jobs}
    with hold(folder):
        for name, text in files.items():
            path = folder / name
            if path.exists() and not (path.is_file() and path.read_bytes() == text.encode()):
                raise RunMismatch(f"{path} exists with other contents. Remove it, or choose a new folder with --out.")
        for name, text in files.items():
            settle_text(folder / name, text)
    return folder / SNAKEFILE


def _seen_from(folder: Path, config: RunConfig, overrides: Sequence[str]) -> list[str]:
    """Name the files of overrides as they are called in the folder where the parts of a bundled config run."""
    here = os.path.join(os.getcwd(), "")
    there = os.path.join(os.path.relpath(here, os.path.realpath(folder)), "")

    def seen(value: Any, resolved: Any) -> Any:
        if isinstance(value, dict) and isinstance(resolved, dict):
            return {key: seen(each, resolved.get(key)) for key, each in value.items()}
        if isinstance(value, list) and isinstance(resolved, list):
            return [seen(*each) for each in zip(value, resolved, strict=True)]
        is_moved = isinstance(value, str) and isinstance(resolved, str) and value != resolved
        return resolved.replace(here, there, 1) if is_moved else value

    resolved, result = config.model_dump(mode="json"), list[str]()
    for override in overrides:
        tree = parse_override(override)
        moved = seen(tree, resolved)
        result += [override] if moved == tree else _as_overrides(moved)
    return result


def _as_overrides(value: Any, at: str = "") -> list[str]:
    """Write a tree as overrides, one for each value that is no table."""
    if isinstance(value, dict):
        return [each for key, part in value.items() for each in _as_overrides(part, f"{at}.{_spelt(key)}")]
    return [f"{at.removeprefix('.')}={json.dumps(value, ensure_ascii=False)}"]


def _spelt(key: str) -> str:
    """Write a key as TOML does: in quotes only where it needs them."""
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
