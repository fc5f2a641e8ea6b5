"""Digit scenes: real scans of handwritten digits on photographed textures, with exact labels for every task.

A scene is a square image whose ground is one of scikit-image's photographs, part of it replaced by a second one along a straight
border; on it lie one to five of scikit-learn's digits (UCI ML hand-written digits, 8 x 8 scans), turned a little, coloured, pasted
one over the other from the smallest to the largest. Beside scenes there are cards (one digit, turned), strips (a row of digits),
sheets (nine noughts, or eight and something else) and bare textures. Digits of the val split are scans that no train image shows,
and every pixel is a function of (seed, split, index), so that two machines draw the same images.

Layers of the dataset.json that is written:

    objects     object-detection           coco            boxes of the visible part of each digit, classes "0" to "9"
    digits      object-detection           yolo            the same boxes, one class: "digit"
    instances   instance-segmentation      coco            the same digits as RLE masks
    keypoints   keypoint-detection         coco            the four corners of each digit, as it was before it was turned
    quads       quadrilateral-detection    jsonl           the turned rectangle around each digit, its covered parts included
    regions     semantic-segmentation      mask-png        the textures and "digit"; the seam between two textures is ignored
    panoptic    panoptic-segmentation      coco-panoptic   digits as things, textures as stuff
    depth       depth-estimation           depth           larger is nearer, and lies on top
    count       regression                 csv             how many digits there are
    texture     multiclass-classification  image-folder    which texture: images of their own
    digit       multiclass-classification  csv             of cards: which digit
    identity    metric-learning            csv             of cards: which scan
    angle       regression                 csv             of cards: degrees by which the digit is turned clockwise
    text        text-recognition           jsonl           of strips: the digits
    oddity      anomaly-detection          jsonl           of sheets: whether and where something else than a nought lies

Run as a program it writes a dataset: `python -m headrace_scenes FOLDER --train 600 --val 100`.
"""

from headrace_scenes.cards import Card, draw_card
from headrace_scenes.glyphs import DIGITS
from headrace_scenes.scenes import IGNORE, REGIONS, Scene, draw_scene
from headrace_scenes.sheets import Sheet, draw_sheet
from headrace_scenes.strips import draw_strip
from headrace_scenes.textures import TEXTURES, draw_texture
from headrace_scenes.writing import LAYERS, write_digit_scenes

__all__ = [
    "DIGITS",
    "IGNORE",
    "LAYERS",
    "REGIONS",
    "TEXTURES",
    "Card",
    "Scene",
    "Sheet",
    "draw_card",
    "draw_scene",
    "draw_sheet",
    "draw_strip",
    "draw_texture",
    "write_digit_scenes",
]
