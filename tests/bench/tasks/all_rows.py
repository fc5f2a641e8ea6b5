"""Every row, in the order in which they are run: what is worth most comes first."""

from tasks.digits import MULTITASK, NECKS, SEMI, TASKS
from tasks.photos import PHOTOS
from tasks.rows import Row

ROWS: tuple[Row, ...] = (*TASKS, *MULTITASK, *PHOTOS, *SEMI, *NECKS)
