"""The LFADS tutorial in JAX, figure by figure: an integrator network, and LFADS on its spikes.

A recurrent network was trained to add up a noisy input. Its 100 units are turned into spikes. From single trials of
spikes, LFADS infers the rates of the units and the input to the network. The inferred rates are compared with the
results of filtering and of principal components on the same spikes. The script covers both notebooks of the tutorial.

    python examples/jax_tutorial.py                        # full run: LFADS trains 10 to 18 minutes on one CPU core
    python examples/jax_tutorial.py --epochs 20            # a shorter first look
    python examples/jax_tutorial.py --train-network 0      # uses the trained integrator network of the library
    python examples/jax_tutorial.py --quick                # tiny sizes, to check that it works

Writes runs/jax_tutorial: data, checkpoints, posterior.h5, scores.txt, and the figures in the folder tutorial, in the
order of the notebooks. "R2" in a title is a squared correlation. Panels of evaluation trials show evaluation trials.

Source: the LFADS tutorial of google-research/computation-thru-dynamics, 2019.
Figures need matplotlib and scikit-learn: pip install "lfadsx[plot]".
"""

import argparse
import dataclasses
from pathlib import Path

import h5py
import numpy as np
from example_tools import train_networks
from example_tools.embedding import embedding_figure
from example_tools.histograms import histograms_figure
from example_tools.images_figure import images_figure
from example_tools.quick_settings import sized
from matplotlib.figure import Figure
from scipy.signal import filtfilt
from sklearn.decomposition import PCA
from tqdm.auto import tqdm

import lfadsx
from lfadsx.evaluation import metrics
from lfadsx.plotting import curves_figure

NAME = "integrator_rnn"

DATA = {}  # 20,480 trials of 25 bins; the first nine tenths are training trials
QUICK_DATA = {"trials": 40, "train_fraction": 0.5}
MODEL = lfadsx.ModelConfig(
    variant="inferred_input",
    factors=32,
    generator_dim=128,
    ic_dim=128,
    ic_encoder_dim=128,
    input_encoder_dim=0,  # one encoder serves the initial condition and the controller
    controller_dim=128,
    controller_lag=0,  # the input of a bin already affects the spikes of that bin
    inferred_inputs=1,
    input_prior_tau=0.5,  # initial value in bins, near white noise like the true input; it is trained
)
# With both KL weights at 1, training maximises the evidence lower bound. Dropout is off, because trials are many.
HYPER = lfadsx.HyperParams(
    learning_rate=3e-3,
    dropout_rate=0.0,
    cd_rate=0.0,
    kl_ic_scale=1.0,
    kl_co_scale=1.0,
)
TRAIN = lfadsx.TrainConfig(
    epochs=28,  # 4,032 batches of 128; the tutorial takes 20,000
    batch_size=128,
    kl_ramp_epochs=7,
    l2_ramp_epochs=0,
    patience=28,
)

TRIAL, NEURON = 0, 0  # the evaluation trial and the neuron of the examples
N_SAMPLES = 128  # posterior samples of each evaluation trial
N_TRAIN_SAMPLES = 16  # posterior samples of training trials, which only scale the inputs


