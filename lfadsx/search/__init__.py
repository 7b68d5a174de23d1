"""Search for hyperparameters: populations whose members train side by side and learn from each other.

A search needs two things. A `Space` says which hyperparameters change and within which ranges. A strategy says what
members begin with and how they go on after each generation: all alike (`Ensemble`), as a list says (`Fixed`), drawn at
random, the worst stopping early if wanted (`RandomSearch`), population-based training (`PBT`), or one of your own
(`AbstractStrategy`).
"""

from lfadsx.search.builtin_strategies import STRATEGIES as STRATEGIES
from lfadsx.search.builtin_strategies import describe as describe
from lfadsx.search.fixed import Fixed as Fixed
from lfadsx.search.pbt import PBT as PBT
from lfadsx.search.random_search import RandomSearch as RandomSearch
from lfadsx.search.space import Perturbation as Perturbation
from lfadsx.search.space import Range as Range
from lfadsx.search.space import Reduction as Reduction
from lfadsx.search.space import Space as Space
from lfadsx.search.space import repeat as repeat
from lfadsx.search.strategy import AbstractStrategy as AbstractStrategy
from lfadsx.search.strategy import Decision as Decision
from lfadsx.search.strategy import Ensemble as Ensemble
from lfadsx.search.strategy import Generation as Generation
