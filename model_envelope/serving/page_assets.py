"""Style and script of the page at `/`. Constants: the page's policy holds their digests."""

STYLE = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#1b2430;--dim:#5d6b7c;
--line:#dde3ea;--accent:#1f6feb;--on-accent:#fff;--good:#1a7f4b;--bad:#b42318;--code:#f0f3f7}
@media(prefers-color-scheme:dark){:root{--ground:#0f141a;--card:#171e27;--ink:#e4eaf1;
--dim:#93a1b2;--line:#2a3441;--accent:#6ea8ff;--on-accent:#0b1220;--good:#4cc38a;
--bad:#ff8a7a;--code:#111820}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:68rem;padding:2rem 1.25rem 4rem;background:var(--ground);
color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
h1{margin:0;font-size:1.7rem;letter-spacing:-.02em;overflow-wrap:anywhere}
h2{margin:0;font-size:.95rem}h3{margin:.5rem 0;font-size:.85rem;color:var(--dim)}
a{color:var(--accent)}
[hidden]{display:none!important}
.title{display:flex;gap:.75rem;align-items:center;flex-wrap:wrap}
.pill{font-size:.78rem;padding:.1rem .6rem;border-radius:1rem;border:1px solid currentColor;
color:var(--dim)}
.pill.good{color:var(--good)}.pill.bad{color:var(--bad)}
.description{max-width:46rem;color:var(--dim)}.description p{margin:.6rem 0;white-space:pre-line}
.tags{list-style:none;display:flex;flex-wrap:wrap;gap:.4rem;margin:.75rem 0;padding:0}
.tags li{font-size:.82rem;border:1px solid var(--line);border-radius:.4rem;overflow:hidden;
background:var(--card);padding-right:.5rem;overflow-wrap:anywhere}
.tags span{display:inline-block;padding:.1rem .5rem;margin-right:.5rem;background:var(--code);
color:var(--dim)}
dl{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:.75rem 0 1.5rem;font-size:.82rem}
dl div{display:flex;gap:.4rem}dt{color:var(--dim)}
dd{margin:0;font-family:ui-monospace,SFMono-Regular,Menlo,monospace}
nav{display:flex;gap:.25rem;margin-bottom:.75rem;flex-wrap:wrap}
button,select,input,textarea{font:inherit;color:inherit}
button{cursor:pointer;border:1px solid var(--line);background:var(--card);border-radius:.45rem;
padding:.25rem .8rem}
button:hover{border-color:var(--accent)}
:focus-visible{outline:2px solid var(--accent);outline-offset:1px}
[aria-selected=true],[aria-pressed=true]{border-color:var(--accent);color:var(--accent)}
#ask{margin-top:1rem;background:var(--accent);border-color:var(--accent);color:var(--on-accent);
padding:.45rem 1.4rem;font-weight:600}
#ask:disabled{opacity:.6;cursor:progress}
.panes{display:grid;grid-template-columns:3fr 2fr;gap:1rem}
@media(max-width:50rem){.panes{grid-template-columns:1fr}}
.card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1rem 1.1rem;
margin-bottom:1rem;min-width:0}
.bar{display:flex;gap:.75rem;align-items:center;margin-bottom:.8rem}
.bar h2{flex:1}.bar label,#took{font-size:.82rem;color:var(--dim)}
form{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.7rem;
max-height:28rem;overflow:auto;padding:2px}
form label{display:flex;flex-direction:column;justify-content:end;font-size:.8rem;
color:var(--dim);min-width:0;overflow-wrap:anywhere}
input,select,textarea{width:100%;margin-top:.15rem;padding:.35rem .55rem;background:var(--code);
border:1px solid var(--line);border-radius:.4rem;color:var(--ink);font-size:.9rem}
.bar select{width:auto}
textarea{min-height:18rem;resize:vertical}
textarea,pre{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.84rem}
pre{margin:0;padding:.8rem;background:var(--code);border-radius:.5rem;white-space:pre-wrap;
overflow-wrap:anywhere;max-height:28rem;overflow:auto}
pre.bad{color:var(--bad)}
.signature{display:grid;grid-template-columns:repeat(auto-fit,minmax(20rem,1fr));gap:1rem 2rem}
.signature>p{grid-column:1/-1;margin:0;white-space:pre-line}
table{border-collapse:collapse;width:100%;font-size:.84rem}
th{text-align:left;font-weight:500;overflow-wrap:anywhere;min-width:8rem}td{color:var(--dim)}
td:last-child{white-space:nowrap;width:1%}
th,td{padding:.25rem .75rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top}
"""

SCRIPT = r"""
"use strict";
const $ = id => document.getElementById(id);
const {functions} = JSON.parse($("data").textContent);
let current = functions[0], asJson = false;

