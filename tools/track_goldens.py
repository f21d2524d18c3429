"""Write what public packages answer for tiny models of tracks: ``python tools/track_goldens.py enformer``.

Each package runs in a virtual environment of its own, which is made where there is none. What it answers goes to
tests/golden/reference/tracks: config.json and weights as the package saves them, sequences, and outputs in float32.
No code of the packages is here.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import types
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "golden" / "reference" / "tracks"
PACKAGES = {"enformer": "enformer-pytorch==0.8.12", "borzoi": "borzoi-pytorch==0.5.1"}
ROTARY = "flash-attn==2.8.3"
"""What borzoi-pytorch takes its layer with rotary positions from; its Python is read without its kernels."""
TURNED = 6
"""Units of each head that are turned in the tiny model; borzoi-pytorch fixes 128."""
NARROWER = 64
"""borzoi-pytorch fixes how wide its convolutions are; here they are made narrower by this factor."""
PLAIN = {"depth": 2, "output_heads": {"human": 3, "mouse": 2}, "attn_dim_key": 4}
ENFORMER: dict[str, tuple[dict[str, Any], int]] = {
    "enformer": ({"dim": 24, "heads": 2, "num_downsamples": 3, "dim_divisible_by": 4, "target_length": 4}, 64),
    "enformer_uneven": ({"dim": 18, "heads": 1, "num_downsamples": 4, "dim_divisible_by": 3, "target_length": 3}, 151),
    "enformer_whole": ({"dim": 12, "heads": 1, "num_downsamples": 3, "dim_divisible_by": 6, "target_length": -1}, 53),
}
BORZOI: dict[str, tuple[str, dict[str, Any], int]] = {
    "borzoi": ("Borzoi", {"enable_mouse_head": True, "bins_to_return": 8}, 512),
    "borzoi_whole": ("Borzoi", {"bins_to_return": -1, "depth": 1}, 384),
    "borzoi_rotary": ("Borzoi", {"bins_to_return": 8, "dim": 40, "heads": 4, "flashed": True}, 512),
    "prime": ("Prime", {"enable_mouse_head": True, "bins_to_return": 12}, 512),
}
BORZOI_PLAIN = {"dim": 24, "depth": 2, "heads": 2, "attn_dim_key": 4, "attn_dim_value": 6, "enable_mouse_head": False}


def run_inside(package: str, folder: Path) -> None:
    """Make the environment, install the package and the project's torch, and run this file there."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    torch = next(x for x in (ROOT / "requirements-torch.lock").read_text().split() if x.startswith("torch=="))
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-compile"]
    if subprocess.run([*pip, f"{torch}+cpu", PACKAGES[package]], check=False).returncode:
        subprocess.run([*pip, torch, PACKAGES[package]], check=True)
    if package == "borzoi":
        _unpack_rotary(python, folder)
    subprocess.run([str(python), str(Path(__file__).resolve()), package, "--here"], check=True)


def _unpack_rotary(python: Path, folder: Path) -> None:
    """Put the Python of flash-attn next to the other packages; its kernels need a GPU's compiler."""
    packages = next((folder / "lib").glob("python*/site-packages"))
    pip = [str(python), "-m", "pip", "--quiet"]
    subprocess.run([*pip, "install", "setuptools", "wheel", "psutil"], check=True)
    with tempfile.TemporaryDirectory() as place:
        options = ["--no-deps", "--no-binary", ":all:", "--no-build-isolation", "--dest", place]
        kernels = {"FLASH_ATTENTION_SKIP_CUDA_BUILD": "TRUE"}
        subprocess.run([*pip, "download", *options, ROTARY], check=True, env=os.environ | kernels)
        with tarfile.open(next(Path(place).glob("*.tar.gz"))) as archive:
            archive.extractall(place, filter="data")
        shutil.copytree(next(Path(place).glob("*/flash_attn")), packages / "flash_attn", dirs_exist_ok=True)


def _without_kernels() -> None:
    """Let flash-attn's layer use its own plain functions in place of its kernels, and turn fewer units."""

    def turn(x: Any, cos: Any, sin: Any, inplace: bool = False, interleaved: bool = False, **more: Any) -> Any:
        turned = rotary.apply_rotary_emb_torch(x, cos[: x.shape[1]], sin[: x.shape[1]], interleaved)
        return x.copy_(turned) if inplace else turned

    kernels = types.ModuleType("flash_attn.ops.triton.rotary")
    kernels.apply_rotary = turn  # type: ignore[attr-defined]
    fused = types.ModuleType("flash_attn_2_cuda")
    sys.modules |= {"flash_attn.ops.triton.rotary": kernels, "flash_attn_2_cuda": fused}
    import flash_attn.layers.rotary as rotary
    import flash_attn.modules.mha as layers

    def plain(causal: bool = False, softmax_scale: float | None = None, **more: Any) -> Any:
        return layers.CrossAttention(causal=causal, softmax_scale=softmax_scale)

    whole = layers.MHA
    layers.FlashCrossAttention = plain
    layers.FlashSelfAttention = plain

    class MHA(whole):  # type: ignore[misc, valid-type]
        def __init__(self, **options: Any) -> None:
            super().__init__(**options | {"rotary_emb_dim": TURNED})

        def forward(self, x: Any, **more: Any) -> Any:
            self.use_flash_attn = False  # what it hands its attention are then masks, of which there is none
            return super().forward(x, **more)

    layers.MHA = MHA


