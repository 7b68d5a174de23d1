// Controls of the page: menus, buttons, keys, touch, print, dark mode, and the copy of the methods paragraph.
"use strict";

function fill(id, names, values, value) {
  const menu = element(id);
  menu.replaceChildren(...names.map((name, i) => new Option(name, values[i])));
  menu.value = value;
}

function fillTrials() {
  const order = trialsToChoose();
  if (!order.includes(chosen.trial)) [chosen.trial] = order;
  const names = order.map((number) => browser.trials[number].id);
  fill("trial", names, order, chosen.trial);
}

function fillNeurons() {
  const { neurons, liveliest } = browser.sessions[chosen.session];
  chosen.neuron = liveliest;
  fill("neuron", neurons.map(neuronTitle), neurons.map((_, i) => i), chosen.neuron);
}

// Conditions that have a trial in the chosen session.
function fillConditions() {
  const there = new Set(browser.trials.filter((trial) => trial.session === chosen.session).map((trial) => trial.condition));
  const numbers = browser.conditions.map((_, i) => i).filter((i) => there.has(i));
  if (!there.has(chosen.condition)) chosen.condition = -1;
  fill("condition", ["all", ...numbers.map(conditionName)], [-1, ...numbers], chosen.condition);
}

function redraw() {
  element("trial").value = chosen.trial;
  element("neuron").value = chosen.neuron;
  const order = trialsToChoose();
  element("trial-before").disabled = chosen.trial === order[0];
  element("trial-after").disabled = chosen.trial === order[order.length - 1];
  element("neuron-before").disabled = chosen.neuron === 0;
  element("neuron-after").disabled = chosen.neuron === browser.sessions[chosen.session].neurons.length - 1;
  drawTrial();
}

function stepTrial(step) {
  const order = trialsToChoose();
  const next = order[order.indexOf(chosen.trial) + step];
  if (next === undefined) return;
  chosen.trial = next;
  redraw();
}

function chooseNeuron(number) {
  if (number < 0 || number >= browser.sessions[chosen.session].neurons.length) return;
  chosen.neuron = number;
  redraw();
}

function listenToMenus() {
  const on = (id, act) => element(id).addEventListener("change", (event) => { act(Number(event.target.value)); redraw(); });
  on("session", (value) => { chosen.session = value; fillConditions(); fillTrials(); fillNeurons(); });
  on("condition", (value) => { chosen.condition = value; fillTrials(); });
  on("trial", (value) => { chosen.trial = value; });
  on("neuron", (value) => { chosen.neuron = value; });
  element("trial-before").addEventListener("click", () => stepTrial(-1));
  element("trial-after").addEventListener("click", () => stepTrial(1));
  element("neuron-before").addEventListener("click", () => chooseNeuron(chosen.neuron - 1));
  element("neuron-after").addEventListener("click", () => chooseNeuron(chosen.neuron + 1));
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const elsewhere = event.target.closest("select, input, .scroll") || event.altKey || event.ctrlKey || event.metaKey;
    if (!step || elsewhere) return;
    event.preventDefault();
    if (event.shiftKey) chooseNeuron(chosen.neuron + step);
    else stepTrial(step);
  });
}

// A swipe is longer than 60 pixels and mostly level. The chart of the factors is turned by touch instead.
function listenToTouch() {
  let start = null;
  const charts = element("charts");
  charts.addEventListener("touchstart", (event) => {
    const [touch] = event.touches;
    start = event.touches.length === 1 && !event.target.closest("#factors") ? [touch.clientX, touch.clientY] : null;
  }, { passive: true, capture: true });
  charts.addEventListener("touchend", (event) => {
    if (!start) return;
    const [touch] = event.changedTouches;
    const [right, down] = [touch.clientX - start[0], touch.clientY - start[1]];
    start = null;
    if (Math.abs(right) > 60 && Math.abs(right) > 2 * Math.abs(down)) stepTrial(right < 0 ? 1 : -1);
  }, { passive: true, capture: true });
}

function listenToImages() {
  for (const id of ["counts", "rates"]) {
    const chart = element(id);
    if (chart.on) chart.on("plotly_click", (event) => chooseNeuron(event.points[0].pointIndex[0]));
  }
}

// Charts take their colours when they are drawn, so that a change of dark mode and a print draw them again. A print
// also opens what is folded.
function listenToLooks() {
  const all = () => { drawTrial(); drawTraining(); };
  let folded = [];
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", all);
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach((details) => { details.open = true; });
    all();
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    folded.forEach((details) => { details.open = false; });
    all();
  });
}

function listenToCopy() {
  const button = element("copy");
  button.hidden = false;
  button.addEventListener("click", async () => {
    const text = element("methods-text");
    const paragraphs = [...text.children].map((paragraph) => paragraph.textContent).join("\n\n");
    try {
      await navigator.clipboard.writeText(paragraphs);
      element("copied").textContent = "Copied.";
    } catch {
      // Without access to the clipboard the text is selected, ready for Ctrl+C.
      getSelection().selectAllChildren(text);
      element("copied").textContent = "Selected: copy it with the keyboard.";
    }
  });
}

element("session-choice").hidden = browser.sessions.length < 2;
element("condition-choice").hidden = !browser.has_conditions;
fill("session", browser.sessions.map((session) => session.name), browser.sessions.map((_, i) => i), 0);
fillConditions();
fillTrials();
fillNeurons();
redraw();
drawTraining();
listenToMenus();
listenToKeys();
listenToTouch();
listenToImages();
listenToLooks();
listenToCopy();
