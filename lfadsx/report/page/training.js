// Curves of training: one chart for each part of the loss, training dashed and validation solid.
"use strict";

const curves = readJson("training-data");

function drawTraining() {
  const { data, model, other } = colours();
  curves.panels.forEach((panel, i) => {
    const traces = [];
    if (panel.train.some((value) => value !== null)) {
      traces.push(line(curves.epochs, panel.train, "training", data, { dash: "dash", connectgaps: true }));
    }
    if (panel.valid.some((value) => value !== null)) {
      traces.push(line(curves.epochs, panel.valid, "validation", model, { connectgaps: true }));
    }
    const chosen = curves.best_epoch ? verticalLine(curves.best_epoch, other, "chosen") : {};
    draw(`training-${i}`, traces, layout("Epoch", panel.unit, chosen));
  });
}
