/** Lists as files: all that matches, not only the page that is shown. */

import {address, get} from "./api.js";

/** The most that the server gives at once. */
const AT_ONCE = 200;

/**
 * Every item of a list, page by page.
 * @param {string} path
 * @param {Object} params
 * @param {(done: number, of: number) => void} tell is told how far it is
 */
export async function everyItem(path, params, tell) {
  const items = [];
  let cursor = "";
  do {
    const page = await get(address(path, {...params, limit: AT_ONCE, cursor}));
    items.push(...page.items);
    cursor = page.next;
    tell(items.length, page.matched);
  } while (cursor);
  return items;
}

/** Save rows as a CSV file. @param {string} name @param {string[]} header @param {any[][]} rows */
export function saveCsv(name, header, rows) {
  const lines = [header, ...rows].map((row) => row.map(cell).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([`${lines.join("\r\n")}\r\n`], {type: "text/csv"}));
  link.download = name;
  link.click();
  // Browsers read it after the click has returned.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  // Spreadsheets would run a text that begins like a formula.
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
