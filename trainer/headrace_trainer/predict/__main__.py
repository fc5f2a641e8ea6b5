"""`python -m headrace_trainer.predict`, started by `headrace predict` and `headrace export`.

Exit status: 0 success; 1 some images could not be read, the others are done; 2 failure, explained on stderr; 130 Ctrl-C;
143 SIGTERM.
"""

import argparse
import sys
import traceback
from pathlib import Path

from headrace_api.errors import TrainerError
from headrace_api.names import ExitCode
from headrace_storage.scratch import scratch_folder
from headrace_storage.stop import Stop, exit_on_sigterm
from headrace_trainer.predict import messages

_INTERRUPTED = 130
"""The shells' convention: 128 + SIGINT."""


def main(arguments: list[str]) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        with scratch_folder() as scratch:
            status: int = options.run(options, scratch.folder)
        return status
    except TrainerError as error:
        messages.warn(f"error: {error.message}")
    except BrokenPipeError:  # the parent process is gone
        pass
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception:  # Python's own status, 1, would mean that only some images failed
        traceback.print_exc()
    return ExitCode.FATAL


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m headrace_trainer.predict")
    commands = parser.add_subparsers(required=True)
    images = commands.add_parser("images", help="predict on images")
    images.add_argument("model", help="a model/ folder, or s3://...")
    images.add_argument("images", nargs="+", type=Path, help="image files and folders of images")
    images.add_argument("--out", type=Path, required=True, help="an empty or new folder")
    images.add_argument("--min-score", type=float, default=0.05)
    images.add_argument("--batch-size", type=int, default=8)
    images.add_argument("--no-pictures", action="store_true")
    images.set_defaults(run=_images)
    graph = commands.add_parser("graph", help="write the network as one graph")
    graph.add_argument("model", help="a model/ folder, or s3://...")
    graph.add_argument("--format", choices=("onnx", "torch-export"), required=True)
    graph.add_argument("--out", type=Path, required=True, help="the file to write")
    graph.add_argument("--head", action="append", default=[], help="only these heads")
    graph.set_defaults(run=_graph)
    return parser


def _images(options: argparse.Namespace, temporary: Path) -> int:
    import torch

    from headrace_trainer.predict.fetch import model_folder
    from headrace_trainer.predict.model import load_model
    from headrace_trainer.predict.run import INDEX, PICTURES, predict

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = load_model(model_folder(options.model, temporary), device)
    outcome = predict(
        model,
        options.images,
        options.out,
        least_score=options.min_score,
        pictures=not options.no_pictures,
        batch_size=options.batch_size,
        threads=torch.get_num_threads(),  # as many as compute: OMP_NUM_THREADS, or the number of cores
    )
    facts = [("images", str(len(outcome.images))), ("unreadable", str(len(outcome.unreadable)))]
    facts += [("head", f"{name} {options.out / name}/") for name in model.heads]
    facts += [] if options.no_pictures else [("pictures", f"{options.out / PICTURES}/")]
    facts += [("index", str(options.out / INDEX)), ("images/s", f"{len(outcome.images) / max(outcome.seconds, 1e-9):.1f}")]
    messages.say_facts(facts)
    return ExitCode.RETRY if outcome.unreadable else ExitCode.OK


def _graph(options: argparse.Namespace, temporary: Path) -> int:
    import torch

    from headrace_trainer.predict.fetch import model_folder
    from headrace_trainer.predict.graph import export_graph
    from headrace_trainer.predict.model import load_model

    model = load_model(model_folder(options.model, temporary), torch.device("cpu"))
    exported = export_graph(model, options.format, options.out, options.head)
    messages.say_facts(
        [
            ("file", str(options.out)),
            *(("head", name) for name in exported.heads),
            *(("refused", f"{name}: {reason}") for name, reason in exported.refused.items()),
            ("largest difference", "not compared" if exported.difference is None else f"{exported.difference:.3g}"),
        ]
    )
    return ExitCode.OK


if __name__ == "__main__":
    exit_on_sigterm(Stop())
    sys.exit(main(sys.argv[1:]))
