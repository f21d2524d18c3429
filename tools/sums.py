"""Copy the configs that are bundled, and write the checksums of all bundled files, which `kmerit doctor` compares.

Run it when one of them was changed.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

KINDS = (".json", ".meme", ".parquet", ".safetensors", ".toml", ".txt")
ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "src" / "kmerit" / "assets"
CONFIGS = ("audit", "demo", "distances", "fair", "leakage", "negatives", "paper", "paper-mini", "planted", "regimes")
"""Those that read no file of the repository."""


def main() -> None:
    """Write the copies, and ``SHA256SUMS`` in the format of sha256sum."""
    (ASSETS / "configs").mkdir(exist_ok=True)
    for name in CONFIGS:
        shutil.copyfile(ROOT / "configs" / f"{name}.toml", ASSETS / "configs" / f"{name}.toml")
    files = sorted(path for path in ASSETS.rglob("*") if path.suffix in KINDS)
    digests = {path.relative_to(ASSETS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    lines = [f"{digest}  {name}" for name, digest in digests.items()]
    (ASSETS / "SHA256SUMS").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
