"""Set before anything else: importing Locust would otherwise patch the sockets of the whole test process."""

import os

os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
