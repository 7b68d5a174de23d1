"""The best that inference can do when the true generator is known: the optimum that every fit is compared with."""

from benchmarks.optimum.methods import ceiling as ceiling
from benchmarks.optimum.methods import check as check
from benchmarks.optimum.methods import optimum as optimum
from benchmarks.optimum.methods import spread as spread
