"""x"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api import model
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Predictions, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import DenseBoxes, Cells, assign, at_cells, box_losses, detect, in_a_row, objects_of
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops import quads as Q
from headrace_trainer.ops.assignment import Assignment
from headrace_trainer.ops.average_precision import Likeness, average_precision
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.layers import conv_norm_relu

BETA = 0.05
CW = 2.0
QUALITY = "box"
TOWER = True


class QuadrilateralDetectionHead(Head):
    task = Task.QUADRILATERAL_DETECTION
    primary = "AP"
    needs = ("classes",)

    def __init__(self, channels, labels, max_detections) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.dense = DenseBoxes(channels, len(self.classes))
        self.tower = nn.Sequential(conv_norm_relu(self.dense.width, self.dense.width, 3)) if TOWER else nn.Identity()
        self.corners_output = nn.Conv2d(self.dense.width, 8, 1)
        nn.init.normal_(self.corners_output.weight, std=0.01)
        self.corners_output.bias.data = torch.tensor([-1.0, -1, 1, -1, 1, 1, -1, 1])

    def forward(self, features):
        outputs, maps = self.dense(features)
        for level, x in maps.items():
            outputs[f"corners{level}"] = self.corners_output(self.tower(x)).float()
        return outputs

    def quads(self, outputs, cells, cell=None):
        raw = in_a_row(outputs, "corners", self.levels)
        boxes = cells.boxes.detach()
        if cell is not None:
            raw, boxes = at_cells(raw, cell), at_cells(boxes, cell)
        raw = raw.unflatten(-1, (4, 2))
        low, high = boxes[..., None, :2], boxes[..., None, 2:]
        return (low + high) / 2 + raw * (high - low) / 2

    def loss(self, outputs, targets, labelled):
        real = (targets["valid"] & labelled[:, None])[..., None, None]
        truth = torch.where(real, targets["quads"].float(), 0)
        cells, objects = self.dense.cells(outputs), objects_of({**targets, "boxes": Q.bounds(truth)}, labelled)
        assigned = assign(cells, objects)
        found = self.quads(outputs, cells, assigned.cell)
        if QUALITY == "poly":
            with torch.no_grad():
                t = truth[:, :, None].expand_as(found)
                ov = Q.iou(found.flatten(0, 2), t.flatten(0, 2)).view(found.shape[:3])
                place = (assigned.cell * cells.logits.shape[2] + objects.classes[..., None]).flatten(1)
                score = cells.logits.flatten(1).gather(1, place).view(assigned.cell.shape).sigmoid()
                al = torch.where(assigned.taken, score * ov.pow(6) + 1e-12, 0)
                share = al / al.amax(2, keepdim=True).clamp(min=1e-12)
                assigned = Assignment(
                    assigned.cell, assigned.taken, share * torch.where(assigned.taken, ov, 0).amax(2, keepdim=True)
                )
        across = (truth[:, :, 1] - truth[:, :, 0] + truth[:, :, 2] - truth[:, :, 3]) / 2
        down = (truth[:, :, 3] - truth[:, :, 0] + truth[:, :, 2] - truth[:, :, 1]) / 2
        width = across.norm(dim=-1).clamp(min=1)
        u = across / width[..., None]
        v = torch.stack([-u[..., 1], u[..., 0]], -1)
        height = (down * v).sum(-1).abs().clamp(min=1)
        d = found - truth[:, :, None]
        du = (d * u[:, :, None, None]).sum(-1) / width[:, :, None, None]
        dv = (d * v[:, :, None, None]).sum(-1) / height[:, :, None, None]
        e = torch.stack([du, dv], -1)
        l = F.smooth_l1_loss(e, torch.zeros_like(e), beta=BETA, reduction="none").sum(-1).mean(-1)
        weight = torch.where(assigned.taken, assigned.quality, 0)
        return box_losses(cells, objects, assigned, labelled) | {"corners": CW * (weight * l).sum() / weight.sum().clamp(min=1)}

    def decode(self, outputs, image_size):
        cells = self.dense.cells(outputs)
        all_quads = self.quads(outputs, cells)
        found = detect(cells, image_size, self.max_detections, all_quads)
        quads = at_cells(all_quads.flatten(2), found.cell).unflatten(-1, (4, 2)) * found.valid[..., None, None]
        return {"quads": quads, "scores": found.scores, "classes": found.classes, "valid": found.valid}

    def metric(self):
        return QuadrilateralDetectionMetric(len(self.classes))

    def draw(self, image, predictions, index):
        return Canvas(image).pixels()


class QuadrilateralDetectionMetric(Metric):
    def __init__(self, classes) -> None:
        self._classes = classes
        self._by_class = [[] for _ in range(classes)]

    def update(self, predictions, targets, labelled):
        f = {k: v.cpu() for k, v in predictions.items()}
        t = {k: v.cpu() for k, v in targets.items()}
        for i in labelled.nonzero().flatten().tolist():
            for c in range(self._classes):
                g = t["valid"][i] & (t["classes"][i] == c)
                d = f["valid"][i] & (f["classes"][i] == c)
                a, b = f["quads"][i][d].double(), t["quads"][i][g].double()
                A, B = a[:, None].expand(-1, len(b), -1, -1).reshape(-1, 4, 2), b[None].expand(len(a), -1, -1, -1).reshape(-1, 4, 2)
                inter, aa, ab = Q.intersection_and_areas(A, B)
                crowd = t["crowd"][i][g]
                m = inter / torch.where(crowd.repeat(len(a)), aa, aa + ab - inter).clamp(min=1e-9)
                self._by_class[c].append(Likeness(f["scores"][i][d].numpy(), m.view(len(a), len(b)).numpy(), crowd.numpy()))

    def compute(self):
        return average_precision(self._by_class)


@register(Task.QUADRILATERAL_DETECTION)
def build(options, channels, labels):
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return QuadrilateralDetectionHead({level: channels[level] for level in levels}, labels, options.max_detections)
