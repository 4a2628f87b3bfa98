/** Numbers, sizes and times as text. */

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const MINUTE = 60;
const SPANS = [
  ["year", 365 * 24 * 3600],
  ["month", 30 * 24 * 3600],
  ["day", 24 * 3600],
  ["hour", 3600],
  ["minute", MINUTE],
];
const relative = new Intl.RelativeTimeFormat("en", {numeric: "auto"});
const dated = new Intl.DateTimeFormat("en-GB", {dateStyle: "medium", timeStyle: "medium"});
const day = new Intl.DateTimeFormat("en-GB", {day: "2-digit", month: "short", year: "numeric"});

/** 1234 -> "1,234". */
export const count = (value) => (value === null || value === undefined ? "–" : whole.format(value));

/** "1 model", "2 models". */
export const counted = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

/** A number as short as four digits allow; text such as "NaN" as it is. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || value === "") return "–";
  if (typeof value !== "number" || !Number.isFinite(value)) return String(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e9) return whole.format(value);
  const size = Math.abs(value);
  if (size >= 1e9 || size < 1e-4) return value.toExponential(digits - 1);
  return new Intl.NumberFormat("en", {maximumSignificantDigits: Math.max(digits, 1)}).format(value);
}

/** A measured number, with digits that stand below each other in a column: 0.93 -> "0.9300". */
export function measured(value, digits = 4) {
  if (typeof value !== "number" || Number.isInteger(value)) return number(value);
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return number(value, digits);
  const whole = Math.max(1, Math.floor(Math.log10(Math.max(size, 1))) + 1);
  const fraction = size < 1 ? digits : Math.max(0, digits - whole);
  return new Intl.NumberFormat("en", {minimumFractionDigits: fraction, maximumFractionDigits: fraction}).format(value);
}

/** 0.031 -> "3.1 %". */
export function share(value) {
  if (value === null || value === undefined) return "–";
  const percent = value * 100;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent.toFixed(percent === 0 || percent >= 99.95 || percent >= 10 ? 0 : 1)} %`;
}

/** 1536 -> "1.5 kB". */
export function bytes(value) {
  if (value === null || value === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log(Math.max(value, 1)) / Math.log(1000)));
  const scaled = value / 1000 ** step;
  return `${scaled.toFixed(step && scaled < 10 ? 1 : 0)} ${units[step]}`;
}

/** 83.2 -> "1 min 23 s". */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < MINUTE) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  const minutes = Math.floor(seconds / MINUTE);
  if (minutes < MINUTE) return `${minutes} min ${Math.round(seconds % MINUTE)} s`;
  return `${Math.floor(minutes / MINUTE)} h ${minutes % MINUTE} min`;
}

/** "3 hours ago". */
export function ago(time, now = Date.now()) {
  const seconds = (new Date(time).getTime() - now) / 1000;
  for (const [unit, length] of SPANS) {
    if (Math.abs(seconds) >= length) return relative.format(Math.trunc(seconds / length), unit);
  }
  return "just now";
}

/** "09 Oct 2026", in the reader's own zone. */
export const date = (time) => day.format(new Date(time));

/** Date and time to the second, in the reader's own zone. */
export const moment = (time) => dated.format(new Date(time));

/** The first digits of an id: enough for people; links carry all of it. */
export const short = (id) => id.slice(0, 8);
