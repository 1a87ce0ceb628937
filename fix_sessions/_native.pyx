# distutils: language = c++
# cython: language_level=3, boundscheck=False, wraparound=False
"""The gateway as a Python object: made and stopped from Python, and Python's way in for what is not native.

Callbacks run on the gateway's thread with the interpreter's lock; an exception in one is printed and never leaves it,
because QuickFIX ends the process on an exception that it does not know.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_New
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset
from libcpp cimport bool as cbool
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector

import sys

import numpy as np

from venue.records import REPORT


cdef extern from "terms.h":
    cdef struct command_s "command":
        uint64_t head, seq, time_ns, owner, order_id, price_ticks, qty_lots, aux
    cdef struct submission_s "submission":
        command_s command
        char clordid[40]
        char orig_clordid[40]
        const uint8_t *body
        uint32_t body_bytes, flags
        uint64_t origin
    cdef struct report_s "report":
        uint64_t time_ns
    cdef struct order_status_s "order_status":
        uint64_t order_id, order_qty_lots, leaves_lots, cum_lots, value, price_ticks, last_exec_id, order_detail, order_aux
        uint32_t account
        uint16_t session, symbol
        uint8_t side, ord_type, tif, order_flags, status, peg
        char clordid[40]
    cdef struct engine_s "engine":
        pass
    ctypedef int (*find_order_f)(engine_s *, uint16_t, const char *, order_status_s *) noexcept nogil
    ctypedef uint64_t (*durable_seq_f)(const engine_s *) noexcept nogil
    cdef struct engine_api:
        uint32_t version
        find_order_f find_order
        durable_seq_f durable_seq
        engine_s *engine
    cdef uint32_t ENGINE_API_VERSION

    cdef cppclass Instrument "venue::Instrument":
        string symbol
        uint64_t tick_units, lot_units
        unsigned int price_scale, qty_scale
        string texts[256]
    cdef cppclass Terms "venue::Terms":
        vector[Instrument] instruments
        string texts[256]
        int order_codes[256]
        int cancel_codes[256]
        int quote_codes[256]
    cdef cppclass ProtectionLimits "venue::ProtectionLimits":
        uint64_t window_ns, quantity_lots, delta_lots, trades
    cdef cppclass Member "venue::Member":
        uint16_t session
        string comp_id
        vector[uint32_t] accounts
        uint64_t smp_group
        vector[ProtectionLimits] protections
        string protection_texts[3]


cdef extern from *:
    """
    static void index_symbols(venue::Terms &terms) {
        for (size_t i = 0; i < terms.instruments.size(); i++)
            terms.symbols[terms.instruments[i].symbol] = static_cast<uint16_t>(i);
    }
    """
    void index_symbols(Terms &terms)


cdef extern from *:
    """
    // What stands for an engine in a process that has none: nothing is taken, nothing is known, nothing is reported.
    static enum submit_status nothing_submit(struct engine *, const struct submission *, u64 *) {
        return SUBMIT_STOPPED;
    }
    static int nothing_find(struct engine *, uint16_t, const char *, struct order_status *) {
        return 0;
    }
    static void nothing_sink(struct engine *, engine_sink, void *) {
    }
    static u64 nothing_durable(const struct engine *) {
        return 0;
    }
    static void nothing_commit(struct engine *) {
    }
    static struct engine_api NO_ENGINE = {ENGINE_API_VERSION, nothing_submit, nothing_find, nothing_sink,
                                          nothing_durable, nothing_commit, nullptr};
    """
    engine_api NO_ENGINE


class NoEngine:
    """Stands for the engine in a gateway that only follows the journal: takes nothing, knows nothing."""

    @property
    def capsule(self):
        return PyCapsule_New(&NO_ENGINE, b"venue._engine.engine_api", NULL)


cdef extern from "gateway.h":
    cdef struct Callbacks "venue::Callbacks":
        void *context
        int (*on_message)(void *, uint16_t, uint64_t, const char *, size_t, int) noexcept nogil
        void (*on_reports)(void *, const report_s *, uint64_t, int, int) noexcept nogil
        void (*on_logon_request)(void *, uint64_t, const char *, size_t, const char *) noexcept nogil
        void (*on_turn)(void *) noexcept nogil
        void (*on_tick)(void *) noexcept nogil
        void (*on_session)(void *, uint16_t, int, const char *) noexcept nogil
        void (*on_refused)(void *, const char *, const char *, const char *) noexcept nogil
        void (*on_cancel_orders)(void *, uint16_t, const char *) noexcept nogil
    cdef cppclass Settings "venue::Settings":
        string comp_id, host, dictionary_path, served
        int port
        cbool native, hot_lane, proxy_protocol
        uint64_t generations_max
        uint64_t queue_bytes_max, logon_ms_max
    cdef struct Rules "venue::Rules":
        cbool cancel_on_disconnect, cancel_on_logout, keep_good_till
        uint64_t messages_per_second
    cdef struct Status "venue::Status":
        cbool logged_on, undelivered
        uint64_t sender, target, unsent
    cdef cppclass Store "venue::Store":
        uint64_t last_exec_id()
        uint64_t rewind(uint64_t)
        cbool undelivered()
        uint64_t generation()
        uint64_t created_ns()
        cbool leapt()
        cbool check()
    cdef cppclass atomic_number "std::atomic<uint64_t>":
        uint64_t load()
    cdef cppclass set_of_books "std::set<uint64_t>":
        cppclass iterator:
            uint64_t operator*()
            iterator operator++()
            bint operator!=(iterator)
        iterator begin()
        iterator end()
    cdef cppclass Party "venue::Party":
        set_of_books books
        Member member
        Store *store
    cdef cppclass Counters "venue::Counters":
        atomic_number messages_in, messages_hot, messages_out, slow_consumers, logons, logons_refused, throttled
        atomic_number garbled, rejects, connections, resends
    cdef cppclass NativeGateway "venue::Gateway":
        NativeGateway(Settings, Terms, const engine_api *, Callbacks) except +
        void add_session(const Member &, const Rules &, const string &) except +
        void open() except + nogil
        void resend(const report_s *, uint64_t) except + nogil
        void add_book(uint16_t, uint16_t, uint32_t)
        void add_quote(uint16_t, const string &) except +
        void start() except + nogil
        void stop(const string &, uint64_t) nogil
        void answer_logon(uint64_t, const string &, const string &) nogil
        void begin_generation(uint16_t, const string &) except + nogil
        void log_out(uint16_t, const string &) nogil
        int port()
        const Counters &counters()
        Party *party(uint16_t)
        Status status(uint16_t) nogil
        void want_turns(cbool)
        void want_ticks(cbool)
        void watch_reports(uint16_t, cbool)
        void name_parent(uint16_t, const string &, cbool) except +
        int submit(const submission_s &, uint64_t *) nogil
        void publish(vector[uint16_t], const string &, const string &, cbool, uint64_t) except + nogil
        uint64_t unsent(uint16_t)
        void settle() nogil
        void add_source(uint16_t, const string &)
        void copy(uint16_t, const vector[report_s] &, uint64_t, cbool, cbool) except + nogil
        cbool incomplete()
        void send(uint16_t, const string &, const vector[pair[int, string]] &, uint64_t, cbool) except + nogil


cdef extern from "reports.h":
    cbool is_copied "venue::is_copied"(const report_s &)


def copied(reports):
    """Which reports (an array of REPORT) have a drop copy: those that leave as an 8 or 9."""
    cdef bytes raw = reports.tobytes()
    cdef const report_s *at = <const report_s *><const char *>raw
    cdef uint64_t i, count = len(reports)
    found = np.zeros(count, np.uint8)
    cdef uint8_t[::1] view = found
    for i in range(count):
        view[i] = is_copied(at[i])
    return found.astype(bool)


cdef int call_message(void *context, uint16_t session, uint64_t number, const char *body, size_t count,
                      int poss_dup) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        return gateway.application.on_message(session, number, body[:count], bool(poss_dup)) or 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 0


cdef void call_reports(void *context, const report_s *reports, uint64_t count, int poss_resend,
                       int sent) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        array = np.frombuffer((<const char *>reports)[: count * sizeof(report_s)], REPORT)
        gateway.application.on_reports(array, bool(poss_resend), bool(sent))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_logon_request(void *context, uint64_t connection, const char *message, size_t count,
                             const char *peer) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        gateway.application.on_logon_request(connection, message[:count], peer.decode("ascii", "replace"))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_turn(void *context) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        gateway.application.on_turn()
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_tick(void *context) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        gateway.application.on_tick()
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_session(void *context, uint16_t session, int logged_on, const char *text) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        gateway.application.on_session(session, bool(logged_on), text.decode("utf-8", "replace"))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_refused(void *context, const char *comp_id, const char *peer, const char *text) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        gateway.application.on_refused(comp_id.decode("ascii", "replace"), peer.decode("ascii", "replace"),
                                       text.decode("utf-8", "replace"))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef void call_cancel_orders(void *context, uint16_t session, const char *text) noexcept with gil:
    cdef Gateway gateway = <Gateway>context
    try:
        gateway.application.on_cancel_orders(session, text.decode("utf-8", "replace"))
    except BaseException:
        sys.excepthook(*sys.exc_info())


cdef Terms make_terms(instruments, texts, order_codes, cancel_codes, quote_codes):
    cdef Terms terms
    cdef Instrument instrument
    for reason in range(256):
        terms.texts[reason] = texts[reason].encode()
        terms.order_codes[reason] = order_codes[reason]
        terms.cancel_codes[reason] = cancel_codes[reason]
        terms.quote_codes[reason] = quote_codes[reason]
    for symbol, tick_units, price_scale, lot_units, qty_scale, own_texts in instruments:
        instrument.symbol = symbol.encode()
        instrument.tick_units, instrument.price_scale = tick_units, price_scale
        instrument.lot_units, instrument.qty_scale = lot_units, qty_scale
        for reason in range(256):
            instrument.texts[reason] = own_texts[reason].encode()
        terms.instruments.push_back(instrument)
    index_symbols(terms)
    return terms


cdef class Gateway:
    """One thread, all sessions. `application` gets what is not native: on_message, on_reports, on_logon_request,
    on_session."""

    cdef NativeGateway *gateway
    cdef const engine_api *api
    cdef object engine
    cdef readonly object application
    cdef readonly bint native

    def __cinit__(self, engine, application, *, comp_id, host, port, dictionary_path, served, native, hot_lane,
                  queue_bytes_max, logon_ms_max, instruments, texts, order_codes, cancel_codes, quote_codes,
                  proxy_protocol=False, generations_max=4):
        """`engine` has `capsule`; `instruments` is [(symbol, tick_units, price_scale, lot_units, qty_scale, texts)]."""
        cdef Settings settings
        cdef Callbacks callbacks
        if sizeof(report_s) != REPORT.itemsize:
            raise ImportError(f"struct report has {sizeof(report_s)} bytes here and {REPORT.itemsize} in venue.records: rebuild")
        self.engine, self.application, self.native = engine, application, native
        self.api = <const engine_api *>PyCapsule_GetPointer(engine.capsule, b"venue._engine.engine_api")
        if self.api.version != ENGINE_API_VERSION:
            raise ImportError(f"engine interface {self.api.version}, expected {ENGINE_API_VERSION}: rebuild")
        settings.comp_id, settings.host = comp_id.encode(), host.encode()
        settings.dictionary_path, settings.port = str(dictionary_path).encode(), port
        settings.native, settings.hot_lane, settings.served = native, hot_lane, served
        settings.queue_bytes_max, settings.logon_ms_max = queue_bytes_max, logon_ms_max
        settings.proxy_protocol, settings.generations_max = proxy_protocol, generations_max
        callbacks.context = <void *>self
        callbacks.on_message = call_message
        callbacks.on_reports = call_reports
        callbacks.on_logon_request = call_logon_request
        callbacks.on_turn = call_turn
        callbacks.on_tick = call_tick
        callbacks.on_session = call_session
        callbacks.on_refused = call_refused
        callbacks.on_cancel_orders = call_cancel_orders
        self.gateway = new NativeGateway(
            settings, make_terms(instruments, texts, order_codes, cancel_codes, quote_codes), self.api, callbacks)

    def __dealloc__(self):
        if self.gateway is not NULL:
            with nogil:
                del self.gateway

    def add_session(self, number, comp_id, accounts, cancel_on_disconnect, store_path, smp_group=0, protections=(),
                    protection_texts=("", "", ""), *, cancel_on_logout=True, keep_good_till=False,
                    messages_per_second=0):
        """A session of a member; before `open`. `protections`: (window_ns, quantity_lots, delta_lots, trades) for each
        instrument; `protection_texts`: the three limits as they were agreed."""
        cdef ProtectionLimits limits
        cdef Member member
        cdef Rules rules
        rules.cancel_on_disconnect, rules.cancel_on_logout = cancel_on_disconnect, cancel_on_logout
        rules.keep_good_till, rules.messages_per_second = keep_good_till, messages_per_second
        member.session = number
        member.comp_id = comp_id.encode()
        member.accounts = accounts
        member.smp_group = smp_group
        for window_ns, quantity_lots, delta_lots, trades in protections:
            limits.window_ns, limits.quantity_lots = window_ns, quantity_lots
            limits.delta_lots, limits.trades = delta_lots, trades
            member.protections.push_back(limits)
        for index in range(3):
            member.protection_texts[index] = protection_texts[index].encode()
        self.gateway.add_session(member, rules, str(store_path).encode())

    def open(self):
        """Opens the session stores and listens."""
        with nogil:
            self.gateway.open()

    def resend(self, reports):
        """Keeps reports (an array of REPORT) for their sessions with PossResend(97)=Y; between `open` and `start`."""
        cdef bytes raw = reports.tobytes()
        cdef const report_s *at = <const report_s *><const char *>raw
        cdef uint64_t count = len(reports)
        if count:
            with nogil:
                self.gateway.resend(at, count)

    def add_book(self, session, symbol, account):
        """A book where the session has, or may have, open orders; before `start` or on the gateway's thread."""
        self.gateway.add_book(session, symbol, account)

    def add_quote(self, session, clordid):
        """A quote's order that rests already; before `start`, of a native gateway."""
        self.gateway.add_quote(session, clordid)

    def books(self, session):
        """[(symbol, account)] where the session may have open orders; on the gateway's thread."""
        return [(int(book) >> 32, int(book) & 0xffffffff) for book in self.gateway.party(session).books]

    def start(self):
        """Lets brokers in."""
        with nogil:
            self.gateway.start()

    def stop(self, text, ms_max):
        """Logs everybody out with this text and ends the thread. Idempotent."""
        cdef string reason = text.encode()
        cdef uint64_t limit = ms_max
        with nogil:
            self.gateway.stop(reason, limit)

    def answer_logon(self, connection, refusal="", status=""):
        """Lets a connection in, or refuses it with this text; `status` is SessionStatus(1409) of the answer."""
        self.gateway.answer_logon(connection, refusal.encode(), status.encode())

    def begin_generation(self, session, text):
        """Numbers from 1 in a new generation of the session's store; who is logged on is logged out with this text."""
        cdef string reason = text.encode()
        cdef uint16_t number = session
        with nogil:
            self.gateway.begin_generation(number, reason)

    def store_facts(self, session):
        """(generation, when it was begun in ns, whether numbers were skipped after a loss of power)."""
        cdef Store *store = self.gateway.party(session).store
        return store.generation(), store.created_ns(), bool(store.leapt())

    def log_out(self, session, text):
        """Logs one session out with this text."""
        self.gateway.log_out(session, text.encode())

    @property
    def port(self):
        """The TCP port in use."""
        return self.gateway.port()

    def send(self, session, msg_type, fields, exec_id=0, poss_resend=False):
        """Sends a message on a session; `fields` is [(tag, bytes)], which leave in this order."""
        cdef vector[pair[int, string]] values
        cdef string kind = msg_type
        cdef uint16_t number = session
        cdef uint64_t carried = exec_id
        cdef cbool again = poss_resend
        for tag, value in fields:
            values.push_back(pair[int, string](<int>tag, <string>value))
        with nogil:
            self.gateway.send(number, kind, values, carried, again)

    def publish(self, sessions, msg_type, body, kept=True, exec_id=0):
        """One message to many sessions, from any thread; `body` is its fields, each `tag=value` and SOH. `exec_id`: which
        execution it reports, so that a session's store knows that it has this one."""
        cdef vector[uint16_t] numbers = sessions
        cdef string kind = msg_type
        cdef string text = body
        cdef cbool keep = kept
        cdef uint64_t carried = exec_id
        with nogil:
            self.gateway.publish(numbers, kind, text, keep, carried)

    def unsent(self, session):
        """Bytes that a session has not read; from any thread, without waiting."""
        return self.gateway.unsent(session)

    def add_source(self, session, header):
        """A session whose reports are copied, and what their header says of it: `tag=value` and SOH each; before `start`."""
        self.gateway.add_source(session, header)

    def copy(self, session, reports, uint64_t reached=0, poss_resend=False, replay=False):
        """The 8 and 9 of these reports (an array of REPORT) for a session that gets copies; from any thread.

        `reached`: its store has everything up to this execution now. A replay is neither kept nor progress.
        """
        cdef bytes raw = reports.tobytes()
        cdef const report_s *at = <const report_s *><const char *>raw
        cdef uint16_t number = session
        cdef cbool again = poss_resend, old = replay
        cdef vector[report_s] copies
        copies.assign(at, at + <size_t>len(reports))
        with nogil:
            self.gateway.copy(number, copies, reached, again, old)

    @property
    def incomplete(self):
        """Whether a store could not take a copy: the process must end and begin again from what the stores have."""
        return self.gateway.incomplete()

    def settle(self):
        """Waits until all that was asked of the gateway before is done."""
        with nogil:
            self.gateway.settle()

    def submit(self, command, clordid, orig_clordid, body, poss_dup):
        """Submits one command (eight words); returns (status, seq)."""
        cdef submission_s s
        cdef uint64_t seq = 0
        cdef int status
        cdef bytes raw = body
        memset(&s, 0, sizeof(s))
        (s.command.head, s.command.seq, s.command.time_ns, s.command.owner, s.command.order_id, s.command.price_ticks,
         s.command.qty_lots, s.command.aux) = command
        assert len(clordid) < 40 and len(orig_clordid) < 40
        memcpy(s.clordid, <const char *>clordid, len(clordid))
        memcpy(s.orig_clordid, <const char *>orig_clordid, len(orig_clordid))
        s.body = <const uint8_t *><const char *>raw
        s.body_bytes = <uint32_t>len(raw)
        s.flags = 1 if poss_dup else 0
        with nogil:
            status = self.gateway.submit(s, &seq)
        return status, seq

    def want_turns(self, wanted):
        """Whether `application.on_turn` is called after each round of reports; on the gateway's thread."""
        self.gateway.want_turns(wanted)

    def want_ticks(self, wanted):
        """Whether `application.on_tick` is called every 200 ms; before `start` or on the gateway's thread."""
        self.gateway.want_ticks(wanted)

    def watch(self, session, wanted):
        """Whether a session's reports come to `application.on_reports` although they are sent natively; likewise."""
        self.gateway.watch_reports(session, wanted)

    def name_parent(self, session, clordid, wanted):
        """Whether a D, F or G that names this ClOrdID comes to `application.on_message`; likewise."""
        self.gateway.name_parent(session, clordid, wanted)

    def find_order(self, session, clordid):
        """What has become of an order, as a dict; None when the ClOrdID names none of this session's."""
        cdef order_status_s found
        cdef bytes name = clordid
        cdef const char *at = name
        cdef uint16_t number = session
        cdef int there
        with nogil:
            there = self.api.find_order(self.api.engine, number, at, &found)
        if not there:
            return None
        return {
            "order_id": found.order_id, "order_qty_lots": found.order_qty_lots, "leaves_lots": found.leaves_lots,
            "cum_lots": found.cum_lots, "value": found.value, "price_ticks": found.price_ticks,
            "last_exec_id": found.last_exec_id, "account": found.account, "symbol": found.symbol, "side": found.side,
            "ord_type": found.ord_type, "tif": found.tif, "order_flags": found.order_flags, "peg": found.peg,
            "order_detail": found.order_detail, "order_aux": found.order_aux,
            "status": bytes([found.status]), "clordid": <bytes>found.clordid,
        }

    def durable_seq(self):
        """Up to which command the journal is safe."""
        return self.api.durable_seq(self.api.engine)

    def last_exec_id(self, session):
        """The last execution that is in the session's store; 0 when none is."""
        return self.gateway.party(session).store.last_exec_id()

    def rewind(self, session, uint64_t last_seq):
        """Takes back messages whose journal entries were lost with the last process; between `open` and `start`."""
        return self.gateway.party(session).store.rewind(last_seq)

    def session_status(self, session):
        """What operators ask about a session."""
        cdef Status status
        cdef uint16_t number = session
        with nogil:
            status = self.gateway.status(number)
        return {
            "logged_on": status.logged_on, "sender_seq": status.sender, "target_seq": status.target,
            "unsent_bytes": status.unsent, "undelivered": status.undelivered,
        }

    def counters(self):
        """Running counts since the start of the process."""
        cdef const Counters *c = &self.gateway.counters()
        return {
            "messages_in": c.messages_in.load(), "messages_hot": c.messages_hot.load(),
            "messages_out": c.messages_out.load(),
            "slow_consumers": c.slow_consumers.load(), "logons": c.logons.load(),
            "logons_refused": c.logons_refused.load(), "throttled": c.throttled.load(), "garbled": c.garbled.load(), "rejects": c.rejects.load(),
            "connections": c.connections.load(), "resends": c.resends.load(),
        }

    def check_stores(self):
        """True when every session store is consistent; only while nothing is sent."""
        for party in self.application.session_numbers():
            if not self.gateway.party(party).store.check():
                return False
        return True