def main(quick: bool, out: Path, epochs: int | None, train_network: int) -> None:
    """Simulates, plots the data, trains, infers, and plots the results."""
    out = out / "quick" if quick else out  # keeps a quick run apart from the full run
    model, train = sized(MODEL, TRAIN, quick, epochs)
    file = out / "data.h5"
    if not file.exists():
        changes = QUICK_DATA if quick else DATA
        if train_network:  # with 0 the library's trained network is used
            changes = changes | {"network_file": str(out / "network.npz")}
            steps = min(train_network, 200) if quick else train_network
            save({"03_network_training": train_integrator(steps, out / "network.npz")}, out)
        lfadsx.datasets.simulate(NAME, file, **changes)
    data = lfadsx.read(file)
    split = data.valid
    with h5py.File(file) as simulated:  # states and outputs of the network in these trials
        network = {name: simulated[f"valid_{name}"][:] for name in ("hiddens", "outputs", "targets", "h0s")}

    made_from = data.source[data.sessions[0].name]["made_from"]
    recipe = lfadsx.datasets.IntegratorRNN(network_file=made_from["network_file"])
    save({"02_network": network_weights(recipe.network())}, out)
    save(integrator_figures(split, network, data.bin_width) | data_figures(data, split, network), out)

    run = lfadsx.fit(lfadsx.build(data, model), data, hyper=HYPER, config=train, out=out)
    if run.reason == "interrupted":  # after Ctrl-C; the same command resumes the run
        return
    samples = dict.fromkeys(data.splits, 8) if quick else {"train": N_TRAIN_SAMPLES, "valid": N_SAMPLES}
    posteriors = {name: lfadsx.infer(run.model, data, name, n_samples=n) for name, n in samples.items()}
    post = posteriors["valid"]
    post.save(out / "posterior.h5")
    score = lfadsx.evaluate(run.model, data, posteriors=posteriors)

    # Scale, sign and offset of the inferred input are fitted once, on training trials.
    inputs = metrics.align(post.inputs, fit_on=(posteriors["train"].inputs, data.train.true_inputs))
    pca = PCA(2).fit(data.train.encoder_input.reshape(-1, 100))
    smooth = {"PCA": pca_smoothed(pca, split.encoder_input), "LFADS": post.rates["spikes"]}
    r2 = {name: metrics.r2_of_trials(values, split.truth) for name, values in smooth.items()}
    r2_inputs = metrics.r2_of_trials(inputs, split.true_inputs)

    figures = {
        "14_ramp_and_learning_rate": ramp_and_rate(run.history),
        "15_losses": losses(run.history, ramped=True),
        "16_losses_before_the_ramp": losses(run.history, ramped=False),
        "17_one_trial_states": trial_states(post, split.truth[TRIAL]),
        "18_one_trial": one_trial(post, inputs[TRIAL], split),
        "19_four_estimates": four_estimates(split, smooth, post.times),
        "20_r2_of_rates": histograms_figure(
            r2, "R2 of a neuron in a trial", "Rates", floors=floors(split.truth), limits=(0, 1)
        ),
        "21_r2_of_inputs": histograms_figure(
            {"LFADS": r2_inputs}, "R2 of a trial", "Inputs", floors=floors(split.true_inputs), limits=(0, 1)
        ),
        "22_initial_states": embedding_figure(
            {"Initial state of the network": network["h0s"], "Inferred initial condition": post.ic_mean},
            network["outputs"][:, 0, 0],
            "First output of the network",
        ),
    }
    save(figures, out)

    pooled = {name: metrics.r2_pooled(values, split.truth) for name, values in smooth.items()}
    text = f"""{score}
R2 of the rates, mean of neurons and trials: PCA {np.nanmean(r2["PCA"]):.3f}, LFADS {np.nanmean(r2["LFADS"]):.3f}
R2 of the rates, pooled: PCA {pooled["PCA"]:.3f}, LFADS {pooled["LFADS"]:.3f}
R2 of the inputs, mean of trials: {np.nanmean(r2_inputs):.3f}
R2 of the inputs, pooled: {metrics.r2_pooled(inputs, split.true_inputs):.3f}"""
    print(f"\n{text}\nEverything is in {out}.")
    (out / "scores.txt").write_text(text + "\n")


# The integrator notebook: the network behind the data.


