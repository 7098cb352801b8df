# SPDX-License-Identifier: Apache-2.0
"""What launcher_test.py has made for all its tests: filled in before they run."""
UID = 54321
GROUPS = "54321,54001,54002"
AREA = TREE = SQSH = CONFIG = WORK = None  # paths
STEP = LAUNCH = None  # programs
ENV = {}
