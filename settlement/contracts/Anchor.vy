# pragma version 0.4.3
"""
@title  Anchor of the venue's batches: commit, prove, final
@notice `commit` puts a range of sealed batches on the chain: contiguous, once, and starting from the state in which the
        range before it ended. What is stored is the Merkle root over the batch records (RFC 6962, SHA-256). Committing
        never waits for proving.
        `prove` opens the records of a range, checks that they are the committed ones and that each begins where the one
        before it ended, and passes proofs of single batches to a verifier contract. Ranges are opened in order.
        A range is final as soon as every batch in it is assured: from then on nobody can take it back. Its assurance
        can still rise.
        Each batch has an assurance: UNASSURED; ATTESTED, when registered verifiers signed that they checked a proof off
        chain; PROVEN, when the proof was verified by this chain. It only ever rises, and an attestation cannot
        reach PROVEN: the two have separate verifiers, and a contract that calls itself attesting is refused as prover.
        What a proof says is public values and a program id. A range remembers the program under which it was opened.
        What is not here: whether the operator journaled orders in the order of their arrival; nothing on a chain knows.
@dev    The escape for a range that was committed wrongly and can therefore never be proved: the owner, while the
        contract is paused, takes back the ranges after the last final one (`revert_tail`). The event tells everybody.
        A BatchRange takes three slots: root, state, and `facts`, which packs
        first_batch_id u64 | first_seq u64 << 64 | last_seq u64 << 128 | batch_count u8 << 192 | assured u8 << 200 |
        proven u8 << 208 | program u32 << 216.  program 0: not opened yet.
"""

import two_step_owner

initializes: two_step_owner
exports: (
    two_step_owner.owner,
    two_step_owner.proposed_owner,
    two_step_owner.propose_owner,
    two_step_owner.accept_ownership,
)

event Committed:
    range_id: indexed(uint256)
    first_batch_id: indexed(uint256)
    batch_count: uint256
    last_seq: uint256
    state_root: bytes32
    records_root: bytes32

event Opened:
    range_id: indexed(uint256)
    program_vkey: bytes32

event Assured:
    batch_id: indexed(uint256)
    range_id: indexed(uint256)
    assurance: uint8
    proof_keccak: bytes32

event Finalised:
    range_id: indexed(uint256)
    last_batch_id: uint256
    state_root: bytes32

event TailReverted:
    first_range_id: indexed(uint256)
    last_range_id: uint256
    next_batch_id: uint256
    state_root: bytes32

event ProgramChanged:
    number: indexed(uint256)
    program_vkey: bytes32

event VerifierChanged:
    assurance: indexed(uint8)
    verifier: address

event RoleChanged:
    role: String[9]
    account: indexed(address)

event Paused:
    by: indexed(address)

event Unpaused:
    by: indexed(address)

struct BatchRange:
    records_root: bytes32
    state_root: bytes32
    facts: uint256

struct RangeView:
    records_root: bytes32
    prev_state_root: bytes32
    state_root: bytes32
    first_batch_id: uint256
    batch_count: uint256
    first_seq: uint256
    last_seq: uint256
    assured_count: uint256
    proven_count: uint256
    program_vkey: bytes32
    final: bool

struct Head:
    range_count: uint256
    final_count: uint256
    next_batch_id: uint256
    next_seq: uint256
    state_root: bytes32

UNASSURED: constant(uint8) = 0
ATTESTED: public(constant(uint8)) = 1
PROVEN: public(constant(uint8)) = 2

MAX_BATCHES: public(constant(uint256)) = 32
MAX_REVERT: public(constant(uint256)) = 64
MAX_DEPTH: constant(uint256) = 5
MAX_PROOF: constant(uint256) = 896
RECORD: constant(uint256) = 304
PUBLIC_VALUES: constant(uint256) = 264
FORMAT: constant(uint256) = 1
U8: constant(uint256) = 255
U32: constant(uint256) = 2**32 - 1
U64: constant(uint256) = 2**64 - 1
AT_COUNT: constant(uint256) = 192
AT_ASSURED: constant(uint256) = 200
AT_PROVEN: constant(uint256) = 208
AT_PROGRAM: constant(uint256) = 216

