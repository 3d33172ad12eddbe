"""What several tests share: a tiny model that codes something, its checkpoint, and small images."""

import shutil
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No test asserts a time: two processes and a busy machine make any of them slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """The notebooks, which take longest, come first: of two processes (`make test`) one executes them."""
    items.sort(key=lambda item: item.path.name != "test_notebooks.py")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors are faster on one thread, and two tests at a time do not fight for cores."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _make_model(seed: int = 0, N: int = 8, M: int = 12):
    """An untrained model whose latents, hyper-latents, means and scales all spread over several levels."""
    import torch

    from satstudy.codecs.mbt2018.model import build

    generator = torch.Generator().manual_seed(seed)
    model = build(N, M)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("weight") and p.dim() == 4:
                fan = p.shape[1] * p.shape[2] * p.shape[3] if "g_s" not in name and "h_s" not in name else (
                    p.shape[0] * p.shape[2] * p.shape[3] / (4 if p.shape[2] == 5 else 1)
                )  # fmt: skip
                p.copy_(torch.randn(p.shape, generator=generator) * fan**-0.5)
            elif name.endswith("bias") and p.dim() == 1:
                p.copy_(torch.randn(p.shape, generator=generator) * 0.1)
        # GDN near the identity, so that the latents follow the image.
        for name, p in model.named_parameters():
            if name.endswith("gamma"):
                p.mul_(0.3)
        model.g_a[6].weight.mul_(3.6)
        model.g_s[6].weight.mul_(0.03)
        model.g_s[6].bias.fill_(0.5)
        model.h_a[4].weight.mul_(4)
        model.entropy_parameters[4].weight[:M].mul_(0.8)
        model.entropy_parameters[4].bias[:M].add_(2.5)
        for i, bias in enumerate(model.entropy_bottleneck.biases):
            bias.copy_(torch.rand(bias.shape, generator=generator) - 0.5 if i else bias * 0)
        model.entropy_bottleneck._update_quantiles()
    return model.eval()


@pytest.fixture(scope="session")
def make_model() -> Callable:
    """`make_model(seed, N, M)`: an untrained model whose every part matters to the coded bits."""
    return _make_model


@pytest.fixture(scope="session")
def tiny_model():
    """N = 8, M = 12; not to be changed."""
    return _make_model()


@pytest.fixture(scope="session")
def small_wavelet():
    """An untrained wavelet model, small; not to be changed."""
    import torch

    from satstudy.codecs.wavelet.config import WaveletConfig
    from satstudy.codecs.wavelet.model import WaveletModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WaveletModel(WaveletConfig(widths=(24, 16, 16), depths=(1, 1, 1), correction=8))
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "condition" in name:
                    p.copy_(torch.randn(p.shape) * 0.1)
                elif "gain" in name:
                    p.copy_(torch.randn(p.shape) * 0.05)
                elif ".head." in name and name.endswith("bias"):
                    p.chunk(2)[1].fill_(1.0)  # so wide that nothing is unforeseen
    return model.eval()


@pytest.fixture(scope="session")
def trained_wavelet(picture):
    """A small wavelet model after a few steps, so that its rate rises with λ; not to be changed."""
    import torch

    from satstudy.codecs.wavelet.config import WaveletConfig
    from satstudy.codecs.wavelet.model import WaveletModel
    from satstudy.training.config import TrainingConfig
    from satstudy.training.step import Process, training_state

    config = TrainingConfig((1e-4, 0.2), 60, batch=4, crop=64, lr=4e-3, warmup=5, optimizer="adam", noisy_steps=60)
    x = torch.from_numpy(np.stack([picture(64, 64, seed) for seed in range(8)])).permute(0, 3, 1, 2).float() / 255
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = WaveletModel(WaveletConfig(widths=(16, 16), depths=(1, 1), correction=4))
        state = training_state(config, model, Process(0, 1, torch.device("cpu")))
        for step in range(config.steps):
            state.update(x[4 * (step % 2) :][:4], step)
    return state.averaged()


