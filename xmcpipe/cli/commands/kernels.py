"""`kernels`: the CUDA kernels compiled ahead of their first use, and what they take of a GPU."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcpipe.cli.options import JsonOption
from xmcpipe.cli.output import print_json
from xmcpipe.cli.tables import print_table
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress

if TYPE_CHECKING:
    from xmcpipe.ops.nvrtc.compiler import Cubin
    from xmcpipe.ops.nvrtc.variant import Variant

JOBS_A_PROCESS = 16  # a process takes as long to start as some compilations

commands = typer.Typer(no_args_is_help=True, help="The CUDA kernels: compile them ahead, list them.")


@commands.command("build")
def build(
    architectures: Annotated[
        list[str] | None,
        typer.Option("--arch", metavar="sm_NN|all", help="Compile for this (repeatable); else for the GPUs."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the kernels into the user's cache: no GPU, nvcc or host compiler is needed."""
    from xmcpipe.ops.nvrtc import compiler as nvrtc
    from xmcpipe.ops.nvrtc.cubin_cache import folder
    from xmcpipe.ops.nvrtc.table import KERNELS

    nvrtc.require()
    jobs = [
        (variant, name)
        for name in _chosen(architectures or [])
        for kernel in KERNELS.values()
        for variant in kernel.variants(name)
    ]
    rows = [_facts(variant, name, cubin) for variant, name, cubin in _compiled(jobs)]
    if as_json:
        print_json({"cache": str(folder()), "kernels": rows})
    else:
        print_table(
            ["kernel", "variant", "arch", "registers", "shared", "spills", "bytes", "state", "seconds"],
            [[*_shown(row)] for row in rows],
            num_left=3,
        )
        compiled = sum(not row["cached"] for row in rows)
        typer.echo(f"{compiled} compiled, {len(rows) - compiled} were there: {folder()}")


@commands.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the kernels, their variants, and the architectures they are compiled for in the cache."""
    from xmcpipe.ops.nvrtc import compiler as nvrtc
    from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
    from xmcpipe.ops.nvrtc.table import KERNELS

    unavailable = nvrtc.missing()
    rows = []
    for kernel in KERNELS.values():
        variants = {name: list(kernel.variants(name)) for name in ARCHITECTURES}
        cached = {
            name: [nvrtc.is_cached(variant, name) for variant in variants[name]]
            for name in ARCHITECTURES
            if not unavailable
        }
        rows.append(
            {
                "kernel": kernel.entry,
                "source": kernel.source,
                "macros": {name: list(values) for name, values in kernel.macros},
                "variants": {name: len(each) for name, each in variants.items()},
                "cached": {name: sum(each) for name, each in cached.items() if any(each)},
            }
        )
    if as_json:
        print_json({"unavailable": unavailable, "kernels": rows})
        return
    print_table(["kernel", "source", "macros", "in the cache"], [[*_line(row)] for row in rows], num_left=4)
    if unavailable:
        typer.echo(f"they can't be compiled here: {unavailable} ({nvrtc.INSTALL})")


def _chosen(names: list[str]) -> list[str]:
    """The architectures that were asked for, each once; none is those of the GPUs here."""
    from xmcpipe.ops.nvrtc.architectures import COMMON_ARCHITECTURES, require_architecture

    chosen = [each for name in names for each in (COMMON_ARCHITECTURES if name == "all" else [name])]
    return [*dict.fromkeys(map(require_architecture, chosen))] if names else _of_this_machine()


def _of_this_machine() -> list[str]:
    import torch

    from xmcpipe.ops.nvrtc.compiler import architecture_of

    if not torch.cuda.is_available():
        raise XmcpipeError("no --arch was given, and no GPU is here", "add --arch sm_90, or --arch all")
    capabilities = map(torch.cuda.get_device_capability, range(torch.cuda.device_count()))
    return [*dict.fromkeys(map(architecture_of, capabilities))]


def _compiled(jobs: list[tuple["Variant", str]]) -> Iterator[tuple["Variant", str, "Cubin"]]:
    """Each job with its cubin, in order; by several processes where many are to be compiled."""
    from xmcpipe.cores import usable_cores
    from xmcpipe.ops.nvrtc.compiler import compile_kernel, is_cached

    num_missing = sum(not is_cached(variant, name) for variant, name in jobs)
    workers = min(usable_cores(), num_missing // JOBS_A_PROCESS)
    variants, names = [variant for variant, _ in jobs], [name for _, name in jobs]
    with progress("kernels", len(jobs), "kernel") as bar:
        if workers > 1:
            # Spawned: a fork of a process that loaded CUDA couldn't use it.
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                for job, cubin in zip(jobs, pool.map(compile_kernel, variants, names), strict=True):
                    bar.update()
                    yield *job, cubin
        else:
            for job in jobs:
                cubin = compile_kernel(*job)
                bar.update()
                yield *job, cubin


def _facts(variant: "Variant", architecture: str, cubin: "Cubin") -> dict[str, Any]:
    taken = cubin.resources
    return {
        "kernel": variant.kernel.entry,
        "variant": dict(variant.macros),
        "architecture": architecture,
        "registers": taken.registers,
        "shared_bytes": taken.shared,
        "spill_bytes": taken.spill_stores + taken.spill_loads,
        "stack_bytes": taken.stack,
        "bytes": len(cubin.code),
        "cached": cubin.cached,
        "seconds": round(cubin.seconds, 3),
    }


def _shown(row: dict[str, Any]) -> Iterator[str]:
    yield row["kernel"]
    yield " ".join(f"{name}={value}" for name, value in row["variant"].items())
    yield row["architecture"]
    for name in ("registers", "shared_bytes", "spill_bytes", "bytes"):
        yield f"{row[name]:,}"
    yield "cached" if row["cached"] else "compiled"
    yield "" if row["cached"] else f"{row['seconds']:.2f}"


def _line(row: dict[str, Any]) -> Iterator[str]:
    yield row["kernel"]
    yield row["source"]
    yield " ".join(f"{name}={','.join(map(str, values))}" for name, values in row["macros"].items())
    kept = (f"{name} {count}/{row['variants'][name]}" for name, count in row["cached"].items())
    yield " ".join(kept) or "none"
