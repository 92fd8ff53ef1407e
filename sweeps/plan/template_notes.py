"""What is asked of a chat template, held against what goes through it; and which models belong to one."""

from surgery.errors import InputError
from sweeps.cell.settings import MethodSettings, ModelSettings


def require_template_for(model: ModelSettings, chat: bool) -> None:
    """Raises InputError where a template is to do something, and nothing goes through it.

    Args:
        model: its settings.
        chat: whether prompts or texts go through the chat template.
    """
    if chat:
        return
    for name in model.framing().identity():
        instead = "leave model.system out" if name == "system" else "say model.thinking=keep"
        given = "model.system" if name == "system" else f"model.thinking={model.thinking}"
        raise InputError(
            f"{given} needs the chat template, but nothing goes through it (model.chat=false); say model.chat=true, or "
            f"{instead}"
        )


def require_prompts_for(method: MethodSettings, chat: bool) -> None:
    """Raises InputError for a method that changes what prompts are shown in, where none go through the template.

    Args:
        method: its settings.
        chat: whether prompts go through the chat template.
    """
    if method.needs.system and not chat:
        raise InputError(
            f"method={method.name} gives the chat template a system prompt, but no prompts go through it; say "
            "model.chat=true and give the prompts of a chat model, or take another method"
        )


def template_notes(model: ModelSettings, made_for_it: bool | None, chat: bool) -> list[str]:
    """A sentence on a chat model whose prompts go without its template, or a base model whose go through one.

    Args:
        model: its settings.
        made_for_it: see `surgery.tokens.template_checks.ends_turns`.
        chat: whether prompts go through the chat template.
    """
    if made_for_it is True and not chat:
        return [
            f"model {model.name} stops where its chat template ends a turn, as chat models do, but its prompts go "
            "without the template; model.chat=true puts them into it"
        ]
    if made_for_it is False and chat:
        return [
            f"model {model.name} does not stop where its chat template ends a turn, so it may be a base model, but its "
            "prompts go through the template; model.chat=false leaves it out"
        ]
    return []
