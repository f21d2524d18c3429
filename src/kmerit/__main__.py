"""Run the command line as ``python -m kmerit``."""

from kmerit.cli import main

if __name__ == "__main__":
    main()
