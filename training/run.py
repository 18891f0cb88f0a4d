"""A recipe as a paragraph: encoders, teachers, students, export, evaluate, calibrate, register.

Every step writes into its own folder, named after what went into it (recipe sections, seed and
the steps before). A finished step is found again and skipped, an unfinished one resumes from its
checkpoint, and a changed recipe starts new folders beside the old ones: nothing is overwritten.
"""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

from app.contract.encoded_text import Input
from app.contract.encoding import Encoder
from app.contract.heads import AnswerHead, Head
from app.contract.manifest import ENCODER_FILES
from app.contract.projected_text import ProjectionEncoder
from training import processes
from training.answer_units import AnswerUnits
from training.calibrate import calibrate, calibration_of
from training.data import RoadData, decoded_now
from training.datasets.examples import Example
from training.distill import Teacher, distill
from training.encoder import encoder_identity, find_encoder, ready_encoder
from training.evaluate import (
    Engine,
    Record,
    Watch,
    further_quality,
    predict_split,
    scores_of,
    served_input,
    watch,
)
from training.export import OPSET
from training.files import write_text
from training.hub import published_name
from training.model_files import export_files, sizes_of
from training.packaged_weights import load_packaged_model, packaged_tokenizer
from training.pqrnn import Pqrnn
from training.pqrnn_student import DistortedUnits, projection_encoders
from training.ready_teacher import ready_model
from training.recipe import STEPS, Recipe, Stage, StudentRecipe, TeacherRecipe
from training.register import Draft, read_golden_inputs, register, registered, set_aliases
from training.report import write_report
from training.reproducibility import commit, fingerprint, hardware, set_seed, versions
from training.runners import onnx_runner, torch_runner
from training.speed import measure_speed
from training.student import start_student
from training.task_model import TaskModel, read_head
from training.teacher import fine_tune, load_tokenizer, save_model, start_teacher
from training.units import UnitSet

