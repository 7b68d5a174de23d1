"""Files for TensorBoard, and messages when they cannot be written."""

import sys
from types import SimpleNamespace

import making
import numpy as np
import pytest
from matplotlib.figure import Figure

import lfadsx
from lfadsx.pipeline.tensorboard import TensorBoard


class Recorder:
    """Stands in for the writer of event files."""

    def __init__(self, folder):
        self.folder, self.scalars, self.figures, self.closed = folder, [], [], False

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, value, step))

    def add_figure(self, tag, figure, step):
        assert isinstance(figure, Figure)
        self.figures.append((tag, figure, step))

    def flush(self):
        pass

    def close(self):
        self.closed = True


@pytest.mark.slow
def test_scalars_are_those_of_the_history_and_figures_come_in_time(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=Recorder))
    data = making.one_session(n_trials=8)
    callback = TensorBoard(tmp_path, data, figure_every=2, n_samples=2)
    config = lfadsx.TrainConfig(epochs=3, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=1)
    model = making.build(data)
    result = lfadsx.fit(model, data, config=config, callbacks=[callback])
    writer = callback._writer
    assert writer.closed and writer.folder == str(tmp_path)
    scalars = {(tag, step): value for tag, value, step in writer.scalars}
    for tag, name in (("loss/train", "loss"), ("loss/valid", "valid_loss"), ("kl_ic/valid", "valid_kl_ic")):
        for epoch in (1, 2, 3):
            assert scalars[tag, epoch] == result.history[name][epoch - 1]
    tau = np.exp(result.last.decoder.input_prior.log_tau[...])
    assert scalars["input_prior/tau_1", 3] == pytest.approx(float(tau[1]))
    variance = float(result.last.decoder.input_prior.stationary_variance[0])
    assert scalars["input_prior/variance_0", 3] == pytest.approx(variance)
    ((tag, figure, epoch),) = writer.figures
    assert (tag, epoch) == ("example", 2)
    # Seven panels for a training and for a validation trial: five of traces, two images.
    assert len(figure.axes) == 14 and sum(len(ax.images) for ax in figure.axes) == 4
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert any(title.startswith("Training: Trial") for title in titles)


@pytest.mark.slow
def test_the_validation_loss_has_the_weights_of_the_training_loss():
    data = making.one_session(n_trials=8)
    hyper = lfadsx.HyperParams(kl_ic_scale=0.5, kl_co_scale=0.25, l2_gen_scale=3.0)
    config = lfadsx.TrainConfig(epochs=2, kl_ramp_epochs=1, l2_ramp_epochs=1, validate_every=1)
    h = lfadsx.fit(making.build(data), data, hyper=hyper, config=config).history
    expected = h["valid_reconstruction"] + 0.5 * h["valid_kl_ic"] + 0.25 * h["valid_kl_inputs"] + h["l2"]
    assert h["kl_ic_weight"][1] == h["l2_weight"][1] == 1.0
    np.testing.assert_allclose(h["valid_loss"][1], expected[1], rtol=1e-6)


def test_without_its_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"lfadsx\[log\]"):
        TensorBoard(tmp_path)


def test_what_figures_lack_is_said_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lfadsx.plotting", None)
    with pytest.raises(ImportError, match="plotting"):
        TensorBoard(tmp_path, making.one_session())
    TensorBoard(tmp_path)  # scalars do not need it


def test_figures_need_an_epoch(tmp_path):
    with pytest.raises(ValueError, match="`figure_every` must be at least 1 epoch, got 0"):
        TensorBoard(tmp_path, figure_every=0)
