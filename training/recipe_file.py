"""The file of a recipe: read, checked by section, and for what sections say of each other."""

from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from training.datasets import CORPORA
from training.encoder_recipe import MADE_BY, EncoderFile, EncoderRecipe
from training.errors import RecipeError
from training.recipe import INSIDE, Recipe, StudentRecipe, TeacherRecipe, TrainingSplit
from training.sections import CorpusSplit, mistakes_of
from training.yaml_file import read_mapping

Part = TypeVar("Part", bound=BaseModel)


def load_recipe(path: Path) -> Recipe | EncoderFile:
    """Read and check a recipe: of a task, or of an encoder alone.

    Raises:
        RecipeError: lists every mistake, one a line.
    """
    content, mistakes = read_mapping(path)
    is_task = "task" in content or not MADE_BY & content.keys()
    kind: type[Recipe | EncoderFile] = Recipe if is_task else EncoderFile
    context = {"folder": path.parent}
    recipe = None
    try:
        own = {"path": path} if is_task else {}
        recipe = kind.model_validate(content | own, context=context)
    except ValidationError as error:
        mistakes += mistakes_of(error)
    if is_task:
        mistakes += _contradictions(content, path)
    if recipe is None or mistakes:
        lines = "".join(f"\n  {mistake}" for mistake in mistakes)
        raise RecipeError(f"{path}: {len(mistakes)} mistake(s){lines}")
    return recipe


def _contradictions(content: dict, path: Path) -> list[str]:
    """Mistakes between fields, found in whatever parts of the recipe can be read at all."""
    context = {"folder": path.parent}
    dev = _read(CorpusSplit, content.get("dev"), context)
    further = content.get("further_dev")
    measured = [dev]
    measured += [
        _read(CorpusSplit, each, context) for each in (further if isinstance(further, list) else ())
    ]
    devs = [split for split in measured if split is not None]
    teachers, students = (_mapping(content.get(part)) for part in ("teachers", "students"))
    mistakes = []
    golden = path.parent / str(content.get("golden"))
    if "golden" in content and not (golden.is_file() and golden.read_bytes().strip()):
        mistakes.append(f"golden: {golden} is not there or empty")
    if content.get("task") == "sts" and content.get("calibration"):
        mistakes.append("calibration: a score has no confidence, so sts has no cascade")
    for name in sorted(teachers.keys() & students.keys()):
        mistakes.append(f"students.{name}: a teacher has this name too")
    only = content.get("register_only") or [*teachers, *students]
    only = only if isinstance(only, list) else []
    for alias, name in _mapping(content.get("aliases")).items():
        if name not in only:
            mistakes.append(f"aliases.{alias}: no package of this recipe is named {name!r}")
    for name in only:
        if name not in {**teachers, **students}:
            mistakes.append(f"register_only: no model of this recipe is named {name!r}")
    unstored = [name for name, one in teachers.items() if _mapping(one).get("stored") is False]
    for name in unstored:
        if content.get("calibration"):
            mistakes.append(f"calibration: {name} is not stored, so nothing can ask it")
        if name in _mapping(content.get("aliases")).values():
            mistakes.append(f"aliases: {name} is not stored, so nothing can name it")
    for name, section in teachers.items():
        teacher = _read(TeacherRecipe, section, context)
        if teacher is None:
            continue
        # CLS and SEP belong to a window too.
        if teacher.stride >= teacher.max_tokens - 2:
            mistakes.append(
                f"teachers.{name}.stride: {teacher.stride} leaves no room in windows of "
                f"{teacher.max_tokens}"
            )
    for name, section in students.items():
        wanted = section.get("teachers") if isinstance(section, dict) else None
        wanted = wanted if isinstance(wanted, list) else []
        mistakes += [
            f"students.{name}.teachers: no teacher of this recipe is named {teacher!r}"
            for teacher in wanted
            if teacher not in teachers
        ]
        student = _read(StudentRecipe, section, context)
        if student is not None and student.teachers[0] in teachers:
            first = _mapping(teachers[student.teachers[0]])
            mistakes += _pair_mistakes(name, student, first.get("pairs", "together"))
            under = _read(EncoderRecipe, first.get("encoder"), context)
            if student.layers and not student.encoder and under and under.is_recursive:
                mistakes.append(
                    f"students.{name}.layers: {student.teachers[0]} has one layer, applied several "
                    "times; give the student an encoder"
                )
        if content.get("task") in ("sts", "qa") and _mapping(section).get("pqrnn") is not None:
            task = content["task"]
            mistakes.append(f"students.{name}.pqrnn: it reads one text, and {task} has two")
    for name, section in {**teachers, **students}.items():
        part = "teachers" if name in teachers else "students"
        mistakes += _misplaced(content.get("task"), f"{part}.{name}", section)
        if _mapping(section).get("pairs") == "apart" and content.get("task") != "sts":
            mistakes.append(f"{part}.{name}.pairs: only sts has pairs to read apart")
        encoder = _read(EncoderRecipe, _mapping(section).get("encoder"), context)
        if encoder is not None:
            mistakes += [
                f"{part}.{name}.encoder: learns from {read.corpus} {read.split}, which overlaps "
                f"dev {held.split}"
                for read in encoder.corpora
                for held in devs
                if read.overlaps(held)
            ]
        for i, split in _training_splits(section, context):
            place = f"{part}.{name}.stages.{i}"
            mistakes += [
                f"{place}: trains on {split.corpus} {split.split}, which overlaps dev {held.split}"
                for held in devs
                if split.overlaps(held)
            ]
            if dev is not None and CORPORA[split.corpus].kind is not CORPORA[dev.corpus].kind:
                mistakes.append(
                    f"{place}: {split.corpus} does not hold what dev {dev.corpus} holds"
                )
    return mistakes


