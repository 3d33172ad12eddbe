"""Speed, memory, exactness and hostile files: `python -m benchmarks`."""

import satstudy  # noqa: F401  before PyTorch, since it says how idle threads wait
