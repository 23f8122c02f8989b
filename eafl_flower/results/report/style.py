"""How a page looks: on a phone and on a desk, light and dark, on paper."""

STYLE = """
:root { color-scheme: light dark; --ground: #fcfcfa; --raised: #f3f4f1; --ink: #1b2126; --faint: #59636d;
  --line: #dfe2e1; --pale: #cbd3d4; --accent: #0b6b74;
  --series-0: #0b6b74; --series-1: #c25100; --series-2: #6a51a3; --series-3: #8a6d00; --series-4: #2b6cb0;
  --series-5: #a23a72; --series-6: #47525c; }
@media screen and (prefers-color-scheme: dark) { :root { --ground: #13171a; --raised: #1c2125; --ink: #e6eaec;
  --faint: #9ba7b0; --line: #2e353b; --pale: #3c464d; --accent: #5cc6cc;
  --series-0: #5cc6cc; --series-1: #f0894a; --series-2: #b9a3ea; --series-3: #dcc04a; --series-4: #7fb2ec;
  --series-5: #e295bf; --series-6: #b9c4cc; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: clamp(1.5rem, 5vw, 4rem) clamp(1.1rem, 4vw, 2.5rem) 4rem; }
h1, h2, h3, p, dd, dt, li, figcaption { overflow-wrap: anywhere; }
td, th { overflow-wrap: break-word; }
h1 { font-size: clamp(1.7rem, 1.3rem + 1.9vw, 2.5rem); line-height: 1.15; letter-spacing: -.015em; font-weight: 680;
  margin: 0; }
h2 { font-size: 1.3rem; line-height: 1.25; letter-spacing: -.005em; font-weight: 660; margin: 0 0 .35rem; }
h3 { font-size: 1rem; font-weight: 640; margin: 1.75rem 0 .35rem; }
p { margin: 0 0 .75rem; max-width: 44rem; }
.kind { margin: 0 0 .5rem; font-size: .8rem; letter-spacing: .08em; text-transform: uppercase; color: var(--accent);
  font-weight: 640; }
.facts { color: var(--faint); margin: .6rem 0 0; }
header { margin-bottom: 2rem; }
.verdict { margin: 2rem 0 0; padding-left: 1.1rem; border-left: 3px solid var(--accent); max-width: 46rem; }
.verdict p { margin: 0 0 .55rem; }
.verdict p:first-child { font-size: clamp(1.15rem, 1.05rem + .5vw, 1.35rem); line-height: 1.4; font-weight: 500; }
.verdict p:last-child { margin: 0; }
.note { color: var(--faint); margin-bottom: 1rem; }
.note::first-letter { text-transform: uppercase; }
.warning { border: 1px solid var(--series-1); border-radius: .5rem; padding: .6rem .9rem; }
section { margin-top: 3.25rem; padding-top: 1.5rem; border-top: 1px solid var(--line); }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .75rem; margin: 0; }
.tiles > div { background: var(--raised); border-radius: .6rem; padding: .75rem .9rem .8rem; }
.tiles dt { font-size: .8125rem; color: var(--faint); line-height: 1.3; }
.tiles dd { margin: .2rem 0 0; font-size: 1.35rem; font-weight: 640; letter-spacing: -.01em; line-height: 1.2;
  font-variant-numeric: tabular-nums; }
.tiles small { display: block; font-size: .8125rem; font-weight: 400; color: var(--faint); letter-spacing: 0;
  line-height: 1.35; margin-top: .2rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 2.25rem 2.5rem;
  align-items: start; margin-top: 1.25rem; }
figure { margin: 0; min-width: 0; max-width: 34rem; }
figcaption { margin-bottom: .5rem; line-height: 1.4; }
figcaption strong { font-weight: 640; display: block; }
figcaption strong::first-letter { text-transform: uppercase; }
figcaption span { color: var(--faint); font-size: .875rem; display: block; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.legend { list-style: none; margin: .4rem 0 .5rem; padding: 0; display: flex; flex-wrap: wrap; gap: .15rem 1rem;
  font-size: .8125rem; line-height: 1.5; }
.legend li { display: flex; align-items: center; gap: .4rem; min-width: 0; }
.legend svg { flex: none; width: 1.6rem; height: .75rem; }
.legend b { font-weight: 640; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: 1rem 0 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9375rem; line-height: 1.4; }
caption { text-align: left; font-weight: 640; padding-bottom: .35rem; }
th, td { padding: .42rem 1.1rem .42rem 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: baseline; }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-weight: 500; font-size: .8125rem; line-height: 1.3; color: var(--faint); vertical-align: bottom;
  min-width: 4.4rem; }
tbody th { font-weight: 400; min-width: 8rem; max-width: 24rem; hyphens: auto; }
th small, td small { display: block; font-size: .8125rem; font-weight: 400; color: var(--faint); }
td.number, th.number { text-align: right; }
td.number { white-space: nowrap; }
tr.own th, tr.own td { font-weight: 660; color: var(--accent); }
a { color: var(--accent); }
a.term { color: inherit; text-decoration: underline dotted var(--faint); text-underline-offset: .2em; }
a.term:hover, a.term:focus-visible { color: var(--accent); text-decoration-color: currentColor; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--accent); font-weight: 560; }
.terms { margin: 1rem 0 0; columns: 2 22rem; column-gap: 2.5rem; }
.terms > div { break-inside: avoid; padding: 0 0 .8rem; scroll-margin-top: 1rem; }
.terms > div:target { background: var(--raised); box-shadow: 0 0 0 .5rem var(--raised); border-radius: .1rem; }
.terms dt { font-weight: 640; }
.terms dd { margin: 0; color: var(--faint); font-size: .9375rem; }
footer { margin-top: 3.5rem; color: var(--faint); font-size: .8125rem; }
.figures > .scroll { margin-top: 0; min-width: 0; }
@media screen and (max-width: 44rem) {
  .tiles { grid-template-columns: 1fr 1fr; gap: .5rem; }
}
@media screen and (max-width: 30rem) {
  table { font-size: .875rem; }
  th, td { padding-right: .6rem; }
  thead th { min-width: 3.2rem; }
  tbody th { min-width: 6.6rem; }
}
@media print {
  @page { margin: 16mm 14mm; }
  :root { color-scheme: light; --ground: #fff; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  section { margin-top: 1.5rem; padding-top: 1rem; }
  h2, h3, figcaption, caption { break-after: avoid; }
  figure, .tiles > div, .verdict, tr { break-inside: avoid; }
  .figures { grid-template-columns: 1fr 1fr; gap: 1.25rem 1.5rem; }
  .scroll { overflow: visible; }
  table { font-size: 8.5pt; max-width: 100%; }
  thead { display: table-header-group; }
  thead th, tbody th { min-width: 0; }
  th, td { padding-right: .6rem; }
  a.term { text-decoration: none; }
  .terms { columns: 2; column-gap: 1.5rem; }
  .terms dd { font-size: 8.5pt; }
  .terms > div { padding-bottom: .4rem; }
  .tiles > div { border: 1px solid var(--line); }
}
"""
