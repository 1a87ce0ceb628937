"""The chain as settlement sees it: the only importer of web3.

Three chains can stand behind it: `eth-tester://` (in this process, blocks kept in a folder), `eth-tester://FILE` (the
development chain's process, found through the file it writes, see `devchain`), or any Ethereum JSON-RPC URL.
Its answers are plain values; its errors are two: ChainUnavailable (try again) and ChainRefused (the chain said no).

Finality is never invented. A chain that knows the `safe` and `finalized` tags is believed. A chain that does not gets
none, unless `simulated_finality_blocks` is set: then depth counts instead, and every head says so. eth-tester answers
`finalized` with its latest block, which is why its answer is not used at all.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import requests
from eth_account import Account
from eth_typing import URI
from eth_utils.exceptions import ValidationError
from web3 import EthereumTesterProvider, HTTPProvider, Web3
from web3.exceptions import (
    BadResponseFormat,
    BlockNotFound,
    ContractLogicError,
    TransactionNotFound,
    Web3Exception,
    Web3RPCError,
)
from web3.types import RPCEndpoint

from settlement.errors import ChainRefused, ChainUnavailable, SettlementConfigError

if TYPE_CHECKING:
    from settlement.embedded_chain import EmbeddedChain

log = logging.getLogger("venue.settlement.chain")

EMBEDDED = "eth-tester://"
GAS_LIMIT_MAX = 1 << 24  # EIP-7825: no transaction may ask for more
EMBEDDED_GAS_LIMIT = 10_000_000
Answer = TypeVar("Answer")
_REFUSALS: list[type[Exception]] = [ValidationError, Web3RPCError]
_REVERTS: list[type[Exception]] = [ContractLogicError]


@dataclass(frozen=True)
class Block:
    """A block by number and hash."""

    number: int
    hash: bytes


@dataclass(frozen=True)
class Head:
    """How far the chain is. `safe` and `final` are None where nothing is, and `why` says the reason."""

    latest: Block
    safe: int | None
    final: int | None
    why: str


@dataclass(frozen=True)
class Receipt:
    """What became of a mined transaction."""

    tx_hash: bytes
    success: bool
    block: Block
    gas_used: int
    gas_price_wei: int
    contract: bytes | None


@dataclass(frozen=True)
class Fees:
    """EIP-1559 fees, in wei a unit of gas."""

    max_fee_wei: int
    tip_wei: int


class Contract:
    """A deployed contract: encodes calls, reads views, finds events."""

    def __init__(self, chain: Chain, address: bytes, abi: list[dict[str, Any]]) -> None:
        self.address = address
        self._chain = chain
        self._contract = chain.web3.eth.contract(address=checksum(address), abi=abi, decode_tuples=True)

    def encode(self, function: str, *arguments: Any) -> bytes:
        """Calldata of a function."""
        return bytes.fromhex(self._contract.encode_abi(function, args=list(arguments))[2:])

    def read(self, function: str, *arguments: Any) -> Any:
        """Call a view at the latest block."""
        return self._chain.ask(lambda: self._contract.functions[function](*arguments).call(self._chain.view_fields))

    def events(self, name: str, from_block: int, **topics: Any) -> list[Any]:
        """Logged events of one kind since a block, oldest first."""
        event = self._contract.events[name]
        return self._chain.ask(lambda: list(event.get_logs(from_block=from_block, argument_filters=topics)))


class Chain:
    """One connection; may be used from several threads."""

    def __init__(
        self,
        url: str = EMBEDDED,
        *,
        folder: Path | None = None,
        funded: tuple[bytes, ...] = (),
        simulated_finality_blocks: int = 0,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.url = url
        self._simulated_blocks = simulated_finality_blocks
        self._lock = threading.RLock()
        self.embedded: EmbeddedChain | None = None
        self.development = url.startswith(EMBEDDED)
        self._file = Path(url.removeprefix(EMBEDDED)) if self.development and url != EMBEDDED else None
        # eth-tester charges for views as well, so somebody with funds has to ask.
        self.view_fields: Any = {"from": checksum(funded[0])} if self.development and funded else {}
        if simulated_finality_blocks < 0:
            raise SettlementConfigError("simulated_finality_blocks: must be 0 (off) or a number of blocks")
        if url == EMBEDDED:
            if folder is None:
                raise SettlementConfigError(f"{EMBEDDED} needs a folder for its blocks")
            self.embedded = _embedded(folder, funded)
            self.web3 = Web3(EthereumTesterProvider(self.embedded.tester))
        elif self.development or url.startswith(("http://", "https://")):
            # web3 repeats failed requests by itself; here the daemon does, visibly.
            options = {"timeout": timeout_seconds}
            self.web3 = Web3(HTTPProvider(self._address(), request_kwargs=options, exception_retry_configuration=None))
        else:
            raise SettlementConfigError(f"chain {url!r}: must be {EMBEDDED} or an http(s):// URL of a JSON-RPC server")

    def _address(self) -> str:
        """Where JSON-RPC is spoken; the development chain says so in its file, which it writes when it is up."""
        if self._file is None:
            return self.url
        try:
            return str(json.loads(self._file.read_text())["url"])
        except (OSError, ValueError, KeyError):
            return "http://127.0.0.1:1"

    def close(self) -> None:
        """Let go of an embedded chain's folder."""
        if self.embedded is not None:
            self.embedded.close()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Run one request; whatever goes wrong becomes one of the two errors."""
        with self._lock:
            try:
                return question()
            except tuple(_REVERTS) as error:
                raise ChainRefused(f"reverted: {_text(error)}") from error
            except tuple(_REFUSALS) as error:
                raise ChainRefused(_text(error)) from error
            except (requests.RequestException, OSError, BadResponseFormat, TimeoutError) as error:
                if isinstance(self.web3.provider, HTTPProvider):
                    self.web3.provider.endpoint_uri = URI(self._address())
                raise ChainUnavailable(f"chain {self.url}: {type(error).__name__}: {_text(error)}") from error
            except (ValueError, Web3Exception) as error:
                # Something that is not a JSON-RPC server, or one that breaks its own format.
                raise ChainUnavailable(f"chain {self.url}: answer not understood: {_text(error)}") from error

    def identity(self) -> tuple[int, bytes]:
        """Chain id and genesis hash: which chain this is."""
        chain_id = self.ask(lambda: self.web3.eth.chain_id)
        genesis = self.block_hash(0)
        if genesis is None:
            raise ChainUnavailable(f"chain {self.url}: does not know its block 0")
        return chain_id, genesis

    def head(self) -> Head:
        """Latest block, and how far it is safe and final."""
        answer = self.ask(lambda: self.web3.eth.get_block("latest"))
        latest = Block(answer["number"], bytes(answer["hash"]))
        if not self.development:
            safe, final = self._tagged("safe"), self._tagged("finalized")
            if final is not None and self._simulated_blocks:
                raise SettlementConfigError(
                    f"chain {self.url} reports finalized blocks; remove settlement.simulated_finality_blocks"
                )
            if final is not None:
                return Head(latest, safe, final, "finalized by the chain")
        if not self._simulated_blocks:
            why = "this chain has no finality; a test chain may set settlement.simulated_finality_blocks"
            return Head(latest, None, None, why)
        why = f"SIMULATED finality: {self._simulated_blocks} blocks deep"
        half = (self._simulated_blocks + 1) // 2
        return Head(latest, latest.number - half, latest.number - self._simulated_blocks, why)

    def _tagged(self, tag: str) -> int | None:
        try:
            answer = self.ask(lambda: self.web3.eth.get_block(tag))  # type: ignore[arg-type]
        except ChainRefused:
            return None
        return answer["number"]

    def block_hash(self, number: int) -> bytes | None:
        """Hash of the canonical block of that number, None when there is none."""
        try:
            found = self.ask(lambda: _none(BlockNotFound, lambda: self.web3.eth.get_block(number)))
        except ChainRefused:
            return None
        return None if found is None else bytes(found["hash"])

    def nonce(self, address: bytes) -> int:
        """Number of mined transactions of an account."""
        return self.ask(lambda: self.web3.eth.get_transaction_count(checksum(address), "latest"))

    def balance_wei(self, address: bytes) -> int:
        """Funds of an account."""
        return self.ask(lambda: self.web3.eth.get_balance(checksum(address)))

    def code(self, address: bytes) -> bytes:
        """Code at an address; empty when there is no contract."""
        return bytes(self.ask(lambda: self.web3.eth.get_code(checksum(address))))

    def receipt(self, tx_hash: bytes) -> Receipt | None:
        """Receipt of a transaction that is in the canonical chain."""
        found = self.ask(lambda: _none(TransactionNotFound, lambda: self.web3.eth.get_transaction_receipt(tx_hash)))  # type: ignore[arg-type]
        if found is None or found["blockNumber"] is None:
            return None
        block = Block(found["blockNumber"], bytes(found["blockHash"]))
        if self.block_hash(block.number) != block.hash:
            return None
        created = found.get("contractAddress")
        contract = bytes.fromhex(created[2:]) if created else None
        price = int(found.get("effectiveGasPrice") or 0)
        return Receipt(bytes(tx_hash), found["status"] == 1, block, found["gasUsed"], price, contract)

    def knows(self, tx_hash: bytes) -> bool:
        """Whether the node has the transaction, mined or waiting."""
        question: Callable[[], Any] = lambda: self.web3.eth.get_transaction(tx_hash)  # type: ignore[arg-type]  # noqa: E731
        return self.ask(lambda: _none(TransactionNotFound, question)) is not None

    def fees(self) -> Fees:
        """What is enough now, with room for the base fee to double."""
        base = int(self.ask(lambda: self.web3.eth.get_block("latest")).get("baseFeePerGas") or 0)
        tip = int(self.ask(lambda: self.web3.eth.max_priority_fee))
        return Fees(2 * base + tip, tip)

    def estimate_gas(self, sender: bytes, to: bytes | None, data: bytes) -> int:
        """Gas limit for a call, with a margin; ChainRefused when it would revert."""
        call: dict[str, Any] = {"from": checksum(sender), "data": data, "value": 0}
        if to is not None:
            call["to"] = checksum(to)
        if self.development:
            # eth-tester estimates by running the call a dozen times; here gas costs nothing, time does.
            self.ask(lambda: self.web3.eth.call({**call, "gas": EMBEDDED_GAS_LIMIT}))  # type: ignore[typeddict-item]
            return EMBEDDED_GAS_LIMIT
        estimate = self.ask(lambda: self.web3.eth.estimate_gas(call))  # type: ignore[arg-type]
        return min(estimate + estimate // 5, GAS_LIMIT_MAX)

    def simulate(self, sender: bytes, to: bytes, data: bytes) -> None:
        """Run a call without sending it; ChainRefused carries the contract's reason."""
        call: dict[str, Any] = {"from": checksum(sender), "to": checksum(to), "data": data}
        self.ask(lambda: self.web3.eth.call(call))  # type: ignore[arg-type]

    def sign(
        self, key: bytes, *, chain_id: int, nonce: int, to: bytes | None, data: bytes, gas: int, fees: Fees
    ) -> tuple[bytes, bytes]:
        """Raw signed transaction and its hash; sends nothing."""
        fields: dict[str, Any] = {
            "type": 2,
            "chainId": chain_id,
            "nonce": nonce,
            "value": 0,
            "data": data,
            "gas": gas,
            "maxFeePerGas": fees.max_fee_wei,
            "maxPriorityFeePerGas": fees.tip_wei,
        }
        if to is not None:
            fields["to"] = checksum(to)
        signed = Account.sign_transaction(fields, key)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def broadcast(self, raw: bytes) -> None:
        """Hand a signed transaction to the node; sending it again is no error."""
        try:
            self.ask(lambda: self.web3.eth.send_raw_transaction(raw))
        except ChainRefused as error:
            if not any(
                words in str(error).lower() for words in ("already known", "already imported", "known transaction")
            ):
                raise

    def advance(self) -> None:
        """A development chain has no clock: mine one empty block, so that depth can grow."""
        if self.development:
            answer = self.ask(lambda: self.web3.provider.make_request(RPCEndpoint("evm_mine"), []))
            if "error" in answer:
                raise ChainRefused(f"evm_mine: {answer['error']}")

    def contract(self, address: bytes, abi: list[dict[str, Any]]) -> Contract:
        """A handle on a deployed contract."""
        return Contract(self, address, abi)


