"""Every row, in the order in which they run: the most valuable come first."""

from tasks.digits import MULTITASK, NECKS, SEMI, TASKS, VIEWS
from tasks.photos import PHOTOS
from tasks.rows import Row

ROWS: tuple[Row, ...] = (*TASKS, *MULTITASK, *VIEWS, *PHOTOS, *SEMI, *NECKS)
