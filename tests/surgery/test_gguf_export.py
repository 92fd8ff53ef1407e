"""Edits as GGUF: what the files hold, read by the package and as a model again."""

import re
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from gguf.quants import dequantize, quantize
from gguf_world import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoTokenizer

from surgery import Edit, InputError, fingerprint, load_model, rank_rows
from surgery.changes.factors import Factors
from surgery.edits.low_rank import LowRankChange
from surgery.files.gguf_file import GgufFile
from surgery.files.gguf_place import ADAPTER_FILE, MODEL_FILE
from surgery.gguf.gguf_content import GgufContent
from surgery.gguf.gguf_export import adapter_content, model_content, save_gguf
from surgery.gguf.gguf_layout import GgufLayout
from surgery.gguf.gguf_llama import llama_content
from surgery.gguf.gguf_vocabulary import vocabulary_fields

Make = Callable[..., Path]
COMPONENTS = ("gate_proj", "up_proj", "down_proj", "q_proj", "k_proj", "v_proj", "o_proj")


def edit_of(model: Any, component: str = "gate_proj", alpha: float = 1.0, rows: int = 40) -> Edit:
    direction = torch.randn(64, generator=torch.Generator().manual_seed(3))
    return Edit(direction, alpha, rank_rows(model, direction, component=component).lowest(rows))


def lora_of(model: Any) -> LowRankChange:
    random = torch.Generator().manual_seed(4)

    def factors(layer: int, name: str, rows: int) -> Factors:
        a, b = torch.randn(2, 64, generator=random), torch.randn(rows, 2, generator=random)
        return Factors(f"model.layers.{layer}.self_attn.{name}.weight", layer + 1, a, 0.3 * b)

    sizes = {"q_proj": 64, "k_proj": 32, "v_proj": 32, "o_proj": 64}
    trained = tuple(factors(layer, name, rows) for layer in (0, 2) for name, rows in sizes.items())
    return LowRankChange(trained, fingerprint(model))


def logits(model: Any, tokenizer: Any, chain: Sequence[Any] = ()) -> torch.Tensor:
    with torch.no_grad(), ExitStack() as stack:
        for one in chain:
            stack.enter_context(one.applied_to(model))
        found: torch.Tensor = model(**tokenizer(SENTENCES[7], return_tensors="pt")).logits
    return found


def written(content: GgufContent, folder: Path, name: str = MODEL_FILE) -> Path:
    save_gguf(content, folder, name, verify=True)
    return folder / name