def integrator_figures(split: lfadsx.Split, network: dict[str, np.ndarray], bin_width: float) -> dict[str, Figure]:
    """Draws the task, the network's activity in a batch of trials, and the start states."""
    time, inputs = bin_width * np.arange(1, split.n_bins + 1), split.true_inputs
    batch, few = slice(0, 128), range(4)
    error = network["outputs"] - network["targets"]
    task = {f"Trial {i}": {"input": inputs[i, :, 0], "target": network["targets"][i, :, 0]} for i in few}
    run = {
        "Inputs": {"input": inputs[batch, :, 0].T},
        "Outputs": {"output": network["outputs"][batch, :, 0].T},
        "Errors": {"output minus target": error[batch, :, 0].T},
    }
    hiddens = {f"Trial {i}": network["hiddens"][i].T for i in few}
    return {
        "01_task": curves_figure(task, "Task: add up the input", x=time, x_label="Time (s)"),
        "04_batch": curves_figure(run, "One batch of trials", x=time, x_label="Time (s)"),
        "05_hidden_units": images_figure(hiddens, "Hidden units", x_label="Bin", y_label="Unit", label="Activity"),
        "06_start_states": images_figure(
            {"Start states": network["h0s"][batch].T}, x_label="Trial", y_label="Unit", label="Activity"
        ),
    }


def network_weights(weights: lfadsx.datasets.TaskNetwork) -> Figure:
    """Draws the weights of the trained network, and the eigenvalues of its recurrent weights beside the unit circle."""
    figure = Figure(figsize=(11, 2.8), layout="constrained")
    first, second, third, fourth = figure.subplots(1, 4)
    largest = np.abs(weights.W_R).max()
    image = first.imshow(weights.W_R, cmap="RdBu_r", vmin=-largest, vmax=largest)
    figure.colorbar(image, ax=first)
    eigenvalues, angle = np.linalg.eigvals(weights.W_R), np.linspace(0, 2 * np.pi, 200)
    second.plot(np.cos(angle), np.sin(angle), color="grey", lw=0.8)
    second.plot(eigenvalues.real, eigenvalues.imag, ".", color="#0072B2")
    third.plot(weights.W_in, ".")
    fourth.plot(weights.W_O, ".")
    for ax, title in zip(
        (first, second, third, fourth),
        ("Recurrent weights", "Their eigenvalues", "Input weights", "Output weights"),
        strict=True,
    ):
        ax.set_title(title)
    second.set_aspect("equal")
    return figure


