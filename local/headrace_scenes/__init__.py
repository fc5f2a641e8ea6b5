"""Digit scenes: real scans of handwritten digits on photographed textures, with exact labels for every task.

A scene is a square image whose ground is one of scikit-image's photographs, part of it replaced by a second one along a straight
border. On it are one to five of scikit-learn's digits (UCI ML hand-written digits, 8 x 8 scans), turned a little, coloured, and
pasted over one another from the smallest to the largest. Besides scenes there are cards (one digit, turned), strips (a row of
digits), sheets (nine noughts, or eight and something else) and bare textures. The val split uses digit scans that no train image
shows, and every pixel is a function of (seed, split, index), so that two machines draw the same images.

Layers of the dataset.json:

    objects     object-detection           coco            boxes of the visible part of each digit, classes "0" to "9"
    digits      object-detection           yolo            the same boxes, one class: "digit"
    instances   instance-segmentation      coco            the same digits as RLE masks
    keypoints   keypoint-detection         coco            the four corners of each digit's own rectangle, turned with it
    quads       quadrilateral-detection    jsonl           the turned rectangle around each digit, including covered parts
    regions     semantic-segmentation      mask-png        the textures and "digit"; the seam between two textures is ignored
    panoptic    panoptic-segmentation      coco-panoptic   digits as things, textures as stuff
    depth       depth-estimation           depth           larger is nearer, on top of the others
    count       regression                 csv             how many digits there are
    texture     multiclass-classification  image-folder    which texture; these have separate images
    digit       multiclass-classification  csv             on cards: which digit
    identity    metric-learning            csv             on cards: which scan
    angle       regression                 csv             on cards: by how many degrees the digit is turned clockwise
    text        text-recognition           jsonl           on strips: the digits
    oddity      anomaly-detection          jsonl           on sheets: whether and where there is something other than a nought

As a program, it writes a dataset: `python -m headrace_scenes FOLDER --train 600 --val 100`.
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
