"""Digit scenes: real scans of handwritten digits on photographed textures, with exact labels for every task.

A scene is a square image. Its ground is one of scikit-image's photographs, partly replaced by a second one along a straight border.
One to five of scikit-learn's digits (UCI ML hand-written digits, 8 x 8 scans) are turned slightly, coloured, and pasted over one
another from the smallest to the largest. Besides scenes there are cards (one digit, turned), strips (a row of digits), sheets (nine
noughts, or eight and another digit) and bare textures. The val split's digits are scans that no train image shows, and every pixel
is a function of (seed, split, index), so two machines draw the same images.

Layers of its dataset.json:

    objects     object-detection           coco            boxes of the visible part of each digit, classes "0" to "9"
    digits      object-detection           yolo            the same boxes, one class: "digit"
    instances   instance-segmentation      coco            the same digits as RLE masks
    keypoints   keypoint-detection         coco            the four corners of the turned rectangle around each digit
    quads       quadrilateral-detection    jsonl           the same rectangle, including covered parts
    regions     semantic-segmentation      mask-png        the textures and "digit"; the seam between two textures is ignored
    panoptic    panoptic-segmentation      coco-panoptic   digits as things, textures as stuff
    depth       depth-estimation           depth           larger digits are nearer, and on top
    count       regression                 csv             how many digits there are
    texture     multiclass-classification  image-folder    which texture, on images of their own
    digit       multiclass-classification  csv             on cards: which digit
    identity    metric-learning            csv             on cards: which scan
    angle       regression                 csv             on cards: how many degrees clockwise the digit is turned
    text        text-recognition           jsonl           on strips: the digits
    oddity      anomaly-detection          jsonl           on sheets: whether there is another digit, and where

To write a dataset: `python -m headrace_scenes FOLDER --train 600 --val 100`.
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
