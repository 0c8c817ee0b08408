"""A report as one HTML file that needs nothing else: styles and pictures are in it, scripts and addresses are not."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

from mr2ct_training.evaluation.blocks import Beside, Block, Bullets, Section, Sheet
from mr2ct_training.evaluation.figures import Picture

# whatever a table's author wrote as a patient's name: nothing is run, nothing is fetched
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

LONG = 28  # characters; a longer cell is broken into lines

STYLE = """
body { max-width: 1240px; margin: 1.5em auto; padding: 0 1.5em; color: #1a1a1a; background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", Arial, sans-serif; }
h1 { font-size: 1.6em; margin: 0 0 .6em; }
h2 { font-size: 1.2em; margin: 2em 0 .6em; border-bottom: 1px solid #ccc; }
p, li { max-width: 62em; overflow-wrap: anywhere; }
.research { font-weight: 600; }
.loud { border: 2px solid #b00020; background: #fdecee; padding: .5em 1em .5em 2.2em; }
.beside { display: flex; flex-wrap: wrap; gap: 1em 3em; align-items: flex-start; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: .8em 0; border-top: 2px solid; border-bottom: 2px solid;
  font-variant-numeric: tabular-nums; font-size: .93em; }
caption { text-align: left; font-weight: 600; padding-bottom: .4em; }
th, td { padding: .2em .6em; text-align: right; vertical-align: top; white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; white-space: normal; max-width: 9em; overflow-wrap: break-word; }
thead th[colspan] { text-align: center; border-bottom: 1px solid #999; max-width: 16em; }
thead tr:last-child > * { border-bottom: 1px solid; }
tbody th { font-weight: 400; }
.words { text-align: left; }
.long { white-space: normal; overflow-wrap: anywhere; min-width: 10em; max-width: 36em; }
tfoot td, tfoot th { border-top: 1px solid; font-weight: 600; }
tfoot tr + tr > * { border-top: 0; }
.note, figcaption { font-size: .9em; color: #444; max-width: 68em; }
.beside .note { max-width: 34em; }
figure { margin: 1.2em 0; }
img { max-width: 100%; height: auto; }
@media print {
  @page { size: A4; margin: 12mm; }
  body { max-width: none; margin: 0; padding: 0; font-size: 9pt; }
  h2 { break-after: avoid; }
  th, td { padding: .15em .4em; }
  thead th { max-width: 6.5em; }
  tfoot { display: table-row-group; }
  tr, figure { break-inside: avoid; }
  img { max-height: 250mm; width: auto; }
  .loud { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def page(title: str, report: Sequence[Section]) -> str:
    """The text of report.html."""
    body = "\n".join(line for section in report for line in _section(section))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">\n'
        f'<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{escape(title)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _section(section: Section) -> Iterator[str]:
    if section.blocks:
        yield "<section>"
        if section.title:
            yield f"<h2>{escape(section.title)}</h2>"
        for number, block in enumerate(section.blocks):
            first = not section.title and not number
            yield f'<p class="research">{escape(block)}</p>' if first and isinstance(block, str) else _block(block)
        yield "</section>"


def _block(block: Block) -> str:
    match block:
        case str():
            return f"<p>{escape(block)}</p>"
        case Bullets(lines, loud):
            items = "\n".join(f"<li>{'WARNING: ' if loud else ''}{escape(line)}</li>" for line in lines)
            return f"<ul{' class=loud role=alert' if loud else ''}>\n{items}\n</ul>"
        case Picture():
            data = base64.b64encode(block.png).decode()
            image = f'<img alt="{escape(block.alt)}" src="data:image/png;base64,{data}">'
            return f"<figure>\n{image}\n<figcaption>{escape(block.caption)}</figcaption>\n</figure>"
        case Beside(sheets):
            return '<div class="beside">\n' + "\n".join(_sheet(sheet) for sheet in sheets) + "\n</div>"
        case Sheet():
            return _sheet(block)


def _sheet(sheet: Sheet) -> str:
    """A table with its headings told to a screen reader."""
    lines = ['<div class="wide">', "<table>", f"<caption>{escape(sheet.caption)}</caption>", "<thead>"]
    if sheet.groups:
        over = "".join(f'<th scope="colgroup" colspan="{count}">{escape(group)}</th>' for group, count in sheet.groups)
        lines.append(f"<tr>{'<td></td>' * sheet.words}{over}</tr>")
    heads = (
        f'<th scope="col"{_class(sheet, n, column)}>{escape(column)}</th>' for n, column in enumerate(sheet.columns)
    )
    lines += [f"<tr>{''.join(heads)}</tr>", "</thead>", "<tbody>", *(_row(sheet, cells) for cells in sheet.rows)]
    lines.append("</tbody>")
    if sheet.foot:
        lines += ["<tfoot>", *(_row(sheet, cells) for cells in sheet.foot), "</tfoot>"]
    lines.append("</table>")
    if sheet.note:
        lines.append(f'<p class="note">{escape(sheet.note)}</p>')
    return "\n".join([*lines, "</div>"])


def _row(sheet: Sheet, cells: Sequence[str]) -> str:
    first = f'<th scope="row"{_class(sheet, 0, cells[0])}>{escape(cells[0])}</th>'
    others = (f"<td{_class(sheet, n, cell)}>{escape(cell)}</td>" for n, cell in enumerate(cells) if n)
    return f"<tr>{first}{''.join(others)}</tr>"


def _class(sheet: Sheet, column: int, cell: str) -> str:
    """Words begin at the left, and long ones may be broken."""
    if column >= sheet.words:
        return ""
    return ' class="words long"' if len(cell) > LONG else ' class="words"'
