/** Pieces of tag queries: the same language as in Python, written by clicks. */

// Python's keywords, and the words that a query has for itself.
const RESERVED = new Set(
  ("False None True and as assert async await break class continue def del elif else except finally " +
    "for from global if import in is lambda nonlocal not or pass raise return try while with yield " +
    "tag metric archived").split(" "),
);

/** A value, as a query writes it. What cannot be seen is in no tag, so needs no escape. */
export const quoted = (value) => `'${String(value).replace(/[\\']/g, "\\$&")}'`;

/** A tag's key, as a query writes it. */
export const keyed = (key) =>
  /^[A-Za-z_]\w*$/.test(key) && !RESERVED.has(key) ? key : `tag[${quoted(key)}]`;

/** The clause that one value of a tag makes, or that leaves it out. */
export const clauseOf = (key, value, exclude = false) =>
  `${keyed(key)} ${exclude ? "!=" : "=="} ${quoted(value)}`;

/** A query that also asks for a clause. An `or` in it is kept together. */
export function withClause(query, clause) {
  const text = query.trim();
  if (!text) return clause;
  if (hasClause(text, clause)) return text;
  return `${hasOr(text) ? `(${text})` : text} and ${clause}`;
}

/**
 * A query after a click on one value of a tag: values of one tag are alternatives, a second click
 * takes a value back, and `exclude` leaves it out.
 */
export function withPick(query, key, value, exclude) {
  if (hasOr(query)) return withClause(query, clauseOf(key, value, exclude));
  const without = clauseOf(key, value, true);
  const clauses = clausesOf(query);
  const at = clauses.findIndex((clause) => alternativesOf(clause, key));
  const chosen = at < 0 ? [] : alternativesOf(clauses[at], key);
  const rest = chosen.filter((one) => one !== value);
  const next = exclude || chosen.includes(value) ? rest : [...rest, value];
  const text = next.length > 1 ? `${keyed(key)} in (${next.map(quoted).join(", ")})`
    : next.map((one) => clauseOf(key, one)).join("");
  const kept = clauses.map((clause, i) => (i === at ? text : clause)).filter((one) => one && one !== without);
  if (at < 0 && text) kept.push(text);
  if (exclude && !clauses.includes(without)) kept.push(without);
  return kept.join(" and ");
}

/** The values that a clause of a tag accepts, if it is one that clicks write; else null. */
function alternativesOf(clause, key) {
  const name = keyed(key);
  if (!clause.startsWith(name)) return null;
  const rest = clause.slice(name.length);
  const found = new RegExp(`^ == (${STRING})$`).exec(rest)
    ?? new RegExp(`^ in \\((${STRING}(?:, ${STRING})*)\\)$`).exec(rest);
  if (!found) return null;
  return [...found[1].matchAll(new RegExp(STRING, "g"))].map(([text]) => text.slice(1, -1).replace(/\\(.)/g, "$1"));
}

const STRING = "'(?:[^'\\\\]|\\\\.)*'";

const hasClause = (query, clause) => clausesOf(query).includes(clause);

/** What stands between the `and`s of the top level. */
export function clausesOf(query) {
  const words = [...wordsOf(query)];
  const found = [""];
  let depth = 0;
  for (const word of words) {
    if (/^[([]$/.test(word)) depth += 1;
    if (/^[)\]]$/.test(word)) depth -= 1;
    if (depth === 0 && word === "and") found.push("");
    else found[found.length - 1] += word;
  }
  return found.map((one) => one.trim()).filter(Boolean);
}

function hasOr(query) {
  let depth = 0;
  for (const word of wordsOf(query)) {
    if (/^[([]$/.test(word)) depth += 1;
    if (/^[)\]]$/.test(word)) depth -= 1;
    if (depth === 0 && word === "or") return true;
  }
  return false;
}

function* wordsOf(query) {
  const word = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|\w+|[\s\S]/gy;
  for (const [text] of query.matchAll(word)) yield text;
}
