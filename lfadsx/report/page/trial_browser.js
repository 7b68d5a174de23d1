// The browser of trials: what is chosen, the controls, and one function for each chart.
"use strict";

const browser = readJson("browser-data");
const arrays = {};
for (const name of ["factors", "factor_means", "inputs", "inputs_std", "behaviour"]) arrays[name] = unpack(browser[name]);
for (const session of browser.sessions) {
  for (const name of ["rates", "rates_std", "data", "truth", "psth_model", "psth_data"]) {
    session[name] = unpack(session[name]);
  }
}

// Positions in the lists of the page. `condition` is -1 for all conditions.
const chosen = { session: 0, condition: -1, trial: 0, neuron: 0 };
const MOST_OTHER_TRIALS = 40;
const element = (id) => document.getElementById(id);

function trialsToChoose() {
  const all = browser.trials.map((_, number) => number);
  return all.filter((number) => {
    const { session, condition } = browser.trials[number];
    return session === chosen.session && (chosen.condition < 0 || condition === chosen.condition);
  });
}

function now() {
  const trial = browser.trials[chosen.trial];
  const session = browser.sessions[trial.session];
  const times = browser.times.slice(0, trial.n_bins);
  return { trial, session, times, neuron: session.neurons[chosen.neuron] };
}

const neuronTitle = (neuron) => `${neuron.name}${neuron.held_out ? " (held out)" : ""}`;
const conditionName = (number) => browser.conditions[number].name;
// All charts over time span the longest trial, from the left edge of its first bin to the right edge of its last.
function timeAxis(more) {
  const { times } = browser;
  const half = times.length > 1 ? (times[1] - times[0]) / 2 : 0.5;
  return axis(browser.time_label, { range: [times[0] - half, times[times.length - 1] + half], ...more });
}

const rounded = (value) => (value === null ? "–" : Number(value.toPrecision(3)).toString());

// Says in words what a chart shows; it is the caption and the description for screen readers.
function say(id, text) {
  element(`${id}-about`).textContent = text;
}

function show(id, there) {
  element(`${id}-figure`).hidden = !there;
  return there;
}

// Images of all neurons

function drawImage(id, array, name, unit, scale) {
  if (!show(id, array !== null)) return;
  const { trial, session, times } = now();
  const z = session.neurons.map((_, neuron) => course(array, trial.row, neuron, trial.n_bins));
  const names = session.neurons.map((neuron) => literal(neuronTitle(neuron)));
  const image = {
    type: "heatmap", x: times, y: names.map((_, row) => row), z, colorscale: scale, hoverongaps: false,
    ...(browser.are_counts ? { zmin: 0 } : {}),
    customdata: names.map((name) => times.map(() => name)),
    hovertemplate: `%{customdata}<br>%{x:.4g} ${browser.time_unit}: %{z:.3g} ${literal(unit)}<extra></extra>`,
    colorbar: { title: { text: literal(unit), side: "right" }, thickness: 10, outlinewidth: 0, nticks: 4 },
  };
  const mark = {
    type: "rect", xref: "paper", x0: 0, x1: 1, y0: chosen.neuron - 0.5, y1: chosen.neuron + 0.5,
    line: { color: colours().other, width: 2 },
  };
  const look = { yaxis: axis(browser.channel[0].toUpperCase() + browser.channel.slice(1), { autorange: "reversed", showgrid: false }), shapes: [mark], showlegend: false };
  draw(id, [image], layout("", "", { ...look, xaxis: timeAxis({ showgrid: false }) }));
  const [low, high] = range(z.flat());
  say(id, `${name}: ${z.length} ${browser.channel}s, from ${rounded(low)} to ${rounded(high)} ${unit}. The frame marks the chosen ${browser.channel}.`);
}

// One neuron

