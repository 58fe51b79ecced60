"""What a notebook needs of the lab: cases played seed by seed, estimates in words, plots that carry their intervals.

A notebook asks a question and says what it takes for granted; how a case is played, measured and drawn stands here.
"""

from scenarios.study import crowd, drawing, words
from scenarios.study.playing import Case, history_of, measured, measures, study

__all__ = ["Case", "crowd", "drawing", "history_of", "measured", "measures", "study", "words"]