def constructor_data(abi: list[dict[str, Any]], bytecode: bytes, *arguments: Any) -> bytes:
    """Data of a transaction that creates a contract."""
    factory = Web3().eth.contract(abi=abi, bytecode=bytecode)
    data: str = factory.constructor(*arguments).data_in_transaction
    return bytes.fromhex(data[2:])


def checksum(address: bytes) -> Any:
    """An address the way web3 wants it."""
    return Web3.to_checksum_address("0x" + address.hex())


def address_of(key: bytes) -> bytes:
    """The account of a private key."""
    return bytes.fromhex(Account.from_key(key).address[2:])


def _embedded(folder: Path, funded: tuple[bytes, ...]) -> EmbeddedChain:
    """The embedded chain, whose packages are needed by nobody else."""
    try:
        from eth_tester.exceptions import TransactionFailed
        from eth_tester.exceptions import ValidationError as TesterValidationError

        from settlement.embedded_chain import EmbeddedChain
    except ImportError as error:
        raise SettlementConfigError(f"{EMBEDDED} needs: pip install 'fix-venue[embedded]' ({error})") from error
    for classes, error_class in ((_REVERTS, TransactionFailed), (_REFUSALS, TesterValidationError)):
        if error_class not in classes:
            classes.append(error_class)
    return EmbeddedChain(folder, funded)


def _none(missing: type[Exception], question: Callable[[], Answer]) -> Answer | None:
    try:
        return question()
    except missing:
        return None


def _text(error: BaseException) -> str:
    """The words of an error without the wrapping of the layers it came through."""
    message = getattr(error, "message", None) or (error.args[0] if error.args else "") or str(error)
    text = message if isinstance(message, str) else repr(message)
    return text.removeprefix("execution reverted: ").strip() or type(error).__name__
