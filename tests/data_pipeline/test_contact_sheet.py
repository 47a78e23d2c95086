import cv2
import numpy as np
import pytest

from data_pipeline.contact_sheet import HEADER, contact_sheet, write_contact_sheet
from tests.data_pipeline.tiny_pairs import make_pair, make_pairs


def test_rows_and_columns(tmp_path):
    sheet = contact_sheet(make_pairs(3), size=32)
    assert sheet.shape == (3 * (32 + HEADER), 4 * 32, 3) and sheet.dtype == np.uint8
    assert contact_sheet(make_pairs(5), size=32, limit=2).shape[0] == 2 * (32 + HEADER)
    write_contact_sheet(tmp_path / "sheet.png", make_pairs(3), size=32)
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "sheet.png"))[..., ::-1], sheet)
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_difference_of_equal_sides_is_black():
    pair = make_pair(1, height=16, width=16)
    same = make_pair(1, height=16, width=16, cfd=np.repeat(pair.grey, 3, axis=3))
    assert contact_sheet([same], size=16)[HEADER:, 48:].max() == 0
    np.testing.assert_array_equal(contact_sheet([same], size=16)[HEADER:, :16], same.cfd[2])
    with pytest.raises(ValueError, match="at least one pair"):
        contact_sheet([])
