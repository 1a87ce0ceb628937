"""The embedded chain as a process of its own: a small JSON-RPC server on 127.0.0.1 over the chain of a folder.

    settlement.devchain.run(data_dir, stop)           in a process of the venue
    python -m settlement.devchain --data-dir DIR      by hand

Settlement finds it through DIR/chain.json (`chain = "eth-tester://DIR/chain.json"`), reads that file again when the
chain does not answer, and so survives its restart on another port. Blocks are on disk before they are answered, see
`embedded_chain`. It answers only what settlement asks: no accounts, no signing, no taking back of blocks. Asked for
`safe` and `finalized` it says that it has no such thing, since eth-tester would answer with its latest block.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from web3 import EthereumTesterProvider, Web3

from settlement.chain import address_of
from settlement.embedded_chain import EmbeddedChain
from settlement.errors import SettlementError
from settlement.keys import Keys, load_keys

log = logging.getLogger("venue.settlement.chain")

HOST = "127.0.0.1"
BODY_BYTES_MAX = 8 << 20
METHODS = frozenset(
    {
        "eth_blockNumber",
        "eth_call",
        "eth_chainId",
        "eth_estimateGas",
        "eth_feeHistory",
        "eth_gasPrice",
        "eth_getBalance",
        "eth_getBlockByHash",
        "eth_getBlockByNumber",
        "eth_getCode",
        "eth_getLogs",
        "eth_getStorageAt",
        "eth_getTransactionByHash",
        "eth_getTransactionCount",
        "eth_getTransactionReceipt",
        "eth_maxPriorityFeePerGas",
        "eth_sendRawTransaction",
        "eth_syncing",
        "evm_mine",
        "net_version",
        "web3_clientVersion",
    }
)


def funded_by(keys: Keys) -> tuple[bytes, ...]:
    """The accounts that a development chain begins with."""
    return tuple(address_of(key) for key in (keys.owner, keys.committer, keys.prover))


class Answers:
    """JSON-RPC requests to the chain, one at a time."""

    def __init__(self, chain: EmbeddedChain) -> None:
        provider = EthereumTesterProvider(chain.tester)
        web3 = Web3(provider)
        web3.middleware_onion.clear()
        self._request: Callable[[Any, Any], Any] = provider.request_func(web3, web3.middleware_onion)
        self._lock = threading.Lock()

    def answer(self, body: bytes) -> dict[str, Any]:
        """The response to one request; whatever is wrong with it becomes an error of JSON-RPC."""
        try:
            request = json.loads(body)
            method, number = request["method"], request.get("id")
            parameters = request.get("params", [])
            if not isinstance(method, str) or not isinstance(parameters, list):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError):
            return _error(None, -32600, "not a JSON-RPC request; batches are not supported")
        if method not in METHODS:
            return _error(number, -32601, f"method {method!r} is not available on this development chain")
        if method == "eth_getBlockByNumber" and parameters and parameters[0] in ("safe", "finalized"):
            return _error(number, -39001, f"this development chain has no {parameters[0]} block")
        try:
            with self._lock:
                response = self._request(method, parameters)
        except Exception as error:  # py-evm and eth-tester raise whatever they like; the caller must get their words
            return _error(number, 3 if "revert" in str(error) else -32000, str(error))
        if "error" in response:
            return _error(number, response["error"]["code"], response["error"]["message"])
        return {"jsonrpc": "2.0", "id": number, "result": to_json(response["result"])}


def to_json(value: Any) -> Any:
    """Quantities and bytes as JSON-RPC writes them."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return hex(value)
    if isinstance(value, bytes | bytearray):
        return "0x" + value.hex()
    if hasattr(value, "items"):
        return {key: to_json(item) for key, item in value.items()}
    return [to_json(item) for item in value]


def _error(number: Any, code: int, message: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "error": {"code": code, "message": message}}


def _handler(answers: Answers) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60.0
        # Head and body are two writes: without this the second waits for the first one's acknowledgement.
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > BODY_BYTES_MAX:
                self.send_error(413)
                return
            body = json.dumps(answers.answer(self.rfile.read(int(length)))).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            log.debug(format, *arguments)

    return Handler


class Server(ThreadingHTTPServer):
    """Connections may stay open; they do not hold up the end of the process."""

    daemon_threads = True
    allow_reuse_address = True


def _listen(port: int, answers: Answers) -> Server:
    """On the port asked for, on any free one where it is taken."""
    try:
        return Server((HOST, port), _handler(answers))
    except OSError:
        return Server((HOST, 0), _handler(answers))


def run(data_dir: Path, stop: threading.Event, port: int = 0) -> None:
    """Serve until `stop` is set. Without a port the one of the last run is taken again, if it is free."""
    settlement, file = data_dir / "settlement", data_dir / "chain.json"
    keys = load_keys(settlement / "keys", make_missing=True)
    chain = EmbeddedChain(settlement / "chain", funded_by(keys))
    try:
        server = _listen(port or _last_port(file), Answers(chain))
        thread = threading.Thread(target=server.serve_forever, name="chain", daemon=True)
        thread.start()
        url = f"http://{HOST}:{server.server_address[1]}"
        part = file.with_suffix(".part")
        part.write_text(json.dumps({"url": url, "pid": os.getpid()}))
        part.rename(file)
        log.info("development chain at %s", url)
        stop.wait()
        server.shutdown()
        server.server_close()
    finally:
        chain.close()


def _last_port(file: Path) -> int:
    try:
        return int(json.loads(file.read_text())["url"].rsplit(":", 1)[1])
    except (OSError, ValueError, KeyError, IndexError):
        return 0


def main(arguments: list[str] | None = None) -> int:
    """Command line; ends on SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(prog="python -m settlement.devchain", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="the venue's data_dir; blocks are kept in there")
    parser.add_argument("--port", type=int, default=0, help="TCP port on 127.0.0.1 (default: the last one, or any)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run(options.data_dir.resolve(), stop, options.port)
    except (SettlementError, OSError) as error:
        print(f"chain: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
