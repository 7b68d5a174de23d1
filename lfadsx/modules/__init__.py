"""The parts that models are composed of."""

from lfadsx.modules.augmentations import AbstractAugmentation as AbstractAugmentation
from lfadsx.modules.augmentations import CoordinatedDropout as CoordinatedDropout
from lfadsx.modules.decoder import Decoder as Decoder
from lfadsx.modules.decoder import Trajectory as Trajectory
from lfadsx.modules.encoders import AbstractEncoder as AbstractEncoder
from lfadsx.modules.encoders import BidirectionalGRU as BidirectionalGRU
from lfadsx.modules.encoders import CausalGRU as CausalGRU
from lfadsx.modules.encoders import NoEncoder as NoEncoder
from lfadsx.modules.gru import GRU as GRU
from lfadsx.modules.gru import run_gru as run_gru
from lfadsx.modules.linear import Linear as Linear
from lfadsx.modules.linear import UnitNormLinear as UnitNormLinear
from lfadsx.modules.readin_readout import AbstractReadin as AbstractReadin
from lfadsx.modules.readin_readout import AbstractReadout as AbstractReadout
from lfadsx.modules.readin_readout import IdentityReadin as IdentityReadin
from lfadsx.modules.readin_readout import LinearReadin as LinearReadin
from lfadsx.modules.readin_readout import LinearReadout as LinearReadout
from lfadsx.modules.recurrent import AbstractController as AbstractController
from lfadsx.modules.recurrent import AbstractGenerator as AbstractGenerator
from lfadsx.modules.recurrent import AbstractRecurrent as AbstractRecurrent
from lfadsx.modules.recurrent import GRUController as GRUController
from lfadsx.modules.recurrent import GRUGenerator as GRUGenerator
from lfadsx.modules.spike_jitter import SpikeJitter as SpikeJitter
from lfadsx.modules.standardiser import Standardiser as Standardiser
from lfadsx.parameters import Frozen as Frozen
