"""`python -m training`: from recipe to registered package."""

import argparse
import json
import logging
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from app.contract.errors import ContractError
from training.encoder_recipe import EncoderFile
from training.errors import TrainingError
from training.recipe import STEPS, Recipe
from training.recipe_file import load_recipe
from training.sections import CorpusSplit

logger = logging.getLogger("training")


def main(arguments: list[str] | None = None) -> int:
    """Parse the command line and run it.

    Returns:
        0 if all went well, 1 if a step or check failed (2, from argparse: wrong usage).
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    # Else it warns of fresh weights wherever a head is replaced, which is what training is for.
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        return options.command(options)
    except (TrainingError, ContractError, OSError) as error:
        logger.error("%s", error)
        return 1
    except KeyboardInterrupt:
        logger.error("interrupted; the same command goes on from the last checkpoint")
        return 1


def _validate(options: argparse.Namespace) -> int:
    failed = 0
    for path in options.recipes:
        try:
            recipe = load_recipe(path)
            kind = recipe.task if isinstance(recipe, Recipe) else "encoder"
            _print({"recipe": str(path), "ok": True, "name": recipe.name, "task": kind})
        except TrainingError as error:
            logger.error("%s", error)
            failed += 1
    return 1 if failed else 0


def _run(options: argparse.Namespace) -> int:
    return _walk(options, load_recipe(options.recipe), options.until)


def _evaluate(options: argparse.Namespace) -> int:
    return _walk(options, load_recipe(options.recipe), "evaluate")


def _register(options: argparse.Namespace) -> int:
    return _walk(options, load_recipe(options.recipe), "register")


def _walk(options: argparse.Namespace, recipe: Recipe | EncoderFile, until: str) -> int:
    if isinstance(recipe, EncoderFile):
        if options.students:
            raise TrainingError(f"{options.recipe}: --students: an encoder has none")
        return _walk_encoder(options, recipe, until)
    from training import processes  # heavy: torch and transformers
    from training.run import Road

    if options.students:
        recipe = recipe.only(options.students)
    road = Road(recipe, _data_dir(options.data_dir), options.work_dir, options.store)
    result = road.run(until)
    if processes.is_main():
        _print(result)
    return 0


def _walk_encoder(options: argparse.Namespace, recipe: EncoderFile, until: str) -> int:
    from training import processes
    from training.encoder import publish_encoder, train_encoder

    folder = train_encoder(recipe, data_dir=_data_dir(options.data_dir), work_dir=options.work_dir)
    if not processes.is_main():
        return 0
    if until == "register":
        folder = publish_encoder(recipe, options.work_dir)
    _print({"step": until, "encoder": str(folder)})
    return 0


def _remeasure(options: argparse.Namespace) -> int:
    recipe = load_recipe(options.recipe)
    if isinstance(recipe, EncoderFile):
        raise TrainingError(f"{options.recipe}: an encoder is in no store")
    from training.remeasure import Remeasured  # heavy: torch

    recipe = recipe.only(options.students) if options.students else recipe
    _print(Remeasured(recipe, _data_dir(options.data_dir), options.store).register())
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from training.calibrate import calibrate_package  # heavy: torch

    package, record = calibrate_package(
        options.package,
        teacher=options.teacher,
        data=options.data,
        data_dir=_data_dir(options.data_dir),
        target=options.target,
    )
    _print({"package": str(package)} | record)
    return 0


def _half(options: argparse.Namespace) -> int:
    from training.half import add_half

    _print({"package": str(add_half(options.package, options.graph))})
    return 0


def _compare(options: argparse.Namespace) -> int:
    from training.compare import compare, newest_packages
    from training.comparison_report import markdown, write_comparison

    runs = compare(options.packages or newest_packages(options.store))
    if not runs:
        raise TrainingError(f"{options.store}: no package to compare; `run` a recipe first")
    if options.output is None:
        sys.stdout.write(markdown(runs))
    else:
        _print({"files": [str(path) for path in write_comparison(options.output, runs)]})
    return 0


def _smoke(options: argparse.Namespace) -> int:
    from training.smoke import smoke

    options.work_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="smoke-", dir=options.work_dir) as folder:
        smoke(
            options.recipe,
            Path(folder),
            steps=options.steps,
            width=options.width,
            vocabulary=options.vocabulary,
        )
    _print({"recipe": str(options.recipe), "ok": True})
    return 0


def _data_dir(given: Path | None) -> Path:
    """--data-dir, else $LOYAL_DATA, else ../shared/data."""
    path = given or Path(os.environ.get("LOYAL_DATA", "../shared/data"))
    if not path.is_dir():
        raise TrainingError(
            f"{path}: no such folder of corpora; name one with --data-dir or LOYAL_DATA"
        )
    return path


def _corpus_split(text: str) -> CorpusSplit:
    """`ronec valid[60%:]`."""
    corpus, _, split = text.partition(" ")
    try:
        return CorpusSplit(corpus=corpus, split=split.strip())
    except ValidationError as error:
        problems = "; ".join(mistake["msg"] for mistake in error.errors(include_url=False))
        raise argparse.ArgumentTypeError(f"{text!r} is no CORPUS SPLIT: {problems}") from error


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"a share in (0, 1] is needed, got {text}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"at least 1 is needed, got {text}")
    return value


def _print(content: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(content, ensure_ascii=False) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Distil, quantize, measure and register students.",
        epilog="example: python -m training run training/recipes/ner-ro.yaml",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    validate = commands.add_parser("validate", help="check recipes, all mistakes at once")
    validate.add_argument("recipes", nargs="+", type=Path)
    validate.set_defaults(command=_validate)

    models = argparse.ArgumentParser(add_help=False)
    models.add_argument("recipe", type=Path)
    models.add_argument(
        "--data-dir", type=Path, help="corpora; default $LOYAL_DATA, ../shared/data"
    )
    models.add_argument(
        "--students", nargs="+", metavar="NAME", help="these alone, and their teachers; all if none"
    )
    models.add_argument("--store", type=Path, default=Path("model_store"), help="model store")
    road = argparse.ArgumentParser(add_help=False, parents=[models])
    road.add_argument("--work-dir", type=Path, default=Path("runs"), help="intermediate results")
    run = commands.add_parser("run", parents=[road], help="walk the road; finished steps are kept")
    run.add_argument("--until", choices=STEPS, default=STEPS[-1], help="last step")
    run.set_defaults(command=_run)
    evaluate = commands.add_parser("evaluate", parents=[road], help="run up to the evaluation")
    evaluate.set_defaults(command=_evaluate)
    register = commands.add_parser(
        "register", parents=[road], help="the same as run: steps that are done are found again"
    )
    register.set_defaults(command=_register)

    remeasure = commands.add_parser(
        "remeasure",
        parents=[models],
        help="measure a recipe's registered models anew, decoded as new ones: next versions",
    )
    remeasure.set_defaults(command=_remeasure)

    smoke = commands.add_parser(
        "smoke", help="walk a recipe with random weights, made-up text and a few steps"
    )
    smoke.add_argument("recipe", type=Path)
    smoke.add_argument("--steps", type=_count, default=3, help="at most, in each stage")
    smoke.add_argument("--width", type=_count, default=768, help="of encoders, a multiple of 12")
    smoke.add_argument("--vocabulary", type=_count, default=50_000, help="of encoders, tokens")
    smoke.add_argument(
        "--work-dir", type=Path, default=Path("runs"), help="where it all lies until it is done"
    )
    smoke.set_defaults(command=_smoke)

    calibrate = commands.add_parser(
        "calibrate", help="fit when a registered student should ask its teacher: its next version"
    )
    calibrate.add_argument("package", type=Path, help="model_store/TASK/STUDENT/VERSION")
    calibrate.add_argument("--teacher", type=Path, required=True, help="another package")
    calibrate.add_argument(
        "--data", type=_corpus_split, required=True, help="CORPUS SPLIT that neither trained on"
    )
    calibrate.add_argument("--target", type=_share, required=True, help="label loyalty, 0.99 say")
    calibrate.add_argument("--data-dir", type=Path, help="corpora; default as for run")
    calibrate.set_defaults(command=_calibrate)

    half = commands.add_parser(
        "half", help="give a registered model a second graph in fp16, for GPUs: its next version"
    )
    half.add_argument("package", type=Path, help="model_store/TASK/MODEL/VERSION")
    half.add_argument("--graph", type=Path, help="fp32 graph of an int8 model, from its run")
    half.set_defaults(command=_half)

    compare = commands.add_parser("compare", help="teachers and students side by side, by task")
    compare.add_argument(
        "packages", nargs="*", type=Path, help="model_store/TASK/MODEL/VERSION; all if none"
    )
    compare.add_argument("--store", type=Path, default=Path("model_store"), help="model store")
    compare.add_argument("--output", type=Path, help="folder for report.md, report.json, pictures")
    compare.set_defaults(command=_compare)
    return parser


if __name__ == "__main__":
    sys.exit(main())