// Values are kept as JSON text throughout: a number of JavaScript would lose digits.
const fromText = (field, text) => {
  if (field.choices.length) return text;
  if (text === "" && field.nullable) return "null";
  return field.text ? JSON.stringify(text) : text.trim();
};
const toText = (field, json) => {
  if (field.choices.length) return json;
  if (json === "null") return "";
  return field.text ? JSON.parse(json) : json;
};
const record = values => "{" + current.columns.map(
  (field, i) => JSON.stringify(field.name) + ": " + values[i]).join(", ") + "}";
const body = () => asJson ? $("json").value : record(
  current.columns.map((field, i) => fromText(field, $("fields").elements[i].value)));

function pretty(json) {
  let depth = 0, text = "";
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+/g)) {
    const line = "\n" + "  ".repeat(depth);
    if ("{[".includes(token)) text += token + "\n" + "  ".repeat(++depth);
    else if ("}]".includes(token)) text += "\n" + "  ".repeat(--depth) + token;
    else text += token === "," ? "," + line : token === ":" ? ": " : token;
  }
  return text.replace(/([\[{])\s+([\]}])/g, "$1$2");
}

function input(field) {
  if (!field.choices.length) {
    const made = document.createElement("input");
    made.autocomplete = "off";
    made.placeholder = field.nullable ? "null" : "";
    return made;
  }
  const made = document.createElement("select");
  for (const choice of field.nullable ? [...field.choices, "null"] : field.choices)
    made.append(new Option(choice[0] === '"' ? JSON.parse(choice) : choice, choice));
  return made;
}

function fill() {
  const values = current.rows[$("row").value] || current.columns.map(
    field => field.choices[0] || (field.nullable ? "null" : field.text ? '""' : "0"));
  current.columns.forEach((field, i) => {
    $("fields").elements[i].value = toText(field, values[i]);
  });
  $("json").value = pretty("[" + record(values) + "]");
  curl();
}

function curl() {
  const quoted = "'" + body().replace(/\s*\n\s*/g, " ").replaceAll("'", "'\\''") + "'";
  $("curl").textContent = `curl ${new URL(current.name, document.baseURI)} \\\n` +
    `  -H 'Content-Type: application/json' \\\n  -d ${quoted}`;
}

function choose(name) {
  current = functions.find(found => found.name === name);
  for (const tab of document.querySelectorAll("[role=tab]"))
    tab.setAttribute("aria-selected", tab.dataset.function === name);
  for (const part of document.querySelectorAll(".signature"))
    part.hidden = part.dataset.function !== name;
  $("row").replaceChildren(...current.rows.map((_, i) => new Option(i + 1, i)));
  $("row").parentElement.hidden = !current.rows.length;
  $("fields").replaceChildren(...current.columns.map(field => {
    const label = document.createElement("label");
    label.title = "expected: " + field.expected;
    label.append(field.name, input(field));
    return label;
  }));
  fill();
}

async function ask() {
  const started = performance.now();
  $("ask").disabled = true;
  try {
    const answer = await fetch(current.name, {
      method: "POST", headers: {"Content-Type": "application/json"}, body: body()});
    const text = await answer.text();
    $("answer").textContent = pretty(text);
    $("answer").className = answer.ok ? "" : "bad";
    $("took").textContent = `${answer.status} in ${Math.round(performance.now() - started)} ms`;
  } catch (error) {
    $("answer").textContent = "The service does not answer: " + error.message;
    $("answer").className = "bad";
    $("took").textContent = "";
  }
  $("ask").disabled = false;
}

async function look() {
  let ready = false;
  try { ready = (await fetch("readyz")).ok; } catch {}
  $("health").textContent = ready ? "ready" : "not ready";
  $("health").className = "pill " + (ready ? "good" : "bad");
}

document.querySelector("nav").addEventListener("click", event => {
  if (event.target.dataset.function) choose(event.target.dataset.function);
});
document.querySelector("nav").hidden = functions.length < 2;
$("row").addEventListener("change", fill);
$("fields").addEventListener("input", curl);
$("json").addEventListener("input", curl);
$("fields").addEventListener("submit", event => { event.preventDefault(); ask(); });
$("mode").addEventListener("click", () => {
  if (!asJson) $("json").value = pretty("[" + body() + "]");
  asJson = !asJson;
  $("mode").setAttribute("aria-pressed", asJson);
  $("fields").hidden = asJson;
  $("json").hidden = !asJson;
  curl();
});
$("copy").addEventListener("click", () => navigator.clipboard.writeText($("curl").textContent));
document.addEventListener("keydown", event => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) ask();
});
if (current) choose(current.name);
else $("ask").disabled = true;
look();
"""
