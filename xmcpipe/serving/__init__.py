"""A trained model behind HTTP: `xmcpipe serve MODEL`.

The way of a request: `service.py` routes it, `question.py` reads and checks its body, `batching.py` has it
answered together with others that wait, `answers.py` writes the JSON, and `counters.py` counts. `server.py`
opens the port and stops gracefully. FastAPI, uvicorn and pydantic (extra `serve`) enter here.
"""
