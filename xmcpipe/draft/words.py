"""How many words the labels of a first recipe read, and how many labels have a head of their own.

docs/defaults.md says where the numbers were tried.
"""

from dataclasses import dataclass

from xmcpipe.draft.keys import Key
from xmcpipe.draft.survey import FREQUENT, Survey

CONNECTIONS = 1 << 20  # that any layer may have, features and words together
SHARE = 16  # connections a label that the frequent labels' head may have in a larger layer
WORD_FAN_IN = 48
FREQUENT_WORD_FAN_IN = 1024
WORD_RATE = 8.0


@dataclass(frozen=True)
class WordPlan:
    """K' words of each label, and H labels that read every feature and W words."""

    word_fan_in: int
    frequent_labels: int
    frequent_word_fan_in: int

    def keys(self) -> list[Key]:
        """The keys of [train.head]."""
        words = [
            Key(
                "word_fan_in",
                self.word_fan_in,
                "Words that each label reads beside the features, chosen from its documents.",
            ),
            Key("word_lr", WORD_RATE),
        ]
        if not self.frequent_labels:
            return words
        why = (
            f"The most frequent labels, with at least {FREQUENT} documents each, read all features and "
            f"{self.frequent_word_fan_in:,} words."
        )
        return [
            *words,
            Key("frequent_labels", self.frequent_labels, why),
            Key("frequent_word_fan_in", self.frequent_word_fan_in),
        ]


def plan_words(found: Survey, fan_in: int, width: int) -> WordPlan:
    """The plan for labels that read `fan_in` of `width` features.

    The frequent labels are those of `FREQUENT` documents or more, as long as their connections are no more
    than `SHARE` a label, or the whole layer has no more than `CONNECTIONS`. One label at least stays in the
    head of all others.
    """
    free = max(SHARE * found.labels, CONNECTIONS - found.labels * (fan_in + WORD_FAN_IN))
    count = min(found.frequent, free // (width + FREQUENT_WORD_FAN_IN), found.labels - 1)
    return WordPlan(WORD_FAN_IN, count, FREQUENT_WORD_FAN_IN)
