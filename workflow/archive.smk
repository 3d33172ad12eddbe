# A folder of images to .sat files, on one machine or many: one job a shard of the names. Call it again after a kill.
#   snakemake --snakefile workflow/archive.smk --cores 8 --config images=FOLDER out=FOLDER shards=100 options="--bpp 0.5"
# Profiles in workflow/profiles serve it too. A file that cannot be coded is listed in OUT/failures.csv and stops nothing.
# For images that came later, or to try failed ones again: --forcerun shard; what is coded is skipped.
import shlex
import sys
from pathlib import Path

IMAGES, OUT = (str(Path(str(config[name])).resolve()) for name in ("images", "out"))
SHARDS = int(config.get("shards", 100))
COMPRESS = shlex.join([sys.executable, "-m", "satstudy.cli.main", "compress", IMAGES, OUT, "--no-overwrite", "--quiet"])


rule all:
    input:
        expand(f"{OUT}/reports/{{k}}-of-{SHARDS}.csv", k=range(1, SHARDS + 1)),
    output:
        f"{OUT}/failures.csv",
        f"{OUT}/archive.json",
    localrule: True
    run:
        import pandas as pd

        from satstudy.core.paths import atomic

        tables = [table for path in input if len(table := pd.read_csv(path, keep_default_na=False))]
        table = pd.concat(tables, ignore_index=True)
        failed = table[table["state"] == "failed"]
        coded = table[table["state"] != "failed"]
        figures = {"images": len(table), "coded": len(coded), "failed": len(failed)}
        figures |= {f"bytes_{way}": int(coded[f"bytes_{way}"].sum()) for way in ("in", "out")}
        with atomic(output[0]) as temporary:
            failed[["file", "remark"]].to_csv(temporary, index=False)
        with atomic(output[1]) as temporary:
            temporary.write_text(pd.Series(figures).to_json(indent=1) + "\n")


rule shard:
    output:
        f"{OUT}/reports/{{k}}-of-{SHARDS}.csv",
    threads: int(config.get("threads", 1))
    resources:
        mem_mb=4000,
        runtime=720,
    # A shard has failed when it could not write its report.
    shell:
        f"OMP_NUM_THREADS={{threads}} {COMPRESS} --shard {{wildcards.k}}/{SHARDS} --report {{output:q}} "
        f"{config.get('options', '')} > /dev/null || test -s {{output:q}}"
