"""`python -m mxseal`."""

from mxseal.cli import main

if __name__ == "__main__":
    main()
