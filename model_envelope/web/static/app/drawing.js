/** Vega, loaded when the first chart is drawn, and kept from everything but drawing. */

let loading = null;
let policy = null;

// Told apart by people who see few colours, and against the page: at least 3 to 1.
const CATEGORIES = {
  light: ["#0b66a8", "#c2500a", "#007a5a", "#a8437c", "#4a4f9c", "#8a6300", "#5f6b7a", "#7d3c2f"],
  dark: ["#6cb8f2", "#ff9d5c", "#45cfa2", "#f2a5d2", "#b3b0f0", "#eec450", "#b4c0cf", "#dd9a88"],
};
/** As elsewhere on the pages: day before month, 24 hours. */
const TIMES = {
  year: "%Y", quarter: "%b %Y", month: "%b %Y", week: "%d %b", date: "%d %b", day: "%d %b",
  hours: "%H:%M", minutes: "%H:%M", seconds: "%H:%M:%S", milliseconds: ".%L",
};
const COMPOSED = ["facet", "hconcat", "vconcat", "concat", "repeat"];

/**
 * Draw a spec without data over rows.
 * @param {HTMLElement} element
 * @param {Object} spec Vega-Lite that draws the named dataset `data`
 * @param {Object[]} rows
 * @param {{height: number, title: string, inAirflow: boolean}} options
 * @returns {Promise<{view: any, finalize: () => void}>}
 */
export async function drawing(element, spec, rows, {height, title, inAirflow}) {
  loading ??= import("../vendor/vega.js");
  const [{embed, vega, expressionInterpreter}, interpreted] = await Promise.all([
    loading, evalIsBlocked(inAirflow),
  ]);
  const sized = COMPOSED.some((key) => key in spec) || spec.encoding?.column || spec.encoding?.row
    || "width" in spec || "height" in spec;
  const size = sized ? {} : {width: "container", height, autosize: {type: "fit", contains: "padding"}};
  return embed(element, {...size, ...spec, datasets: {data: rows}}, {
    mode: "vega-lite",
    actions: false,
    renderer: "canvas",
    defaultStyle: false,
    tooltip: {disableDefaultStyle: true},
    config: themed(element),
    loader: nothingLoaded(vega),
    downloadFileName: title,
    ...(interpreted ? {ast: true, expr: expressionInterpreter} : {}),
  });
}

/** Specs come from plugins, too: they may neither fetch nor link. */
function nothingLoaded(vega) {
  const refuse = async () => {
    throw new Error("charts load nothing");
  };
  return Object.assign(vega.loader(), {load: refuse, http: refuse, file: refuse, sanitize: refuse});
}

/**
 * Whether the page's policy forbids making code of text: then Vega's interpreter is used, which
 * takes two to three times as long. Trying would leave an error in the console.
 */
async function evalIsBlocked(inAirflow) {
  if (!inAirflow) return true;
  policy ??= fetch(document.baseURI, {credentials: "same-origin"}).then(
    (response) => response.headers.get("Content-Security-Policy") ?? "",
    () => "",
  );
  const directives = (await policy).split(";").map((one) => one.trim().split(/\s+/));
  const scripts = directives.find(([name]) => name === "script-src")
    ?? directives.find(([name]) => name === "default-src");
  return Boolean(scripts) && !scripts.includes("'unsafe-eval'");
}

function themed(element) {
  const style = getComputedStyle(element);
  const colour = (name) => painted(style.getPropertyValue(name).trim());
  const [fg, muted, line, brand] = ["--me-fg", "--me-muted", "--me-line", "--me-busy"].map(colour);
  const dark = document.documentElement.classList.contains("dark");
  const font = style.fontFamily;
  return {
    background: null,
    font,
    // A canvas has no place for words on each mark; the chart has a description, and a table.
    mark: {color: CATEGORIES[dark ? "dark" : "light"][0], aria: false},
    arc: {stroke: colour("--me-bg")},
    rule: {color: muted},
    text: {color: fg},
    axis: {
      labelColor: muted, titleColor: muted, domainColor: line, tickColor: line, gridColor: line,
      labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, titlePadding: 8, labelLimit: 160,
    },
    axisTemporal: {tickCount: 8, labelOverlap: "greedy", format: TIMES},
    legend: {labelColor: fg, titleColor: muted, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: 240},
    header: {labelColor: fg, titleColor: muted, labelFontSize: 12, titleFontSize: 12, labelLimit: 200},
    title: {color: fg, subtitleColor: muted, fontSize: 14, fontWeight: 600, anchor: "start"},
    view: {stroke: null, continuousWidth: 260, continuousHeight: 200},
    range: {
      category: CATEGORIES[dark ? "dark" : "light"],
      // The same in both themes: specs write white on what is dark of it, and black on the rest.
      heatmap: {scheme: "blues"},
      ramp: {scheme: "blues"},
    },
    selection: {interval: {mark: {fill: brand, stroke: brand}}},
  };
}

/** A colour as Vega reads it: it knows neither `oklch` nor variables. */
function painted(colour) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
  return `rgb(${red}, ${green}, ${blue})`;
}
