"""Where weights come from."""

import h5py
import numpy as np
import pytest

from nst_demo import weights
from nst_demo.errors import StyleTransferError

VARIABLES = list(weights.LOCAL_FILE_VARIABLES.items())


@pytest.mark.parametrize("name", weights.PACKAGED)
def test_the_packaged_files_hold_finite_numbers_and_no_code(name):
    arrays, path = [], weights.packaged(name)

    def collect(_, item):
        if isinstance(item, h5py.Dataset):
            arrays.append(item[()])

    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[key] for key in file]
    else:
        with h5py.File(path) as file:
            file.visititems(collect)
    assert sum(a.size for a in arrays) > 50_000
    for array in arrays:
        assert np.issubdtype(array.dtype, np.floating)  # no strings, no pickles
        assert np.all(np.isfinite(array))


def test_a_missing_packaged_file_is_told_with_its_place(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    with pytest.raises(StyleTransferError, match=r"lite\.weights\.h5 are missing; install"):
        weights.packaged("lite")


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_no_local_file_where_the_variable_is_unset_or_blank(monkeypatch, name, variable, value):
    monkeypatch.delenv(variable, raising=False)
    if value is not None:
        monkeypatch.setenv(variable, value)
    assert weights.local_file(name) is None


@pytest.mark.parametrize(("name", "variable"), VARIABLES)
def test_the_local_file_is_the_one_named(monkeypatch, tmp_path, name, variable):
    file = tmp_path / "my weights.h5"
    file.touch()
    monkeypatch.setenv(variable, str(file))
    assert weights.local_file(name) == file


@pytest.mark.parametrize("wrong", ["missing.h5", "."])
def test_a_variable_that_names_no_file_is_told(monkeypatch, tmp_path, wrong):
    monkeypatch.setenv("NST_VGG19_WEIGHTS", str(tmp_path / wrong))
    with pytest.raises(StyleTransferError, match=r"NST_VGG19_WEIGHTS names .* no file"):
        weights.local_file("vgg19")
