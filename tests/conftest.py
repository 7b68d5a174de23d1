"""Fixtures of all tests: a compilation cache, two host devices, shape checks, and small batches."""

import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
if version("jaxlib").startswith("0.10."):  # XLA ends the process at an unknown flag
    # Compiles in half the time; the programs run slower by a third, which small ones do not show. Nor are programs cut
    # into parts that compile side by side: the tests themselves run side by side.
    os.environ["XLA_FLAGS"] = " ".join(
        (
            os.environ.get("XLA_FLAGS", ""),
            "--xla_cpu_use_fusion_emitters=false",
            "--xla_cpu_parallel_codegen_split_count=1",
        )
    )

import jax
import pytest
from flax import nnx
from jaxtyping import install_import_hook

# Shapes written in the signatures are checked wherever the tests call; users pay nothing for it.
_HOOK = install_import_hook(
    ["lfadsx.modules", "lfadsx.distributions", "lfadsx.models.lfads", "lfadsx.objective", "lfadsx.random"],
    "typecheck.checked",
)

CACHE = Path(os.environ.get("LFADSX_TEST_CACHE", Path.home() / ".cache" / "lfadsx-tests"))
SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure(config):
    """Switches on the compilation cache that all tests and the examples they start share."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)
    jax.config.update("jax_compilation_cache_dir", str(CACHE))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    # Small programs: compiling them takes longer than running them, optimised or not.
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(scope="module", autouse=True)
def few_memory_maps():
    """Gives up compiled programs before there are more memory maps than Linux lets a process have, 65,530 by default.

    Each program has some, and one too many ends the process within the compiler. What is needed again comes from the
    cache on disk.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.is_file() and maps.read_bytes().count(b"\n") > 40_000:
        jax.clear_caches()


@pytest.fixture
def optimised():
    """Compiles as users do: numbers of different programs are equal to the last bit only if all are optimised alike."""
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
    jax.clear_caches()


@pytest.fixture(scope="session")
def fixtures():
    """Folder with parity numbers of other implementations; skips where it is missing."""
    folder = SHARED / "fixtures"
    if not folder.is_dir():
        pytest.skip(f"needs the parity fixtures, which are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def recordings():
    """Folder with real recordings; skips where it is missing."""
    folder = SHARED / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recordings, which are not at {folder}")
    return folder


@pytest.fixture(params=["graph", "tree"])
def nnx_mode(request):
    """Runs a test in the graph mode and in the tree mode of Flax NNX."""
    if request.param == "graph":
        yield request.param
        return
    with nnx.set_graph_mode(False), nnx.set_graph_updates(False):
        yield request.param
