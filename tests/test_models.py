"""The shared models under many threads: built once, a fair device, no retracing."""

import threading
from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from nst_demo import models, objective
from nst_demo.errors import StyleTransferError
from nst_demo.methods import adain, gatys

PATIENCE = 60  # seconds after which a test gives up instead of hanging; never waited for


def start(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def finish(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    tick = threading.Event()
    for _ in range(100 * PATIENCE):
        if condition():
            return
        tick.wait(0.01)
    pytest.fail("waited in vain")


@pytest.fixture
def keys() -> Iterator[Callable[[], object]]:
    """Makes keys that nobody else uses; what was built for them is forgotten afterwards."""
    made: list[object] = []

    def make() -> object:
        made.append(key := ("test", object()))
        return key

    yield make
    for key in made:
        models._built.pop(key, None)
        models._building.pop(key, None)


# ---- shared ------------------------------------------------------------------------------------


def test_eight_threads_share_one_build(keys):
    key, entered, proceed = keys(), threading.Event(), threading.Event()
    builds, results = [], []

    def build():
        builds.append(threading.get_ident())
        entered.set()
        assert proceed.wait(PATIENCE)
        return object()

    threads = [start(lambda: results.append(models.shared(key, build))) for _ in range(8)]
    assert entered.wait(PATIENCE)
    proceed.set()
    finish(*threads)
    assert len(builds) == 1
    assert len(results) == 8
    assert len({id(result) for result in results}) == 1


def test_a_build_that_fails_is_tried_again(keys):
    key = keys()

    def fail():
        raise StyleTransferError("no internet")

    for _ in range(2):
        with pytest.raises(StyleTransferError, match="no internet"):
            models.shared(key, fail)
    assert models.shared(key, lambda: "built") == "built"
    assert models.shared(key, fail) == "built"


def test_those_who_waited_for_a_failing_build_try_themselves(keys):
    key, entered, proceed = keys(), threading.Event(), threading.Event()
    outcomes = []

    def fail():
        entered.set()
        assert proceed.wait(PATIENCE)
        raise StyleTransferError("broken")

    def first():
        with pytest.raises(StyleTransferError):
            models.shared(key, fail)
        outcomes.append("failed")

    failing = start(first)
    assert entered.wait(PATIENCE)
    waiting = start(lambda: outcomes.append(models.shared(key, lambda: "built")))
    proceed.set()
    finish(failing, waiting)
    assert sorted(outcomes) == ["built", "failed"]


def test_another_key_does_not_wait_for_a_slow_build(keys):
    entered, proceed, in_time = threading.Event(), threading.Event(), []

    def slow():
        entered.set()
        in_time.append(proceed.wait(PATIENCE))

    slow_key = keys()
    thread = start(lambda: models.shared(slow_key, slow))
    assert entered.wait(PATIENCE)
    assert models.shared(keys(), lambda: "at once") == "at once"
    proceed.set()
    finish(thread)
    assert in_time == [True]


def test_a_build_may_ask_for_another_network(keys):
    outer, inner = keys(), keys()
    built = models.shared(outer, lambda: ("outer", models.shared(inner, lambda: "inner")))
    assert built == ("outer", "inner")


def test_none_is_a_result_like_any_other(keys):
    key = keys()
    assert models.shared(key, lambda: None) is None
    assert models.shared(key, lambda: "again") is None


def test_another_keras_backend_is_told(keys, monkeypatch):
    monkeypatch.setattr(models.keras.backend, "backend", lambda: "jax")
    with pytest.raises(StyleTransferError, match="unset KERAS_BACKEND"):
        models.shared(keys(), lambda: "never")


# ---- the device ----------------------------------------------------------------------------------


def test_the_device_is_the_one_tensorflow_sees():
    gpus = tf.config.list_physical_devices("GPU")
    device = models.device()
    assert device.kind == ("GPU" if gpus else "CPU")
    assert gpus or device.name.startswith("CPU, ")
    assert models.device() is device


def test_fair_lock_serves_in_the_order_of_arrival():
    lock, served, threads = models.FairLock(), [], []

    def work(number: int):
        with lock:
            served.append(number)

    with lock:
        for number in range(5):
            threads.append(start(lambda number=number: work(number)))
            until(lambda count=number + 1: len(lock._waiting) == count)
        assert served == []
    finish(*threads)
    assert served == [0, 1, 2, 3, 4]


def test_fair_lock_lets_a_waiter_pass_between_two_turns_of_a_loop():
    """threading.Lock would let the loop take it again at once."""
    lock, served = models.FairLock(), []

    def visitor():
        with lock:
            served.append("visitor")

    lock.__enter__()
    thread = start(visitor)
    until(lambda: len(lock._waiting) == 1)
    lock.__exit__()
    with lock:
        served.append("loop again")
    finish(thread)
    assert served == ["visitor", "loop again"]


def test_fair_lock_excludes():
    lock, inside, worst = models.FairLock(), [0], [0]

    def work():
        for _ in range(200):
            with lock:
                inside[0] += 1
                worst[0] = max(worst[0], inside[0])
                inside[0] -= 1

    finish(*[start(work) for _ in range(4)])
    assert worst == [1]
    assert not lock._taken
    assert not lock._waiting


@pytest.mark.parametrize("handed_over", [False, True])
def test_a_waiter_that_is_interrupted_gives_its_turn_up(monkeypatch, handed_over):
    """Ctrl-C while waiting, before and just after the turn came: later visitors still pass."""
    lock = models.FairLock()

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            if handed_over:
                lock.__exit__()
            raise KeyboardInterrupt

    lock.__enter__()
    with monkeypatch.context() as patch:
        patch.setattr(models.threading, "Event", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            lock.__enter__()
    assert not lock._waiting
    if not handed_over:
        lock.__exit__()
    assert not lock._taken
    with lock:
        pass


def test_an_error_inside_releases_the_device():
    with pytest.raises(RuntimeError, match="mishap"), models.on_device():
        raise RuntimeError("mishap")
    with models.on_device():
        pass


@pytest.mark.parametrize(
    "error", [MemoryError(), tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")]
)
def test_too_little_memory_is_told_in_a_sentence(error):
    with pytest.raises(StyleTransferError, match="choose a smaller size"), models.on_device():
        raise error
    assert not models.device_lock._taken


# ---- memory --------------------------------------------------------------------------------------


def test_free_memory_is_told_where_it_can_be():
    free = models.free_memory()
    assert free is None or 10**6 < free < 10**14


GROUPS = {
    "version 2": ("0::/app\n", "app", ("memory.max", "memory.current", "inactive_file")),
    "version 2, inside a container": (
        "0::/host/path\n",
        "",
        ("memory.max", "memory.current", "inactive_file"),
    ),
    "version 1": (
        "9:cpu:/x\n4:memory:/app\n",
        "memory/app",
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ),
}


@pytest.fixture(params=GROUPS)
def group(request, tmp_path):
    """Writes the files of a control group with a limit, usage and droppable pages."""
    listing, folder, (limit_file, usage_file, cache) = GROUPS[request.param]
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(listing)
    place = tmp_path / "sys/fs/cgroup" / folder
    place.mkdir(parents=True)

    def write(limit: str, usage: int, droppable: int):
        (place / limit_file).write_text(f"{limit}\n")
        (place / usage_file).write_text(f"{usage}\n")
        (place / "memory.stat").write_text(f"anon 5\n{cache} {droppable}\nfile 7\n")
        return tmp_path

    return write


def test_a_containers_limit_counts_less_what_it_uses_but_could_drop(group):
    assert models._below_cgroup_limit(group("4000", 1500, 500)) == 3000


@pytest.mark.parametrize("limit", ["max", "9223372036854771712"])
def test_a_group_without_a_limit_has_none(group, limit):
    assert models._below_cgroup_limit(group(limit, 1500, 500)) is None


def test_a_machine_without_control_groups_has_no_limit(tmp_path):
    assert models._below_cgroup_limit(tmp_path) is None


# ---- pace ----------------------------------------------------------------------------------------


def test_pace_is_unknown_at_first_and_then_that_of_the_fastest_of_the_last_runs():
    pace = models.Pace()
    assert pace.expected("adain", 100) is None
    pace.record("adain", 1000, 20.0)  # with the compilation
    assert pace.expected("adain", 500) == pytest.approx(10.0)
    assert pace.expected("gatys", 500) is None
    pace.record("adain", 1000, 4.0)
    assert pace.expected("adain", 1000) == pytest.approx(4.0)
    for _ in range(pace.RUNS):  # the machine became slower
        pace.record("adain", 1000, 10.0)
    assert pace.expected("adain", 1000) == pytest.approx(10.0)


def test_pace_goes_by_the_nearest_sizes():
    pace = models.Pace()
    pace.record("k", 100, 1.0)
    pace.record("k", 1000, 5.0)
    assert pace.expected("k", 100) == pytest.approx(1.0)
    assert pace.expected("k", 550) == pytest.approx(3.0)
    assert pace.expected("k", 2000) == pytest.approx(10.0)
    assert pace.expected("k", 50) == pytest.approx(0.5)
    assert pace.expected("k", 2000, fixed=1.0) == pytest.approx(9.0)
    assert pace.expected("k", 50, fixed=0.2) == pytest.approx(0.6)
    assert pace.expected_for("k", 20, 40, size=10, passes=3) == pytest.approx(11 / 3)


def test_pace_forgets_the_oldest_sizes():
    pace = models.Pace()
    for size in range(1, 100):
        pace.record("k", size, 1.0)
    assert len(pace._runs["k"]) == pace.SIZES


# ---- the networks on it --------------------------------------------------------------------------


SIZES = [(32, 32), (67, 101), (48, 80), (101, 67)]


def test_fast_mode_is_traced_once_for_all_sizes(picture):
    for height, width in SIZES:
        style = picture(width, height)
        adain.stylize(picture(height, width), [style], adain.Options(strength=height / 200))
    network = adain._network()
    for function in (network.paint_whole, network.encode_fine, network.encode_coarse):
        assert function.experimental_get_tracing_count() == 1


def test_quality_mode_is_traced_once_for_all_sizes_and_weights(picture, tiny_backbone):
    for height, width in SIZES:
        options = gatys.Options(
            backbone=tiny_backbone, iterations=1, style_weight=height, init="content"
        )
        gatys.stylize(picture(height, width), [picture(40, 40)] * (1 + height % 2), options)
    structure, _ = gatys.structure_of(options.settings)
    compiled = objective.compiled(structure)
    for function in (compiled.content_features, compiled.style_sums, compiled.evaluate):
        assert function.experimental_get_tracing_count() == 1


def test_a_fast_request_passes_a_running_optimisation(photo, style, tiny_backbone):
    """The long run goes on for as long as the fast request takes, and ends only after it."""
    running, stop = threading.Event(), threading.Event()
    steps_before_stop = []

    def optimise():
        options = gatys.Options(backbone=tiny_backbone, iterations=100_000, optimizer="adam")
        for step in gatys.iterate(photo, [style], options):
            running.set()
            if stop.is_set():
                return
            steps_before_stop.append(step.iteration)

    long_run = start(optimise)
    assert running.wait(PATIENCE)
    painted = []
    fast = start(lambda: painted.append(adain.stylize(photo, [style], adain.Options())))
    finish(fast)
    assert long_run.is_alive()
    stop.set()
    finish(long_run)
    assert painted[0].shape == photo.shape


def test_threads_get_the_same_pictures_as_one_alone(picture, style):
    photos = [picture(32 + 8 * i, 40, seed=i) for i in range(4)]
    alone = [adain.stylize(photo, [style], adain.Options()) for photo in photos]
    together: list[np.ndarray | None] = [None] * 4

    def work(i: int):
        together[i] = adain.stylize(photos[i], [style], adain.Options())

    finish(*[start(lambda i=i: work(i)) for i in range(4)])
    for expected, found in zip(alone, together, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)


# ---- precision -----------------------------------------------------------------------------------


@pytest.fixture
def precision(monkeypatch):
    """What `models.precision` finds with NST_PRECISION set so (None: unset)."""

    def found(setting: str | None) -> str:
        monkeypatch.delenv(models.PRECISION_VARIABLE, raising=False)
        if setting is not None:
            monkeypatch.setenv(models.PRECISION_VARIABLE, setting)
        models.precision.cache_clear()
        return models.precision()

    yield found
    models.precision.cache_clear()


def test_bfloat16_is_used_where_the_processor_multiplies_it(monkeypatch, precision):
    monkeypatch.setattr(models, "device", lambda: models.Device("CPU", "CPU"))
    for flags, expected in (("fma avx2", "float32"), ("avx512f avx512_bf16 sse", "bfloat16")):
        monkeypatch.setattr(models.Path, "read_text", lambda _, flags=flags: f"flags : {flags}\n")
        assert precision(None) == expected
    assert precision("float32") == "float32"


def test_another_precision_is_refused(precision):
    with pytest.raises(StyleTransferError, match=r"NST_PRECISION is 'half'; set it to float32"):
        precision("half")


def test_a_network_in_bfloat16_keeps_float32_weights_and_the_policy_of_others(precision):
    assert precision("bfloat16") == "bfloat16"
    with models.fast_arithmetic():
        layer = keras.layers.Dense(2)
    assert (layer.compute_dtype, layer.variable_dtype) == ("bfloat16", "float32")
    assert keras.config.dtype_policy().name == "float32"


def test_bfloat16_paints_the_same_picture(precision, monkeypatch, picture):
    """Fast mode: within two grey levels on average."""
    photo, style = picture(96, 128, seed=3), picture(80, 80, seed=4)
    painted = []
    for setting in ("float32", "bfloat16"):
        monkeypatch.setattr(models, "_built", {})
        precision(setting)
        painted.append(adain.stylize(photo, [style], adain.Options()))
    assert 0 < np.abs(painted[0] - painted[1]).mean() < 2 / 255


def evaluated(precision, monkeypatch, picture, **options):
    """(loss, gradient) of Quality in float32, then in bfloat16."""
    photo, style = picture(96, 128, seed=3), picture(80, 80, seed=4)
    for setting in ("float32", "bfloat16"):
        monkeypatch.setattr(models, "_built", {})
        precision(setting)
        yield gatys.objective(photo, [style], gatys.Options(**options))(photo)


def test_a_gradient_in_bfloat16_is_half_a_percent_off(precision, monkeypatch, picture):
    """Of the very loss: features stay in float32."""
    published = {"recipe": "zandian", "backbone": "lite"}
    (loss, gradient), (same_loss, near) = evaluated(precision, monkeypatch, picture, **published)
    assert same_loss == pytest.approx(loss, rel=1e-4)  # oneDNN may compute it in another order
    assert 0 < np.linalg.norm(near - gradient) < 0.01 * np.linalg.norm(gradient)


def test_with_soft_slopes_features_are_in_bfloat16_too(precision, monkeypatch, picture):
    (loss, gradient), (near_loss, near) = evaluated(precision, monkeypatch, picture)
    assert near_loss != loss
    assert near_loss == pytest.approx(loss, rel=5e-3)
    assert np.sum(near * gradient) > 0.8 * np.linalg.norm(near) * np.linalg.norm(gradient)
