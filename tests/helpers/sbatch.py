"""A stand-in for SLURM's sbatch: runs the tasks of an array job detached, kills every fifth, and answers late."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    """Submit ``sbatch.py SCRIPT LOG SEED``."""
    script, log, draw = Path(sys.argv[1]), Path(sys.argv[2]), random.Random(sys.argv[3])
    first, last = map(int, re.findall(r"#SBATCH --array=(\d+)-(\d+)", script.read_text())[0])
    victim = draw.randrange(first, min(first + 5, last + 1))
    for task in range(first, last + 1):
        if os.fork():
            continue
        os.setsid()
        environment = {**os.environ, "SLURM_ARRAY_TASK_ID": str(task)}
        with log.with_name(f"task-{task}.out").open("ab") as out:
            process = subprocess.Popen(["bash", str(script)], env=environment, stdout=out, stderr=out, process_group=0)
        if (task - victim) % 5 == 0:
            time.sleep(draw.uniform(0.5, 3))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        with log.open("a") as lines:
            lines.write(f"{task} {code}\n")
        os._exit(0)
    time.sleep(draw.uniform(1, 3))
    print("Submitted batch job", os.getpid())


if __name__ == "__main__":
    main()
