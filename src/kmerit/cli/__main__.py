"""``python -m kmerit.cli``: the same command line, for launchers such as ``accelerate launch -m``."""

from kmerit.cli.app import main

if __name__ == "__main__":
    main()
