# The engine's state for a process that only follows. Included by _engine.pyx; `venue.replica` says where it begins.


cdef class Replica:
    """Core and order table after some entry of the journal; `apply` takes the next ones and gives their reports."""

    cdef engine_s *replica

    def __cinit__(self, config, path=None, u64 seq=0):
        """The state of a snapshot file, the one after entry `seq`, or of an empty venue. Raises JournalError."""
        cdef core_config sizes
        cdef char text[TEXT_BYTES]
        cdef bytes name = b"" if path is None else str(path).encode()
        cdef const char *at = NULL
        cdef int status
        if path is not None:
            at = name
        memset(text, 0, sizeof(text))
        sizes.symbols, sizes.accounts, sizes.assets, sizes.orders, sizes.levels = config.words()
        with nogil:
            status = replica_open(&sizes, at, seq, &self.replica, text)
        if status != JOURNAL_OK:
            self.replica = NULL
            raise error_of(status, text)

    def __dealloc__(self):
        if self.replica is not NULL:
            engine_free(self.replica)

    @property
    def last_seq(self):
        return self.replica.last_seq

    @property
    def last_time_ns(self):
        """Time of the last command."""
        return self.replica.last_time_ns

    def apply(self, commands, annex, annex_ends):
        """Applies consecutive entries, as a follower's slice has them; returns the reports that are for a session.

        Raises JournalDamaged for an entry that is not the next one.
        """
        cdef bytes raw = annex
        commands = np.ascontiguousarray(commands, COMMAND)
        ends = np.ascontiguousarray(annex_ends, np.uint64)
        cdef const core_command *command_at = <const core_command *><uintptr_t>address_of(commands)
        cdef const u64 *end_at = <const u64 *><uintptr_t>address_of(ends)
        cdef const uint8_t *bytes_at = <const uint8_t *><const char *>raw
        cdef u64 count = len(commands), i, begin = 0
        cdef int good = 1
        assert len(ends) == count and (count == 0 or ends[count - 1] == len(raw)), "one annex for every command"
        with nogil:
            for i in range(count):
                good = replica_apply(self.replica, &command_at[i], bytes_at + begin, end_at[i] - begin)
                if not good:
                    break
                begin = end_at[i]
        found = reports_array(self.replica.reports.pending, self.replica.reports.pending_count)
        self.replica.reports.pending_count = 0
        if not good:
            raise JournalDamaged(f"entry {self.replica.last_seq + 1} is not the one that follows, or has no whole annex")
        return found

    def save(self, folder, uint32_t epoch=0):
        """Writes a snapshot of the state into the folder, of which the newest two stay. Raises OSError."""
        cdef bytes name = str(folder).encode()
        cdef const char *at = name
        cdef int error
        with nogil:
            error = replica_save(self.replica, at, epoch)
        if error:
            raise OSError(error, "the snapshot was not written", str(folder))
