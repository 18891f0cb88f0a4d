"""A recipe as a paragraph: encoder, teacher, student, export, evaluate, calibrate, register.

Every step writes into its own folder, named after what went into it (recipe sections, seed and
the steps before). A finished step is found again and skipped, an unfinished one resumes from its
checkpoint, and a changed recipe starts new folders beside the old ones: nothing is overwritten.
"""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from app.contract.heads import SpanHead
from app.contract.manifest import TOKENIZER, Score
from app.contract.tokenization import SubwordTokenizer
from training.calibrate import Model, calibrate, calibration_of
from training.data import RoadData
from training.datasets.examples import TaggedSentence
from training.distill import distill
from training.encoder import pretrain_encoder
from training.errors import StepError
from training.evaluate import (
    Engine,
    Predictions,
    Record,
    loyalty,
    measure_speed,
    per_type,
    predict_split,
    quality,
)
from training.export import OPSET, check_parity, export_model, store_fp16
from training.files import write_text
from training.hub import published_name
from training.quantize import quantize
from training.recipe import STEPS, Recipe
from training.register import Draft, register, set_aliases
from training.report import write_report
from training.reproducibility import commit, fingerprint, hardware, set_seed, versions
from training.runners import onnx_runner
from training.student import shallow_copy
from training.teacher import fine_tune, load_model, load_tokenizer, new_teacher, save_model
from training.token_batches import token_rows

logger = logging.getLogger(__name__)
SPEED_BATCHES = (1, 32)
SPEED_TEXTS = 128


