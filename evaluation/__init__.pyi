"""The public names of `evaluation`; `__init__.py` loads each on first use."""

from .comparison.compare import Comparison as Comparison
from .comparison.compare import compare as compare
from .continuations import Continuations as Continuations
from .continuations import Scorer as Scorer
from .divergence.divergence import Divergence as Divergence
from .engines.decoding import Generation as Generation
from .evaluator import Evaluator as Evaluator
from .fluency import Fluency as Fluency
from .generation import Generated as Generated
from .generation import generate as generate
from .inputs.prompts import halves as halves
from .inputs.prompts import read_prompts as read_prompts
from .lm_eval_tasks import LmEval as LmEval
from .measurements.measurement import Measurement as Measurement
from .measurements.measurement_files import load_measurements as load_measurements
from .measurements.measurement_files import save_measurements as save_measurements
from .perplexity import Perplexity as Perplexity
from .probe_loss import probe_loss as probe_loss
from .refusal import Refusal as Refusal
from .sampled.sampled_continuations import Sampled as Sampled
from .toxicity import Toxicity as Toxicity
