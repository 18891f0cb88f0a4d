"""Registered models of a recipe, measured anew and decoded as models are now: their next versions.

Graphs and tokenizers stay, so do speeds, which are told against the other models of the run they
were timed in. What compared a student with a teacher that is not in the store stays too, as far as
it is about single decisions; whole answers are decoded otherwise now.
"""

import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.contract.heads import Head, ParseHead, SpanHead
from app.contract.manifest import ENCODER_FILES, EVALUATION
from app.contract.pipeline import Package
from training.calibrate import calibrate, calibration_of
from training.data import DECODING, RoadData
from training.errors import StepError
from training.evaluate import (
    Engine,
    Predictions,
    Record,
    engine_of,
    further_quality,
    predict_split,
    scores_of,
)
from training.recipe import Recipe
from training.register import Draft, newest_version, read_golden_inputs, register
from training.reproducibility import commit, versions

logger = logging.getLogger(__name__)
OF_THE_PACKAGE = ("contract_version", "version", "created", "files", "trunk")
"""What `register` writes into a manifest by itself."""
OF_ANSWERS = {"ner": ("span_loyalty",), "parse": ("label_loyalty",)}
"""Measures of loyalty that depend on decoding."""


@dataclass(frozen=True)
class Remeasured:
    """The newest packages of a recipe's models.

    Attributes:
        recipe: names the models, what they are measured on, and golden examples.
        data_dir: where the corpora lie.
        store: of the packages.
    """

    recipe: Recipe
    data_dir: Path
    store: Path

    def register(self) -> dict[str, str]:
        """Measure, and write a next version of each model whose newest is not that already.

        Returns:
            The newest package of each model, teachers first.

        Raises:
            StepError: none of the models is in the store, one is on a shared trunk, or a package
                could not be assembled; the store is left as it was.
            DataError: see training.data.
        """
        golden = read_golden_inputs(self.recipe.golden_path)
        made: dict[str, Path] = {}
        for name in self.packages:
            made[name] = register(self._draft(name, made), self.store, golden_inputs=golden)
        return {name: str(path) for name, path in made.items()}

    @cached_property
    def packages(self) -> dict[str, Package]:
        """By name."""
        homes = {name: self.store / self.recipe.task / name for name in self.recipe.models}
        newest = {name: newest_version(home) for name, home in homes.items()}
        found = {name: Package.load(path.resolve()) for name, path in newest.items() if path}
        if not found:
            raise StepError(f"{self.store}: none of {', '.join(homes)} is in it")
        if on_trunk := [name for name, package in found.items() if package.trunk_path]:
            raise StepError(f"{', '.join(on_trunk)}: on a shared trunk; run the recipe instead")
        return found

    @cached_property
    def _data(self) -> RoadData:
        return RoadData(self.recipe, self.data_dir)

    @cached_property
    def _engines(self) -> dict[str, Engine]:
        return {
            name: Engine(engine.encoder, engine.run, decoded_now(engine.head))
            for name, engine in ((n, engine_of(package)) for n, package in self.packages.items())
        }

    @cached_property
    def _found(self) -> dict[str, Predictions]:
        return {name: predict_split(e, self._data.dev) for name, e in self._engines.items()}

    @cached_property
    def _scores(self) -> dict[str, Record]:
        """What eval.json says of each model, beside its size and speed."""
        scores = {}
        for name, engine in self._engines.items():
            logger.info("%s: measured anew", name)
            taught_by = [each for each in self._teachers(name) if each in self._found]
            own: Record = scores_of(self._found, name, taught_by, self._data.dev)
            old = {k: _of_decisions(v, self.recipe.task) for k, v in self._old(name).items()}
            own["loyalty_to"] = old | own["loyalty_to"]
            own["loyalty"] = own["loyalty"] or next(iter(old.values()), {})
            scores[name] = own | further_quality(engine, self._data.further_dev)
        return scores

    def _teachers(self, name: str) -> tuple[str, ...]:
        student = self.recipe.students.get(name)
        return student.teachers if student else ()

    def _old(self, name: str) -> dict[str, Record]:
        """Loyalty to each teacher that was there when the model was made."""
        found: dict[str, Record] = self._evaluations[name]["loyalty_to"]
        return found

    @cached_property
    def _evaluations(self) -> dict[str, Record]:
        """What was measured before."""
        return {
            name: json.loads((package.path / EVALUATION).read_text(encoding="utf-8"))
            for name, package in self.packages.items()
        }

    def _draft(self, name: str, made: dict[str, Path]) -> Draft:
        package, recipe = self.packages[name], self.recipe
        manifest, old = package.manifest, self._evaluations[name]
        if package.half_path:
            logger.warning("%s: its fp16 graph stays behind; `half` makes it", manifest.name)
        first = next(iter(self._teachers(name)), None)
        teacher = f"{recipe.task}/{first}:{made[first].name}" if first in made else manifest.teacher
        now = {
            "commit": commit(),
            "versions": versions(),
            "remeasured": recipe.command("remeasure"),
        }
        evaluation = old | now | self._scores[name]
        evaluation["compared"] = {
            other: row | self._scores[other]
            for other, row in old["compared"].items()
            if other in self._scores
        }
        fields = manifest.model_dump(exclude={*OF_THE_PACKAGE}) | {
            "head": self._engines[name].head,
            "teacher": teacher,
            "quality": evaluation["quality"],
            "loyalty": evaluation["loyalty"],
        }
        if recipe.calibration and first in made:
            pair = self._engines[name], self._engines[first]
            record = calibrate(*pair, self._data.dev, recipe.calibration.target)
            evaluation["calibration"] = record
            fields["calibration"] = calibration_of(record, teacher=str(teacher), data=recipe.dev)
        return Draft(
            model=package.model_path,
            tokenizer=package.path / ENCODER_FILES[manifest.encoder.kind],
            fields=fields,
            evaluation=evaluation,
            data_notes=recipe.data_notes,
        )


def decoded_now(head: Head) -> Head:
    """A head as a recipe would make it now."""
    if isinstance(head, SpanHead | ParseHead):
        return head.model_copy(update={"decoding": DECODING})
    return head


def _of_decisions(loyalty: Record, task: str) -> Record:
    return {k: score for k, score in loyalty.items() if k not in OF_ANSWERS.get(task, ())}
