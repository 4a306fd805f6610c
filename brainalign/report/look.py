"""How does the page look? Its style sheet and its icon, both inside the file."""

from __future__ import annotations

from urllib.parse import quote

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --ink: #1b1f24; --muted: #59616a; --rule: #dedfda; --panel: #f3f3ef;
  --accent: #00558a; --truth: #a34400;
  --sans: -apple-system, BlinkMacSystemFont, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171a; --ink: #e4e6e8; --muted: #a4acb4; --rule: #31373d; --panel: #1d2125;
    --accent: #86c5f2; --truth: #f2a26b;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { font-size: 100%; scroll-padding-top: 2rem; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.6 var(--sans); font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
.skip { position: absolute; left: -100rem; }
.skip:focus { left: 1rem; top: 1rem; background: var(--paper); padding: .5rem 1rem; z-index: 1; }
.layout {
  display: grid; grid-template-columns: minmax(0, 11.5rem) minmax(0, 60rem); column-gap: 4rem;
  justify-content: center; padding: 4.5rem 2rem 5rem;
}
header { grid-column: 2; padding-bottom: 1.25rem; }
nav { grid-column: 1; grid-row: 2; }
main { grid-column: 2; grid-row: 2; min-width: 0; }
h1 {
  font-size: 2.125rem; line-height: 1.2; letter-spacing: -.015em;
  font-weight: 650; margin: 0; max-width: 44rem; text-wrap: balance;
}
header p { color: var(--muted); font-size: 1.125rem; line-height: 1.5; margin: .75rem 0 0; max-width: 68ch; }
nav > div { position: sticky; top: 2.5rem; font-size: .875rem; line-height: 1.4; padding-top: 3.6rem; }
nav p { margin: 0 0 .6rem; color: var(--muted); font-weight: 600; }
nav ol { list-style: none; margin: 0; padding: 0; border-left: 1px solid var(--rule); }
nav li { padding: .3rem 0 .3rem .9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover, a:focus-visible { text-decoration: underline; text-underline-offset: .2em; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 3px; }
section { border-top: 1px solid var(--rule); padding: 2.25rem 0 3.25rem; }
section > :last-child { margin-bottom: 0; }
h2 { font-size: 1.375rem; line-height: 1.3; letter-spacing: -.01em; font-weight: 650; margin: 0 0 1.1rem; }
.text { max-width: 68ch; }
.text p { margin: 0 0 1rem; }
.lead { font-size: 1.125rem; }
code { font: .9em/1.5 var(--mono); background: var(--panel); padding: .1em .3em; border-radius: 3px; }
pre {
  background: var(--panel); border-radius: 6px; padding: 1rem 1.2rem; margin: 0 0 1.5rem; overflow-x: auto;
  font-size: .8125rem; line-height: 1.55;
}
pre code { background: none; padding: 0; font-size: inherit; }
.facts {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr));
  gap: 1.75rem 2.5rem; margin: .5rem 0 2rem;
}
.facts > div { display: flex; flex-direction: column; border-top: 2px solid var(--ink); padding-top: .7rem; }
.facts dt { font-size: .9375rem; line-height: 1.4; order: 2; }
.facts dd { margin: 0; }
.facts .value {
  font-size: 2rem; line-height: 1.15; font-weight: 600;
  letter-spacing: -.02em; order: 1; margin-bottom: .3rem;
}
.facts .remark { color: var(--muted); font-size: .875rem; line-height: 1.4; order: 3; margin-top: .15rem; }
figure { margin: 1.75rem 0 2.25rem; }
.card {
  background: #fff; border: 1px solid var(--rule); border-radius: 6px; padding: 1.1rem 1.25rem;
  width: fit-content; max-width: 100%; overflow-x: auto;
}
.card img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
figcaption { color: var(--muted); font-size: .9375rem; line-height: 1.5; max-width: 72ch; padding-top: .8rem; }
figcaption p { margin: 0 0 .5rem; }
.table { margin: 1.5rem 0 2.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9375rem; line-height: 1.4; min-width: 26rem; }
caption { text-align: left; font-weight: 600; padding: 0 0 .6rem; }
th, td { text-align: left; padding: .45rem 1.75rem .45rem 0; font-weight: 400; vertical-align: baseline; }
th:last-child, td:last-child { padding-right: .25rem; }
th.number, td.number { text-align: right; }
td.number { white-space: nowrap; }
td.long { min-width: 15rem; }
thead th {
  color: var(--muted); font-size: .875rem;
  vertical-align: bottom; border-bottom: 1px solid var(--ink); white-space: normal;
}
tbody th { min-width: 7.5rem; }
tbody tr { border-bottom: 1px solid var(--rule); }
tr.strong > th[scope="row"] { color: var(--truth); font-weight: 600; }
.note { color: var(--muted); font-size: .875rem; margin: .7rem 0 0; max-width: 72ch; }
.remark-box { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1.2rem; margin: 1.5rem 0 2rem; }
.remark-box p:last-child { margin-bottom: 0; }
details { border-top: 1px solid var(--rule); border-bottom: 1px solid var(--rule); margin: 1.5rem 0 0; }
details + details { margin-top: 0; border-top: 0; }
summary { cursor: pointer; padding: .8rem 0; font-weight: 600; color: var(--accent); }
details[open] > summary { margin-bottom: .6rem; }
footer {
  grid-column: 2; border-top: 1px solid var(--rule);
  color: var(--muted); font-size: .875rem; padding-top: 1.25rem;
}
footer p { margin: 0 0 .4rem; }
@media (max-width: 68rem) {
  .layout { grid-template-columns: minmax(0, 60rem); padding: 3rem 1.5rem 4rem; }
  header, nav, main, footer { grid-column: 1; grid-row: auto; }
  nav { padding: 0 0 2.25rem; }
  nav > div { position: static; padding-top: 0; }
  nav ol { border: 0; display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; }
  nav li { padding: .15rem 0; }
}
@media (max-width: 40rem) {
  .layout { padding: 2rem 1.125rem 3rem; }
  h1 { font-size: 1.625rem; }
  header p, .lead { font-size: 1.0625rem; }
  .facts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.4rem 1.25rem; }
  .facts .value { font-size: 1.625rem; }
  .card { padding: .75rem; margin: 0 -1.125rem; border-radius: 0; border-left: 0; border-right: 0;
    width: auto; max-width: none; }
  .card img.wide, .card img.middle { max-width: none; }
  .card img.wide { width: 44rem; }
  th, td { padding-right: 1.1rem; }
}
@media print {
  :root { --paper: #fff; --ink: #000; --muted: #444; --rule: #bbb; --panel: #f4f4f4; --accent: #000; --truth: #a34400; }
  html { font-size: 9.5pt; }
  .layout { display: block; padding: 0; }
  nav, .skip { display: none; }
  section { break-inside: auto; padding: 1.25rem 0; }
  h2, caption { break-after: avoid; }
  figure, tr, .facts > div { break-inside: avoid; }
  .card { border: 0; padding: 0; overflow: visible; }
  .card img { max-width: 100%; margin: 0; }
  .card img.small { width: 85mm; }
  .card img.middle { width: 120mm; }
  .card img.wide { width: 174mm; }
  .scroll, pre { overflow: visible; white-space: pre-wrap; }
  details::details-content { content-visibility: visible; height: auto; }
}
"""

_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#00558a"/>'
    '<path d="M4 17h5l3-9 5 17 4-12 2 4h5" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" '
    'stroke-linejoin="round"/></svg>'
)


def icon() -> str:
    """Return the page's icon as a data address, so that no browser asks a server for one."""
    return f"data:image/svg+xml,{quote(_ICON, safe='')}"
