"""An example of each command: the last lines of its help text."""

EXAMPLES = {
    "datasets": ("xmcpipe datasets",),
    "init": ("xmcpipe init --train papers.csv", "xmcpipe init --train a.jsonl --test b.jsonl -o mine.toml"),
    "download": ("xmcpipe download amazon670k", "xmcpipe download amazon670k --from amazon-670k.tar.gz"),
    "import": (
        "xmcpipe import --train papers.csv --labels-column topics",
        "xmcpipe import --train a.jsonl --test b.jsonl --label-table names.tsv",
    ),
    "tokenize": ("xmcpipe tokenize quickstart --set tokenize.max_length=64",),
    "cluster": ("xmcpipe cluster amazon670k", "xmcpipe cluster amazon670k --random"),
    "embed": ("xmcpipe embed debian-frozen",),
    "train": ("xmcpipe train quickstart --set train.epochs=2",),
    "calibrate": (
        "xmcpipe calibrate quickstart",
        "xmcpipe calibrate mine.toml --set calibrate.method=isotonic",
    ),
    "grow": (
        "xmcpipe grow quickstart --labels new.tsv",
        "xmcpipe grow mine.toml --labels new.csv --documents some.jsonl",
    ),
    "predict": (
        "xmcpipe predict quickstart --text 'a text editor'",
        "xmcpipe predict mine.toml --input new.csv --text-column body -o out.csv",
        "xmcpipe predict mine.toml --text 'a text editor' --threshold f1",
        "cat texts.txt | xmcpipe predict mine.toml --json",
    ),
    "baseline": ("xmcpipe baseline quickstart --system linear",),
    "eval": (
        "xmcpipe eval quickstart",
        "xmcpipe eval --predictions other.npz --truth Y.tst.npz --train Y.trn.npz",
        "xmcpipe eval --compare quickstart mine.toml",
    ),
    "serve": ("xmcpipe serve quickstart", "xmcpipe serve artifacts/model/0123456789abcdef --port 80"),
    "report": ("xmcpipe report quickstart -o quickstart.html", "xmcpipe report tate tate-frozen"),
    "export": (
        "xmcpipe export artifacts/raw/0123456789abcdef --format pecos -o folder",
        "xmcpipe export artifacts/model/0123456789abcdef --format onnx -o folder",
    ),
    "run": (
        "xmcpipe run quickstart",
        "xmcpipe run mine.toml --set train.epochs=8",
        "xmcpipe run mine.toml --from train",
    ),
    "status": ("xmcpipe status quickstart", "xmcpipe status quickstart --verify"),
    "gc": ("xmcpipe gc --dry-run", "xmcpipe gc --keep mine.toml"),
    "keys": ("xmcpipe keys", "xmcpipe keys train.head", "xmcpipe keys --schema"),
    "plan": ("xmcpipe plan amazon670k", "xmcpipe plan amazon3m --labels 100000000"),
    "doctor": ("xmcpipe doctor", "xmcpipe doctor quickstart"),
    "bench": ("xmcpipe bench --labels 131072 --fan-in 64",),
    "kernels build": ("xmcpipe kernels build --arch sm_90",),
    "kernels list": ("xmcpipe kernels list",),
}


def example_lines(command: str) -> str:
    """The end of the help text of `command`: one example a line, after a heading."""
    lines = EXAMPLES.get(command, (f"xmcpipe {command} mine.toml",))
    return "\n\n".join(["Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])