def randomised(module: Any) -> Any:
    """Draw every tensor, so that no part of the network is idle."""
    import torch

    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in sorted(module.state_dict().items()):
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var") or (name.endswith("weight") and tensor.ndim == 1):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
            else:
                fan = tensor[0].numel() if tensor.ndim > 1 and tensor.shape[0] > 1 else 4
                tensor.copy_(torch.randn(tensor.shape, generator=draw) * fan**-0.5)
    return module.eval()


def write(folder: Path, module: Any, length: int, answers: Any) -> None:
    """Save the configuration, the weights under the names of the state dict, and the answers by head.

    Args:
        folder: Where to.
        module: The package's model.
        length: Of the sequences.
        answers: From one-hot [sequence, position, 4] to outputs by head, [sequence, bin, track].
    """
    import numpy as np
    import torch
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    module.config.architectures = [type(module).__name__]
    module.config.save_pretrained(folder)
    state = {k: v.clone() for k, v in module.state_dict().items() if not k.startswith("_trunk.")}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    numbers = np.random.default_rng(0).integers(0, 4, (3, length))
    with torch.no_grad():
        outputs = answers(torch.eye(4)[torch.from_numpy(numbers)])
    sequences = ["".join("ACGT"[base] for base in row) for row in numbers]
    np.savez(folder / "expected.npz", sequences=sequences, **{k: v.numpy() for k, v in outputs.items()})
    print(folder.name, {k: list(v.shape) for k, v in outputs.items()}, {k: float(v.std()) for k, v in outputs.items()})


def enformer(out: Path) -> None:
    """Run enformer-pytorch; of the positions of the original, some rows of the table that it carries."""
    import numpy as np
    import torch
    from enformer_pytorch import Enformer, EnformerConfig
    from enformer_pytorch.modeling_enformer import TF_GAMMAS

    for name, (config, length) in ENFORMER.items():
        torch.manual_seed(0)
        module = randomised(Enformer(EnformerConfig(**PLAIN | config)))
        write(out / name, module, length, module)
    rows = np.arange(0, len(TF_GAMMAS), 61)
    np.savez(out / "tf_gammas.npz", rows=rows, values=TF_GAMMAS[rows].numpy())
    with tempfile.TemporaryDirectory() as folder:
        module.save_pretrained(folder, safe_serialization=False)
        names = sorted(torch.load(Path(folder) / "pytorch_model.bin", weights_only=True))
    (out / "enformer_whole" / "pickled_names.json").write_text(json.dumps(names))


def borzoi(out: Path) -> None:
    """Run borzoi-pytorch, its convolutions made narrower while it is built."""
    import borzoi_pytorch.pytorch_borzoi_model as package
    import torch
    from torch import nn

    def narrow(size: int) -> int:
        return size if size < 512 else max(1, size // NARROWER)

    class Conv1d(nn.Conv1d):
        def __init__(self, in_channels: int, out_channels: int, kernel_size: int, groups: int = 1, **more: Any) -> None:
            super().__init__(narrow(in_channels), narrow(out_channels), kernel_size, groups=narrow(groups), **more)

    class BatchNorm1d(nn.BatchNorm1d):
        def __init__(self, num_features: int, **more: Any) -> None:
            super().__init__(narrow(num_features), **more)

    _without_kernels()
    changed = {"Conv1d": Conv1d, "BatchNorm1d": BatchNorm1d}
    package.nn = types.SimpleNamespace(**{k: getattr(nn, k) for k in dir(nn) if not k.startswith("__")} | changed)
    for name, (kind, changes, length) in BORZOI.items():
        torch.manual_seed(0)
        config = getattr(package, f"{kind}Config")(**BORZOI_PLAIN | changes)
        module = randomised(getattr(package, kind)(config))
        heads = ["human", *(["mouse"] if config.enable_mouse_head else [])]

        def answers(x: Any, module: Any = module, heads: list[str] = heads) -> dict[str, Any]:
            x = x.transpose(1, 2)
            return {head: module(x, is_human=head == "human").transpose(1, 2) for head in heads}

        write(out / name, module, length, answers)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("package", choices=list(PACKAGES))
    parser.add_argument("--venv", type=Path, help="of the package; a temporary one by default")
    parser.add_argument("--here", action="store_true", help="write with this Python, which has the package")
    args = parser.parse_args()
    if args.here:
        {"enformer": enformer, "borzoi": borzoi}[args.package](OUT)
    elif args.venv is not None:
        run_inside(args.package, args.venv)
    else:
        with tempfile.TemporaryDirectory() as folder:
            run_inside(args.package, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
