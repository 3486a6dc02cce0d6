--- The look of the page of `describe`: one sheet, light and dark, from 320 to 1280 pixels and wider.
return [[
:root {
  color-scheme: light dark;
  --ground: #f6f6f3; --card: #fff; --ink: #1c2230; --soft: #616b7c; --line: #e3e3de; --faint: #eeeeea;
  --users: #2f6bd8; --items: #d06a0b; --events: #4a7d63; --bad: #c0362c; --good: #2a7f54;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #14161a; --card: #1c1f25; --ink: #e7e9ed; --soft: #9aa4b4; --line: #30353e; --faint: #262a31;
    --users: #6ea3ff; --items: #f0a052; --events: #79b797; --bad: #ff7d73; --good: #5cc392;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto,
  "Noto Sans", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 28px 24px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; }
h2 { font-size: 19px; margin: 44px 0 12px; }
h3 { font-size: 15px; margin: 0 0 8px; overflow-wrap: anywhere; }
p { margin: 0 0 8px; }
.soft, .ends, figcaption, th { color: var(--soft); }
.soft { font-size: 14px; }
.bad { color: var(--bad); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 22px 0 0; }
.tile, .card, .col { background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
.tile { padding: 12px 16px; }
.tile b { display: block; font-size: 24px; line-height: 1.25; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13.5px; }
.card { padding: 16px 18px; min-width: 0; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 14px; }
.says { list-style: none; margin: 0; padding: 0; }
.says li { padding: 5px 0 5px 28px; position: relative; overflow-wrap: anywhere; }
.says li + li { border-top: 1px solid var(--faint); }
.says li::before { content: "\2713"; position: absolute; left: 4px; color: var(--good); font-weight: 700; }
.says li.warn::before { content: "!"; left: 8px; color: var(--bad); }
figure { margin: 0; }
figcaption { font-size: 13.5px; margin-top: 6px; }
svg { display: block; width: 100%; height: auto; }
svg text { font-size: 11.5px; fill: var(--soft); }
svg .name { font-size: 12px; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .line { fill: none; stroke-width: 2; }
svg .line.users { stroke: var(--users); fill: none; } svg .line.items { stroke: var(--items); fill: none; }
svg .users { fill: var(--users); } svg .items { fill: var(--items); } svg .events { fill: var(--events); }
svg .line.users, svg .line.items { fill: none; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin: 0 5px 0 0; }
.key.users, .bar.users i { background: var(--users); } .key.items, .bar.items i { background: var(--items); }
.bar.events i { background: var(--events); } .bar.bad i { background: var(--bad); }
.card > .bar { margin: 2px 0 8px; }
.bar { display: block; height: 8px; background: var(--faint); border-radius: 4px; overflow: hidden; }
.bar i { display: block; height: 100%; min-width: 1px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px; }
th { font-weight: 500; text-align: right; } th:first-child, td:first-child { text-align: left; }
td { text-align: right; } td, th { padding: 3px 8px 3px 0; border-top: 1px solid var(--faint); }
tr:first-child th { border-top: 0; }
.scroll { overflow-x: auto; }
td.text { text-align: left; overflow-wrap: anywhere; }
.cold { display: grid; grid-template-columns: minmax(0, 1.25fr) minmax(0, 1fr) 4.2em; gap: 6px 10px;
  align-items: center; font-size: 14px; }
.cold span { overflow-wrap: anywhere; }
.cold b { font-variant-numeric: tabular-nums; font-weight: 600; text-align: right; }
.cold .head { grid-column: 1 / -1; margin: 8px 0 0; font-weight: 600; }
.cold .head:first-child { margin-top: 0; }
.cols { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); gap: 12px;
  margin-top: 12px; }
.col { padding: 13px 15px 14px; min-width: 0; font-size: 13.5px; }
.col h3 { display: flex; justify-content: space-between; gap: 8px; align-items: baseline; }
.tag { font-weight: 400; font-size: 12.5px; color: var(--soft); border: 1px solid var(--line); border-radius: 20px;
  padding: 0 8px; white-space: nowrap; }
.col .bar { height: 5px; margin: 3px 0 9px; }
.ends { display: flex; justify-content: space-between; gap: 10px; font-size: 12px; margin: 3px 0 8px;
  font-variant-numeric: tabular-nums; }
.col table { font-size: 12.5px; margin-bottom: 8px; table-layout: fixed; }
.col td, .col th { padding: 1px 4px 1px 0; border: 0; text-align: left; overflow-wrap: anywhere; }
.top { list-style: none; margin: 0; padding: 0; }
.top li { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 10px; padding: 1px 6px; margin-bottom: 2px;
  border-radius: 3px; background: linear-gradient(to right, var(--line) var(--w), transparent var(--w)); }
.top span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.top b { font-weight: 400; color: var(--soft); font-variant-numeric: tabular-nums; }
.note { color: var(--soft); font-style: italic; margin: 6px 0 0; overflow-wrap: anywhere; }
code { font: 12.5px/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; overflow-wrap: anywhere; }
details { margin-top: 10px; } summary { cursor: pointer; color: var(--soft); font-size: 14px; }
nav { margin-top: 14px; font-size: 14px; } nav a { margin-right: 14px; white-space: nowrap; }
a { color: var(--users); text-decoration: none; } a:hover { text-decoration: underline; }
@media (max-width: 560px) {
  main { padding: 18px 14px 40px; }
  h1 { font-size: 22px; } h2 { margin-top: 32px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; } .tile { padding: 10px 12px; } .tile b { font-size: 20px; }
  .card { padding: 13px 13px; }
  svg text { font-size: 13px; } svg .name { font-size: 13px; }
}
@media print { body { background: #fff; } .card, .col, .tile { break-inside: avoid; } }
]]
