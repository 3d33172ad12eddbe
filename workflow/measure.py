"""Code the image sets of a study, so that its notebooks find everything measured: a run that was stopped goes on.

Usage: measure.py [PROFILE] [--set NAME]... [--codec NAME]...

Codec by codec, each over all sets: `tiles`, the images of the study itself, and those of `rd.sets`.
"""

from __future__ import annotations

import argparse
import sys

from satstudy.core.errors import SatstudyError
from satstudy.study.experiments import rate_distortion_frame, set_frame
from satstudy.study.study import open_study


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("profile", nargs="?", default="reference")
    parser.add_argument("--set", dest="sets", action="append", help="all sets if none is given")
    parser.add_argument("--codec", dest="codecs", action="append", help="all codecs of the profile if none is given")
    given = parser.parse_args()
    study = open_study(given.profile)
    lams = sorted(study.profile.train.lams)
    for missing in study.missing_codecs():
        print(missing, file=sys.stderr)
    for codec in given.codecs or study.rd_settings(lams):
        for name in given.sets or [*study.profile.rd.sets, "tiles"]:
            if name == "tiles":
                rows = rate_distortion_frame(study, lams, codecs=[codec])
            else:
                rows = set_frame(study, name, lams, [codec])
            print(f"{codec} on {name}: {len(rows)} codings", flush=True)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SatstudyError as error:
        sys.exit(str(error))
