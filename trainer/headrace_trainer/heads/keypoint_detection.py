"""x"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from headrace_api import model
from headrace_api.tasks import Task
from headrace_trainer.heads.base import Features, Head, Metric, Outputs, Predictions, Targets, levels_between, register
from headrace_trainer.heads.dense_boxes import DenseBoxes, assign, box_losses, detect, draw_boxes, objects_of, at_cells, in_a_row
from headrace_trainer.label_space import LabelSpace
from headrace_trainer.ops.drawing import Canvas
from headrace_trainer.ops.layers import conv_norm_relu
from headrace_trainer.ops.losses import masked_sum
from headrace_trainer.ops.grid import cell_centers

FRAME = "box"
LOSS = "oks"
KW = 1.0


class KeypointDetectionHead(Head):
    task = Task.KEYPOINT_DETECTION
    primary = "AP"
    needs = ("classes", "keypoints")

    def __init__(self, channels: Mapping[int, int], labels: LabelSpace, max_detections: int) -> None:
        super().__init__(sorted(channels), labels)
        self.max_detections = max_detections
        self.dense = DenseBoxes(channels, len(self.classes))
        self.tower = nn.Sequential(conv_norm_relu(self.dense.width, self.dense.width, 3))
        self.points_output = nn.Conv2d(self.dense.width, 3 * len(labels.keypoints), 1)
        nn.init.normal_(self.points_output.weight, std=0.01)
        nn.init.zeros_(self.points_output.bias)
        self.register_buffer("sigmas", torch.tensor(labels.sigmas), persistent=False)

    def forward(self, features: Features) -> Outputs:
        outputs, maps = self.dense(features)
        for level, x in maps.items():
            outputs[f"points{level}"] = self.points_output(self.tower(x)).float()
        return outputs

    def points(self, outputs, cells, cell):
        raw = at_cells(in_a_row(outputs, "points", self.levels), cell).unflatten(-1, (-1, 3))
        offset, seen = raw[..., :2], raw[..., 2]
        boxes = at_cells(cells.boxes, cell).detach()
        low, high = boxes[..., None, :2], boxes[..., None, 2:]
        if FRAME == "box":
            return (low + high) / 2 + offset * (high - low) / 2, seen
        centers = torch.cat([cell_centers(l, boxes.device) for l in cells.levels])[None].expand(len(boxes), -1, -1)
        center = at_cells(centers, cell)[..., None, :]
        if FRAME == "area":
            return center + offset * ((high - low).prod(-1, keepdim=True)).sqrt(), seen
        strides = torch.cat([torch.full((l.cells, 1), float(l.stride)) for l in cells.levels])[None].expand(len(boxes), -1, -1)
        return center + offset * at_cells(strides, cell)[..., None, :] * 2, seen

    def loss(self, outputs: Outputs, targets: Targets, labelled: Tensor) -> dict[str, Tensor]:
        cells, objects = self.dense.cells(outputs), objects_of(targets, labelled)
        assigned = assign(cells, objects)
        points, seen = self.points(outputs, cells, assigned.cell)  # B N K P 2
        learnt = objects.learnt[..., None] & (targets["visibility"] > 0)  # B N P
        truth = torch.where(learnt[..., None], targets["keypoints"], 0)
        area = torch.where(objects.learnt, targets["area"], 1).clamp(min=1)
        has = learnt.any(-1)
        dist = (points - truth[:, :, None]).square().sum(-1)
        e = dist / (2 * area[..., None] * (2 * self.sigmas).square())[:, :, None]
        l = 0
        if "oks" in LOSS:
            l = l + 1 - (-e).exp()
        if "log" in LOSS:
            l = l + e.log1p()
        if "l1" in LOSS:
            l = (
                l
                + F.smooth_l1_loss(
                    (points - truth[:, :, None]) / area.sqrt()[:, :, None, None, None], torch.zeros(()), beta=0.02, reduction="none"
                ).sum(-1)
                * 3
            )
        if "sqrt" in LOSS:
            l = l + (e + 1e-2).sqrt() - 0.1
        each = torch.where(learnt[:, :, None], l, 0).sum(-1) / learnt.sum(-1).clamp(min=1)[..., None]
        weight = torch.where(assigned.taken & has[..., None], assigned.quality, 0)
        norm = weight.sum().clamp(min=1)
        vis = F.binary_cross_entropy_with_logits(seen, learnt[:, :, None].expand_as(seen).float(), reduction="none").mean(-1)
        return box_losses(cells, objects, assigned, labelled) | {
            "keypoints": KW * (weight * each).sum() / norm,
            "visibility": (weight * vis).sum() / norm,
        }

    def decode(self, outputs: Outputs, image_size: tuple[int, int]) -> Predictions:
        cells = self.dense.cells(outputs)
        found = detect(cells, image_size, self.max_detections)
        points, seen = self.points(outputs, cells, found.cell)
        return {
            "boxes": found.boxes,
            "scores": found.scores,
            "classes": found.classes,
            "valid": found.valid,
            "keypoints": points,
            "keypoint_scores": seen.sigmoid(),
        }

    def metric(self) -> Metric:
        return KeypointDetectionMetric(len(self.classes), self.labels.sigmas)

    def draw(self, image, predictions, index):
        canvas = Canvas(image)
        draw_boxes(canvas, predictions, index, self.classes)
        return canvas.pixels()


class KeypointDetectionMetric(Metric):
    def __init__(self, classes, sigmas) -> None:
        self._classes = classes
        self._sigmas = sigmas
        self.gt, self.dt, self.n = [], [], 0

    def update(self, predictions: Predictions, targets: Targets, labelled: Tensor) -> None:
        f = {k: v.cpu().numpy() for k, v in predictions.items()}
        t = {k: v.cpu().numpy() for k, v in targets.items()}
        for i in labelled.nonzero().flatten().tolist():
            self.n += 1
            for j in range(len(t["valid"][i])):
                if t["valid"][i, j]:
                    b = t["boxes"][i, j].astype(float)
                    k = np.concatenate([t["keypoints"][i, j], t["visibility"][i, j][:, None]], 1)
                    self.gt.append(
                        dict(
                            id=len(self.gt) + 1,
                            image_id=self.n,
                            category_id=int(t["classes"][i, j]),
                            bbox=[b[0], b[1], b[2] - b[0], b[3] - b[1]],
                            keypoints=k.flatten().tolist(),
                            num_keypoints=int((k[:, 2] > 0).sum()),
                            area=float(t["area"][i, j]),
                            iscrowd=int(t["crowd"][i, j]),
                        )
                    )
            for j in range(len(f["valid"][i])):
                if f["valid"][i, j]:
                    k = np.concatenate([f["keypoints"][i, j], f["keypoint_scores"][i, j][:, None]], 1)
                    self.dt.append(
                        dict(
                            image_id=self.n,
                            category_id=int(f["classes"][i, j]),
                            keypoints=k.flatten().tolist(),
                            score=float(f["scores"][i, j]),
                        )
                    )

    def compute(self) -> dict[str, float]:
        from faster_coco_eval import COCO, COCOeval_faster

        gt = COCO(
            dict(
                images=[dict(id=i + 1) for i in range(self.n)],
                categories=[dict(id=i) for i in range(self._classes)],
                annotations=self.gt,
            )
        )
        e = COCOeval_faster(gt, gt.loadRes(self.dt), "keypoints", kpt_oks_sigmas=list(self._sigmas))
        e.run()
        return dict(zip(("AP", "AP50", "AP75"), map(float, e.stats)))


@register(Task.KEYPOINT_DETECTION)
def build(options: model.KeypointDetection, channels: Mapping[int, int], labels: LabelSpace) -> Head:
    levels = levels_between(channels, options.bottom_level, options.top_level)
    return KeypointDetectionHead({level: channels[level] for level in levels}, labels, options.max_detections)
