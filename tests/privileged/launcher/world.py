# SPDX-License-Identifier: Apache-2.0
"""What lab.run() has made for all tests: filled in before they run."""
UID = 54321
GROUPS = "54321,54001,54002"
AREA = TREE = SQSH = CONFIG = WORK = None  # paths
RUN = STEP = LAUNCH = ATTACK = PRELOAD = None  # programs
ENV = {}
