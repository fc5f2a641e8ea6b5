"""`python -m headrace_scenes FOLDER`."""

import argparse
from pathlib import Path

from headrace_scenes import LAYERS, write_digit_scenes


def main() -> None:
    """Write a dataset with the given options."""
    parser = argparse.ArgumentParser(prog="python -m headrace_scenes", description="Write a dataset of digit scenes.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=600, help="scenes to learn from (default: 600)")
    parser.add_argument("--val", type=int, default=100, help="held-out scenes (default: 100)")
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (default: 96)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--labelled-share", type=float, default=1.0, help="share of train images that each layer labels (default: 1)"
    )
    parser.add_argument(
        "--others-share",
        type=float,
        default=0.25,
        help="number of cards, strips, sheets and textures, each per scene (default: 0.25)",
    )
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS, metavar="LAYER", help="which layers (default: all)")
    options = parser.parse_args()
    write_digit_scenes(
        options.folder,
        options.train,
        options.val,
        size=options.size,
        seed=options.seed,
        labelled_share=options.labelled_share,
        others_share=options.others_share,
        layers=options.layers,
    )
    print(f"{options.train} + {options.val} scenes in {options.folder}")


if __name__ == "__main__":
    main()