def train_integrator(steps: int, file: Path) -> Figure:
    """Trains the integrator network, writes its weights, and draws its learning rate and its error."""
    task, errors = dataclasses.replace(train_networks.TASKS[NAME], steps=steps), {}
    with tqdm(total=steps, desc="integrator", unit="batch") as bar:

        def report(batch: int, error: float) -> None:
            errors[batch] = error
            bar.update(batch - bar.n)
            bar.set_postfix_str(f"squared error {error:.3g}")

        weights = train_networks.train(task, block=max(1, steps // 100), report=report)
    file.parent.mkdir(parents=True, exist_ok=True)
    train_networks.save_network(file, weights, steps=steps)
    batches, error = np.array(list(errors)), np.array(list(errors.values()))
    panels = {
        "Learning rate": {"learning rate": task.learning_rate * task.decay**batches},
        "Squared error": {"squared error": error},
    }
    return curves_figure(panels, "Training of the network", x=batches, x_label="Batch", log=["Squared error"])


# The LFADS notebook: the data.


def data_figures(data: lfadsx.Dataset, split: lfadsx.Split, network: dict[str, np.ndarray]) -> dict[str, Figure]:
    """Draws dimensions and statistics of the data, and one neuron's rate as simple methods estimate it."""
    time = data.bin_width * (np.arange(split.n_bins) + 0.5)
    spikes, truth = split.encoder_input[TRIAL, :, NEURON], split.truth[TRIAL, :, NEURON]
    hidden_variance = PCA().fit(network["hiddens"].reshape(-1, 100)).explained_variance_ratio_[:20]
    train = data.train.encoder_input.reshape(-1, 100)
    spike_variance = PCA().fit(train).explained_variance_
    smoothed = pca_smoothed(PCA(2).fit(train), split.encoder_input)[TRIAL, :, NEURON]
    example = {
        "Input": {"input": split.true_inputs[TRIAL]},
        "Hidden units": {"hidden units": network["hiddens"][TRIAL]},
        "Output": {"true target": network["targets"][TRIAL, :, 0], "output": network["outputs"][TRIAL, :, 0]},
    }

    def against_truth(name: str, title: str, values: np.ndarray, stems: tuple[str, ...] = ()) -> Figure:
        panels = {title: {name: values, "true rate": truth}}
        return curves_figure(panels, x=time, x_label="Time (s)", y_label="Counts per bin", stems=stems)

    return {
        "07_pca_of_hidden_units": curves_figure(
            {"Hidden units": {"share of variance": hidden_variance}}, x_label="Component", y_label="Share of variance"
        ),
        "08_example_trial": curves_figure(example, f"Evaluation trial {TRIAL}", x=time, x_label="Time (s)"),
        "09_statistics": statistics(train, split.encoder_input[TRIAL], data.bin_width),
        "10_spikes_and_rate": against_truth("spikes", f"Spikes of neuron {NEURON}", spikes, ("spikes",)),
        "11_temporal_filter": against_truth("filtered spikes", "Filter over 3 bins, both ways", filtered(spikes)),
        "12_pca_of_spikes": curves_figure(
            {"Spikes": {"variance": spike_variance}}, x_label="Component", y_label="Variance (counts squared)"
        ),
        "13_pca_smoothing": against_truth("PCA", "Two principal components", smoothed),
    }


def statistics(train: np.ndarray, trial: np.ndarray, bin_width: float) -> Figure:
    """Draws histograms of spikes per bin and of mean rates per neuron, and the spikes of one trial."""
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    first, second, third = figure.subplots(1, 3)
    first.hist(train.ravel(), bins=np.arange(train.max() + 2) - 0.5)
    first.set(title="All neurons and bins", xlabel="spikes in a bin", ylabel="number of bins")
    second.hist(train.mean(0) / bin_width, bins=30)
    second.set(title="Mean rates", xlabel="spikes per second", ylabel="number of neurons")
    image = third.imshow(trial.T, aspect="auto", origin="lower", cmap="viridis")
    third.set(title=f"Evaluation trial {TRIAL}", xlabel="bin", ylabel="neuron")
    figure.colorbar(image, ax=third, label="spikes")
    return figure


def filtered(spikes: np.ndarray) -> np.ndarray:
    """Returns spikes averaged over 3 bins, forwards and backwards to avoid a shift, shape (time,)."""
    return filtfilt(np.ones(3) / 3, 1, spikes.astype(float))  # small integers would overflow


def pca_smoothed(pca: PCA, spikes: np.ndarray) -> np.ndarray:
    """Returns spikes projected on the principal components and back, (trial, time, neuron), in counts per bin."""
    return pca.inverse_transform(pca.transform(spikes.reshape(-1, spikes.shape[2]))).reshape(spikes.shape)


# The LFADS notebook: training and inference.


def ramp_and_rate(history: dict[str, np.ndarray]) -> Figure:
    """Draws the weight of the KL terms and the learning rate."""
    panels = {
        "Weight of the KL terms": {"initial condition": history["kl_ic_weight"], "inputs": history["kl_co_weight"]},
        "Learning rate": {"learning rate": history["learning_rate"]},
    }
    return curves_figure(panels, x=history["epoch"], x_label="Epoch")


def losses(history: dict[str, np.ndarray], ramped: bool) -> Figure:
    """Draws the terms of the loss of training and evaluation trials. If `ramped`, terms have the weight of the ramp."""
    kl_ic, kl_co = (history["kl_ic_weight"], history["kl_co_weight"]) if ramped else (1.0, 1.0)
    scales = {"reconstruction": 1.0, "kl_inputs": kl_co * HYPER.kl_co_scale, "kl_ic": kl_ic * HYPER.kl_ic_scale}
    titles = {"reconstruction": "Negative log likelihood", "kl_inputs": "KL of inputs", "kl_ic": "KL of initial state"}
    sets = {"training": "", "evaluation": "valid_"}
    l2 = history["l2"] * (history["l2_weight"] if ramped else 1.0)
    total = {name: sum(history[of + part] * scale for part, scale in scales.items()) for name, of in sets.items()}
    panels = {"Total": {name: values + l2 for name, values in total.items()}}
    for part, scale in scales.items():
        panels[titles[part]] = {name: history[of + part] * scale for name, of in sets.items()}
    panels["L2"] = {"training": l2}
    title = "Loss, as it is minimised" if ramped else "Loss, every part before the ramp"
    return curves_figure(panels, title, x=history["epoch"], x_label="Epoch", y_label="Nats per trial")


def trial_states(post: lfadsx.Posterior, truth: np.ndarray) -> Figure:
    """Draws everything that the model computes for one trial: encoder, controller, generator, factors, rates."""
    images = {
        "Encoding": post.encoding[TRIAL].T,
        "Controller states": post.controller_states[TRIAL].T,
        "Generator states": post.generator_states[TRIAL].T,
        "Factors": post.factors[TRIAL].T,
        "Inferred rates": post.rates["spikes"][TRIAL].T,
        "True rates": truth.T,
    }
    return images_figure(images, f"Evaluation trial {TRIAL}", x_label="Bin", y_label="Unit")


def one_trial(post: lfadsx.Posterior, inputs: np.ndarray, split: lfadsx.Split) -> Figure:
    """Draws initial condition, input (after the regression on training trials) and rates of one trial."""
    rates, truth = post.rates["spikes"][TRIAL], split.truth[TRIAL]
    neurons = {
        f"Rate of neuron {n} (counts per bin)": {"inferred": rates[:, n], "true": truth[:, n]}
        for n in range(0, 100, 17)
    }
    panels = {"Input (a.u.)": {"inferred": inputs[:, 0], "true": split.true_inputs[TRIAL, :, 0]}, **neurons}
    figure = curves_figure(panels, f"Evaluation trial {TRIAL}", x=post.times, x_label="Time (s)")
    ax, mean = figure.add_axes((0.79, 0.14, 0.19, 0.26)), post.ic_mean[TRIAL]
    ax.bar(np.arange(len(mean)), mean, yerr=post.ic_std[TRIAL], width=1.0, ecolor="silver")
    ax.set_title("Initial condition, mean and sd", fontsize=8.5, loc="left")
    return figure


def four_estimates(split: lfadsx.Split, smooth: dict[str, np.ndarray], time: np.ndarray) -> Figure:
    """Draws one neuron in one trial: spikes, temporal filter, principal components and LFADS, with the true rate."""
    truth, spikes = split.truth[TRIAL, :, NEURON], split.encoder_input[TRIAL, :, NEURON]
    estimates = {"Spikes": spikes, "Temporal filter": filtered(spikes)}
    estimates |= {name: values[TRIAL, :, NEURON] for name, values in smooth.items()}
    r2 = {k: metrics.r2_of_trials(v[None, :, None], truth[None, :, None]).item() for k, v in estimates.items()}
    panels = {f"{k}, R2 {r2[k]:.3f}": {k: v, "true rate": truth} for k, v in estimates.items()}
    title = f"Neuron {NEURON} in evaluation trial {TRIAL}"
    labels = {"x_label": "Time (s)", "y_label": "Counts per bin"}
    return curves_figure(panels, title, x=time, stems=["Spikes"], share_y=True, **labels)


def floors(truth: np.ndarray) -> dict[str, float]:
    """Returns the R2 of estimates that ignore the trial's data: the truth of another trial, and a straight ramp."""
    found = metrics.r2_floors(truth)
    return {"truth of another trial": found.shuffled, "a ramp": found.ramp}


def save(figures: dict[str, Figure], out: Path) -> None:
    """Writes figures under their names."""
    (out / "tutorial").mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(out / "tutorial" / f"{name}.png", dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Walks through the LFADS tutorial: an integrator network and LFADS.")
    parser.add_argument("--quick", action="store_true", help="tiny sizes and few epochs")
    parser.add_argument("--epochs", type=int, help="number of epochs; ramps shrink in proportion")
    batches = "batches to train the integrator network with; 0 uses the library's trained network"
    parser.add_argument("--train-network", type=int, default=10_000, help=batches)
    parser.add_argument("--out", type=Path, default=Path("runs/jax_tutorial"), help="folder to write")
    main(**vars(parser.parse_args()))
