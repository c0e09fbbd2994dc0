"""The command line: ``python -m grokforget run SPEC ...`` runs a job; ``detect CURVE`` reads
the transition off a log of anyone's; the other commands check a study and ask about its results."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from grokforget.detect import command

if TYPE_CHECKING:
    from grokforget.config.study import Study

log = logging.getLogger("grokforget")


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; the exit status is 0, 1 where something is wrong, or 128 + a signal."""
    parser = argparse.ArgumentParser(prog="python -m grokforget", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the job of a spec file, as the rules do")
    run.add_argument("spec", type=Path)
    run.add_argument("--record", type=Path, required=True, help="note here what was done")
    run.add_argument("--log", type=Path, help="also log here")
    check = commands.add_parser("check", help="check a study, and profiles, without running anything")
    check.add_argument("study", type=Path)
    check.add_argument("profiles", type=Path, nargs="*")
    folder = commands.add_parser("folder", help="print where a study's results go")
    folder.add_argument("study", type=Path)
    commands.add_parser(
        "schema", help="write what is made of the schema of a study: its JSON, for editors, and docs/studies.md"
    )
    commands.add_parser("why", help="why jobs would run: snakemake --summary | python -m grokforget why")
    verify = commands.add_parser("verify", help="whether every file is what its job wrote")
    verify.add_argument("results", type=Path, help="results/STUDY")
    clean = commands.add_parser("clean", help="what no job makes: snakemake --summary | python -m grokforget clean")
    clean.add_argument("--remove", action="store_true", help="remove it")
    store = commands.add_parser("store", help="how much room the store takes")
    store.add_argument("results", type=Path, help="results/STUDY")
    store.add_argument("--empty", action="store_true", help="remove everything from it: all is computed next time")
    times = commands.add_parser("times", help="how many seconds its runs took until they grokked")
    times.add_argument("results", type=Path, help="results/STUDY")
    detect = commands.add_parser("detect", help="when the run of a log memorised and grokked, and draw it")
    command.add_arguments(detect)
    options = parser.parse_args(arguments)
    match options.command:
        case "run":
            return run_one(options)
        case "detect":
            return command.run(options)
        case "times":
            return print_times(options.results)
    return answer(options)


def run_one(options: argparse.Namespace) -> int:
    """Run a job; errors go to the log with their trace and, in words, to stderr."""
    from grokforget.runtime import signals
    from grokforget.runtime.errors import explain
    from grokforget.runtime.run import run_job
    from grokforget.runtime.spec_file import load_spec

    configure_logging(options.log)
    signals.listen()
    # At once: where a job is killed early, Snakemake shows the scheduler's log only if this one is not empty.
    log.info("%s", options.spec)
    name = load_spec(options.spec)["rule"] or options.spec.parent.name
    try:
        run_job(options.spec, options.record)
    except signals.Interrupted as stopped:
        signals.ignore()
        log.warning("%s: %s", name, stopped)
        print(f"{name} was {stopped}; the same command goes on from what it has done.", file=sys.stderr)
        return 128 + stopped.signal
    except Exception as error:
        log.exception("%s failed", name)
        print(f"{name} failed: {explain(error)}", file=sys.stderr)
        return 1
    return 0


def answer(options: argparse.Namespace) -> int:
    """The commands that run nothing."""
    from grokforget.runtime import results

    match options.command:
        case "check":
            return check(options.study, options.profiles)
        case "folder":
            study = loaded(options.study)
            if not study:
                return 1
            print(f"results/{study.study}")
        case "schema":
            from grokforget.config.manual import PAGE, studies_text
            from grokforget.config.schema import SCHEMA, schema_text

            SCHEMA.write_text(schema_text(), encoding="utf-8")
            PAGE.write_text(studies_text(), encoding="utf-8")
        case "why":
            print("\n".join(results.why(sys.stdin.read())))
        case "verify":
            damaged = list(results.verify(options.results))
            print("\n".join(damaged) or f"{options.results}: every file is what its job wrote.")
            return int(bool(damaged))
        case "clean":
            print("\n".join(results.clean(sys.stdin.read(), options.remove)))
        case "store":
            from grokforget.runtime.store import Store

            store = Store(options.results)
            if options.empty:
                store.empty()
            total, alone = store.size()
            print(f"{store.folder}: {total / 1e6:.1f} MB, {alone / 1e6:.1f} MB of them beside the results.")
    return 0


def print_times(root: Path) -> int:
    """The seconds until grokking of a study, from its records."""
    from grokforget.tables.wall_times import wall_times

    try:
        print(wall_times(root).to_markdown(index=False))
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def check(path: Path, profiles: list[Path]) -> int:
    """Print what the study holds, or what is wrong with it or with the profiles.

    Snakemake itself reads a file given by ``--configfile`` first, and where that is no YAML at all says so without its
    name; this names file and line.
    """
    from grokforget.config.profiles import problems

    study = loaded(path)
    if not study:
        return 1
    cells = sum(len(study.checkpoints_of(setting)) for setting, _, _ in study.requests()) * len(study.methods)
    print(
        f"{path}: study {study.study!r} is valid: {len(study.settings)} settings, {len(study.seeds)} seeds, {cells} cells"
    )
    found = [problem for profile in profiles for problem in problems(profile)]
    print("\n".join(found), file=sys.stderr, end="\n" if found else "")
    return int(bool(found))


def loaded(path: Path) -> Study | None:
    """The study of a file; None where it is not valid, which is said."""
    from grokforget.config.loader import ConfigError, load_study

    try:
        return load_study(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return None


def configure_logging(path: Path | None) -> None:
    """Plain lines with the time, to ``path`` or else to stderr."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w") if path else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
