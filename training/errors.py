"""What can go wrong on the training road, each with one clear line for the person at the terminal.

TrainingError
 |- RecipeError    the recipe: every mistake at once
 |- DataError      a corpus: the file and the line
 |- StepError      a step that cannot go on: the last good checkpoint stays
"""


class TrainingError(Exception):
    """Base of all expected failures; its text is the whole message shown."""


class RecipeError(TrainingError):
    """The recipe is wrong; the message lists every mistake found."""


class DataError(TrainingError):
    """A corpus is missing or malformed; the message names file and line."""


class StepError(TrainingError):
    """A step cannot start or go on."""