# Offsets in a record: batch_id, then the public values.
AT_BATCH_ID: constant(uint256) = 0
AT_FORMAT: constant(uint256) = 8
AT_FIRST_SEQ: constant(uint256) = 16
AT_LAST_SEQ: constant(uint256) = 24
AT_PREV_STATE_ROOT: constant(uint256) = 48
AT_STATE_ROOT: constant(uint256) = 80
AT_PREV_DEPOSIT_ACC: constant(uint256) = 176
AT_DEPOSIT_ACC: constant(uint256) = 208

committer: public(address)
prover: public(address)
pauser: public(address)
paused: public(bool)

verifiers: public(HashMap[uint8, address])
programs: public(HashMap[uint256, bytes32])
program_count: public(uint256)

# Range 0 is the beginning: no batches, the state before the first one.
ranges: HashMap[uint256, BatchRange]
range_count: uint256
final_count: uint256
final_deposit_acc: public(bytes32)
opened_deposit_acc: bytes32
# Two bits a batch.
assurances: HashMap[uint256, uint256]


@deploy
def __init__(
    state_root: bytes32,
    deposit_acc: bytes32,
    next_batch_id: uint256,
    next_seq: uint256,
    program_vkey: bytes32,
    committer: address,
    prover: address,
    pauser: address,
):
    two_step_owner.__init__()
    assert next_batch_id <= U64 and next_seq >= 1 and next_seq <= U64, "beginning out of range"
    self.ranges[0] = BatchRange(
        records_root=empty(bytes32),
        state_root=state_root,
        facts=next_batch_id | next_seq << 64 | (next_seq - 1) << 128,
    )
    self.final_deposit_acc = deposit_acc
    self._set_program(program_vkey)
    self._set_roles(committer, prover, pauser)


@external
def commit(
    first_batch_id: uint256,
    batch_count: uint256,
    first_seq: uint256,
    last_seq: uint256,
    prev_state_root: bytes32,
    state_root: bytes32,
    records_root: bytes32,
):
    """
    @notice Commit the next range of batches. Reverts unless it continues the last one exactly, so it succeeds once.
    """
    assert not self.paused, "paused"
    assert msg.sender == self.committer, "not the committer"
    count: uint256 = self.range_count
    facts: uint256 = self.ranges[count].facts
    assert first_batch_id == self._next_batch_id(facts), "not the next batch"
    assert first_seq == self._last_seq(facts) + 1, "not the next sequence number"
    assert prev_state_root == self.ranges[count].state_root, "not the state of the last range"
    assert batch_count >= 1 and batch_count <= MAX_BATCHES, "batch count out of range"
    assert last_seq <= U64 and last_seq + 1 >= first_seq + batch_count, "sequence out of range"
    assert first_batch_id + batch_count <= U64, "batch id out of range"
    count += 1
    self.range_count = count
    self.ranges[count] = BatchRange(
        records_root=records_root,
        state_root=state_root,
        facts=first_batch_id | first_seq << 64 | last_seq << 128 | batch_count << AT_COUNT,
    )
    log Committed(
        range_id=count,
        first_batch_id=first_batch_id,
        batch_count=batch_count,
        last_seq=last_seq,
        state_root=state_root,
        records_root=records_root,
    )


@external
def prove(
    range_id: uint256,
    assurance: uint8,
    records: DynArray[Bytes[RECORD], MAX_BATCHES],
    proofs: DynArray[Bytes[MAX_PROOF], MAX_BATCHES],
):
    """
    @notice Open a range with all its records and pass the proofs at hand; an empty proof leaves its batch as it is.
    """
    self._may_prove(range_id)
    facts: uint256 = self.ranges[range_id].facts
    count: uint256 = self._batch_count(facts)
    assert len(records) == count and len(proofs) == count, "not all records of the range"
    assert self._records_root(records) == self.ranges[range_id].records_root, "not the committed records"
    if facts >> AT_PROGRAM == 0:
        assert range_id == self.final_count + 1, "ranges are opened in order"
        self._check_links(range_id, records)
        facts |= self.program_count << AT_PROGRAM
        log Opened(range_id=range_id, program_vkey=self.programs[self.program_count])
    for i: uint256 in range(count, bound=MAX_BATCHES):
        if len(proofs[i]) > 0:
            facts = self._assure(range_id, facts, i, assurance, records[i], proofs[i])
    self._store(range_id, facts)


