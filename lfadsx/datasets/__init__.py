"""Synthetic data whose true rates and inputs are known."""

from lfadsx.datasets.chaotic_network import ChaoticRNN as ChaoticRNN
from lfadsx.datasets.demonstration import chaotic_rnn as chaotic_rnn
from lfadsx.datasets.demonstration import integrator as integrator
from lfadsx.datasets.flip_flop import FlipFlop as FlipFlop
from lfadsx.datasets.gru_network import GRUNetwork as GRUNetwork
from lfadsx.datasets.integration_to_bound import IntegrationToBound as IntegrationToBound
from lfadsx.datasets.integrator_rnn import IntegratorRNN as IntegratorRNN
from lfadsx.datasets.labeled_rnns import LabeledRNNs as LabeledRNNs
from lfadsx.datasets.lorenz import Lorenz as Lorenz
from lfadsx.datasets.named_datasets import RECIPES as RECIPES
from lfadsx.datasets.named_datasets import simulate as simulate
from lfadsx.datasets.spike_generation import spikify as spikify
from lfadsx.datasets.task_network import TaskNetwork as TaskNetwork
