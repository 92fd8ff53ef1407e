"""A model in memory as lm-eval takes it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import Collator
from tqdm import tqdm

from evaluation.harness.lm_eval_texts import ReadsAsMeasured
from evaluation.inputs.model_input import padded
from evaluation.position_logits import position_logits

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class ModelInMemory(ReadsAsMeasured, HFLM):  # type: ignore[misc]
    """lm-eval's model, but that it reads texts as all other measurements do.

    Where thoughts are stripped, what is written is what follows them, and texts to stop at are looked for there alone.
    lm-eval's own `think_end_token` stops within thoughts, takes one that has not ended for an answer, and can't see
    marks that are special tokens.

    Args:
        model, tokenizer: as loaded.
        max_length: most tokens of a question with its examples; None is the model's maximum.
        chat: questions go through the chat template.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        max_length: int | None = None,
        chat: bool = False,
    ) -> None:
        own = self._read_by(model, tokenizer, chat)
        super().__init__(pretrained=model, tokenizer=own, max_length=max_length)

    def tok_decode(self, tokens: int | list[int], skip_special_tokens: bool = True) -> str:
        """What tokens say; of what the model wrote, its answer; see `ReadsAsMeasured`."""
        if self.thoughts is None or isinstance(tokens, int) or not skip_special_tokens:
            return str(super().tok_decode(tokens, skip_special_tokens=skip_special_tokens))
        return self._answer(tokens)

    def _model_generate(self, context: torch.Tensor, max_length: int, stop: list[str], **settings: Any) -> torch.Tensor:
        """As lm-eval does it; where thoughts are stripped it goes on to the end, and is cut at a stop text later."""
        stop = stop if self.thoughts is None else []
        made: torch.Tensor = super()._model_generate(context, max_length, stop, **settings)
        return made

    def tok_encode(
        self,
        string: str,
        add_special_tokens: bool | None = None,
        left_truncate_len: int | None = None,
        **_: object,
    ) -> list[int]:
        """Token ids, see `ReadsAsMeasured`."""
        ids = self._encoded(string, add_special_tokens)
        return ids[-left_truncate_len:] if left_truncate_len else ids

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: Literal["left", "right"] = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """`input_ids` and `attention_mask` [b, t] of contexts, which lose their beginning where they are too long."""
        rows = [self.tok_encode(string, left_truncate_len=left_truncate_len) for string in strings]
        inputs = padded(self.model, rows, padding_side, self.tokenizer.pad_token_id)
        return inputs["input_ids"], inputs["attention_mask"]

    def _loglikelihood_tokens(
        self,
        requests: "list[tuple[tuple[str, str] | None, list[int], list[int]]]",
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """(log-likelihood in nats, whether it is the greedy choice) of each continuation after its context.

        As lm-eval does it, in its batches; but logits are made of the positions of continuations alone, and in pieces,
        see `evaluation.position_logits`.

        Args:
            requests: (texts, tokens of the context, tokens of the continuation).
        """
        # Longest first. Those that differ in the last token alone share a forward pass.
        order = Collator(
            requests,
            sort_fn=lambda request: (-len(request[1] + request[2]), tuple(request[1] + request[2])),
            group_by="contexts" if self.logits_cache else None,
            group_fn=lambda request: request[1] + request[2][:-1],
        )
        answers: list[tuple[float, bool]] = []
        with tqdm(total=len(requests), disable=disable_tqdm, desc="Running loglikelihood requests") as bar:
            for chunk in order.get_batched(n=override_bs or self.batch_size):
                inputs = [(context + continuation)[-(self.max_length + 1) :][:-1] for _, context, continuation in chunk]
                # The place of a logits tensor is taken by an empty one: only who shares a pass is asked for here.
                shared = [list(order.get_cache(*request, torch.empty(1, 1, 1))) for request in chunk]
                asked = [(row, list(tokens)) for row, some in enumerate(shared) for _, tokens, _ in some]
                found = self._read(inputs, asked)
                for (texts, _, _), answer in zip((one for some in shared for one in some), found, strict=True):
                    answers.append(answer)
                    # Windows of a rolling likelihood have no texts; lm-eval keeps their sum.
                    if texts is not None:
                        self.cache_hook.add_partial("loglikelihood", texts, answer)
                bar.update(len(found))
        original: list[tuple[float, bool]] = order.get_original(answers)
        return original

    def _read(
        self, inputs: Sequence[Sequence[int]], asked: Sequence[tuple[int, Sequence[int]]]
    ) -> list[tuple[float, bool]]:
        """The likelihoods of one batch: what is asked is a row of the inputs and the tokens that its end predicts."""
        sizes = [len(tokens) for _, tokens in asked]
        rows = torch.tensor([row for row, tokens in asked for _ in tokens])
        columns = torch.tensor(
            [len(inputs[row]) - len(tokens) + place for row, tokens in asked for place in range(len(tokens))]
        )
        targets = torch.tensor([token for _, tokens in asked for token in tokens])
        # Positions that several continuations share are made once.
        places, where = torch.unique(torch.stack((rows, columns)), dim=1, return_inverse=True)
        width = max(map(len, inputs))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in inputs], device=self.device)
        likelihood = torch.empty(len(targets), dtype=self.softmax_dtype or self.model.dtype)
        is_greedy = torch.empty(len(targets), dtype=torch.bool)
        with torch.no_grad():
            reached = 0
            for logits in position_logits(self.model, {"input_ids": ids}, *places):
                values = torch.nn.functional.log_softmax(logits, dim=-1, dtype=self.softmax_dtype)
                here = ((where >= reached) & (where < reached + len(logits))).nonzero().flatten()
                local = (where[here] - reached).to(values.device)
                target = targets[here].to(values.device)
                likelihood[here] = values[local, target].cpu()
                is_greedy[here] = (values.argmax(-1)[local] == target).cpu()
                reached += len(logits)
        asked_of = zip(likelihood.split(sizes), is_greedy.split(sizes), strict=True)
        return [(float(one.sum()), bool(other.all())) for one, other in asked_of]
