# cython: language_level=3, boundscheck=False, wraparound=False
"""The hashes of roots_bulk.h over numpy arrays, without the GIL.

Why: a sealed batch needs some ten permutations a command; in lanes they cost about a microsecond together. It must
never decide what is hashed: that is roots.h, for the guest and for this module alike.
"""

from libc.stdint cimport uint8_t, uint64_t, uintptr_t

import numpy as np

from cores.records import COMMAND, EVENT


cdef extern from "roots_bulk.h" nogil:
    ctypedef uint64_t u64

    struct command:
        pass

    struct event:
        pass

    struct slot:
        pass

    int TREE_LEVELS_MAX
    unsigned poseidon2_lanes()
    void poseidon2_limit_lanes(unsigned lanes)
    void poseidon2_permute_many(u64 *states, u64 count)
    void c_command_leaves "command_leaves"(const command *commands, const u64 *annexes, u64 count, u64 *digests)
    void c_event_leaves "event_leaves"(const event *events, const u64 *ends, const u64 *annexes, u64 commands,
                                       u64 *digests)
    void c_join_pairs "join_pairs"(const u64 *digests, u64 pairs, u64 *nodes)
    void bulk_tree_root(const u64 *leaves, u64 count, u64 *scratch, u64 *root)
    void bulk_slots_digest(u64 domain, const slot *slots, const u64 *ends, u64 count, u64 *digests)
    u64 c_witness_cover "witness_cover"(const u64 *touched, u64 touched_count, u64 count, u64 *levels, u64 *numbers)
    void bulk_deposits(uint8_t *acc, const event *events, u64 count)
    void bulk_withdrawals(const event *events, u64 count, uint8_t *root)
    void c_annex_digests "annex_digests"(const uint8_t *data, const u64 *ends, u64 count, u64 *digests)


cdef inline uintptr_t address_of(object array) except? 0:
    return <uintptr_t>array.__array_interface__["data"][0]


def _records(array, dtype, str what):
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
        raise TypeError(f"{what}: expected a one-dimensional numpy array of dtype cores.{what.upper()}")
    return np.require(array, requirements=["C", "A"])


def _words(array, Py_ssize_t width, str what):
    if not isinstance(array, np.ndarray) or array.dtype != np.uint64 or array.ndim != 2 or array.shape[1] != width:
        raise TypeError(f"{what}: expected a numpy array of u8 of shape (n, {width})")
    return np.require(array, requirements=["C", "A"])


def _ends(array, u64 total, str what):
    """Running counts: ascending, the last one is `total`."""
    if not isinstance(array, np.ndarray) or array.dtype != np.uint64 or array.ndim != 1:
        raise TypeError(f"{what}: expected a one-dimensional numpy array of u8")
    cdef Py_ssize_t count = array.shape[0]
    last = int(array[count - 1]) if count else 0
    if last != total or np.any(array[1:] < array[:max(0, count - 1)]):
        raise ValueError(f"{what}: must ascend and end at {total}, end at {last}")
    return np.require(array, requirements=["C", "A"])


def lanes():
    """States permuted side by side on this CPU: 16, 8 or 1."""
    return poseidon2_lanes()


def limit_lanes(unsigned count):
    """For tests and benchmarks: use at most so many lanes from now on."""
    poseidon2_limit_lanes(count)


def permute_many(states):
    """Poseidon2 of each row of eight words; returns a new array."""
    states = np.array(_words(states, 8, "states"))
    if np.any((states & 0xffffffff) >= 0x7f000001) or np.any((states >> 32) >= 0x7f000001):
        raise ValueError("states: a half word is not below the field's prime")
    cdef u64 *words = <u64 *>address_of(states)
    cdef u64 count = states.shape[0]
    with nogil:
        poseidon2_permute_many(words, count)
    return states


def annex_digests(data, ends):
    """SHA-256 of each annex as four little-endian words; annex i is data[ends[i - 1]:ends[i]]."""
    source = np.frombuffer(data, np.uint8)
    ends = _ends(ends, source.shape[0], "ends")
    cdef u64 count = ends.shape[0]
    digests = np.empty((count, 4), np.uint64)
    cdef const uint8_t *at = <const uint8_t *>address_of(source)
    cdef const u64 *end_at = <const u64 *>address_of(ends)
    cdef u64 *out = <u64 *>address_of(digests)
    with nogil:
        c_annex_digests(at, end_at, count, out)
    return digests


def command_leaves(commands, annexes):
    """Leaves of the command tree; `annexes` are their annex digests."""
    commands = _records(commands, COMMAND, "command")
    annexes = _words(annexes, 4, "annexes")
    if len(annexes) != len(commands):
        raise ValueError(f"{len(commands)} commands but {len(annexes)} annex digests")
    cdef u64 count = commands.shape[0]
    digests = np.empty((count, 4), np.uint64)
    cdef const command *at = <const command *>address_of(commands)
    cdef const u64 *annex_at = <const u64 *>address_of(annexes)
    cdef u64 *out = <u64 *>address_of(digests)
    with nogil:
        c_command_leaves(at, annex_at, count, out)
    return digests