logger = logging.getLogger(__name__)
SPEED_BATCHES = (1, 32)
TRAINED = ("encoders", "teachers", "students")
SPEED_TEXTS = 128
FP32 = "-fp32"
NO_BASE = "none"  # of random weights


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

        Of several processes only the main one goes beyond the students.

        Returns:
            The last step's result: folders, scores or packages.
        """
        set_seed(self.recipe.seed)
        self.data.check()
        result: dict[str, object] = {}
        for step in STEPS[: STEPS.index(until) + 1]:
            if step not in TRAINED and not processes.is_main():
                break
            logger.info("step %s", step)
            result = getattr(self, f"_{step}_step")()
        return {"step": until} | result

    @cached_property
    def data(self) -> RoadData:
        """The corpora as the recipe uses them."""
        return RoadData(self.recipe, self.data_dir)

    def tokenizer(self, name: str) -> Encoder:
        """The tokenizer of a model's encoder; a copied student has its first teacher's."""
        if name in self._projections:
            return self._projections[name]
        teacher = self._first_teacher(name)
        own = name in self.recipe.students and self.recipe.models[name].encoder
        if teacher.registered and not own:
            package = self.store / teacher.registered
            return packaged_tokenizer(package, teacher.max_tokens, teacher.stride)
        return load_tokenizer(
            find_encoder(own or teacher.base, self.work_dir),
            max_tokens=teacher.max_tokens,
            stride=teacher.stride,
            reads_apart=self.recipe.models[name].pairs == "apart",
        )

    @cached_property
    def _projections(self) -> dict[str, ProjectionEncoder]:
        """The encoders of students without a vocabulary."""
        return projection_encoders(self.recipe.students, self.data.labelled)

    def _first_teacher(self, name: str) -> TeacherRecipe:
        student = self.recipe.students.get(name)
        return self.recipe.teachers[student.teachers[0] if student else name]

    # --- folders --------------------------------------------------------------------------------

    def key(self, name: str) -> str:
        """Short hash of what goes into a model: its section, its data, what it descends from."""
        model = self.recipe.models[name]
        said_elsewhere = {"description", "encoder", "model", "stored", "teachers"}
        own = model.model_dump(mode="json", exclude=said_elsewhere, exclude_defaults=True)
        data = self.data.digest(model.stages)
        if isinstance(model, StudentRecipe):
            before: list[object] = [self.key(teacher) for teacher in model.teachers]
            if model.encoder:
                before.append(encoder_identity(model.encoder))
        else:
            before = [self.recipe.seed, *encoder_identity(model.base)]
            if model.model:  # no data of its own say what its labels are
                before.append(self.data.head.model_dump(mode="json"))
        return fingerprint([before, own, data])

    @cached_property
    def _keys(self) -> dict[str, str]:
        models = {name: self.key(name) for name in self.recipe.models}
        export = fingerprint(models)
        evaluate = fingerprint([export, self.recipe.dev.model_dump(), self.data.dev_digest])
        wanted = self.recipe.calibration and self.recipe.calibration.model_dump()
        calibrate = fingerprint([evaluate, wanted])
        return models | {"export": export, "evaluate": evaluate, "calibrate": calibrate}

    def folder(self, step: str) -> Path:
        """Where a step, or the training of a model, keeps its results."""
        return self.work_dir / self.recipe.name / f"{step}-{self._keys[step]}"

    def _once(self, step: str, work: Callable[[Path], dict[str, object]]) -> dict[str, object]:
        """Do a step unless its folder says that it is done."""
        folder = self.folder(step)
        folder.mkdir(parents=True, exist_ok=True)
        done = folder / "done.json"
        together = step in self.recipe.models
        if not (processes.agreed(done.exists()) if together else done.exists()):
            result = work(folder) | {"commit": commit()}
            if processes.is_main():
                write_text(done, json.dumps(result, indent=1, ensure_ascii=False))
            if together:
                processes.wait()
        return self._done(step)

    def _done(self, step: str) -> Record:
        """The result of a finished step."""
        return json.loads((self.folder(step) / "done.json").read_text(encoding="utf-8"))

    # --- steps ----------------------------------------------------------------------------------

    def _encoders_step(self) -> dict[str, object]:
        return {
            name: ready_encoder(model.start, data_dir=self.data_dir, work_dir=self.work_dir)
            for name, model in self.recipe.models.items()
            if model.start
        }

    def _teachers_step(self) -> dict[str, object]:
        def work(name: str, recipe: TeacherRecipe, folder: Path) -> dict[str, object]:
            tokenizer = self.tokenizer(name)
            history = []
            if recipe.model:
                model = ready_model(recipe.model, self.data.head)
            else:
                source = find_encoder(recipe.start, self.work_dir)
                model = start_teacher(recipe, source, self.data.head, seed=self.recipe.seed)
            if recipe.registered:
                load_packaged_model(model, self.store / recipe.registered, self._sample)
            for i, stage in enumerate(recipe.stages_to_walk):
                history += fine_tune(
                    model,
                    self._units(stage, self.data.examples(stage, tokenizer), name, model.head),
                    stage,
                    seed=self.recipe.seed,
                    evaluate=self._watch(name, model),
                    checkpoint=folder / f"stage-{i}.pt",
                    title=f"{name}, stage {i}",
                )
            save_model(model, tokenizer, folder, history)
            return {"model": str(folder)}

        return {
            name: self._once(name, partial(work, name, recipe))["model"]
            for name, recipe in self.recipe.teachers.items()
        }

    def _students_step(self) -> dict[str, object]:
        def work(name: str, recipe: StudentRecipe, folder: Path) -> dict[str, object]:
            teachers = {each: TaskModel.load(self.folder(each)) for each in recipe.teachers}
            first = teachers[recipe.teachers[0]]
            tokenizer = self.tokenizer(name)
            encoder = find_encoder(recipe.encoder, self.work_dir) if recipe.encoder else None
            student = start_student(recipe, first, encoder, seed=self.recipe.seed)
            history = []
            for i, stage in enumerate(recipe.stages):
                read = partial(self._units, stage, self.data.examples(stage, tokenizer))
                units = read(name, student.head)
                history += distill(
                    student,
                    [
                        Teacher.of(each, model, read(each, model.head), units)
                        for each, model in teachers.items()
                    ],
                    units,
                    stage,
                    weights=stage.weights or recipe.weights,
                    temperature=recipe.temperature,
                    seed=self.recipe.seed,
                    evaluate=self._watch(name, student),
                    checkpoint=folder / f"stage-{i}.pt",
                    title=f"{name}, stage {i}",
                )
            save_model(student, tokenizer, folder, history)
            return {"model": str(folder)}

        return {
            name: self._once(name, partial(work, name, recipe))["model"]
            for name, recipe in self.recipe.students.items()
        }

    def _units(self, stage: Stage, examples: list[Example], name: str, head: Head) -> UnitSet:
        """Examples as a model reads them."""
        student = self.recipe.students.get(name)
        if student and student.pqrnn:
            share = student.pqrnn.distortion
            return DistortedUnits(examples, self._projections[name], head, share=share)
        if isinstance(head, AnswerHead):
            return AnswerUnits(examples, self.tokenizer(name), head, share=stage.empty_windows)
        return UnitSet(examples, self.tokenizer(name), head)

    def _watch(self, name: str, model: TaskModel | Pqrnn) -> Watch | None:
        engine = Engine(self.tokenizer(name), torch_runner(model), model.head)
        return watch(engine, self.data.dev) if self.recipe.task == "qa" else None

    def _export_step(self) -> dict[str, object]:
        def work(folder: Path) -> dict[str, object]:
            facts: dict[str, object] = {}
            for name in self.recipe.models:
                fp32, final = folder / f"{name}{FP32}.onnx", folder / f"{name}.onnx"
                tokenizer = self.tokenizer(name)
                tokenizer.save(folder / f"{name}.{ENCODER_FILES[tokenizer.kind]}")
                files = self.folder(name), tokenizer, self._sample, fp32, final
                facts[name] = export_files(*files, is_student=name in self.recipe.students)
            return facts

        return self._once("export", work)

    @cached_property
    def _sample(self) -> list[Input]:
        """A few inputs, to compare two forms of a model on."""
        return [served_input(example) for example in self.data.dev[:8]]

    def _engines(self) -> dict[str, Engine]:
        """Every model in fp32 and as it will be served, teachers first."""
        folder = self.folder("export")
        return {
            file: Engine(self.tokenizer(name), onnx_runner(folder / f"{file}.onnx"), head)
            for name in self.recipe.models
            for head in (decoded_now(read_head(self.folder(name))),)
            for file in (f"{name}{FP32}", name)
        }

    def _evaluate_step(self) -> dict[str, object]:
        def work(folder: Path) -> dict[str, object]:
            engines = self._engines()
            texts = [served_input(example) for example in self.data.dev[:SPEED_TEXTS]]
            speed = {size: measure_speed(engines, texts, batch_size=size) for size in SPEED_BATCHES}
            found = {name: predict_split(e, self.data.dev) for name, e in engines.items()}
            files = self.folder("export")
            facts = self._done("export")
            # Students are held against their teachers, a teacher in fp32 against itself as served.
            taught = {name: student.teachers for name, student in self.recipe.students.items()}
            whose = taught | {f"{n}{FP32}": taught.get(n, (n,)) for n in self.recipe.models}
            return {
                "dataset": self.recipe.dev.model_dump() | {"examples": len(self.data.dev)},
                "seed": self.recipe.seed,
                "versions": versions(),
                "hardware": hardware(),
                "engines": {
                    name: scores_of(found, name, whose.get(name, ()), self.data.dev)
                    | further_quality(engine, self.data.further_dev)
                    | sizes_of(facts[name.removesuffix(FP32)])
                    | {
                        "bytes": (files / f"{name}.onnx").stat().st_size,
                        "speed": {str(size): asdict(by[name]) for size, by in speed.items()},
                    }
                    for name, engine in engines.items()
                },
            }

        return self._once("evaluate", work)

    def _calibrate_step(self) -> Record:
        wanted = self.recipe.calibration
        if wanted is None:
            return {}

        def work(folder: Path) -> dict[str, object]:
            engines = self._engines()
            return {
                name: calibrate(
                    engines[name], engines[student.teachers[0]], self.data.dev, wanted.target
                )
                for name, student in self.recipe.students.items()
            }

        return self._once("calibrate", work)

    def _register_step(self) -> dict[str, object]:
        golden = read_golden_inputs(self.recipe.golden_path)
        facts: Record = self._export_step()
        evaluation = self._evaluate_step()
        packages: dict[str, Path] = {}
        for name in self.recipe.packages:
            draft = self._draft(name, packages, facts[name], evaluation)
            packages[name] = register(draft, self.store, golden_inputs=golden)
        set_aliases(self.store, self.recipe.task, **self.recipe.aliases)
        report = write_report(
            self.folder("evaluate"),
            self.recipe,
            evaluation=evaluation,
            histories={
                name: json.loads((self.folder(name) / "history.json").read_text(encoding="utf-8"))
                for name in self.recipe.models
            },
            packages=packages,
        )
        return {**{name: str(path) for name, path in packages.items()}, "report": str(report)}

    def _draft(
        self, name: str, packages: dict[str, Path], facts: Record, evaluation: Record
    ) -> Draft:
        recipe, first = self.recipe, self._first_teacher(name)
        student, origin = recipe.students.get(name), recipe.models[name].encoder or first.base
        scores = evaluation["engines"][name]
        shared = {k: v for k, v in evaluation.items() if k != "engines"}
        exports, home = self.folder("export"), self.store / recipe.task
        taught = student and (
            first.name_to_students(recipe.task, student.teachers[0])
            or registered(student.teachers[0], packages, home=home, exports=exports)
        )
        record = self._calibrate_step().get(name, {})
        calibration = record and calibration_of(record, teacher=str(taught), data=recipe.dev)
        shared |= {"calibration": record} if record else {}
        fields = {
            "task": recipe.task,
            "model": name,
            "description": recipe.models[name].description,
            "commit": self._done(name)["commit"],
            "recipe": recipe.file,
            "base": NO_BASE if name in self._projections else published_name(origin.base),
            "teacher": taught,
            "languages": recipe.languages,
            "licence": recipe.licence,
            "precision": "int8" if student else "fp32",
            "weights": "int8",
            "parameters": facts["parameters"],
            "opset": OPSET,
            "encoder": self.tokenizer(name).settings,
            "head": decoded_now(read_head(self.folder(name))),
            "quality": scores["quality"],
            "loyalty": scores["loyalty"],
            "calibration": calibration or None,
        }
        return Draft(
            model=exports / f"{name}.onnx",
            shares_trunk=student is not None and student.trains == "adapters",
            tokenizer=exports / f"{name}.{ENCODER_FILES[self.tokenizer(name).kind]}",
            fields=fields,
            evaluation=shared | scores | {"compared": evaluation["engines"]},
            data_notes=recipe.data_notes,
        )
