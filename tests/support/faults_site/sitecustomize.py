"""Python imports the first `sitecustomize` on its path at start-up: this one injects `support.engine_faults`."""

import os

from support.engine_faults import FOLDER_ENV, inject

inject(os.environ[FOLDER_ENV])
