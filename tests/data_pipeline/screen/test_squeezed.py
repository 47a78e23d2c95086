import cv2
import numpy as np
import pytest

from data_pipeline.geometry import Fan, Rectangle
from data_pipeline.screen.fan_fit import squeezed_fan

FAN = Fan(apex_x=320, apex_y=30, r0=10, r1=440, t0=-0.7, t1=0.65)


@pytest.mark.parametrize(("width", "height"), [(640, 480), (480, 480), (640, 640), (300, 480), (112, 112)])
def test_a_fan_is_found_in_any_shape_of_picture(width, height):
    x, y = width / 640, height / 480
    sector = cv2.resize(FAN.mask((480, 640)).astype(np.uint8), (width, height)) > 0
    fan, aspect = squeezed_fan(sector)
    assert aspect == pytest.approx(x / y, rel=0.03)
    assert fan.anchor == pytest.approx((320 * x, 30 * x), abs=0.02 * width)  # on the grid (x, aspect * y)
    assert fan.lateral == pytest.approx((-0.7, 0.65), abs=0.04) and fan.depth[1] == pytest.approx(440 * x, rel=0.02)


def test_what_is_no_fan_at_any_aspect_is_none():
    assert squeezed_fan(Rectangle(x0=20, x1=180, y0=10, y1=150).mask((200, 200))) is None
    y, x = np.mgrid[:200, :200]
    assert squeezed_fan((x - 100) ** 2 + (y - 100) ** 2 < 80**2) is None
    assert squeezed_fan(np.zeros((64, 64), bool)) is None