@pytest.fixture(scope="session")
def wavelet_checkpoint(small_wavelet, tmp_path_factory):
    """The small wavelet model, saved in float16 and loaded."""
    from satstudy.codecs.learned import checkpoint

    path = tmp_path_factory.mktemp("wavelet") / "small.safetensors"
    checkpoint.save(path, small_wavelet, {"lam": "0.01"}, half=True)
    return checkpoint.load(path)


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """The tiny model, saved and loaded."""
    from satstudy.codecs.learned import checkpoint
    from satstudy.codecs.mbt2018.prior import hyper_tables

    path = tmp_path / "tiny.safetensors"
    checkpoint.save(path, tiny_model, {"N": "8", "M": "12", "lam": "0.01"}, hyper_tables(tiny_model))
    return checkpoint.load(path)


@pytest.fixture(scope="session")
def picture() -> Callable:
    """`picture(height, width, seed)`: uint8 (height, width, 3), soft shapes with some grain."""

    def draw(height: int, width: int, seed: int = 0):
        rng = np.random.default_rng([seed, height, width])
        y, x = np.mgrid[:height, :width]
        waves = [np.sin((y * a + x * b) / 9 + c) for a, b, c in rng.uniform(-1, 1, (3, 3)) * [1, 1, 3]]
        grain = rng.normal(0, 12, (height, width, 3))
        return np.clip(128 + 60 * np.stack(waves, -1) + grain, 0, 255).astype(np.uint8)

    return draw


# --- A small study ------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def scenes(tmp_path_factory, tiny_model):
    """The scenes of the tiny profile, drawn once."""
    from small_study import opened, place

    folder = tmp_path_factory.mktemp("scenes")
    with place(folder, tiny_model):
        return opened().root


@pytest.fixture
def here(tmp_path, tiny_model, scenes, one_thread):
    """The folder that stands for the repository; the tiny study's scenes are drawn already."""
    from small_study import place

    with place(tmp_path, tiny_model):
        shutil.copytree(scenes, tmp_path / "build" / "tiny" / scenes.name)
        yield tmp_path


@pytest.fixture
def drawn(monkeypatch):
    """The trainers that a study made, none of which trains."""
    from small_study import without_training

    return without_training(monkeypatch)


@pytest.fixture(scope="session")
def book(tmp_path_factory, worker_id):
    """The folder of a whole run with the profile `smoke`, made once, by whichever process asks first."""
    from filelock import FileLock
    from whole_run import snakemake

    own = tmp_path_factory.getbasetemp()
    folder = (own if worker_id == "master" else own.parent) / "smoke"
    with FileLock(f"{folder}.lock"):
        if not (folder / "finished").exists():
            folder.mkdir(exist_ok=True)
            status, text = snakemake(folder, folder / "build", "--config", "profile=smoke")
            assert status == 0, text[-5000:]
            assert "eavesdropping" not in text, "what a kernel says of its port is no news of the study"
            (folder / "finished").touch()
    return folder


# --- The command --------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shelf(make_model, tmp_path_factory):
    """Weights that ship with the command."""
    from small_command import stocked

    return stocked(tmp_path_factory.mktemp("shelf"), make_model)


@pytest.fixture
def work(shelf, picture, tmp_path, monkeypatch):
    """The folder, with images, in which the command runs."""
    from small_command import furnished

    return furnished(tmp_path, shelf, picture, monkeypatch)


@pytest.fixture
def run(work, capsys):
    """Run the command; gives status, output and error output."""
    from small_command import called

    return lambda line: called(line, work, capsys)


@pytest.fixture
def quiet_figures(monkeypatch):
    """No figure is shown or left open, and no style leaks."""
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    plt.switch_backend("Agg")
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("a figure was shown"))
    before = dict(mpl.rcParams)
    yield
    assert not plt.get_fignums(), "a figure was left open"
    assert dict(mpl.rcParams) == before, "the style leaked"
