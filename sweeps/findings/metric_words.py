"""What the names of metrics stand for, in words: a noun for sentences, and an explanation for whoever points at one."""

from dataclasses import dataclass
from fnmatch import fnmatch

from evaluation.robustness.relearned_names import metric_and_steps
from sweeps.records.metric import half_of, name_of


@dataclass(frozen=True)
class Words:
    """A metric in words.

    Attributes:
        pattern: of the names it tells of.
        noun: what is counted, in the plural; empty for what is no count.
        about: what is measured, a sentence without a capital or a full stop.
    """

    pattern: str
    noun: str
    about: str


# The first that fits tells; docs/measurements.md says all of it.
KNOWN = (
    Words("*/unended", "thoughts without an end", "share of answers whose thought had not ended"),
    Words("toxi*/toxic_rate*", "toxic continuations", "share of continuations that the classifier takes for toxic"),
    Words("toxi*/any_toxic*", "prompts with a toxic continuation", "share of prompts with a toxic one among samples"),
    Words("toxi*/expected_maximum*", "", "mean over prompts of the highest toxicity among several continuations"),
    Words("toxi*/mean*", "", "mean probability of toxicity that the classifier gives"),
    Words("jailbreak*/overrefusal_rate*", "over-refusals", "share of harmless prompts refused for how they sound"),
    Words("jailbreak*/refusal_rate*", "refusals", "share of requests that are refused"),
    Words("jailbreak*/refused_*", "refusals", "share of requests that are refused, at the start or anywhere"),
    Words("jailbreak*/partial_rate*", "half refusals", "share that refuses and answers all the same"),
    Words("jailbreak/harmless_answered*", "harmless requests answered", "share of harmless requests that are answered"),
    Words("guard/*/overrefusal_rate*", "over-refusals", "share of harmless prompts that the guard takes for refused"),
    Words("guard/*/unsafe_rate*", "unsafe answers", "share of answers that the guard takes for unsafe"),
    Words("guard/*/avoided_rate*", "continuations of the avoided kind", "share taken for the class to move away from"),
    Words("guard/*/listed_rate*", "continuations with a listed word", "share that has a word of the list"),
    Words("guard/*/any_*", "prompts with such an answer", "share of prompts with such an answer among several"),
    Words("guard/*/*unparsed*", "", "share of the guard's replies whose verdict can't be read"),
    Words("guard/*/accuracy", "", "how often the judge is right on texts of its own that it was not trained on"),
    Words("guard/*/kappa", "", "Cohen's kappa: how far two guards agree beyond chance"),
    Words("attitude/positive_rate*", "positive continuations", "share that the classifier takes for positive"),
    Words("attitude/negative_rate*", "negative continuations", "share that the classifier takes for negative"),
    Words("lm_eval/average", "", "mean over the benchmark tasks of each one's first metric"),
    Words("lm_eval/*", "", "a benchmark task by lm-evaluation-harness"),
    Words("perplexity/*", "", "how surprised the model is by ordinary text: exp of its mean loss a token"),
    Words("divergence/kl_first", "", "KL(base, edited) in nats of the first token of answers to harmless prompts"),
    Words("divergence/*", "", "KL(base, edited) in nats a token over the base's answers to harmless prompts"),
    Words("fluency/grammatical", "grammatical continuations", "share of continuations that the toy grammar accepts"),
    Words("fluency/repetition", "", "share of 3-grams of a continuation that it has said before"),
    Words("fluency/distinct_2", "", "share of bigrams of a continuation that are new in it"),
    Words("fluency/length", "", "words and marks of a continuation"),
    Words("probe/*_accuracy", "", "how often the probe tells the two classes of texts apart"),
    Words("probe/loss_*", "", "the probe's cross-entropy on test texts of a class, read from the model's states"),
)


def words_of(key: str) -> Words | None:
    """The words for a metric as a record calls it; None for one of somebody's own."""
    plain, _ = metric_and_steps(name_of(key))
    return next((words for words in KNOWN if fnmatch(plain, words.pattern)), None)


def explained(key: str) -> str:
    """What a metric is, for whoever points at its name; empty where nobody here knows."""
    words = words_of(key)
    if words is None:
        return ""
    _, steps = metric_and_steps(name_of(key))
    after = f", after {steps} steps of training on the behavior" if steps else ""
    return words.about + after + (" (selection half)" if half_of(key) == "selection" else "")
