from pathlib import Path

from tests.training.corpus_samples import question, squad, write
from training.sections import RawTextRecipe
from training.text_mix import read_mix


def test_sources_of_several_folders_are_read_and_a_context_once(tmp_path: Path) -> None:
    write(tmp_path / "es-text/news-00.txt", "Una noticia.\n")
    write(tmp_path / "bio/articles-00.txt", "An article.\n")
    asked = [question("1", ("Viena", 19)), question("2", ("Belgrad", 49))]
    write(tmp_path / "squad-es/train.paragraphs-outside-xquad.json", squad(asked))
    recipe = {
        "folder": ".",
        "sources": {"es-text/news": 1.0, "bio/articles": 1.0},
        "corpora": [{"corpus": "squad-es", "split": "train"}],
    }

    lines = [line.text for line in read_mix(tmp_path, RawTextRecipe.model_validate(recipe))]

    assert lines == [
        "Una noticia.",
        "An article.",
        "Prin ce oraș trece?",
        "Prin ce oraș trece?",
        "Dunărea trece prin Viena, prin Budapesta și prin Belgrad.",
    ]