@external
def prove_batch(
    range_id: uint256,
    index: uint256,
    assurance: uint8,
    record: Bytes[RECORD],
    path: DynArray[bytes32, MAX_DEPTH],
    proof: Bytes[MAX_PROOF],
):
    """
    @notice Pass the proof of one batch of a range that is open already.
    """
    self._may_prove(range_id)
    facts: uint256 = self.ranges[range_id].facts
    assert facts >> AT_PROGRAM != 0, "range is not open"
    assert len(record) == RECORD, "malformed record"
    root: bytes32 = self._path_root(self._leaf(record), index, self._batch_count(facts), path)
    assert root == self.ranges[range_id].records_root, "not a committed record"
    self._store(range_id, self._assure(range_id, facts, index, assurance, record, proof))


@external
def revert_tail(first_range_id: uint256):
    """
    @notice Take back every range from `first_range_id` on. Only ranges that are not final, only while paused.
    """
    two_step_owner._only_owner()
    assert self.paused, "not paused"
    last: uint256 = self.range_count
    assert first_range_id > self.final_count and first_range_id <= last, "no such tail"
    assert last - first_range_id < MAX_REVERT, "too many ranges at once"
    for i: uint256 in range(last + 1 - first_range_id, bound=MAX_REVERT):
        range_id: uint256 = last - i
        facts: uint256 = self.ranges[range_id].facts
        if facts >> AT_PROGRAM != 0:
            for j: uint256 in range(self._batch_count(facts), bound=MAX_BATCHES):
                self._set_assurance((facts & U64) + j, UNASSURED)
        self.ranges[range_id] = empty(BatchRange)
    self.range_count = first_range_id - 1
    log TailReverted(
        first_range_id=first_range_id,
        last_range_id=last,
        next_batch_id=self._next_batch_id(self.ranges[first_range_id - 1].facts),
        state_root=self.ranges[first_range_id - 1].state_root,
    )


@external
def set_verifier(assurance: uint8, verifier: address):
    """
    @notice Set the contract that grants an assurance: ATTESTED an AttestedVerifier, PROVEN the proof system's own.
    """
    two_step_owner._only_owner()
    assert assurance == ATTESTED or assurance == PROVEN, "no such assurance"
    # A call to an address without code succeeds: without this check everything would count as verified.
    assert verifier.is_contract, "verifier is not a contract"
    answered: bool = False
    answer: Bytes[32] = b""
    answered, answer = raw_call(
        verifier,
        method_id("ASSURANCE()"),
        max_outsize=32,
        is_static_call=True,
        revert_on_failure=False,
    )
    attesting: bool = answered and len(answer) == 32 and convert(answer, uint256) == convert(ATTESTED, uint256)
    assert attesting == (assurance == ATTESTED), "verifier of another assurance"
    self.verifiers[assurance] = verifier
    log VerifierChanged(assurance=assurance, verifier=verifier)


@external
def set_program(program_vkey: bytes32):
    """
    @notice Change the program whose proofs count for ranges that are opened from now on.
    """
    two_step_owner._only_owner()
    self._set_program(program_vkey)


@external
def set_roles(committer: address, prover: address, pauser: address):
    """
    @notice Set who may commit, who may prove and who may pause.
    """
    two_step_owner._only_owner()
    self._set_roles(committer, prover, pauser)


@external
def pause():
    """
    @notice Stop commits and proofs; the pauser or the owner.
    """
    assert msg.sender == self.pauser or msg.sender == two_step_owner.owner, "not the pauser"
    assert not self.paused, "paused"
    self.paused = True
    log Paused(by=msg.sender)


@external
def unpause():
    """
    @notice Go on; only the owner.
    """
    two_step_owner._only_owner()
    assert self.paused, "not paused"
    self.paused = False
    log Unpaused(by=msg.sender)


@external
@view
def head() -> Head:
    """
    @notice Where the next range must begin.
    """
    facts: uint256 = self.ranges[self.range_count].facts
    return Head(
        range_count=self.range_count,
        final_count=self.final_count,
        next_batch_id=self._next_batch_id(facts),
        next_seq=self._last_seq(facts) + 1,
        state_root=self.ranges[self.range_count].state_root,
    )


