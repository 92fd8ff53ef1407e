"""A model behind an OpenAI-compatible server as lm-eval takes it: its `local-completions`."""

from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from lm_eval.models.openai_completions import LocalCompletionsAPI

from evaluation.harness.lm_eval_texts import ReadsAsMeasured

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Questions of a request; the server batches them as it has room.
AT_ONCE = 256


class ServedModel(ReadsAsMeasured, LocalCompletionsAPI):  # type: ignore[misc]
    """lm-eval's own requests, but that texts are read as all other measurements read them and that the server is asked
    by who else asks it, so that one which died is told from a question that can't be answered.

    Args:
        model: without its weights.
        tokenizer: framed as the model is asked.
        post: asks the server for completions: the payload, but for the model's name, to its answer.
        max_length: most tokens of a question with its examples, or of a context with what is written.
        batch_size: questions of a request; None is AT_ONCE.
        chat: questions go through the chat template.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        post: Callable[[Mapping[str, Any]], Mapping[str, Any]],
        max_length: int,
        batch_size: int | None = None,
        chat: bool = False,
    ) -> None:
        own = self._read_by(model, tokenizer, chat)
        self._post = post
        super().__init__(
            model="served",
            base_url="",
            tokenizer_backend=None,
            batch_size=batch_size or AT_ONCE,
            # lm-eval takes off the one token that is always asked for; a server of ours has room for it.
            max_length=max_length + 1,
            # A server that died does not come back by waiting; who asks replaces it.
            max_retries=1,
        )
        self.tokenizer, self.tokenizer_backend, self.tokenized_requests = own, "huggingface", True

    def tok_encode(self, string: Any, add_special_tokens: bool | None = None, **_: Any) -> Any:
        """Token ids of a text, or of several, see `ReadsAsMeasured`."""
        if isinstance(string, str):
            return self._encoded(string, add_special_tokens)
        # Contexts of what is written: lm-eval's own rule for beginnings is that of texts.
        return [self._encoded(one) for one in string]

    def model_call(self, messages: Any, *, generate: bool = True, gen_kwargs: Any = None, **kwargs: Any) -> Any:
        """Asks the server; raises what `post` raises."""
        message, options = self.create_message(messages), {"seed": self._seed, "eos": self.eos_string}
        asked = self._create_payload(message, generate=generate, gen_kwargs=gen_kwargs, **options)
        del asked["model"]
        if not generate:
            # Two tokens may say the same.
            return self._post(asked | {"return_tokens_as_token_ids": True})
        self._stops = [stop for stop in asked.pop("stop") if stop]
        # Where thoughts are stripped it goes on to the end, and is cut at a stop text later.
        stopped = {"stop": self._stops} if self.thoughts is None else {}
        # What the tokens say is read here, as with any engine.
        return self._post(asked | stopped | {"return_token_ids": True, "skip_special_tokens": False})

    def parse_generations(self, outputs: Any, **kwargs: Any) -> list[str]:
        """What was written, up to a stop text."""
        found = []
        for choice in sorted(outputs["choices"], key=itemgetter("index")):
            said = self._answer(choice["token_ids"])
            found.append(said[: min((said.find(stop) for stop in self._stops if stop in said), default=len(said))])
        return found
