"""Write the checksums of the bundled files, which `kmerit doctor` compares them with. Run it when one was changed."""

from __future__ import annotations

import hashlib
from pathlib import Path

KINDS = (".json", ".parquet", ".safetensors", ".txt")
ASSETS = Path(__file__).parent.parent / "src" / "kmerit" / "assets"


def main() -> None:
    """Write ``SHA256SUMS``, in the format of sha256sum."""
    files = sorted(path for path in ASSETS.rglob("*") if path.suffix in KINDS)
    digests = {path.relative_to(ASSETS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    lines = [f"{digest}  {name}" for name, digest in digests.items()]
    (ASSETS / "SHA256SUMS").write_text("\n".join([*lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
