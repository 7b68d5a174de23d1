// What all charts share: colours, layout, lines and bands. Plotly draws them.
"use strict";

// Colours come from the style sheet, so that dark mode and print are decided there alone.
function colours() {
  const style = getComputedStyle(document.documentElement);
  const found = {};
  for (const name of ["paper", "panel", "ink", "quiet", "rule", "model", "band", "data", "other"]) {
    found[name] = style.getPropertyValue(`--${name}`).trim();
  }
  return found;
}

// The darkest colour of conditions is that of text in figures on white; on a dark page it is the page's text colour.
function conditionColour(colour) {
  return colour === "#262626" ? colours().ink : colour;
}

// Plotly reads some HTML in texts; names of sessions, neurons and conditions are shown as they are.
function literal(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

const finePointer = matchMedia("(pointer: fine)");

function axis(title, more) {
  const { rule, quiet } = colours();
  const look = { gridcolor: rule, linecolor: quiet, zeroline: false, automargin: true, nticks: 6 };
  return { title: { text: title, standoff: 8 }, ...look, ...more };
}

function layout(x, y, more) {
  const { ink, panel, rule } = colours();
  return {
    autosize: true,
    margin: { l: 50, r: 10, t: 10, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: ink, size: 12, family: "system-ui, sans-serif" },
    hoverlabel: { bgcolor: panel, bordercolor: rule, font: { color: ink } },
    // With a finger the page scrolls; with a mouse a drag zooms and a double click zooms out.
    dragmode: finePointer.matches ? "zoom" : false,
    showlegend: true,
    legend: { orientation: "h", x: 0, y: 1, xanchor: "left", yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
    xaxis: axis(x),
    yaxis: axis(y),
    ...more,
  };
}

function draw(id, traces, look) {
  const config = { displayModeBar: false, displaylogo: false, responsive: true, showTips: false };
  Plotly.react(id, traces, look, config);
}

function line(x, y, name, colour, more) {
  const { width = 2, dash = "solid", ...others } = more || {};
  return { x, y, name: literal(name), type: "scatter", mode: "lines", line: { color: colour, width, dash }, ...others };
}

// A band around a curve: forward along its upper edge and back along its lower edge.
function band(x, middle, half, name, colour) {
  const bins = x.map((_, bin) => bin).filter((bin) => middle[bin] !== null && half[bin] !== null);
  const back = bins.slice().reverse();
  return {
    x: [...bins, ...back].map((bin) => x[bin]),
    y: [...bins.map((bin) => middle[bin] + half[bin]), ...back.map((bin) => middle[bin] - half[bin])],
    name, type: "scatter", mode: "lines", fill: "toself", fillcolor: colour, line: { width: 0 }, hoverinfo: "skip",
  };
}

function verticalLine(x, colour, text) {
  return {
    shapes: [{ type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper", line: { color: colour, width: 1, dash: "dash" } }],
    annotations: [{ x, y: 1, yref: "paper", yanchor: "top", xanchor: "left", text, showarrow: false }],
  };
}

function range(values) {
  const known = values.filter((value) => value !== null);
  return known.length ? [Math.min(...known), Math.max(...known)] : [0, 0];
}
