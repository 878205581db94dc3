# SPDX-License-Identifier: Apache-2.0
"""The examples of the documentation, as tests take them out of its pages.

In Markdown an example is a fenced block with its language. What else a test has to know stands in a
comment right before it, items separated by semicolons:

    <!-- doc: file thermometer.json; needs disk.qcow2 -->

A manual page has the language there as well, in a comment before `.EX`:

    .\\" doc: json; needs disk.qcow2
"""
import dataclasses
import re

MARKDOWN = re.compile(r"(?:^<!-- doc: (?P<notes>[^\n]*) -->\n\n?)?"
                      r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
ROFF = re.compile(r"(?:^\.\\\" doc: (?P<language>\w+)(?:; (?P<notes>[^\n]*))?\n)?"
                  r"^\.EX\n(?P<text>.*?)^\.EE$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"^<!-- doc: |^\.\\\" doc: ", re.MULTILINE)
ROFF_ESCAPES = {"\\-": "-", "\\e": "\\", "\\(dq": '"', "\\(aq": "'", "\\(ti": "~", "\\(ha": "^",
                "\\&": "", "\\\\": "\\", "\\fR": "", "\\fI": "", "\\fB": "", "\\(ga": "`"}


@dataclasses.dataclass
class Example:
    line: int
    language: str
    text: str
    notes: dict  # what the comment says

    def get(self, note):
        return self.notes.get(note)


def unescape(text):
    escapes = "|".join(re.escape(escape) for escape in ROFF_ESCAPES)
    return re.sub(escapes, lambda match: ROFF_ESCAPES[match.group()], text)


def notes_of(comment):
    """The first word of each item, and the rest of it; a reason not to run is a sentence."""
    items, not_run, why = comment.partition("not run: ")
    notes = dict(item.partition(" ")[::2] for item in items.split("; ") if item)
    return {**notes, "not run": why} if not_run else notes


def examples_of(path):
    """The examples of a page, in its order."""
    page = path.read_text(encoding="utf-8")
    is_markdown = path.suffix == ".md"
    found = []
    for match in (MARKDOWN if is_markdown else ROFF).finditer(page):
        found.append(Example(
            line=page.count("\n", 0, match.start("text")), language=match["language"] or "",
            text=match["text"] if is_markdown else unescape(match["text"]),
            notes=notes_of(match["notes"] or "")))
    n_comments = len(COMMENT.findall(page))
    n_used = sum(bool(example.notes) or (not is_markdown and example.language != "")
                 for example in found)
    assert n_comments == n_used, f"{path.name}: a comment `doc:` stands before no example"
    return found
