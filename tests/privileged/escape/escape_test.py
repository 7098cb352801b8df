#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Ways out of a container, tried for real, one a test, with the exact answer of the kernel or of Slipway; and,
where that costs little, the same attack where nothing defends (a "control": it works there).

escape_test.py RUN_IN_CONTAINER STEP_TASK SLIPWAY_LAUNCH ATTACK PRELOAD [TEST…]. Ends with 77 where it cannot
run. Runs in a mount namespace of its own, so nothing on the host changes. What each rule of docs/security.md
promises beyond that is in ../launcher and ../image_server."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "launcher"))
import lab  # noqa: E402
from after import AfterTheJob, Scripts  # noqa: E402, F401, found by unittest.main()
from attacks import populate  # noqa: E402
from files import Images, ImageFiles  # noqa: E402, F401
from layers import Layers  # noqa: E402, F401
from mounts import Inside, Sources, StepSources, Targets  # noqa: E402, F401
from privileges import Devices, Privileges, StepPrivileges  # noqa: E402, F401
from processes import Loading, Others, Programs  # noqa: E402, F401

if __name__ == "__main__":
    lab.run(["RUN", "STEP", "LAUNCH", "ATTACK", "PRELOAD"], populate)
