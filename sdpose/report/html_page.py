"""A report as one HTML file that needs nothing else: no script, no font, no request. Every text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from itertools import groupby

from sdpose.report.blocks import Block, Card, Chart, Document, Listing, Paragraph, Picture, Points, Table
from sdpose.report.svg_chart import svg_chart

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--dim:#57606a;--rule:#d0d7de;--shade:#f6f8fa;
--good:#1a7f37;--bad:#cf222e;--warning:#9a6700;--info:#0969da;
--c0:#0969da;--c1:#bc4c00;--c2:#1a7f37;--c3:#8250df;--c4:#bf3989;--c5:#57606a}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--paper:#0d1117;--dim:#9198a1;--rule:#3d444d;--shade:#151b23;
--good:#3fb950;--bad:#f85149;--warning:#d29922;--info:#4493f8;
--c0:#4493f8;--c1:#f0883e;--c2:#3fb950;--c3:#ab7df8;--c4:#f778ba;--c5:#9198a1}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:70rem;background:var(--paper);color:var(--ink);
font:16px/1.5 system-ui,"Noto Sans KR",sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.2rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--rule)}
h3{font-size:1rem;margin:.2rem 0}p{margin:.4rem 0}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;margin:.5rem 0;list-style:none}
nav a{display:block;padding:.15rem 0}a{color:var(--info)}
.good,.bad,.mixed{font-size:1.15rem;font-weight:600;border-left:.4rem solid;padding:.3rem .8rem;background:var(--shade)}
.good{border-color:var(--good)}.bad{border-color:var(--bad)}.mixed{border-color:var(--warning)}.note{color:var(--dim)}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0;font-size:.9rem}
caption{text-align:left;color:var(--dim);padding:.2rem 0}
th,td{border-bottom:1px solid var(--rule);padding:.2rem .7rem .2rem 0;text-align:right;white-space:nowrap}
th:first-child,td:first-child,.words td,.words th{text-align:left;vertical-align:top}
.words td,.words th{white-space:pre-line;overflow-wrap:anywhere}
thead th{color:var(--dim);font-weight:600}tbody th{font-weight:400}
figure{margin:1rem 0}figcaption{font-size:.9rem;color:var(--dim)}svg{width:100%;height:auto;display:block}
.grid{stroke:var(--rule);stroke-width:1}.tick{fill:var(--dim);font-size:14px}
.curve{fill:none;stroke-width:1.8;stroke-linejoin:round}.under .curve{stroke-width:5;opacity:.45}
.band{opacity:.2;stroke:none}
.mark line{stroke-dasharray:4 3;stroke-width:1.2;stroke:currentColor}.mark path{fill:currentColor}
.broken{stroke:var(--bad);stroke-width:1.5}.critical{color:var(--bad)}.warning{color:var(--warning)}
.info{color:var(--info)}
.name{display:inline-block}
.key{display:inline-block;width:1.2em;height:.25em;vertical-align:middle;margin:0 .3em 0 .8em}
article{border:1px solid var(--rule);border-left:.4rem solid currentColor;padding:.5rem .8rem;margin:.7rem 0;
border-radius:.3rem}article>*{color:var(--ink)}article>h3{color:inherit}
ul,ol{margin:.2rem 0;padding-left:1.4rem}.lines{white-space:pre-line}
pre{overflow-x:auto;background:var(--shade);padding:.6rem;font-size:.8rem;max-height:40rem}
summary{cursor:pointer}img{width:100%;height:auto;border-radius:.3rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:.5rem}
.pictures figure,.charts figure{margin:0}.charts figure{display:flex;flex-direction:column}
.charts figcaption{flex:1}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(28rem,100%),1fr));gap:1.2rem 1.5rem}
@media(max-width:36rem){.tick{font-size:18px}.curve{stroke-width:2.5}}
""" + "".join(
    f".curve.c{n}{{stroke:var(--c{n})}}.band.c{n},.dot.c{n}{{fill:var(--c{n})}}.key.c{n}{{background:var(--c{n})}}"
    for n in range(6)
)
# Belt and braces: should a text ever escape its escaping, the browser still loads and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

# Blocks of one kind that follow each other stand side by side where there is room.
_GRIDS: dict[type, str] = {Picture: "pictures", Chart: "charts"}


def html_page(document: Document) -> str:
    """The whole file."""
    links = "".join(
        f'<li><a href="#s{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(document.sections)
    )
    writer = _Writer(document.language)
    body = "".join(
        f'<section aria-labelledby="s{number}"><h2 id="s{number}">{escape(section.title)}</h2>'
        f"{writer.blocks(section.blocks)}</section>\n"
        for number, section in enumerate(document.sections)
    )
    return (
        f'<!doctype html>\n<html lang="{escape(document.language)}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(document.title)}</h1></header>\n<nav><ul>{links}</ul></nav>\n<main>\n{body}</main>\n"
        "</body>\n</html>\n"
    )


class _Writer:
    """Blocks to HTML; counts the charts, whose ids must differ."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._num_charts = 0

    def blocks(self, blocks: Sequence[Block]) -> str:
        parts = []
        for kind, group in groupby(blocks, key=lambda block: _GRIDS.get(type(block))):
            text = "".join(self._block(block) for block in group)
            parts.append(f'<div class="{kind}">{text}</div>' if kind else text)
        return "".join(parts)

    def _block(self, block: Block) -> str:
        match block:
            case Paragraph(text, tone):
                return f'<p class="{tone} lines">{escape(text)}</p>'
            case Table():
                return _table(block)
            case Points(items, heading, ordered):
                tag = "ol" if ordered else "ul"
                entries = "".join(f"<li>{escape(item)}</li>" for item in items)
                return (f"<p><strong>{escape(heading)}</strong></p>" if heading else "") + (
                    f"<{tag}>{entries}</{tag}>"
                )
            case Listing(text, caption, folded):
                label = f'role="region" aria-label="{escape(caption)}"'
                code = f'<pre tabindex="0" {label}><code>{escape(text)}</code></pre>'
                if folded:
                    return f"<details><summary>{escape(caption)}</summary>{code}</details>"
                return f"<p>{escape(caption)}</p>{code}"
            case Chart():
                return self._chart(block)
            case Card(title, severity, inner):
                return f'<article class="{escape(severity)}"><h3>{escape(title)}</h3>{self.blocks(inner)}</article>'
            case Picture():
                return _picture(block)

    def _chart(self, chart: Chart) -> str:
        self._num_charts += 1
        drawing = svg_chart(chart, self._num_charts, self._language)
        if not drawing:
            return ""
        names = "".join(
            f'<span class="name"><span class="key c{index % 6}"></span>{escape(line.name)}</span> '
            for index, line in enumerate(line for line in chart.lines if len(line.values))
        )
        return f"<figure><figcaption>{escape(chart.title)}{names}</figcaption>{drawing}</figure>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.header)
    rows = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in table.rows
    )
    kind = ' class="words"' if table.prose else ""
    caption = escape(table.caption)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table{kind}>'
        f"<caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.jpeg).decode("ascii")
    return (
        f'<figure><img alt="{escape(picture.alt)}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
