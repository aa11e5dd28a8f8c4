"""How nbval runs the chapters: no progress bars, and models saved to a folder that is thrown away."""

import os
import tempfile

SAVED = tempfile.TemporaryDirectory(prefix="five-rings-")  # removed when the run ends
os.environ |= {
    "FIVE_RINGS_PROGRESS": "0",
    "FIVE_RINGS_SAVE": SAVED.name,
    "OMP_NUM_THREADS": "1",
}
os.environ.pop("MPLBACKEND", None)
