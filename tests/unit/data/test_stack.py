"""Stacks of TIFFs: in the order of their numbers, lazily, never with a file too few, too many or of another kind."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from mlex_jupyter.data.readers import inspect_volume, open_path
from mlex_jupyter.errors import Invalid

ARRAY = np.random.default_rng(5).integers(1, 250, (12, 24, 32)).astype("uint16")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """s_1.tif to s_12.tif."""
    folder = tmp_path / "stack"
    folder.mkdir()
    for number, picture in enumerate(ARRAY, start=1):
        tifffile.imwrite(folder / f"s_{number}.tif", picture)
    return folder


def test_slices_follow_their_numbers_and_not_their_letters(folder: Path) -> None:
    with open_path(folder) as volume:
        np.testing.assert_array_equal(volume[...], ARRAY)
        assert (volume.axes, volume.chunks, volume.reader) == ("zyx", (1, 24, 32), "stack")


def test_a_pattern_takes_what_it_matches(folder: Path) -> None:
    tifffile.imwrite(folder / "mean.tif", ARRAY[0])
    (folder / "s_log.txt").write_text("hello")
    assert inspect_volume(f"{folder}/s_*.tif").shape == (12, 24, 32)
    with open_path(f"{folder}/s_1?.tif") as volume:
        np.testing.assert_array_equal(volume[...], ARRAY[9:])


def test_a_slice_opens_one_file(folder: Path) -> None:
    with open_path(folder) as volume:
        for number in range(2, 12):
            if number != 6:
                (folder / f"s_{number}.tif").unlink()
        np.testing.assert_array_equal(volume[5], ARRAY[5])
        with pytest.raises(Invalid, match=r"s_7\.tif is missing"):
            volume[6]


def test_a_thousand_files_are_opened_by_three(folder: Path) -> None:
    for number in range(13, 1001):
        (folder / f"s_{number}.tif").write_bytes(b"not looked at")
    tifffile.imwrite(folder / "s_501.tif", ARRAY[0])
    tifffile.imwrite(folder / "s_1000.tif", ARRAY[1])
    with open_path(folder) as volume:
        assert volume.shape == (1000, 24, 32)
        np.testing.assert_array_equal(volume[-1], ARRAY[1])
        with pytest.raises(Invalid, match=r"s_13\.tif"):
            volume[12]


@pytest.mark.parametrize("odd", ["s_1.tif", "s_7.tif", "s_12.tif"])
def test_another_shape_is_named_when_the_stack_is_opened(folder: Path, odd: str) -> None:
    tifffile.imwrite(folder / odd, ARRAY[0, :20])
    with pytest.raises(Invalid, match=r"\(20, 32\).*\(24, 32\)|\(24, 32\).*\(20, 32\)"):
        inspect_volume(str(folder))


def test_another_type_in_between_is_named_when_it_is_read(folder: Path) -> None:
    tifffile.imwrite(folder / "s_3.tif", ARRAY[2].astype("float32"))
    with open_path(folder) as volume:
        np.testing.assert_array_equal(volume[1], ARRAY[1])
        with pytest.raises(Invalid, match=r"s_3\.tif is float32"):
            volume[:4]


def test_a_name_that_is_unlike_the_others_is_named(folder: Path) -> None:
    tifffile.imwrite(folder / "mean.tif", ARRAY[0])
    with pytest.raises(Invalid, match=r"'mean\.tif' is not named like the others") as refused:
        inspect_volume(str(folder))
    assert "pattern" in str(refused.value.hint)


def test_a_gap_is_named_unless_a_pattern_is_said(folder: Path) -> None:
    (folder / "s_4.tif").unlink()
    with pytest.raises(Invalid, match=r"Between 's_3\.tif' and 's_5\.tif' files are missing"):
        inspect_volume(str(folder))
    assert inspect_volume(f"{folder}/s_*.tif").shape == (11, 24, 32)


def test_every_tenth_slice_is_a_stack(folder: Path) -> None:
    for number in range(1, 13):
        (folder / f"s_{number}.tif").rename(folder / f"s_{number * 10}0.tif")
    assert inspect_volume(str(folder)).shape == (12, 24, 32)


def test_names_that_count_twice_are_not_mixed(folder: Path) -> None:
    for number in range(1, 13):
        (folder / f"s_{number}.tif").rename(folder / f"c{number % 2}_{number:03}.tif")
    with pytest.raises(Invalid, match="more than one number"):
        inspect_volume(str(folder))
    assert inspect_volume(f"{folder}/c1_*.tif").shape == (6, 24, 32)


def test_files_with_several_pages_are_put_in_a_row(tmp_path: Path) -> None:
    for number in range(3):
        tifffile.imwrite(tmp_path / f"part{number}.tif", ARRAY[number * 4 : number * 4 + 4], photometric="minisblack")
    with open_path(tmp_path) as volume:
        assert volume.axes == "zyx"
        np.testing.assert_array_equal(volume[2:9:3], ARRAY[2:9:3])


def test_colours_come_last(tmp_path: Path) -> None:
    colours = np.stack([ARRAY] * 3, axis=-1).astype("uint8")
    for number, picture in enumerate(colours):
        tifffile.imwrite(tmp_path / f"rgb{number:02}.tif", picture, photometric="rgb")
    with open_path(tmp_path) as volume:
        assert (volume.axes, volume.shape) == ("zyxc", colours.shape)
        np.testing.assert_array_equal(volume.slice_CYX(3), colours[3].transpose(2, 0, 1))


def test_a_file_that_is_a_link_to_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "elsewhere.tif", ARRAY[0])
    (folder / "s_3.tif").unlink()
    (folder / "s_3.tif").symlink_to(tmp_path / "elsewhere.tif")
    with open_path(folder) as volume, pytest.raises(Invalid, match="points elsewhere"):
        volume[2]


def test_a_folder_without_tiffs_and_a_pipe_among_them_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="No reader"):
        inspect_volume(str(tmp_path))
    os.mkfifo(tmp_path / "s_1.tif")
    with pytest.raises(Invalid):
        inspect_volume(str(tmp_path))
