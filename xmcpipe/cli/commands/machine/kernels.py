"""`kernels`: compiles the CUDA kernels ahead of their first use, and lists them."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xmcpipe.cli.examples import example_lines
from xmcpipe.cli.options import JsonOption
from xmcpipe.cli.output import print_json
from xmcpipe.cli.text_table import print_table, say
from xmcpipe.errors import XmcpipeError
from xmcpipe.progress import progress
from xmcpipe.signals import blocked

if TYPE_CHECKING:
    from xmcpipe.ops.nvrtc.compiler import Cubin
    from xmcpipe.ops.nvrtc.variant import Variant

JOBS_PER_PROCESS = 16  # starting a process takes as long as several compilations

commands = typer.Typer(
    no_args_is_help=True, help="Compile the CUDA kernels ahead of their first use, or list them."
)


@commands.command("build", epilog=example_lines("kernels build"))
def build(
    architectures: Annotated[
        list[str] | None,
        typer.Option(
            "--arch",
            metavar="sm_NN|all",
            help="Architecture to compile for (repeatable); by default those of the GPUs of this machine.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compile the kernels into the user's cache. This needs no GPU, nvcc or host compiler."""
    from xmcpipe.ops.nvrtc import compiler
    from xmcpipe.ops.nvrtc.cubin_cache import folder
    from xmcpipe.ops.nvrtc.kernel_table import KERNELS

    compiler.require()
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
        say(f"{compiled} compiled, {len(rows) - compiled} already in the cache: {folder()}")


@commands.command("list", epilog=example_lines("kernels list"))
def list_(as_json: JsonOption = False) -> None:
    """List the kernels, their macros, and the architectures for which the cache holds them."""
    from xmcpipe.ops.nvrtc import compiler
    from xmcpipe.ops.nvrtc.architectures import ARCHITECTURES
    from xmcpipe.ops.nvrtc.kernel_table import KERNELS

    unavailable = compiler.unavailable_reason()
    rows = []
    for kernel in KERNELS.values():
        variants = {name: list(kernel.variants(name)) for name in ARCHITECTURES}
        cached = {
            name: [compiler.is_cached(variant, name) for variant in variants[name]]
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
    print_table(["kernel", "macros", "in the cache"], [[*_line(row)] for row in rows], num_left=3)
    if unavailable:
        say(f"kernels can't be compiled here: {unavailable} ({compiler.INSTALL})")


def _chosen(names: list[str]) -> list[str]:
    """The architectures to compile for, without repeats; by default those of this machine's GPUs."""
    from xmcpipe.ops.nvrtc.architectures import COMMON_ARCHITECTURES, require_architecture

    chosen = [each for name in names for each in (COMMON_ARCHITECTURES if name == "all" else [name])]
    return [*dict.fromkeys(map(require_architecture, chosen))] if names else _of_this_machine()


def _of_this_machine() -> list[str]:
    import torch

    from xmcpipe.ops.nvrtc.compiler import architecture_of

    if not torch.cuda.is_available():
        raise XmcpipeError(
            "expected --arch, because this machine has no GPU", "add --arch sm_90, or --arch all"
        )
    capabilities = map(torch.cuda.get_device_capability, range(torch.cuda.device_count()))
    return [*dict.fromkeys(map(architecture_of, capabilities))]


def _compiled(jobs: list[tuple["Variant", str]]) -> Iterator[tuple["Variant", str, "Cubin"]]:
    """Each job with its cubin, in order; many missing cubins are compiled by several processes."""
    from xmcpipe.machine.cores import usable_cores
    from xmcpipe.ops.nvrtc.compiler import compile_kernel, is_cached

    num_missing = sum(not is_cached(variant, name) for variant, name in jobs)
    workers = min(usable_cores(), num_missing // JOBS_PER_PROCESS)
    variants, names = [variant for variant, _ in jobs], [name for _, name in jobs]
    with progress("kernels", len(jobs), "kernel") as bar:
        if workers > 1:
            # Spawned, because a fork of a process that has loaded CUDA can't use it.
            with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
                with blocked():
                    cubins = pool.map(compile_kernel, variants, names)
                for job, cubin in zip(jobs, cubins, strict=True):
                    bar.update()
                    yield *job, cubin
        else:
            for job in jobs:
                cubin = compile_kernel(*job)
                bar.update()
                yield *job, cubin


def _facts(variant: "Variant", architecture: str, cubin: "Cubin") -> dict[str, Any]:
    resources = cubin.resources
    return {
        "kernel": variant.kernel.entry,
        "variant": dict(variant.macros),
        "architecture": architecture,
        "registers": resources.registers,
        "shared_bytes": resources.shared,
        "spill_bytes": resources.spill_stores + resources.spill_loads,
        "stack_bytes": resources.stack,
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
    yield " ".join(f"{name}={','.join(map(str, values))}" for name, values in row["macros"].items())
    cached = (f"{name}:{count}/{row['variants'][name]}" for name, count in row["cached"].items())
    yield " ".join(cached) or "none"
