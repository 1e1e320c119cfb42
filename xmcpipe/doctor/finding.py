"""One line of the examination."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What was found of `name`, and what mends it (`fix`, "" if there is nothing to mend).

    `wrong` keeps a run from ending well; a `warning` makes it slower, or may be of no account.
    """

    name: str
    state: State
    found: str
    fix: str = ""
