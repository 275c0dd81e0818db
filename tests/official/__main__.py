"""The official figures beside ours: `python tests/official`, or `python tests/official --renew FOLDER_OF_CLONES`.

Prints one row per pin and part of a benchmark: the figure of the official code, ours from the same votes, and the
difference. Fails where they differ by more than 0.000001. `--renew` runs the official code first, on clones that lie
side by side as OWNER+NAME (allenai+reward-bench, ...), and writes its figures into the pins; it needs the packages
pandas and datasets.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE.parent), str(HERE.parents[1])]

from support.official_pins import Pin, all_pins, figures_of, records_of, require_version  # noqa: E402

TOLERANCE = 1e-6
COLUMNS = "{:<16}{:<28}{:<58}{:>10}{:>10}{:>12}  {}"


def compare(pin: Pin) -> bool:
    """Print the rows of a pin. Returns whether all figures agree."""
    require_version(pin)
    with tempfile.TemporaryDirectory() as folder:
        ours = figures_of(*records_of(pin, Path(folder)))
    agreed = True
    for part, official in pin.figures.items():
        own = ours.get(part)
        difference = None if own is None else own - official
        agreed &= difference is not None and abs(difference) <= TOLERANCE
        shown = ("missing", "") if own is None or difference is None else (f"{own:.6f}", f"{difference:+.6f}")
        case, verified = pin.name.removeprefix(f"{pin.suite}-"), "yes" if pin.verified else "no"
        print(COLUMNS.format(pin.suite, case, part or "(all)", f"{official:.6f}", *shown, verified))
    return agreed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--renew", type=Path, metavar="FOLDER", help="run the official code in these clones first")
    parser.add_argument("--only", default="", help="pins whose name holds this")
    options = parser.parse_args()
    pins = [pin for pin in all_pins() if options.only in pin.name]
    if options.renew:
        from renew import renew  # needs packages that the comparison does not

        for pin in pins:
            if pin.at_hand:
                renew(HERE / f"{pin.name}.json", pin, options.renew)
        pins = [pin for pin in all_pins() if options.only in pin.name]
    print(COLUMNS.format("suite", "case", "part", "official", "ours", "difference", "verified"))
    agreed = True
    for pin in pins:
        if pin.at_hand:
            agreed &= compare(pin)
        else:
            print(f"{pin.name}: its published files are not here; set GRM_BENCH_DATA")
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
