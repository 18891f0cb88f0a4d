"""The `ner` task: what its parameters mean and how its answers look on the wire."""

from collections.abc import Collection, Sequence

from app.contract.decoding import decode_tags, entities
from app.contract.manifest import Manifest
from app.contract.tokenization import EncodedText
from app.inference import Decode
from app.isolation import Logits
from app.schemas import NerParameters

Items = list[dict[str, object]]

SCORE_DECIMALS = 6


def decoder(manifest: Manifest, parameters: NerParameters) -> Decode[Items]:
    """How the answers of this model are read under these parameters."""
    labels, ignore = manifest.head.labels, frozenset(parameters.ignore_labels)
    make = _words if parameters.aggregation_strategy == "none" else _entities

    def decode(encoded: EncodedText, outputs: Sequence[Logits]) -> Items:
        return make(encoded, outputs, labels, ignore)

    return decode


def _entities(
    encoded: EncodedText, outputs: Sequence[Logits], labels: Sequence[str], ignore: Collection[str]
) -> Items:
    return [
        {
            "entity_group": entity.label,
            "score": round(entity.score, SCORE_DECIMALS),
            "word": encoded.text[entity.start : entity.end],
            "start": entity.start,
            "end": entity.end,
        }
        for entity in entities(encoded, decode_tags(encoded, outputs, labels), ignore=ignore)
    ]


def _words(
    encoded: EncodedText, outputs: Sequence[Logits], labels: Sequence[str], ignore: Collection[str]
) -> Items:
    return [
        {
            "entity": tag.label,
            "score": round(tag.score, SCORE_DECIMALS),
            "index": index,
            "word": encoded.text[word.start : word.end],
            "start": word.start,
            "end": word.end,
        }
        for index, (word, tag) in enumerate(
            zip(encoded.words, decode_tags(encoded, outputs, labels), strict=True), 1
        )
        # As in transformers a tag can be named; its type alone too, as in aggregated replies.
        if tag.label not in ignore and tag.label[2:] not in ignore
    ]
