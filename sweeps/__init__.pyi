"""The public names of `sweeps`; `__init__.py` loads each on first use."""

from .records.data_frame import load as load
from .records.metric import Metric as Metric
from .records.record import Record as Record
from .records.sweep import Sweep as Sweep

__version__: str