@pytest.mark.parametrize("component", COMPONENTS)
def test_an_adapter_is_the_change_of_each_tensor_in_its_own_order(
    make_gguf: Make, tmp_path: Path, component: str
) -> None:
    """B·A, put on the file's own numbers and read as a model, is the edited model."""
    path = make_gguf("F32")
    model, tokenizer = load_model(str(path))
    chain = [edit_of(model, component), lora_of(model)]
    file = written(
        adapter_content(chain, GgufLayout.of_file(GgufFile.read(path)), "mine"), tmp_path / "a", ADAPTER_FILE
    )
    reader = GGUFReader(file)
    said = {name: field.contents() for name, field in reader.fields.items()}
    assert said["general.architecture"] == "llama"
    assert (said["general.type"], said["adapter.type"]) == ("adapter", "lora")
    # llama.cpp scales by alpha / rank.
    assert said["adapter.lora.alpha"] == 3.0
    assert said["surgery.base_fingerprint"] == fingerprint(model)
    factors = {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    assert {name.rsplit(".", 1)[1] for name in factors} == {"lora_a", "lora_b"}

    def add(tensors: dict[str, Any]) -> None:
        for name in list(tensors):
            if f"{name}.lora_a" in factors:
                tensors[name] = tensors[name] + factors[f"{name}.lora_b"] @ factors[f"{name}.lora_a"]

    from gguf_world import with_tensors

    merged, _ = load_model(str(with_tensors(path, tmp_path / "merged.gguf", add)))
    torch.testing.assert_close(logits(merged, tokenizer), logits(model, tokenizer, chain), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_a_whole_file_is_the_bases_but_for_the_edited_tensors(make_gguf: Make, tmp_path: Path, kind: str) -> None:
    path = make_gguf(kind)
    model, _ = load_model(str(path), dtype="float32")
    edit = edit_of(model, rows=30)
    file = written(model_content([edit], GgufFile.read(path)), tmp_path / "m")
    base, new = GGUFReader(path), GGUFReader(file)
    touched = {f"blk.{layer - 1}.ffn_gate.weight" for layer in edit.region.layers}
    expected = {"Q4_0": "Q8_0"}.get(kind, kind)
    for one, other in zip(base.tensors, new.tensors, strict=True):
        assert one.name == other.name
        if one.name not in touched:
            assert (one.tensor_type, one.data.tobytes()) == (other.tensor_type, other.data.tobytes())
            continue
        assert other.tensor_type.name == expected
        layer = int(one.name.split(".")[1]) + 1
        wanted = np.array(dequantize(one.data, one.tensor_type), np.float32)
        wanted[edit.region.rows[layer].numpy()] += edit.vector.numpy()
        assert np.array_equal(
            dequantize(other.data, other.tensor_type),
            dequantize(quantize(wanted, other.tensor_type), other.tensor_type),
        )
    said = new.fields["surgery.requantised"].contents() if "surgery.requantised" in new.fields else []
    assert sorted(said) == sorted(f"{name} {kind} Q8_0" for name in touched if kind == "Q4_0")
    for name, field in base.fields.items():
        if not name.startswith("GGUF."):
            assert new.fields[name].contents() == field.contents()


@pytest.mark.parametrize("component", COMPONENTS)
def test_a_whole_file_of_plain_floats_is_the_edited_model_to_the_bit(
    make_gguf: Make, tmp_path: Path, component: str
) -> None:
    path = make_gguf("F32")
    model, tokenizer = load_model(str(path))
    chain = [edit_of(model, component), lora_of(model)]
    again, _ = load_model(str(written(model_content(chain, GgufFile.read(path)), tmp_path / "m")))
    assert torch.equal(logits(again, tokenizer), logits(model, tokenizer, chain))


@pytest.mark.parametrize("options", [{}, {"llama3": True}, {"tied": True}])
def test_a_llamas_folder_becomes_a_file_that_is_the_edited_model_to_the_bit(
    tiny_llama: Make, tmp_path: Path, options: dict[str, bool]
) -> None:
    folder = tiny_llama(**options)
    model, tokenizer = load_model(str(folder))
    chain = [edit_of(model, "q_proj"), edit_of(model), lora_of(model)]
    again, tokens = load_model(str(written(llama_content(chain, folder), tmp_path / "m")))
    assert torch.equal(logits(again, tokens), logits(model, tokenizer, chain))
    for text in SENTENCES[::40]:
        assert tokens(text)["input_ids"] == tokenizer(text)["input_ids"]
    assert tokens.chat_template == tokenizer.chat_template


def test_a_folder_in_bfloat16_keeps_its_matrices_so(tiny_llama: Make, tmp_path: Path) -> None:
    model, tokenizer = load_model(str(tiny_llama()), dtype="bfloat16")
    folder = tmp_path / "bf16"
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model, _ = load_model(str(folder))
    edit = edit_of(model)
    file = written(llama_content([edit], folder), tmp_path / "m")
    assert set(GgufFile.read(file).kinds.values()) == {"BF16", "F32"}
    again, _ = load_model(str(file))
    assert torch.equal(logits(again, tokenizer), logits(model, tokenizer, [edit]))


def test_what_our_converter_writes_is_what_the_package_writes_by_hand(tiny_llama: Make, make_gguf: Make) -> None:
    ours = {weight.name: weight for weight in llama_content([], tiny_llama()).weights}
    theirs = {tensor.name: tensor for tensor in GGUFReader(make_gguf("F32")).tensors}
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert weight.kind == theirs[name].tensor_type
        assert np.array_equal(weight.data(), np.array(theirs[name].data).reshape(-1).view(np.uint8))


@settings(max_examples=30, deadline=None)
@given(heads=st.integers(1, 6), half=st.integers(1, 5))
def test_queries_change_places_as_llama_cpp_turns_them(heads: int, half: int) -> None:
    """Pair i of a head, rows i and i + half here, lies in rows 2 i and 2 i + 1 there."""
    order = GgufLayout("llama", 2, heads, heads).order("model.layers.0.self_attn.q_proj.weight", heads * half * 2)
    assert order is not None
    for head in range(heads):
        for pair in range(half):
            start = head * half * 2
            assert order[start + 2 * pair : start + 2 * pair + 2].tolist() == [start + pair, start + pair + half]
    assert GgufLayout("qwen2", 2, heads, heads).order("model.layers.0.self_attn.q_proj.weight", 4) is None


def test_an_edit_that_a_kind_of_numbers_swallows_is_refused(make_gguf: Make, tmp_path: Path) -> None:
    path = make_gguf("Q8_0")
    model, _ = load_model(str(path), dtype="float32")
    with pytest.raises(InputError, match="unchanged in Q8_0; take a larger alpha"):
        written(model_content([edit_of(model, alpha=1e-6)], GgufFile.read(path)), tmp_path / "m")
    assert not list(tmp_path.glob("*"))
    with pytest.raises(InputError, match="infinite"):
        written(model_content([edit_of(model, alpha=1e30)], GgufFile.read(path)), tmp_path / "m")


def test_an_edit_of_another_file_is_refused(make_gguf: Make) -> None:
    model, _ = load_model(str(make_gguf("F32")))
    with pytest.raises(InputError, match="was made for model"):
        model_content([edit_of(model)], GgufFile.read(make_gguf("Q8_0")))


@pytest.mark.parametrize("name", [ADAPTER_FILE, MODEL_FILE])
@pytest.mark.parametrize("place", ["values", "metadata", "end"])
def test_verifying_tells_of_any_byte_that_changed(make_gguf: Make, tmp_path: Path, name: str, place: str) -> None:
    path = make_gguf("Q8_0")
    model, _ = load_model(str(path))
    base, edit = GgufFile.read(path), edit_of(model)
    content = (
        model_content([edit], base) if name == MODEL_FILE else adapter_content([edit], GgufLayout.of_file(base), "mine")
    )
    file = written(content, tmp_path / "x", name)
    content.verify(file)
    data = bytearray(file.read_bytes())
    if place == "values":
        data[-5] ^= 1
    elif place == "metadata":
        at = data.index(b"surgery.base_fingerprint") + len(b"surgery.base_fingerprint") + 4 + 8
        data[at] = ord("0") + (data[at] == ord("0"))
    else:
        del data[-64:]
    file.write_bytes(data)
    with pytest.raises(InputError, match=r"write it again"):
        content.verify(file)


def test_a_folder_that_is_there_is_replaced_only_when_told_to(make_gguf: Make, tmp_path: Path) -> None:
    path = make_gguf("F32")
    model, _ = load_model(str(path))
    content = adapter_content([edit_of(model)], GgufLayout.of_file(GgufFile.read(path)), "mine")
    written(content, tmp_path / "a", ADAPTER_FILE)
    with pytest.raises(InputError, match="is there already"):
        save_gguf(content, tmp_path / "a", ADAPTER_FILE)
    save_gguf(content, tmp_path / "a", ADAPTER_FILE, force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("x")
    with pytest.raises(InputError, match="is no GGUF adapter"):
        save_gguf(content, tmp_path / "mine", ADAPTER_FILE, force=True)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"model_type": "qwen2"}, "family 'qwen2'"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"attention_bias": True}, "biases"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1e4}}, "rope 'yarn'"),
    ],
)
def test_a_folder_that_would_be_written_as_another_model_is_refused(
    tiny_llama: Make, tmp_path: Path, changed: dict[str, Any], words: str
) -> None:
    import json
    import shutil

    folder = Path(shutil.copytree(tiny_llama(), tmp_path / "changed"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(InputError, match=re.escape(words)):
        llama_content([], folder)


def test_a_family_or_matrix_without_a_known_place_is_refused() -> None:
    with pytest.raises(InputError, match="family 'jamba', whose layout in GGUF is not known"):
        GgufLayout.of_config(AutoConfig.for_model("jamba"))
    layout = GgufLayout("lfm2", 2, 4, 2)
    assert layout.tensor("model.layers.0.feed_forward.w1.weight") == "blk.0.ffn_gate.weight"
    for parameter in ("model.layers.0.self_attn.q_proj.weight", "model.layers.0.nonsense.weight"):
        with pytest.raises(InputError, match="has no known place"):
            layout.tensor(parameter)


def sentencepiece(merges: list[tuple[str, str]], words: Sequence[str] = ()) -> Any:
    """A tokenizer of the LLaMA 2 kind."""
    from tokenizers import Tokenizer, models, normalizers
    from transformers import PreTrainedTokenizerFast

    every = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "c"]
    every += [first + second for first, second in merges] + list(words)
    vocab = {word: index for index, word in enumerate(dict.fromkeys(every))}
    tokenizer = Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_a_sentencepiece_vocabulary_has_scores_in_the_order_of_its_merges() -> None:
    fields = {field.key: field.value for field in vocabulary_fields(sentencepiece([("a", "b"), ("▁", "ab")]), 266)}
    assert fields["tokenizer.ggml.model"] == "llama"
    tokens, scores = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.scores"]
    types = fields["tokenizer.ggml.token_type"]
    assert scores[tokens.index("ab")] > scores[tokens.index("▁ab")] > scores[tokens.index("c")]
    assert (types[0], types[tokens.index("<0x41>")], types[tokens.index("ab")], types[265]) == (2, 6, 1, 5)
    assert fields["tokenizer.ggml.add_space_prefix"] is True


def test_tokenizers_that_llama_cpp_would_read_in_another_way_are_refused(tiny_llama: Make) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    odd = AutoTokenizer.from_pretrained(tiny_llama())
    odd.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    for tokenizer, why in (
        (words, "it is of kind WordLevel"),
        (odd, "it splits or rewrites texts in a way of its own"),
        (sentencepiece([("a", "b")], ["bc"]), "it never merges 'b' and 'c'"),
    ):
        with pytest.raises(InputError, match=re.escape(why)):
            vocabulary_fields(tokenizer, 400)
    with pytest.raises(InputError, match="the model 8 embeddings"):
        vocabulary_fields(AutoTokenizer.from_pretrained(tiny_llama()), 8)