function drawNeuron() {
  const { trial, session, times, neuron } = now();
  const { model, band: fill, data, ink, other } = colours();
  const of = (array) => course(array, trial.row, chosen.neuron, trial.n_bins);
  const rates = of(session.rates);
  const traces = [];
  if (session.rates_std) traces.push(band(times, rates, of(session.rates_std), "±1 sd", fill));
  traces.push(line(times, rates, browser.are_counts ? "inferred rate" : "inferred mean", model));
  if (session.truth) traces.push(line(times, of(session.truth), "true rate", ink, { dash: "dash", width: 1.5 }));
  const more = trial.forward_start === null ? {} : verticalLine(trial.forward_start, other, "forward prediction");
  let about = `${neuronTitle(neuron)} in trial ${trial.id}: ${range(rates).map(rounded).join(" to ")} ${browser.rate_unit}. `;
  if (session.data && browser.are_counts) {
    // Spikes are lines in a strip above the rates; their height is the count.
    const counts = of(session.data);
    const fired = times.map((_, bin) => bin).filter((bin) => counts[bin] > 0);
    traces.push({
      ...line(fired.flatMap((bin) => [times[bin], times[bin], null]), fired.flatMap((bin) => [0, counts[bin], null]),
        "spikes (height: count)", ink, { width: 1.5 }), yaxis: "y2",
    });
    more.yaxis = axis(browser.rate_label, { domain: [0, 0.8], rangemode: "tozero" });
    more.yaxis2 = { domain: [0.86, 1], range: [0, Math.max(1, ...counts)], visible: false, fixedrange: true };
    about += `${counts.reduce((sum, count) => sum + (count || 0), 0)} spikes. `;
  } else if (session.data) {
    traces.push(line(times, of(session.data), "data", data, { width: 1 }));
  }
  draw("neuron-chart", traces, layout("", browser.rate_label, { xaxis: timeAxis(), ...more }));
  about += session.rates_std
    ? `The band is one standard deviation of the rate over ${browser.n_samples} samples of the posterior of initial condition and inputs; it does not contain the uncertainty of the weights.`
    : "There is no band, because the rates have no posterior samples.";
  const scores = Object.entries(neuron.scores).map(([name, score]) => `${name} ${score.toFixed(3)}`);
  say("neuron-chart", scores.length ? `${about} Scores of this ${browser.channel}: ${scores.join(", ")}.` : about);
}

// Averages of conditions

function drawPsth() {
  const { trial, session, neuron } = now();
  const mine = trial.condition;
  const traces = [];
  const faint = session.psth_conditions.length > 12 ? 0.25 : 0.5;
  session.psth_conditions.forEach((condition, row) => {
    if (!session.psth_trials[row]) return;
    const of = (array) => course(array, row, chosen.neuron, browser.times.length);
    const colour = conditionColour(browser.conditions[condition].colour);
    const own = condition === mine;
    const prefix = browser.has_conditions ? `${conditionName(condition)}: ` : "";
    traces.push(line(browser.times, of(session.psth_model), `${prefix}inferred`, colour,
      { width: own ? 3.5 : 1.2, opacity: own ? 1 : faint, showlegend: own }));
    if (own && session.psth_data) {
      traces.push(line(browser.times, of(session.psth_data), `${prefix}data`, colour, { width: 1.5, dash: "dot" }));
    }
  });
  const fromZero = browser.are_counts ? { rangemode: "tozero" } : {};
  draw("psth", traces, layout("", "", { xaxis: timeAxis(), yaxis: axis(browser.rate_label, fromZero) }));
  const row = session.psth_conditions.indexOf(mine);
  const group = browser.has_conditions ? `condition ${conditionName(mine)}` : "all trials";
  let about = row < 0
    ? `The PSTH of condition ${conditionName(mine)} is left out to keep the page small. `
    : `${neuronTitle(neuron)}, bold: ${group}, ${session.psth_trials[row]} ${browser.split} trials. `;
  if (browser.has_conditions) about += "Thin: inferred averages of the other conditions. ";
  if (session.psth_data) about += browser.kernel ? `Dotted: data, smoothed by a Gaussian of sd ${browser.kernel}.` : "Dotted: data.";
  say("psth", about);
}

// Factors

const hasWebGl = Boolean(document.createElement("canvas").getContext("webgl"));

