"""Text and tables in LaTeX."""

from collections.abc import Sequence

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
}


def escaped(text: str) -> str:
    """Text that LaTeX sets as it is; what a plain 8-bit font has no letter for becomes a question mark."""
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return "".join(_LATEX.get(character, character) for character in plain)


def tabular(note: str, columns: str, heads: str, body: Sequence[str]) -> str:
    """A `tabular` with booktabs, below a comment; heads and lines of the body are LaTeX already."""
    top = [f"% {note}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", heads + r" \\", r"\midrule"]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}", ""])