@dataclass(frozen=True)
class Road:
    """One recipe on one set of corpora.

    Attributes:
        recipe: what to do.
        data_dir: where the corpora lie.
        work_dir: where intermediate results go.
        store: where packages are registered.
    """

    recipe: Recipe
    data_dir: Path
    work_dir: Path
    store: Path

    def run(self, until: str = STEPS[-1]) -> dict[str, object]:
        """Walk the road up to and including a step.

        Returns:
            The last step's result: folders, scores or packages.
        """
        set_seed(self.recipe.seed)
        self.data.check()
        result: dict[str, object] = {}
        for step in STEPS[: STEPS.index(until) + 1]:
            logger.info("step %s", step)
            result = getattr(self, f"_{step}_step")()
        return {"step": until} | result

    @cached_property
    def data(self) -> RoadData:
        """The corpora as the recipe uses them."""
        return RoadData(self.recipe, self.data_dir)

    @cached_property
    def tokenizer(self) -> SubwordTokenizer:
        """The encoder's tokenizer, which teacher and student share."""
        teacher = self.recipe.teacher
        return load_tokenizer(
            self.encoder_source, max_tokens=teacher.max_tokens, stride=teacher.stride
        )

    # --- folders --------------------------------------------------------------------------------

    @cached_property
    def _keys(self) -> dict[str, str]:
        """What goes into each step, the steps before it included, as a short hash."""
        recipe = self.recipe.model_dump(mode="json")
        for section in (recipe["teacher"], recipe["student"]):
            del section["model"], section["description"]
        pretrain = recipe["encoder"]["pretrain"] or {}
        # The length may change while the plateau lasts (training.loop), so it is no identity.
        tokens = pretrain.pop("tokens", None)
        pretrain.pop("evaluate_every", None)
        own: dict[str, object] = {
            "encoder": [recipe["seed"], recipe["encoder"]],
            "teacher": [recipe["teacher"], tokens, self.data.digest(self.recipe.teacher.stages)],
            "student": [recipe["student"], self.data.digest(self.recipe.student.stages)],
            "evaluate": [recipe["dev"], fingerprint([s.tags for s in self.data.dev])],
            "calibrate": recipe["calibration"],
        }
        keys: dict[str, str] = {}
        before = ""
        for step in STEPS:
            keys[step] = before = fingerprint([before, own.get(step)])
        return keys

    def folder(self, step: str) -> Path:
        """Where a step keeps its results."""
        return self.work_dir / self.recipe.name / f"{step}-{self._keys[step]}"

    def _once(self, step: str, work: Callable[[Path], dict[str, object]]) -> dict[str, object]:
        """Do a step unless its folder says that it is done."""
        folder = self.folder(step)
        folder.mkdir(parents=True, exist_ok=True)
        done = folder / "done.json"
        if not done.exists():
            result = work(folder) | {"commit": commit()}
            write_text(done, json.dumps(result, indent=1, ensure_ascii=False))
        return self._done(step)

    def _done(self, step: str) -> Record:
        """The result of a finished step."""
        return json.loads((self.folder(step) / "done.json").read_text(encoding="utf-8"))

    # --- steps ----------------------------------------------------------------------------------

    @property
    def encoder_source(self) -> str:
        """What `from_pretrained` takes for the encoder."""
        return self.recipe.encoder.source or str(self.folder("encoder"))

    def _encoder_step(self) -> dict[str, object]:
        pretrain = self.recipe.encoder.pretrain
        if pretrain is None:
            return {"source": self.recipe.encoder.source}

        def work(folder: Path) -> dict[str, object]:
            pretrain_encoder(pretrain, data_dir=self.data_dir, output=folder, seed=self.recipe.seed)
            return {"tokens": pretrain.tokens}

        result = self._once("encoder", work)
        if result["tokens"] != pretrain.tokens:
            raise StepError(
                f"{self.encoder_source} was pre-trained on {result['tokens']} tokens, the recipe "
                f"says {pretrain.tokens}; restore the recipe or remove the folder"
            )
        return result

    def _teacher_step(self) -> dict[str, object]:
        recipe = self.recipe.teacher

        def work(folder: Path) -> dict[str, object]:
            model = new_teacher(
                self.encoder_source, self.data.labels, dropout=recipe.dropout, seed=self.recipe.seed
            )
            history = []
            for i, stage in enumerate(recipe.stages):
                history += fine_tune(
                    model,
                    token_rows(self.data.tagged(stage), self.tokenizer, self.data.labels),
                    stage,
                    pad_id=model.config.pad_token_id,
                    seed=self.recipe.seed,
                    checkpoint=folder / f"stage-{i}.pt",
                    title=f"teacher, stage {i}",
                )
            save_model(model, self.tokenizer, folder, history)
            return {"model": str(folder)}

        return self._once("teacher", work)

    def _student_step(self) -> dict[str, object]:
        recipe = self.recipe.student

        def work(folder: Path) -> dict[str, object]:
            teacher = load_model(self.folder("teacher"))
            student = shallow_copy(teacher, recipe.layers, dropout=recipe.dropout)
            history = []
            for i, stage in enumerate(recipe.stages):
                history += distill(
                    student,
                    teacher,
                    token_rows(
                        self.data.sentences(stage, self.tokenizer), self.tokenizer, self.data.labels
                    ),
                    stage,
                    weights=recipe.weights,
                    temperature=recipe.temperature,
                    pad_id=teacher.config.pad_token_id,
                    seed=self.recipe.seed,
                    checkpoint=folder / f"stage-{i}.pt",
                    title=f"student, stage {i}",
                )
            save_model(student, self.tokenizer, folder, history)
            return {"model": str(folder)}

        return self._once("student", work)

    def _export_step(self) -> dict[str, object]:
        def work(folder: Path) -> dict[str, object]:
            sample = self.tokenizer.encode([s.words for s in self.data.dev[:8]])
            facts: dict[str, object] = {}
            for part in ("teacher", "student"):
                model = load_model(self.folder(part))
                fp32 = folder / f"{part}-fp32.onnx"
                export_model(model, fp32, task="token-classification")
                facts[f"{part}_parity"] = check_parity(
                    model, fp32, sample, pad_id=model.config.pad_token_id
                )
                facts[f"{part}_parameters"] = sum(p.numel() for p in model.parameters())
            store_fp16(folder / "teacher-fp32.onnx", folder / "teacher.onnx")
            load_model(self.folder("student")).config.save_pretrained(folder)  # optimum reads it
            quantize(folder / "student-fp32.onnx", folder / "student.onnx")
            self.tokenizer.save(folder / TOKENIZER)
            return facts

        return self._once("export", work)

    @cached_property
    def _pad_id(self) -> int:
        config = json.loads((self.folder("teacher") / "config.json").read_text(encoding="utf-8"))
        return int(config["pad_token_id"])

    def _engines(self) -> dict[str, Engine]:
        folder = self.folder("export")
        head = SpanHead(labels=self.data.labels)
        return {
            name: Engine(self.tokenizer, onnx_runner(folder / file), head)
            for name, file in (
                ("teacher-fp32", "teacher-fp32.onnx"),
                ("teacher", "teacher.onnx"),
                ("student-fp32", "student-fp32.onnx"),
                ("student", "student.onnx"),
            )
        }

    def _evaluate_step(self) -> dict[str, object]:
        def work(folder: Path) -> dict[str, object]:
            engines = self._engines()
            texts = [sentence.words for sentence in self.data.dev[:SPEED_TEXTS]]
            speed = {size: measure_speed(engines, texts, batch_size=size) for size in SPEED_BATCHES}
            predictions = {name: predict_split(e, self.data.dev) for name, e in engines.items()}
            reference = predictions["teacher"]
            files = self.folder("export")
            return {
                "dataset": self.recipe.dev.model_dump() | {"sentences": len(self.data.dev)},
                "seed": self.recipe.seed,
                "versions": versions(),
                "hardware": hardware(),
                "engines": {
                    name: _record(found, None if found is reference else reference, self.data.dev)
                    | {
                        "bytes": (files / f"{name}.onnx").stat().st_size,
                        "speed": {str(size): asdict(by[name]) for size, by in speed.items()},
                    }
                    for name, found in predictions.items()
                },
            }

        return self._once("evaluate", work)

    def _calibrate_step(self) -> dict[str, object]:
        wanted = self.recipe.calibration
        if wanted is None:
            return {}

        def work(folder: Path) -> dict[str, object]:
            engines = self._engines()
            student, teacher = (
                Model(engine.encoder, engine.run, engine.head)
                for engine in (engines["student"], engines["teacher"])
            )
            return calibrate(student, teacher, self.data.dev, wanted.target)

        return self._once("calibrate", work)

    def _register_step(self) -> dict[str, object]:
        golden = self.recipe.golden_path.read_text(encoding="utf-8").splitlines()
        facts = self._export_step()
        evaluation = self._evaluate_step()
        packages: dict[str, Path] = {}
        for part in ("teacher", "student"):
            draft = self._draft(part, packages.get("teacher"), facts, evaluation)
            packages[part] = register(
                draft, self.store, golden_texts=[text for text in golden if text]
            )
        set_aliases(
            self.store,
            self.recipe.task,
            default=self.recipe.student.model,
            teacher=self.recipe.teacher.model,
        )
        report = write_report(
            self.folder("evaluate"),
            self.recipe,
            evaluation=evaluation,
            histories={
                step: json.loads((self.folder(step) / "history.json").read_text(encoding="utf-8"))
                for step in ("encoder", "teacher", "student")
                if (self.folder(step) / "history.json").exists()
            },
            packages=packages,
        )
        return {**{role: str(path) for role, path in packages.items()}, "report": str(report)}

    def _draft(self, part: str, teacher: Path | None, facts: dict, evaluation: dict) -> Draft:
        recipe = self.recipe
        own = recipe.teacher if part == "teacher" else recipe.student
        scores = evaluation["engines"][part]
        shared = {k: v for k, v in evaluation.items() if k != "engines"}
        taught = teacher and f"{recipe.task}/{recipe.teacher.model}:{teacher.name}"
        record = self._calibrate_step() if taught else {}
        calibration = record and calibration_of(record, teacher=str(taught), data=recipe.dev)
        fields = {
            "task": recipe.task,
            "model": own.model,
            "description": own.description,
            "commit": self._done(part)["commit"],
            "recipe": recipe.path.name,
            "base": published_name(recipe.encoder.base),
            "teacher": taught,
            "languages": recipe.languages,
            "licence": recipe.licence,
            "precision": "fp32" if part == "teacher" else "int8",
            "weights": "fp16" if part == "teacher" else "int8",
            "parameters": facts[f"{part}_parameters"],
            "opset": OPSET,
            "encoder": {
                "max_tokens": recipe.teacher.max_tokens,
                "stride": recipe.teacher.stride,
                "pad_id": self._pad_id,
            },
            "head": {"kind": "spans", "labels": self.data.labels},
            "quality": scores["quality"],
            "loyalty": scores["loyalty"] if part == "student" else {},
            "calibration": calibration or None,
        }
        return Draft(
            model=self.folder("export") / f"{part}.onnx",
            tokenizer=self.folder("export") / TOKENIZER,
            fields=fields,
            evaluation=shared
            | scores
            | {"compared": evaluation["engines"]}
            | ({"calibration": record} if record else {}),
            data_notes=recipe.data_notes,
        )


def _record(
    found: Predictions, reference: Predictions | None, dev: Sequence[TaggedSentence]
) -> dict[str, object]:
    """What eval.json keeps of one engine."""

    def plain(scores: dict[str, Score]) -> dict[str, dict[str, float]]:
        return {name: score.model_dump() for name, score in scores.items()}

    return {
        "quality": plain(quality(found, dev)),
        "per_type": plain(per_type(found, dev)),
        "loyalty": plain(loyalty(reference, found)) if reference else {},
    }
