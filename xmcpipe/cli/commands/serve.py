"""`serve`: answers questions about texts over HTTP, with one trained model."""

from pathlib import Path
from typing import Annotated

import typer

from xmcpipe.cli.options import STORE, CalibrationOption, StoreOption
from xmcpipe.cli.shown import one_line
from xmcpipe.cli.text_table import say

LIMITS = "Limits"


# Long: Typer reads its options from the signature.
def serve(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A recipe, the folder of a model, or USER/MODEL of the hub."),
    ],
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 for all.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8000,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="Device: auto, cpu, cuda, cuda:1, …")
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="float32|bfloat16|float16",
            help="Type to compute in; by default that of the recipe.",
        ),
    ] = None,
    calibration: CalibrationOption = None,
    batch_size: Annotated[
        int,
        typer.Option("--batch-size", min=1, help="Texts that are scored at a time.", rich_help_panel=LIMITS),
    ] = 128,
    queue: Annotated[
        int,
        typer.Option(
            "--queue",
            min=1,
            help="Texts that may wait; requests beyond get status 429.",
            rich_help_panel=LIMITS,
        ),
    ] = 1024,
    max_texts: Annotated[
        int, typer.Option("--max-texts", min=1, help="Texts of one request.", rich_help_panel=LIMITS)
    ] = 256,
    max_text: Annotated[
        int, typer.Option("--max-text", min=1, help="Characters of one text.", rich_help_panel=LIMITS)
    ] = 20_000,
    max_body: Annotated[
        int, typer.Option("--max-body", min=1, help="Bytes of one request.", rich_help_panel=LIMITS)
    ] = 1 << 20,
    max_k: Annotated[
        int, typer.Option("--max-k", min=1, help="Labels of one text.", rich_help_panel=LIMITS)
    ] = 100,
    store: StoreOption = STORE,
) -> None:
    """Answer over HTTP which labels texts have, and show a page to try it in a browser.

    POST /predict labels texts, and GET /docs describes everything. Ctrl+C or SIGTERM stops the service,
    after it has answered what it accepted.
    """
    from xmcpipe.serving.limits import CONNECTIONS, Limits
    from xmcpipe.serving.server import address_of, open_port, require_packages, run

    require_packages()
    limits = Limits(body=max_body, texts=max_texts, text=max_text, k=max_k, queue=queue, batch=batch_size)
    with open_port(host, port) as opened:  # first: a port that is taken is reported at once
        import xmcpipe
        from xmcpipe.serving.service import Service

        loaded = xmcpipe.load(model, store=store, device=device, precision=precision, calibration=calibration)
        loaded.predict("The first prediction takes longest.")
        service = Service(loaded, Path(model).name, limits)
        opened.listen()  # from now on clients wait instead of being refused
        labels = f"{service.num_labels:,} labels"
        say(f"{one_line(service.name)} ({labels}) answers at {address_of(opened)}; Ctrl+C stops it")
        run(service.application, opened, CONNECTIONS)
    say("stopped")
