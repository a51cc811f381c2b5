"""`python -m privsynth` is the command `privsynth`: for environments whose scripts are not on the path."""

from privsynth.cli import main

if __name__ == "__main__":
    main()
