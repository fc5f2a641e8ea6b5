"""Every row, in the order in which they are run: what is worth most comes first."""

from tasks.digits import MULTITASK, NECKS, SEMI, TASKS, VIEWS
from tasks.photos import PHOTOS
from tasks.rows import Row

ROWS: tuple[Row, ...] = (*TASKS, *MULTITASK, *VIEWS, *PHOTOS, *SEMI, *NECKS)
