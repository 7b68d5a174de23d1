"""Synthetic data whose true rates and inputs are known."""

from lfadsx.data.synthetic.bound import IntegrationToBound as IntegrationToBound
from lfadsx.data.synthetic.chaotic import ChaoticRNN as ChaoticRNN
from lfadsx.data.synthetic.demonstration import chaotic_rnn as chaotic_rnn
from lfadsx.data.synthetic.integrator import IntegratorRNN as IntegratorRNN
from lfadsx.data.synthetic.labeled import LabeledRNNs as LabeledRNNs
from lfadsx.data.synthetic.lorenz import Lorenz as Lorenz
from lfadsx.data.synthetic.spikes import spikify as spikify
from lfadsx.data.synthetic.table import RECIPES as RECIPES
from lfadsx.data.synthetic.table import simulate as simulate