@external
@view
def get_range(range_id: uint256) -> RangeView:
    """
    @notice Everything that is known of one range.
    """
    assert range_id >= 1 and range_id <= self.range_count, "no such range"
    facts: uint256 = self.ranges[range_id].facts
    return RangeView(
        records_root=self.ranges[range_id].records_root,
        prev_state_root=self.ranges[range_id - 1].state_root,
        state_root=self.ranges[range_id].state_root,
        first_batch_id=facts & U64,
        batch_count=self._batch_count(facts),
        first_seq=(facts >> 64) & U64,
        last_seq=self._last_seq(facts),
        assured_count=(facts >> AT_ASSURED) & U8,
        proven_count=(facts >> AT_PROVEN) & U8,
        program_vkey=self.programs[facts >> AT_PROGRAM],
        final=range_id <= self.final_count,
    )


@external
@view
def assurance_of(batch_id: uint256) -> uint8:
    """
    @notice UNASSURED (0), ATTESTED (1) or PROVEN (2); the batch is final when its range is.
    """
    return self._assurance(batch_id)


@internal
@view
def _may_prove(range_id: uint256):
    assert not self.paused, "paused"
    assert msg.sender == self.prover, "not the prover"
    assert range_id >= 1 and range_id <= self.range_count, "no such range"


@internal
def _check_links(range_id: uint256, records: DynArray[Bytes[RECORD], MAX_BATCHES]):
    """
    Every record begins where the one before it ended; the first and the last meet what `commit` said of the range.
    """
    facts: uint256 = self.ranges[range_id].facts
    batch_id: uint256 = facts & U64
    next_seq: uint256 = (facts >> 64) & U64
    state_root: bytes32 = self.ranges[range_id - 1].state_root
    deposit_acc: bytes32 = self.final_deposit_acc
    for record: Bytes[RECORD] in records:
        last_seq: uint256 = self._u64(record, AT_LAST_SEQ)
        assert self._u64(record, AT_FORMAT) == FORMAT, "unknown format"
        assert self._u64(record, AT_BATCH_ID) == batch_id, "batches are not linked"
        assert self._u64(record, AT_FIRST_SEQ) == next_seq and last_seq >= next_seq, "sequences are not linked"
        assert extract32(record, AT_PREV_STATE_ROOT) == state_root, "states are not linked"
        assert extract32(record, AT_PREV_DEPOSIT_ACC) == deposit_acc, "deposits are not linked"
        batch_id += 1
        next_seq = last_seq + 1
        state_root = extract32(record, AT_STATE_ROOT)
        deposit_acc = extract32(record, AT_DEPOSIT_ACC)
    assert next_seq == self._last_seq(facts) + 1, "last sequence is not the committed one"
    assert state_root == self.ranges[range_id].state_root, "last state is not the committed one"
    self.opened_deposit_acc = deposit_acc


@internal
def _assure(
    range_id: uint256,
    facts: uint256,
    index: uint256,
    assurance: uint8,
    record: Bytes[RECORD],
    proof: Bytes[MAX_PROOF],
) -> uint256:
    """
    Have one proof verified and raise the batch's assurance; returns the range's changed facts.
    """
    batch_id: uint256 = (facts & U64) + index
    before: uint8 = self._assurance(batch_id)
    assert assurance > before, "assurance can only rise"
    verifier: address = self.verifiers[assurance]
    assert verifier != empty(address), "no verifier for this assurance"
    public_values: Bytes[PUBLIC_VALUES] = slice(record, AT_FORMAT, PUBLIC_VALUES)
    raw_call(
        verifier,
        abi_encode(
            self.programs[facts >> AT_PROGRAM],
            public_values,
            proof,
            method_id=method_id("verifyProof(bytes32,bytes,bytes)"),
        ),
        is_static_call=True,
    )
    self._set_assurance(batch_id, assurance)
    log Assured(batch_id=batch_id, range_id=range_id, assurance=assurance, proof_keccak=keccak256(proof))
    changed: uint256 = facts
    if before == UNASSURED:
        changed += 1 << AT_ASSURED
    if assurance == PROVEN:
        changed += 1 << AT_PROVEN
    return changed


