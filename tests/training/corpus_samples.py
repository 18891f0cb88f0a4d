"""A few invented examples of every corpus, in the layout that its reader expects."""

import gzip
import json
from pathlib import Path

LEAFLET = "Dacă medicul v-a spus că aveți o intoleranță la unele glucide, întrebați-l înainte"

CONLLU = """# sent_id = t1
# text = {text}
1\tAna\tAna\tPROPN\tNp\t_\t2\tnsubj\t_\t_
2\tvine\tveni\tVERB\tVmip3s\t_\t0\troot\t_\tSpaceAfter=No
2.1\tvine\tveni\tVERB\tVmip3s\t_\t_\t_\t_\t_
3\t.\t.\tPUNCT\tPERIOD\t_\t2\tpunct\t_\t_

"""
MTOP_FORM = "[IN:CREATE_REMINDER [SL:PERSON_REMINDED me ] [SL:DATE_TIME at 7 pm ] ]"
NESTED_FORM = (
    "[IN:SEND_MESSAGE [SL:RECIPIENT [IN:GET_CONTACT [SL:CONTACT_RELATED my ] "
    "[SL:TYPE_RELATION aunt ] ] ] ]"
)
CONTEXT = "Dunărea trece prin Viena, prin Budapesta și prin Belgrad."


def write(path: Path, text: str) -> Path:
    """Write a file, with `.gz` in its name a compressed one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = text.encode("utf-8")
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def review(number: int, stars: str, title: str = "Bun") -> dict[str, str]:
    return {
        "index": str(number),
        "title": title,
        "content": f"produsul cu numărul {number} este așa cum mă așteptam",
        "starRating": stars,
    }


def squad(entries: list[dict[str, object]], context: str = CONTEXT) -> str:
    paragraphs = [{"context": context, "qas": entries}]
    return json.dumps({"version": "1", "data": [{"title": "Dunărea", "paragraphs": paragraphs}]})


def question(name: object, *answers: tuple[str, int], **more: object) -> dict[str, object]:
    marked = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": name, "question": "Prin ce oraș trece?", "answers": marked} | more


def parallel_record(name: str, number: int) -> dict[str, object]:
    """An XSemPLR record whose Spanish tree keeps the English order."""
    return {
        "id": name,
        "question": {"en": f"weather {number} in Cluj", "es": f"en Cluj tiempo {number}"},
        "mr": {
            "slot_intent": {
                "en": f"[IN:GET_WEATHER [SL:DATE_TIME {number} ] [SL:LOCATION Cluj ] ]",
                "es": f"[IN:GET_WEATHER [SL:DATE_TIME {number} ] [SL:LOCATION Cluj ] ]",
            }
        },
    }


def write_all(data: Path) -> Path:
    """Write the smallest form of every corpus that has an invented sample."""
    write(data / "ro-rrt/ro_rrt-ud-dev.conllu", CONLLU.format(text="Ana vine."))
    write(data / "ro-rrt/ro_rrt-ud-train.upos-from-msd.conllu.gz", CONLLU.replace("Ana", "Ion"))
    reviews = [review(i, "1245"[i % 4]) for i in range(200)]
    write(data / "laroseda/laroseda_train.json.gz", json.dumps({"reviews": reviews}))
    rows = "".join(
        f'{"pos" if i % 2 else "neg"}\tf{i}.txt\tfilmul "cu numărul {i} mi-a plăcut\n'
        for i in range(200)
    )
    write(data / "ro-sent/ro_sent_train.tsv.gz", f"label\tfile\ttext\n{rows}")
    write(data / "sart/train.csv", ',text,Label\n7,"două\nrânduri, una",2\n8,vezi aici știrea,1\n')
    write(data / "sart/val.csv", ",text,Label\n9,Vezi aici: ştirea!,0\n")
    for split in ("train", "dev"):
        text = f'4.25\tUn "om {split}.\tUn bărbat {split}.\n'
        write(data / f"ro-sts/RO-STS.{split}.tsv", text)
        write(data / f"ro-sts/ro-en/RO-STS.{split}.ro", "Un om.\nO casă.\n")
        write(data / f"ro-sts/ro-en/RO-STS.{split}.en", "A man.\nA house.\n")
        for language in ("en", "es"):
            pairs = f'"A, {split}, {language}",B {split},5.0\nB {split},C {split},0.5\n'
            write(data / f"stsb-multi-mt/stsb-{language}-{split}.csv", pairs)
        write(data / f"sst2/{split}.tsv", f"a fine {split} film\t1\na dull {split} film\t0\n")
    for folder in ("train", "validation"):
        write(data / f"moroco-mrc2019/{folder}/samples.txt.gz", f"3\tla {folder}\n5\tîn {folder}\n")
        write(data / f"moroco-mrc2019/{folder}/dialect_labels.txt", "3\t1\n5\t2\n")
    news = "label\toutlet\ttext\nMD\tunu\tstire din nord\nRO\tdoi\tstire din sud\n"
    write(data / "ro-md-news/ro_md_news.tsv.gz", news)
    write(data / "rte/train.tsv", 'index\ts1\ts2\tlabel\n0\tIt "is.\tIs.\tentailment\n')
    write(data / "rte/val.tsv", "2\tIt is.\tNot.\tnot_entailment\n")
    write(data / "bio-ner/JNLPBA/devel.tsv", "-DOCSTART-\tO\n\nthe\tO\nSCL\tI-DNA\ngene\tI-DNA\n\n")
    tagged = "a:b:O 7:B-datetime pm:I-datetime daily:I-reminder <=> alarm__set\n\n"
    write(data / "fb-multilingual-task-oriented/th/train", tagged)
    for name, text in (("seq.in", "play  jazz \n"), ("seq.out", "O B-genre \n"), ("label", "P\n")):
        write(data / "snips/valid" / name, text)
    atis = (
        "id\tutterance\tslot_labels\tintent\n1\ta\u00a0b c\tO B-city\tflight#fare\n2\ta b\tO\tx\n"
    )
    write(data / "multiatis/test_ES.tsv", atis)
    utterances = [
        {"question": "Remind me at 7pm.", "logical_form": MTOP_FORM},
        {"question": "message  my aunt", "logical_form": NESTED_FORM},
        {"question": "Weather 3 in Cluj", "logical_form": "[IN:GET_WEATHER [SL:DATE_TIME 3 ] ]"},
    ]
    lines = "".join(json.dumps(u) + "\n" for u in utterances)
    write(data / "mtop/en/dev.json", lines)
    records = [parallel_record(f"id{i}", i) for i in range(720)]
    write(data / "mtop/xsemplr/dev.json", json.dumps(records))
    write(data / "xquad/xquad.ro.json", squad([question("q1", ("Viena", 19))]))
    return data