function drawFactors() {
  const { trial, times } = now();
  const { ink, data, rule, paper } = colours();
  const nComponents = arrays.factors.shape[2];
  const nAxes = Math.min(3, nComponents);
  // With fewer than three factors the last axis is time.
  const path = (array, row, nBins) => [0, 1, 2].map((axis) =>
    axis < nAxes ? course(array, row, axis, nBins) : axis === nAxes ? browser.times.slice(0, nBins) : new Array(nBins).fill(0));
  const label = (axis) => axis < nAxes
    ? `PC ${axis + 1} (${Math.round(100 * browser.factor_share[axis])} %)` : axis === nAxes ? browser.time_label : "";
  const trace = ([x, y, z], name, colour, width, more) => ({
    x, y, z, name: literal(name), type: hasWebGl ? "scatter3d" : "scatter", mode: "lines",
    line: { color: colour, width }, hoverinfo: "name", connectgaps: false, ...more,
  });
  const traces = [];
  const others = trialsLikeThis();
  const joined = [[], [], []];
  for (const number of others) {
    path(arrays.factors, number, browser.trials[number].n_bins).forEach((values, axis) => joined[axis].push(...values, null));
  }
  traces.push(trace(joined, "other trials", data, 1, { opacity: 0.5, hoverinfo: "skip" }));
  browser.factor_conditions.forEach((number, row) => {
    const condition = browser.conditions[number];
    const name = browser.has_conditions ? `average, ${condition.name}` : "average";
    const own = number === trial.condition;
    const mean = path(arrays.factor_means, row, browser.times.length);
    traces.push(trace(mean, name, conditionColour(condition.colour), own ? 6 : 3, { showlegend: own, opacity: own ? 1 : 0.6 }));
  });
  const mine = path(arrays.factors, chosen.trial, trial.n_bins);
  traces.push(trace(mine, `trial ${trial.id}`, ink, 6));
  traces.push(trace(mine.map((values) => values.slice(0, 1)), "start", ink, 0, { mode: "markers", marker: { color: ink, size: 5 } }));
  const side = (axis) => ({ title: { text: label(axis) }, gridcolor: rule, zerolinecolor: rule, backgroundcolor: paper, showspikes: false, nticks: 4 });
  const scene = { xaxis: side(0), yaxis: side(1), zaxis: side(2), aspectmode: "cube", dragmode: "orbit", camera: { eye: { x: 1.7, y: 1.7, z: 1.1 } } };
  const look = hasWebGl ? { scene, uirevision: "keep the view", margin: { l: 0, r: 0, t: 0, b: 0 }, hovermode: "closest" } : {};
  draw("factors", traces, layout(label(0), label(1), look));
  const turn = hasWebGl ? "Drag to turn." : "This device has no WebGL, so that only two directions are drawn.";
  say("factors", `Bold: trial ${trial.id}, dot: its start. Thin: ${others.length} other trial${others.length === 1 ? "" : "s"}${browser.has_conditions ? " of the condition" : ""}. Coloured: averages over ${browser.has_conditions ? "conditions" : "all trials"}. Percentages: share of the variance of all factors. ${turn}`);
}

// Other trials of the same session and condition, evenly chosen.
function trialsLikeThis() {
  const { trial } = now();
  const found = browser.trials.map((_, number) => number).filter((number) => number !== chosen.trial
    && browser.trials[number].condition === trial.condition && browser.trials[number].session === trial.session);
  const step = Math.max(1, Math.ceil(found.length / MOST_OTHER_TRIALS));
  return found.filter((_, i) => i % step === 0);
}

// Inputs and behaviour

const DASHES = ["solid", "dash", "dot", "dashdot"];
const LINE_COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];

function drawCourses(id, array, spread, name, yLabel) {
  if (!show(id, array !== null)) return;
  const { trial, times } = now();
  const traces = [];
  for (let i = 0; i < array.shape[2]; i += 1) {
    const colour = LINE_COLOURS[i % LINE_COLOURS.length];
    const values = course(array, chosen.trial, i, trial.n_bins);
    if (spread) {
      const shade = band(times, values, course(spread, chosen.trial, i, trial.n_bins), "", `${colour}33`);
      traces.push({ ...shade, showlegend: false });
    }
    traces.push(line(times, values, `${name} ${i}`, colour, { dash: DASHES[i % DASHES.length] }));
  }
  draw(id, traces, layout("", literal(yLabel), { xaxis: timeAxis() }));
  return true;
}

function drawInputs() {
  if (!drawCourses("inputs", arrays.inputs, arrays.inputs_std, "input", "Input (a.u.)")) return;
  const bands = arrays.inputs_std ? ` Bands: one standard deviation over ${browser.n_samples} posterior samples.` : "";
  const n = arrays.inputs.shape[2];
  say("inputs", `${n} inferred input${n === 1 ? "" : "s"} in trial ${now().trial.id}. Their unit and sign are arbitrary.${bands}`);
}

function drawBehaviour() {
  const name = browser.behaviour_name;
  if (!drawCourses("behaviour", arrays.behaviour, null, name, `${name} (units of the data)`)) return;
  const lag = browser.behaviour_lag ? ` Behaviour follows the rates by ${browser.behaviour_lag} s in the scores; here it is drawn at its own time.` : "";
  say("behaviour", `Recorded ${name} in trial ${now().trial.id}.${lag}`);
}

// All charts, and what is chosen in words

function drawTrial() {
  const { trial, session, neuron } = now();
  const grey = [[0, colours().paper], [1, colours().ink]];
  drawImage("counts", session.data, browser.are_counts ? "Spikes" : "Data", browser.are_counts ? "counts per bin" : browser.rate_unit, browser.are_counts ? grey : "Cividis");
  drawImage("rates", session.rates, "Inferred values", browser.rate_unit, "Cividis");
  drawNeuron();
  drawPsth();
  drawFactors();
  drawInputs();
  drawBehaviour();
  const order = trialsToChoose();
  const words = [`Trial ${trial.id} (${order.indexOf(chosen.trial) + 1} of ${order.length})`];
  if (browser.has_conditions) words.push(`condition ${conditionName(trial.condition)}`);
  if (browser.sessions.length > 1) words.push(`session ${session.name}`);
  words.push(neuronTitle(neuron));
  element("status").textContent = words.join(", ");
}
