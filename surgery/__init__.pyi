"""The public names of `surgery`; `__init__.py` loads each on first use."""

from .changes.receipt import Receipt as Receipt
from .edits.edit import Edit as Edit
from .errors import InputError as InputError
from .model.fingerprints import fingerprint as fingerprint
from .model.loading import load_model as load_model
from .probe.probe import Probe as Probe
from .probe.probe_fitting import fit_probe as fit_probe
from .region.ranking import RowRanking as RowRanking
from .region.ranking import rank_rows as rank_rows
from .region.region import Region as Region
from .states.hidden_states import HiddenStates as HiddenStates
from .states.hidden_states import collect_hidden_states as collect_hidden_states

__version__: str
