"""Random numbers: uniform, independent along every number that they depend on, and the same however they are drawn."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from lfadsx.random import bits, derive, normal

KEY = jax.random.key(0)
N = 1 << 18


def chain(*counts):
    """Bits of keys derived by several numbers one after the other, as for steps, trials and bins."""
    keys = KEY
    for count in counts[:-1]:
        keys = derive(keys[..., None], jnp.arange(count))
    return np.asarray(bits(keys[..., None], jnp.arange(counts[-1])))


STREAMS = {
    "one key": lambda: chain(N),
    "first numbers of keys": lambda: chain(N, 1),
    "seeds": lambda: np.asarray(bits(derive(jax.vmap(jax.random.key)(jnp.arange(N)), 0), 0)),
    "steps, trials, bins, neurons": lambda: chain(16, 32, 32, 16),
}


@pytest.mark.parametrize("stream", STREAMS)
def test_bits_are_uniform_and_independent_of_each_other_and_of_those_before(stream):
    word = STREAMS[stream]().ravel()
    table = ((word[:, None] >> np.arange(32, dtype=np.uint32)) & 1).astype(np.float64) - 0.5
    assert np.abs(table.mean(0)).max() * 2 * np.sqrt(N) < 4.5
    for lag in (0, 1, 2, 16, 512):
        r = 4 * table[lag:].T @ table[: N - lag] / (N - lag)
        r = r[np.triu_indices(32, 1)] if lag == 0 else r.ravel()
        assert np.abs(r).max() * np.sqrt(N) < 5.2
        assert abs(r.std() * np.sqrt(N) - 1) < 0.15


@pytest.mark.parametrize("stream", STREAMS)
def test_high_and_low_bytes_of_neighbours_take_all_pairs_equally_often(stream):
    word = STREAMS[stream]().ravel()
    for shift in (0, 24):
        byte = (word >> shift) & 255
        counts = np.bincount(byte[:-1:2] * 256 + byte[1::2], minlength=1 << 16)
        assert 1e-5 < scipy.stats.chisquare(counts).pvalue < 1 - 1e-5


def test_no_number_comes_more_often_than_by_chance():
    words = [STREAMS[stream]().ravel() for stream in STREAMS if stream != "one key"]
    for word in (*words, np.concatenate(words)):
        expected = len(word) ** 2 / 2**33
        assert abs(len(word) - len(np.unique(word)) - expected) < 5 * np.sqrt(expected) + 3


def test_a_changed_bit_of_key_or_number_changes_half_of_the_bits():
    words = np.random.default_rng(0).integers(0, 1 << 32, (3, 20_000), dtype=np.uint32)

    def drawn(first, second, number):
        keys = jax.random.wrap_key_data(jnp.stack([first, second], axis=-1), impl="threefry2x32")
        child = jax.random.key_data(derive(keys, number))
        return np.stack([np.asarray(x) for x in (bits(keys, number), child[:, 0], child[:, 1])])

    before = drawn(*words)
    for which, bit in itertools.product(range(3), range(32)):
        changed = words.copy()
        changed[which] ^= np.uint32(1 << bit)
        difference = before ^ drawn(*changed)
        share = ((difference[..., None] >> np.arange(32, dtype=np.uint32)) & 1).mean(1)
        assert np.abs(share - 0.5).max() < 0.02, (which, bit)


def test_keys_of_zeros_are_as_good_as_others():
    """Seed 0 has two words of 0, and most things are counted from 0."""
    for seed in range(4):
        key = jax.random.key(seed)
        words = [int(bits(key, 0)), *jax.random.key_data(derive(key, 0)).tolist()]
        assert all(8 <= word.bit_count() <= 24 for word in words)


def test_keys_that_are_derived_share_no_numbers_with_the_bits_of_the_same_key():
    own = np.asarray(bits(KEY, jnp.arange(4_096)))
    children = np.asarray(jax.random.key_data(derive(KEY, jnp.arange(4_096))))
    assert np.isin(children, own).sum() <= 2  # 0.008 are expected by chance


def test_no_stream_is_another_one_shifted():
    further = ((5 ^ 0x6A09E667) + 3 * 0x9E3779B9 & 0xFFFFFFFF) ^ 0x6A09E667  # as if three numbers further on
    shifted = [jnp.array([[5, 9], [further, second]], jnp.uint32) for second in (9, 77)]
    same, keys = (jax.random.wrap_key_data(words, impl="threefry2x32") for words in shifted)
    one, other = np.asarray(bits(same[:, None], jnp.arange(100)))
    np.testing.assert_array_equal(one[3:], other[:-3])
    one, other = np.asarray(bits(keys[:, None], jnp.arange(100)))
    assert not np.any(one[3:] == other[:-3])


def test_keys_and_numbers_are_broadcast_and_each_entry_depends_on_its_own_alone():
    keys = derive(KEY, jnp.array([7, 3]))
    both = jax.random.key_data(derive(keys[:, None], jnp.arange(5)))
    alone = jax.random.key_data(derive(derive(KEY, 3), 4))
    np.testing.assert_array_equal(both[1, 4], alone)
    np.testing.assert_array_equal(bits(keys[:, None], jnp.arange(5))[1, 4], bits(derive(KEY, 3), jnp.array(4)))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_any_key_will_do_and_what_comes_of_it_is_one_for_all_of_jax_random(impl):
    key = derive(jax.random.key(1, impl=impl), 2)
    assert jax.random.poisson(key, 3.0, (4,)).shape == (4,)
    assert normal(jax.random.key(1, impl=impl), (4,)).shape == (4,)


def test_any_whole_number_will_do_and_its_last_32_bits_count():
    numbers = [-1, 2**31, np.int64(2**40 + 1), np.uint32(2**32 - 2), jnp.int32(7), 0]
    drawn = [int(bits(KEY, number)) for number in numbers]
    np.testing.assert_array_equal(drawn, bits(KEY, np.array([2**32 - 1, 2**31, 1, 2**32 - 2, 7, 0])))
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("number", [1.5, np.zeros(2), True, 2**70])
def test_what_is_no_whole_number_is_refused(number):
    from lfadsx.random import _whole

    with pytest.raises(TypeError, match="`number` must be an integer, got "):
        _whole(number)


def test_normal_numbers_are_normal():
    drawn = np.asarray(normal(KEY, (N,)), float)
    assert scipy.stats.kstest(drawn, "norm").pvalue > 1e-3
    assert np.isfinite(drawn).all() and 4 < np.abs(drawn).max() < 6
    np.testing.assert_allclose(np.asarray(normal(KEY, (50,), 3.0)), 3 * drawn[:50], rtol=1e-6)


def test_the_ends_of_the_interval_give_finite_numbers_of_equal_size():
    from lfadsx.random import _open_interval

    ends = _open_interval(jnp.array([0, 0xFFFFFFFF], jnp.uint32), jnp.float32)
    assert float(ends[0]) == -float(ends[1]) == -(1 - 2.0**-23)


def test_compiled_and_mapped_normal_numbers_are_those_of_the_host():
    keys = derive(KEY, jnp.arange(3))
    host = np.stack([np.asarray(normal(key, (40, 5))) for key in keys])
    mapped = jax.jit(jax.vmap(lambda key: normal(key, (40, 5))))(keys)
    assert host.dtype == mapped.dtype
    np.testing.assert_allclose(host, mapped, rtol=2e-5, atol=1e-6)
    closed_over = jax.jit(lambda: normal(keys[1], (40, 5)))()
    np.testing.assert_allclose(host[1], closed_over, rtol=2e-5, atol=1e-6)


def test_in_float64_compiled_and_host_agree_to_its_rounding():
    with jax.enable_x64(True):
        host, compiled = normal(KEY, (1_000,)), jax.jit(lambda: normal(KEY, (1_000,)))()
        assert host.dtype == compiled.dtype == np.float64
        np.testing.assert_allclose(host, compiled, rtol=1e-12)


def test_several_keys_are_refused():
    with pytest.raises(
        ValueError, match=r"must be one key, got keys of shape \(3,\). Map `normal` over them with jax.vmap"
    ):
        normal(derive(KEY, jnp.arange(3)), (2,))


def test_a_longer_draw_begins_with_the_shorter_one():
    np.testing.assert_array_equal(normal(KEY, (8, 3))[:5], normal(KEY, (5, 3)))
    np.testing.assert_array_equal(normal(KEY, (4,))[0], normal(KEY, ()))
