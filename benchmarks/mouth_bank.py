"""Make the bank of teeth again: cut them out of the London smiles of training people and write the weights file.

    python benchmarks/mouth_bank.py --data DATA --out weights

``DATA`` is the folder with the shared sets; record and file go into ``--out``, which holds ``index.json``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from sargan_core.models.mouths.bank import save_bank
from sargan_core.models.mouths.build import lent_teeth
from sargan_core.weights import add_to_index

SETS = ("london", "transfer", "neutral_extra")
ATTRIBUTION = (
    "Face Research Lab London Set (DeBruine & Jones 2017, CC BY 4.0): what lies between the lips of {count} smiling "
    "people, none of them held out; changed: cut out, enlarged, sharpened, brought to neutral light"
)


def main() -> None:
    """Cut, write, and say whose teeth they are."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with london, transfer and neutral_extra")
    parser.add_argument("--out", type=Path, help="folder of weights with index.json")
    given = parser.parse_args()
    if not (given.data and given.out):
        print("nothing made: give --data and --out")
        return
    lent = lent_teeth(given.data / "london", [given.data / name for name in SETS])
    record = save_bank(
        given.out / "mouths.safetensors",
        [one.teeth for one in lent],
        np.stack([one.traits for one in lent]),
        ATTRIBUTION.format(count=len(lent)),
    )
    add_to_index(given.out, record)
    print(f"{len(lent)} people ({', '.join(one.person for one in lent)}), {record.bytes:,} bytes")


if __name__ == "__main__":
    main()
