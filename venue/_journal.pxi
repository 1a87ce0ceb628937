# Readers of the journal: what the follower and `venue replay` need natively. Included by _engine.pyx.

SIZES = {"command": sizeof(core_command), "event": sizeof(event), "report": sizeof(report),
         "submission": sizeof(submission), "order_status": sizeof(order_status)}


def report_probe():
    """One report whose every field holds another number, as the compiler lays it out: the test of the dtype."""
    cdef report r
    memset(&r, 0, sizeof(report))
    r.event.head, r.event.exec_id, r.time_ns, r.origin, r.order_qty_lots = 1, 2, 3, 4, 5
    r.order_price_ticks, r.cum_lots, r.value, r.order_detail, r.order_aux, r.session = 6, 7, 8, 9, 10, 11
    r.symbol, r.side, r.ord_type, r.tif, r.order_flags, r.command_kind = 12, 13, 14, 15, 16, 17
    r.command_session_differs, r.status, r.account = 18, 65, 20
    r.clordid[0], r.orig_clordid[0] = 66, 67
    return reports_array(&r, 1)


def checksum(data, portable=False):
    """CRC-32C of the bytes, by the processor's instruction or by the table."""
    cdef bytes raw = bytes(data)
    return crc32c_portable(0, <const char *>raw, len(raw)) if portable else crc32c(0, <const char *>raw, len(raw))


def names_of(body):
    """(ClOrdID, OrigClOrdID) of an annex body, empty when it has none; ValueError when one is too long."""
    cdef bytes raw = bytes(body)
    cdef char clordid[CLORDID_BYTES]
    cdef char orig_clordid[CLORDID_BYTES]
    if not names_into(<const uint8_t *><const char *>raw, len(raw), clordid, orig_clordid):
        raise ValueError(f"ClOrdID(11) or OrigClOrdID(41) is longer than {CLORDID_BYTES - 1} characters")
    return <bytes>clordid, <bytes>orig_clordid


def watermark_of(mapping):
    """(durable_seq, segment_first_seq, segment_offset, epoch, state) of a mapped watermark, or None for now."""
    cdef const uint8_t[::1] view = mapping
    cdef watermark mark
    if view.shape[0] < 64 or not watermark_read(&view[0], &mark):
        return None
    return mark.durable_seq, mark.segment_first_seq, mark.segment_offset, mark.epoch, mark.state


def segment_head_of(data):
    """A segment's head as a dict; None when these bytes are none."""
    cdef bytes raw = bytes(data)
    cdef segment_head head
    if not segment_head_read(<const uint8_t *><const char *>raw, len(raw), &head):
        return None
    return {
        "epoch": head.epoch, "first_seq": head.first_seq, "created_ns": head.created_ns,
        "limits": (head.symbols, head.accounts, head.assets, head.orders, head.levels),
    }


def parse(data, u64 next_seq, uint32_t epoch, u64 durable_seq, u64 limit):
    """Entries from the bytes: (commands, annex, ends, bytes consumed, whether what follows is damage)."""
    cdef const uint8_t[::1] view = data
    cdef u64 size = view.shape[0], count = 0, used = 0, consumed = 0
    cdef int bad = 0
    limit = min(limit, size // 88 + 1)
    commands = np.empty(limit, COMMAND)
    ends = np.empty(limit, np.uint64)
    annex = np.empty(size + 1, np.uint8)
    cdef core_command *command_at = <core_command *><uintptr_t>address_of(commands)
    cdef u64 *end_at = <u64 *><uintptr_t>address_of(ends)
    cdef uint8_t *annex_at = <uint8_t *><uintptr_t>address_of(annex)
    if size:
        with nogil:
            count = entries_parse(&view[0], size, next_seq, epoch, durable_seq, limit, command_at, annex_at, size, &used,
                                  end_at, &consumed, &bad)
    return commands[:count], annex[:used].tobytes(), ends[:count], int(consumed), bool(bad)


cdef struct replaying:
    core *state
    event *events
    u64 commands
    u64 event_count
    u64 by_command[256]
    u64 by_event[256]
    int failed


cdef int replay_visit(void *context, const core_command *command, const uint8_t *annex, u64 annex_bytes) noexcept nogil:
    cdef replaying *r = <replaying *>context
    cdef u64 count, i
    if r.state is NULL:
        return 1
    count = core_apply(r.state, command, r.events)
    if count == CORE_FATAL:
        r.failed = 1
        return 1
    r.commands += 1
    r.by_command[command.head & 0xff] += 1
    r.event_count += count
    for i in range(count):
        r.by_event[r.events[i].head & 0xff] += 1
    return 0


cdef int scan_of(scan *s, bytes path, u64 to_seq) except -1:
    cdef watermark mark
    memset(s, 0, sizeof(scan))
    s.dir = path
    s.from_seq = 1
    s.to_seq = to_seq
    s.watermarked = watermark_load(path, &mark)
    s.durable_seq = mark.durable_seq if s.watermarked else 0
    s.visit = replay_visit
    return 0


def replay(journal_dir, to_seq=None):
    """Replays a journal from its first entry: a dict of counts and the canonical state. Changes nothing.

    Raises JournalDamaged as a start of the engine would.
    """
    cdef bytes path = str(journal_dir).encode()
    cdef u64 last = (1 << 40) - 1 if to_seq is None else to_seq
    cdef scan s
    cdef replaying r
    cdef int status
    cdef size_t size = 0
    cdef u64 slots_count
    cdef slot *slot_at
    memset(&r, 0, sizeof(r))
    scan_of(&s, path, last)
    s.context = &r
    with nogil:
        status = journal_scan(&s)  # the visitor ends it at the first entry: the limits are known then
    if status != JOURNAL_OK and not s.found.symbols:
        raise error_of(status, s.text)
    if not s.found.symbols:
        raise JournalError(f"{journal_dir}: holds no journal segment")
    size = core_size(&s.found)
    cdef void *arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    if size == 0 or arena == MAP_FAILED:
        raise MemoryError(f"{journal_dir}: no address space for a core of {size} bytes")
    try:
        buffer = np.empty(core_events_max(&s.found), EVENT)
        r.state = <core *>arena
        r.events = <event *><uintptr_t>address_of(buffer)
        core_init(r.state, &s.found)
        scan_of(&s, path, last)
        s.context = &r
        with nogil:
            status = journal_scan(&s)
        if status != JOURNAL_OK:
            raise error_of(status, s.text)
        if r.failed:
            raise JournalDamaged(f"{journal_dir}: the core refuses entry {s.last_seq}: the journal is not its own")
        slots_count = core_snapshot(r.state, NULL)
        slots = np.empty((slots_count, 8), np.uint64)
        slot_at = <slot *><uintptr_t>address_of(slots)
        with nogil:
            core_snapshot(r.state, slot_at)
    finally:
        munmap(arena, size)
    return {
        "commands": r.commands, "events": r.event_count, "last_seq": s.last_seq if r.commands else 0,
        "last_time_ns": s.last_time_ns, "torn_bytes": s.torn_bytes,
        "by_command": {i: r.by_command[i] for i in range(256) if r.by_command[i]},
        "by_event": {i: r.by_event[i] for i in range(256) if r.by_event[i]},
        "state": slots.tobytes(),
    }
