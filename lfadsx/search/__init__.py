"""Search for hyperparameters: populations of models that train side by side.

A `Space` holds the ranges of the hyperparameters that change. A strategy chooses the hyperparameters at the start and
after each generation:

| strategy           | hyperparameters                                                              |
|--------------------|------------------------------------------------------------------------------|
| `Ensemble`         | the same for all members                                                     |
| `Fixed`            | a list                                                                       |
| `RandomSearch`     | drawn at random; the worst members may stop early                            |
| `PBT`              | population-based training: losers copy winners and perturb hyperparameters   |
| `AbstractStrategy` | base class of your own strategy                                              |
"""

from lfadsx.search.builtin_strategies import STRATEGIES as STRATEGIES
from lfadsx.search.builtin_strategies import describe as describe
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
from lfadsx.search.strategy import Fixed as Fixed
from lfadsx.search.strategy import Generation as Generation
