"""Run the command line as ``python -m brainalign``."""

from brainalign.cli import main

if __name__ == "__main__":
    main()
