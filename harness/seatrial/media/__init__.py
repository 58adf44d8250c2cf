"""Test media: clips whose every byte can be computed, an index parser for MP4 files, and block digests.

Pure: functions of numbers and bytes. No Locust, no gevent and no network, so that locustfiles, commands and the
seeding of stacks use the same code.
"""