def event_leaves(events, event_ends, annexes):
    """Leaves of the event tree; command i made the events up to event_ends[i] and blinds them by its annex digest."""
    events = _records(events, EVENT, "event")
    annexes = _words(annexes, 4, "annexes")
    event_ends = _ends(event_ends, events.shape[0], "event_ends")
    if len(annexes) != len(event_ends):
        raise ValueError(f"{len(event_ends)} commands but {len(annexes)} annex digests")
    cdef u64 count = event_ends.shape[0]
    digests = np.empty((events.shape[0], 4), np.uint64)
    cdef const event *at = <const event *>address_of(events)
    cdef const u64 *end_at = <const u64 *>address_of(event_ends)
    cdef const u64 *annex_at = <const u64 *>address_of(annexes)
    cdef u64 *out = <u64 *>address_of(digests)
    with nogil:
        c_event_leaves(at, end_at, annex_at, count, out)
    return digests


def join_pairs(digests):
    """Nodes over neighbours: (2 n, 4) -> (n, 4)."""
    digests = _words(digests, 4, "digests")
    if len(digests) % 2:
        raise ValueError(f"{len(digests)} digests: not pairs")
    cdef u64 count = digests.shape[0] // 2
    nodes = np.empty((count, 4), np.uint64)
    cdef const u64 *at = <const u64 *>address_of(digests)
    cdef u64 *out = <u64 *>address_of(nodes)
    with nogil:
        c_join_pairs(at, count, out)
    return nodes


def tree_root(leaves):
    """Root of the tree over the leaves, four words."""
    leaves = _words(leaves, 4, "leaves")
    scratch = np.empty_like(leaves)
    root = np.empty(4, np.uint64)
    cdef u64 count = leaves.shape[0]
    cdef const u64 *at = <const u64 *>address_of(leaves)
    cdef u64 *work = <u64 *>address_of(scratch)
    cdef u64 *out = <u64 *>address_of(root)
    with nogil:
        bulk_tree_root(at, count, work, out)
    return root


def slots_digests(u64 domain, slots, ends):
    """Digest of each slot table; table i is slots[ends[i - 1]:ends[i]]."""
    slots = _words(slots, 8, "slots")
    ends = _ends(ends, slots.shape[0], "ends")
    cdef u64 count = ends.shape[0]
    digests = np.empty((count, 4), np.uint64)
    cdef const slot *at = <const slot *>address_of(slots)
    cdef const u64 *end_at = <const u64 *>address_of(ends)
    cdef u64 *out = <u64 *>address_of(digests)
    with nogil:
        bulk_slots_digest(domain, at, end_at, count, out)
    return digests


def witness_cover(touched, u64 count):
    """(levels, numbers) of the blocks that cover 0..count but for the touched numbers, from the left."""
    touched = np.require(touched, np.uint64, ["C", "A"])
    cdef Py_ssize_t size = touched.shape[0]
    if size and (int(touched[size - 1]) >= count or np.any(touched[1:] <= touched[:size - 1])):
        raise ValueError(f"touched: must ascend and be below {count}")
    blocks_max = (size + 1) * 2 * TREE_LEVELS_MAX
    levels = np.empty(blocks_max, np.uint64)
    numbers = np.empty(blocks_max, np.uint64)
    cdef u64 blocks = c_witness_cover(<const u64 *>address_of(touched), touched.shape[0], count,
                                      <u64 *>address_of(levels), <u64 *>address_of(numbers))
    return levels[:blocks], numbers[:blocks]


def deposits(bytes acc not None, events):
    """The deposit accumulator after the DEPOSITED among the events."""
    events = _records(events, EVENT, "event")
    if len(acc) != 32:
        raise ValueError(f"deposit accumulator: expected 32 bytes, got {len(acc)}")
    result = np.frombuffer(acc, np.uint8).copy()
    cdef uint8_t *out = <uint8_t *>address_of(result)
    cdef const event *at = <const event *>address_of(events)
    cdef u64 count = events.shape[0]
    with nogil:
        bulk_deposits(out, at, count)
    return result.tobytes()


def withdrawals(events):
    """Root of the SHA-256 tree over the WITHDRAWN among the events; 32 zero bytes when there is none."""
    events = _records(events, EVENT, "event")
    result = np.empty(32, np.uint8)
    cdef uint8_t *out = <uint8_t *>address_of(result)
    cdef const event *at = <const event *>address_of(events)
    cdef u64 count = events.shape[0]
    with nogil:
        bulk_withdrawals(at, count, out)
    return result.tobytes()
