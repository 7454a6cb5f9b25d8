#!/usr/bin/env python3
"""Makes and applies patches between real consecutive releases, and compares them with bsdiff and zstd.

    deploy/bench-patches.py PROGRAM FOLDER [TOOL...]
    EVERY=5 deploy/bench-patches.py PROGRAM FOLDER [TOOL...]    every fifth pair

PROGRAM is the example `patch` of the crate delta; FOLDER keeps the APKs, which npm fetches once. TOOL: tidegate, bsdiff,
zstd; all of them when left out. The pairs are those of bench-patches.tsv. Each make and each apply is a process of its
own; times are its CPU seconds, memory is the most that it had. Prints a line for each pair and the table, and exits with 1
where a result is not the very file. `just bench-patches` calls it.
"""

import filecmp
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PAIRS = Path(__file__).with_suffix(".tsv")


def fetch(folder: Path, package: str, version: str) -> Path:
    """The largest APK of a package that is no test of itself."""
    home = folder / f"{package}-{version}"
    if not home.is_dir():
        new = Path(tempfile.mkdtemp(dir=folder))
        subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=new, check=True, stdout=subprocess.DEVNULL)
        archive = next(new.glob("*.tgz"))
        subprocess.run(["tar", "-xzf", archive.name], cwd=new, check=True)
        archive.unlink()
        new.rename(home)
    apks = [apk for apk in home.rglob("*.apk") if "androidTest" not in apk.name]
    return max(apks, key=lambda apk: apk.stat().st_size)


def run(*command: str) -> tuple[float, float, str]:
    """CPU seconds, MiB at most, and what was printed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, printed


def commands(program: str) -> dict:
    """For each tool how it makes a patch and how it applies one, from base, result, patch and output."""
    window = "--long=27"
    return {
        "tidegate": (
            lambda base, result, patch: [program, "make", base, result, patch],
            lambda base, patch, output: [program, "apply", base, patch, output],
        ),
        "bsdiff": (
            lambda base, result, patch: ["bsdiff", base, result, patch],
            lambda base, patch, output: ["bspatch", base, output, patch],
        ),
        "zstd": (
            lambda base, result, patch: ["zstd", "-qq", "-f", "-19", window, f"--patch-from={base}", result, "-o", patch],
            lambda base, patch, output: ["zstd", "-qq", "-f", "-d", window, f"--patch-from={base}", patch, "-o", output],
        ),
    }


def main() -> None:
    program, folder = sys.argv[1], Path(sys.argv[2])
    tools = sys.argv[3:] or ["tidegate", "bsdiff", "zstd"]
    folder.mkdir(parents=True, exist_ok=True)
    rows = {tool: [] for tool in tools}
    entries = [0, 0, 0]
    every = int(os.environ.get("EVERY", "1"))
    for line in PAIRS.read_text().splitlines()[1::every]:
        package, before, after = line.split("\t")
        base, result = fetch(folder, package, before), fetch(folder, package, after)
        size = result.stat().st_size
        with tempfile.TemporaryDirectory(dir=folder) as work:
            patch, output = f"{work}/patch", f"{work}/output"
            for tool in tools:
                make, apply = commands(program)[tool]
                made = run(*make(str(base), str(result), patch))
                applied = run(*apply(str(base), patch, output))
                if not filecmp.cmp(output, result, shallow=False):
                    sys.exit(f"{package} {before} -> {after}: {tool} made another file")
                share = os.stat(patch).st_size * 100 / size
                rows[tool].append((share, *made[:2], *applied[:2]))
                if tool == "tidegate":
                    entries = [sum(pair) for pair in zip(entries, map(int, made[2].split()))]
                figures = f"{share:7.3f} %  make {made[0]:6.2f} s {made[1]:4.0f} MiB  apply {applied[0]:5.2f} s {applied[1]:4.0f} MiB"
                print(f"{package} {before} -> {after}  {size:>9}  {tool:<9}{figures}", flush=True)
    print("\n| tool | pairs | median | mean | make, median and most | memory | apply, median and most | memory |")
    print("|---|---|---|---|---|---|---|---|")
    for tool, figures in rows.items():
        share, make, make_memory, apply, apply_memory = zip(*figures)
        print(
            f"| {tool} | {len(figures)} | {statistics.median(share):.2f} % | {statistics.mean(share):.1f} % "
            f"| {statistics.median(make):.1f} and {max(make):.0f} s | {max(make_memory):.0f} MiB "
            f"| {statistics.median(apply):.2f} and {max(apply):.2f} s | {max(apply_memory):.0f} MiB |"
        )
    print(f"\nentries of the results: {entries[0]} unchanged, {entries[1]} reproduced, {entries[2]} compared as they are")


main()
