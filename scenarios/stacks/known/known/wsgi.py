"""What gunicorn loads, once in each worker: the application with the costs of the environment."""

from __future__ import annotations

import os

from known import app
from known.costs import Costs
from known.settings import from_environment

application = app.create(Costs(from_environment(os.environ)))