@internal
def _store(range_id: uint256, facts: uint256):
    """
    Keep a range's changed facts; with its last batch assured it is final.
    """
    self.ranges[range_id].facts = facts
    if range_id == self.final_count + 1 and (facts >> AT_ASSURED) & U8 == self._batch_count(facts):
        self.final_count = range_id
        self.final_deposit_acc = self.opened_deposit_acc
        log Finalised(
            range_id=range_id,
            last_batch_id=self._next_batch_id(facts) - 1,
            state_root=self.ranges[range_id].state_root,
        )


@internal
def _set_assurance(batch_id: uint256, assurance: uint8):
    at: uint256 = batch_id % 128 * 2
    word: uint256 = self.assurances[batch_id // 128]
    self.assurances[batch_id // 128] = word & ~(3 << at) | convert(assurance, uint256) << at


@internal
@view
def _assurance(batch_id: uint256) -> uint8:
    return convert((self.assurances[batch_id // 128] >> (batch_id % 128 * 2)) & 3, uint8)


@internal
@pure
def _next_batch_id(facts: uint256) -> uint256:
    return (facts & U64) + self._batch_count(facts)


@internal
@pure
def _batch_count(facts: uint256) -> uint256:
    return (facts >> AT_COUNT) & U8


@internal
@pure
def _last_seq(facts: uint256) -> uint256:
    return (facts >> 128) & U64


@internal
@pure
def _u64(record: Bytes[RECORD], at: uint256) -> uint256:
    return convert(extract32(record, at), uint256) >> 192


@internal
@view
def _leaf(record: Bytes[RECORD]) -> bytes32:
    return sha256(concat(x"00", record))


@internal
@view
def _records_root(records: DynArray[Bytes[RECORD], MAX_BATCHES]) -> bytes32:
    """
    RFC 6962 built level by level: an odd node at the end of a level moves up unchanged.
    """
    nodes: bytes32[MAX_BATCHES] = empty(bytes32[MAX_BATCHES])
    size: uint256 = 0
    for record: Bytes[RECORD] in records:
        assert len(record) == RECORD, "malformed record"
        nodes[size] = self._leaf(record)
        size += 1
    for depth: uint256 in range(MAX_DEPTH):
        if size == 1:
            break
        half: uint256 = size // 2
        for i: uint256 in range(half, bound=MAX_BATCHES):
            nodes[i] = sha256(concat(x"01", nodes[2 * i], nodes[2 * i + 1]))
        if size % 2 == 1:
            nodes[half] = nodes[size - 1]
        size = half + size % 2
    return nodes[0]


@internal
@view
def _path_root(leaf: bytes32, index: uint256, count: uint256, path: DynArray[bytes32, MAX_DEPTH]) -> bytes32:
    """
    The root that a path leads to (RFC 9162, 2.1.3.2).
    """
    assert index < count, "no such batch"
    node: uint256 = index
    last: uint256 = count - 1
    digest: bytes32 = leaf
    for sibling: bytes32 in path:
        assert last != 0, "path too long"
        if node % 2 == 1 or node == last:
            digest = sha256(concat(x"01", sibling, digest))
            for depth: uint256 in range(MAX_DEPTH):
                if node % 2 == 1 or node == 0:
                    break
                node //= 2
                last //= 2
        else:
            digest = sha256(concat(x"01", digest, sibling))
        node //= 2
        last //= 2
    assert last == 0, "path too short"
    return digest


@internal
def _set_program(program_vkey: bytes32):
    assert program_vkey != empty(bytes32), "zero program"
    assert self.program_count < U32, "too many programs"
    self.program_count += 1
    self.programs[self.program_count] = program_vkey
    log ProgramChanged(number=self.program_count, program_vkey=program_vkey)


@internal
def _set_roles(committer: address, prover: address, pauser: address):
    # A role may be left empty: nobody holds it then, since nobody sends from the zero address.
    self.committer = committer
    self.prover = prover
    self.pauser = pauser
    log RoleChanged(role="committer", account=committer)
    log RoleChanged(role="prover", account=prover)
    log RoleChanged(role="pauser", account=pauser)