def _pair_mistakes(name: str, student: StudentRecipe, first: object) -> list[str]:
    """How a student reads pairs, beside its first teacher, which gives it its outputs."""
    if student.pairs == "together" and first == "apart":
        return [f"students.{name}.pairs: must be apart, as {student.teachers[0]} reads pairs so"]
    inside = {each for weights in student.all_weights for each in INSIDE if getattr(weights, each)}
    if student.pairs == "apart" and first == "together":
        return [
            f"students.{name}.weights.{each}: must be 0, as {student.teachers[0]} reads pairs "
            "together"
            for each in INSIDE
            if each in inside
        ]
    return []


def _misplaced(task: object, place: str, section: object) -> list[str]:
    """Parts of stages that another task has."""
    odd = ["unlabelled", "augmentation"] if task == "qa" else ["questions", "empty_windows"]
    if task not in ("sentiment", "dialect"):
        odd.append("long_texts")
    return [
        f"{place}.stages.{i}.{key}: {task} has none"
        for i, stage in enumerate(_stages(section))
        for key in odd
        if _mapping(stage).get(key) is not None
    ]


def _stages(section: object) -> list:
    stages = _mapping(section).get("stages")
    return stages if isinstance(stages, list) else []


def _training_splits(section: object, context: dict) -> list[tuple[int, TrainingSplit]]:
    """Stage and split, for whatever can be read."""
    found = []
    for i, stage in enumerate(_stages(section)):
        data = stage.get("data") if isinstance(stage, dict) else None
        for entry in data if isinstance(data, list) else []:
            split = _read(TrainingSplit, entry, context)
            if split is not None:
                found.append((i, split))
    return found


def _mapping(value: object) -> dict:
    return value if isinstance(value, dict) else {}


def _read(section: type[Part], content: object, context: dict) -> Part | None:
    """A section if it is valid by itself."""
    try:
        return section.model_validate(content, context=context)
    except ValidationError:
        return None
