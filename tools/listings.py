"""Code of helpers and scripts on a page: lines that are too long for it are broken, as one would by hand.

The files have lines of up to 112 letters, and beside the contents a page holds ninety. What stands in a page
is still the same code: it is broken inside of brackets, a string becomes several, which Python joins, and
remarks go to lines of their own.
"""

import io
import re
import textwrap
import tokenize
from collections import defaultdict

COLUMNS = 88
LEFT = 20  # letters that are worth a line
WORDS = {"and", "or", "if", "else", "for"}  # a line may begin with these, and rather with a word
SIGNS = {"+", "-", "*", "/", "|", "@"}
BLOCKS = ("def ", "if ", "elif ", "for ", "while ", "with ", "class ", ")")
# A line in brackets that is one string: its indent, its kind, its text with what is filled in, what follows.
STRING = re.compile(r'(\s*)(f?)"((?:[^"\\{}]|\{[^{}"]*\})+)"([,)\]]*)')
WORD = re.compile(r"(?:[^ {}]|\{[^{}]*\})* ?")  # of a string, with the space after it
STRING_STARTS, STRING_ENDS = (
    {kind for name in ("FSTRING", "TSTRING") if (kind := getattr(tokenize, f"{name}_{end}", None))}
    for end in ("START", "END")
)
Place = tuple[
    bool, int, bool, int
]  # right after a bracket, how deep in brackets, before no word, and the column


def broken_to_width(code: str, columns: int = COLUMNS) -> str:
    """The code with no line of more than so many letters, but for those that are one word."""
    lines = code.splitlines()
    if max(map(len, lines), default=0) <= columns:
        return code
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(code).readline))
    except (tokenize.TokenError, SyntaxError):  # a piece of code
        return code
    remarks = {token.start[0]: token.start[1] for token in tokens if token.type == tokenize.COMMENT}
    places, deep = _places(tokens)
    fitted: list[str] = []
    wrapped: set[int] = set()
    for number, line in enumerate(lines, start=1):
        alone = number in remarks and not line[: remarks[number]].strip()
        if number in remarks and (len(line) > columns or (alone and number - 1 in wrapped)):
            at, indent = remarks[number], line[: len(line) - len(line.lstrip())]
            start = f"{indent}# "
            text = line[at:].lstrip("# ")
            if alone and number - 1 in remarks and fitted[-1].startswith(start):
                text = f"{fitted.pop()[len(start) :]} {text}"  # the sentence goes on
            fitted += textwrap.wrap(text, columns, initial_indent=start, subsequent_indent=start)
            line = line[:at].rstrip()
            wrapped.add(number)
        if line:
            inside = deep[number] and not line.lstrip().startswith(")")
            pieces = _pieces(line, places[number], columns, further=0 if inside else None)
            for place, piece in enumerate(pieces):
                fitted += _strings(piece, columns) if inside or place else [piece]
        elif number not in remarks:
            fitted.append(line)
    return "\n".join(fitted)


def _places(tokens: list[tokenize.TokenInfo]) -> tuple[dict[int, list[Place]], dict[int, int]]:
    """Where each line may be broken, in brackets and not in strings; and how deep in brackets it begins."""
    depth = inside = 0
    places: dict[int, list[Place]] = defaultdict(list)
    deep: dict[int, int] = defaultdict(int)
    for token, after in zip(tokens, tokens[1:]):
        inside += (token.type in STRING_STARTS) - (token.type in STRING_ENDS)
        deep.setdefault(token.start[0], depth)
        if inside:
            continue
        opens = token.type == tokenize.OP and token.string in "([{"
        depth += opens - (token.type == tokenize.OP and token.string in ")]}")
        if depth and token.string in WORDS | SIGNS:
            places[token.start[0]].append((False, depth, token.string in SIGNS, token.start[1]))
        if depth and (token.string == "," or opens) and after.string not in ")]}":
            places[after.start[0]].append((opens, depth, True, after.start[1]))
    return places, deep


def _pieces(line: str, places: list[Place], columns: int, further: int | None) -> list[str]:
    """A line in as many as it takes; the later ones are indented so much further, if it is known how much."""
    indent = len(line) - len(line.lstrip())
    if further is None:
        further = 8 if line.lstrip().startswith(BLOCKS) else 4
    pieces, start, before = [], 0, ""
    while len(before) + len(line) - start > columns:
        room = start + columns - len(before)
        fitting = [place for place in places if start + indent < place[-1] <= room]
        if not fitting:
            break
        # Rather not for the sake of a word or two.
        at = min(fitting, key=lambda place: (*place[:2], len(line) - place[3] < LEFT, place[2], -place[3]))[3]
        pieces.append(before + line[start:at].rstrip())
        start, before = at, " " * (indent + further)
    return [*pieces, before + line[start:]]


def _strings(line: str, columns: int) -> list[str]:
    """A line that is one string as several, if it is too long."""
    if len(line) <= columns or not (string := STRING.fullmatch(line)):
        return [line]
    indent, kind, text, end = string.groups()
    room, rows = columns - len(f'{indent}{kind}""{end}'), [""]
    for word in WORD.findall(text):
        if rows[-1] and len(rows[-1] + word) > room:
            rows.append("")
        rows[-1] += word
    quoted = [f'{indent}{kind if "{" in row else ""}"{row}"' for row in rows]
    return [*quoted[:-1], quoted[-1] + end]
