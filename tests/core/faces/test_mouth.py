import cv2
import numpy as np
import torch

from sargan_core.faces.face import Template
from sargan_core.faces.mouth import FACING, INNER_LIPS, between_lips, opening, together
from sargan_core.weights import find_record

SIZE = 256
SKIN, LIP, ENAMEL = (190, 140, 120), (170, 90, 95), (225, 220, 210)


def landmarks(gap):
    points = np.asarray(Template.from_json(find_record("pixel").template).shape) * SIZE - 0.5
    for upper, lower in FACING:
        points[lower] = points[upper] + [0, gap]
    return points


def picture(points):
    canvas = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    cv2.fillPoly(canvas, [points[48:60].round().astype(np.int32)], LIP)
    cv2.fillPoly(canvas, [points[list(INNER_LIPS)].round().astype(np.int32)], ENAMEL)
    return canvas


def as_tensor(canvas):
    return torch.from_numpy(canvas.astype(np.float32) / 255).permute(2, 0, 1)[None]


def test_lips_put_together_leave_no_gap():
    assert opening(together(landmarks(9.0))) == 0
    assert np.array_equal(together(landmarks(9.0))[:60], landmarks(9.0)[:60])


def test_teeth_beside_the_found_opening_belong_to_it():
    points = landmarks(8.0)
    canvas = picture(points)
    x, y = np.round(points[64]).astype(int)
    canvas[y - 1 : y + 2, x - 4 : x + 4] = ENAMEL
    inside = between_lips(as_tensor(canvas), points)
    assert float(inside[0, 0, y, x + 3]) > 0.9
    middle = np.round((points[62] + points[66]) / 2).astype(int)
    assert float(inside[0, 0, middle[1], middle[0]]) == 1


def test_lips_and_skin_do_not():
    points = landmarks(8.0)
    inside = between_lips(as_tensor(picture(points)), points)
    x, y = np.round((points[57] + points[66]) / 2).astype(int)
    assert float(inside[0, 0, y + 4, x]) < 0.05
    assert float(inside[0, 0, 60:130].max()) == 0
