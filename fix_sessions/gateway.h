// The gateway: one thread that serves every session's connection, QuickFIX's state machines and the engine's reports.
//
// One thread is enough (a message costs microseconds) and makes the order of everything plain: no session's lock is ever
// taken by two threads. Submissions go to the engine from here; reports come back on the engine's thread, are queued, and
// leave from here. Nothing on the way of an order touches Python; everything else is handed to it through `Callbacks`.
// Must never block: not on a broker that does not read, not on a password check, not on a long resend, and of a disk it
// waits for one sync a turn, never again after a slow one.
#ifndef FIX_VENUE_GATEWAY_H
#define FIX_VENUE_GATEWAY_H

#include "Application.h"
#include "Session.h"
#include "SessionFactory.h"
#include "SessionState.h"

#include "connection.h"
#include "frame.h"
#include "hot_lane.h"
#include "reports.h"
#include "quotes.h"
#include "store.h"
#include "terms.h"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <sys/epoll.h>
#include <thread>
#include <unordered_map>

namespace venue {

struct Callbacks { // into Python; each takes the interpreter's lock
    void *context;
    // A message for the Python application: `body` is 35=... and the body's fields. 0, or the tag whose value is refused.
    int (*on_message)(void *context, uint16_t session, uint64_t number, const char *body, size_t bytes, int poss_dup);
    // `sent`: their 8 and 9 were sent already; the reports of sessions that are watched come so.
    void (*on_reports)(void *context, const struct report *reports, uint64_t count, int poss_resend, int sent);
    void (*on_logon_request)(void *context, uint64_t connection, const char *message, size_t bytes, const char *peer);
    void (*on_turn)(void *context); // while it was asked for by want_turns
    void (*on_tick)(void *context); // every TICK_MS, while it was asked for by want_ticks
    void (*on_session)(void *context, uint16_t session, int logged_on, const char *text);
    // Somebody was not let in; `comp_id` as it was given, empty when it was not read.
    void (*on_refused)(void *context, const char *comp_id, const char *peer, const char *text);
    // A session is gone whose good-till orders stay: its others are to be cancelled.
    void (*on_cancel_orders)(void *context, uint16_t session, const char *text);
};

struct Settings {
    std::string comp_id, host, dictionary_path;
    std::string served; // the message types that are served, for the refusal of any other
    int port = 0;
    bool proxy_protocol = false; // every connection begins with a PROXY header: it comes from a terminator
    uint64_t generations_max = 4; // ended session stores that are kept
    bool native = true; // D, F and G and their reports are served without Python
    bool hot_lane = true; // and the ordinary ones of them without QuickFIX
    uint64_t queue_bytes_max = 8u << 20;
    uint64_t logon_ms_max = 10000; // a connection that is not logged on by then is closed
};

struct Counters {
    std::atomic<uint64_t> messages_in{0}, messages_hot{0}, messages_out{0}, slow_consumers{0}, logons{0},
        logons_refused{0}, throttled{0};
    std::atomic<uint64_t> garbled{0}, rejects{0}, connections{0}, resends{0};
};

struct Rules { // what a session has agreed with the venue
    bool cancel_on_disconnect = true;
    bool cancel_on_logout = true; // also after its own Logout(5)
    bool keep_good_till = false; // GTC and GTD orders are left alone
    uint64_t messages_per_second = 0; // 0: any number
};

struct Party { // one session
    Member member;
    Rules rules;
    uint64_t messages = 0; // since the window below began, no more than the limit or somebody looks at the clock
    uint64_t messages_max = UINT64_MAX;
    uint64_t window_ms = 0, strikes = 0; // strikes: windows in a row with messages refused
    bool good_bye = false; // its own Logout(5) came
    FIX::SessionID id;
    std::unique_ptr<FIX::Session> session;
    FIX::SessionState *state = nullptr; // the session's own: its clocks, what it waits for
    Store *store = nullptr;
    Connection *connection = nullptr;
    uint64_t early = 0; // the highest MsgSeqNum that came before its turn: QuickFIX may keep that message
    std::set<uint64_t> books; // symbol << 32 | account: where it may have open orders
    std::string text; // why it was logged out last
    std::atomic<bool> logged_on{false};
    std::atomic<uint64_t> unsent{0}; // bytes that it has not read, as of the last message or flush
    bool incomplete = false; // a message that it must get could not be kept: it gets no more copies
    bool watched = false; // Python is told of its reports too
    std::set<std::string, std::less<>> parents; // ClOrdIDs that an execution algorithm works on, or has lately
    bool names_parent(std::string_view clordid, std::string_view orig_clordid) const {
        return parents.count(clordid) != 0 || parents.count(orig_clordid) != 0;
    }
};

struct Status { // of a session, for operators
    bool logged_on, undelivered;
    uint64_t sender, target, unsent;
};

class Gateway : public FIX::Application {
  public:
    Gateway(Settings settings, Terms terms, const struct engine_api *engine, Callbacks callbacks);
    ~Gateway() override;

    // Before start:
    void add_session(const Member &member, const Rules &rules, const std::string &store_path);
    void open(); // makes the sessions and their stores, listens; throws std::runtime_error, FIX::IOException, ...
    void resend(const struct report *reports, uint64_t count); // kept for their sessions with PossResend(97)=Y
    void add_book(uint16_t session, uint16_t symbol, uint32_t account); // where a session has open orders already
    void add_quote(uint16_t session, const std::string &clordid); // a quote's order that rests already
    void start();

    // Any thread:
    void stop(const std::string &text, uint64_t ms_max);
    // No refusal: let in. `status` is SessionStatus(1409) of the answer, empty for none.
    void answer_logon(uint64_t connection, const std::string &refusal, const std::string &status = "");
    // A new generation of the session's store, numbers from 1; whoever is logged on is logged out with this text.
    void begin_generation(uint16_t session, const std::string &text);
    void log_out(uint16_t session, const std::string &text);
    Status status(uint16_t session);
    int port() const {
        return m_port;
    }
    const Counters &counters() const {
        return m_counters;
    }
    Party *party(uint16_t session) const {
        return m_by_number[session];
    }
    const std::vector<std::unique_ptr<Party>> &parties() const {
        return m_parties;
    }
    const struct engine_api *engine() const {
        return m_engine;
    }
    // On the gateway's thread at once, from any other as soon as it comes to it.
    void send(uint16_t session, const std::string &type, const std::vector<std::pair<int, std::string>> &fields,
              uint64_t exec_id, bool poss_resend);
    void want_turns(bool wanted) { // on the gateway's thread: on_turn after each round of reports
        m_turns_wanted = wanted;
    }
    void want_ticks(bool wanted) { // on the gateway's thread, or before start: on_tick now and then
        m_ticks_wanted = wanted;
    }
    void watch_reports(uint16_t session, bool wanted) { // likewise: on_reports with `sent` for this session's 8 and 9
        m_by_number[session]->watched = wanted;
    }
    // Likewise: whether a D, F or G that names this ClOrdID is for Python.
    void name_parent(uint16_t session, const std::string &clordid, bool wanted) {
        auto &parents = m_by_number[session]->parents;
        if (wanted)
            parents.insert(clordid);
        else
            parents.erase(clordid);
    }
    enum submit_status submit(const struct submission &submission, uint64_t *seq);

    // Of gateways that follow the journal; any thread. Copies of one message, written once; `exec_id` is the execution
    // that it reports, 0: none.
    void publish(std::vector<uint16_t> sessions, const std::string &type, const std::string &body, bool kept,
                 uint64_t exec_id);
    uint64_t unsent(uint16_t session) const {
        return m_by_number[session] != nullptr ? m_by_number[session]->unsent.load(std::memory_order_relaxed) : 0;
    }
    // The 8 and 9 of these reports to a session that gets copies, each with CopyMsgIndicator(797)=Y and the header's
    // fields that `add_source` gave their session. `reached`: nothing up to this execution is missing any more, 0: not
    // said. A replay is not kept, and is no progress.
    void add_source(uint16_t session, const std::string &header); // before `start`
    void copy(uint16_t to, const std::vector<struct report> &reports, uint64_t reached, bool poss_resend, bool replay);
    bool incomplete(); // some session's store could not take what it must: end, and begin again from what it has
    void settle(); // waits until all that was asked of the gateway before is done

    // FIX::Application
    void onCreate(const FIX::SessionID &) override {
    }
    void onLogon(const FIX::SessionID &id) override;
    void onLogout(const FIX::SessionID &id) override;
    void toAdmin(FIX::Message &message, const FIX::SessionID &id) override;
    void toApp(FIX::Message &, const FIX::SessionID &) override {
    }
    void fromAdmin(const FIX::Message &, const FIX::SessionID &) override {
    }
    void fromApp(const FIX::Message &message, const FIX::SessionID &id) override;

    // Connection
    void sent(Connection *connection);
    void disconnected(Connection *connection);

  private:
    static void sink(void *context, const struct report *reports, u64 count);
    void post(std::function<void()> task);
    void wake();
    void run();
    int wait(epoll_event *events);
    void turn();
    void listen();
    void accept_all();
    void mark(Connection *connection);
    void watch(Connection *connection, bool writable);
    void close(Connection *connection);
    void on_readable(Connection *connection);
    void handle(Connection *connection);
    void handle_first(Connection *connection);
    bool handle_frame(Connection *connection);
    void handle_garbled(Connection *connection, const std::string &text);
    std::string logon_fault(const std::string &message) const;
    void let_in(Connection *connection);
    void refuse(Connection *connection, const std::string &text);
    void note_refusal(const Connection *connection, const std::string &text);
    bool refuse_session_message(Connection *connection);
    std::string second_logon_fault(const Party *party) const;
    void reject(Party *party, int tag, const std::string &text);
    void next(Party *party, const std::string &message);
    bool take_hot(Party *party);
    bool over_limit(Party *party);
    void protect(Party *party, const std::function<void()> &serve);
    void resend_begin(Connection *connection);
    void resend_portion(Connection *connection);
    void flush_all();
    void show_out_slow();
    void show_out(Connection *connection, const std::string &text);
    void take_tasks();
    void take_reports();
    void dispatch(const struct report *reports, uint64_t count);
    void send_body(Party *party, std::string_view type, uint64_t exec_id, bool poss_resend,
                   const std::string &source = "");
    void deliver(Party *party);
    void publish_one(Party *party, std::string_view type, const std::string &body, bool kept, uint64_t exec_id);
    void copy_all(Party *party, const std::vector<struct report> &reports, uint64_t reached, bool poss_resend,
                  bool replay);
    bool put(Party *party, const Envelope &envelope, const std::string &body, uint64_t exec_id, bool kept);
    void report_one(const struct report &report, bool poss_resend);
    void show_watched(bool poss_resend);
    void depart_all();
    void cancel_orders(Party *party);
    void renew(Party *party, const std::string &text);
    void commit();
    void tick();
    void stop_begin(const std::string &text);
    bool stop_done();
    void refuse_type(FIX::Message &message, const std::string &type);
    std::string reject_text(const FIX::Message &reject, int code) const;
    void serve_order(const FIX::Message &message, Party *party, char type);
    enum submit_status submit_order(struct submission *submission, Party *party, const std::string &body);
    void reject_business(Party *party, const std::string &number, std::string_view clordid, char type,
                         const std::string &code, const std::string &text);
    void refuse_order(Party *party, enum submit_status status, const std::string &number, std::string_view clordid,
                      char type);
    std::string body_of(const FIX::Message &message) const;
    void read_clock();
    uint64_t now_ms() const;
    uint64_t now_us() const;

    Settings m_settings;
    Terms m_terms;
    const struct engine_api *m_engine;
    Quotes m_quotes; // what is not handed on to Python
    Callbacks m_callbacks;
    Counters m_counters;
    std::map<std::string, std::string> m_store_paths;
    std::unique_ptr<StoreFactory> m_stores;
    std::unique_ptr<FIX::SessionFactory> m_factory;
    std::unique_ptr<FIX::DataDictionary> m_dictionary;
    std::unique_ptr<HotLane> m_hot_lane;
    std::vector<std::unique_ptr<Party>> m_parties;
    std::vector<Party *> m_by_number;
    std::unordered_map<std::string, Party *> m_by_comp_id;
    std::unordered_map<uint16_t, std::string> m_sources; // of copies: further fields of the header
    std::atomic<bool> m_incomplete{false};

    int m_port = 0, m_listen_fd = -1, m_epoll_fd = -1, m_event_fd = -1;
    std::thread m_thread;
    std::atomic<std::thread::id> m_thread_id{};
    std::unordered_map<uint64_t, std::unique_ptr<Connection>> m_connections;
    std::vector<uint64_t> m_closed; // to be destroyed at the end of the turn
    std::vector<uint64_t> m_dirty, m_slow; // connections with something to send, with too much of it
    uint64_t m_next_connection = 16;
    Frame m_frame; // the message that is handled now
    HotOrder m_order; // its fields, when it goes the hot way
    std::string m_annex;
    FIX::UtcTimeStamp m_turn_time = FIX::UtcTimeStamp::now(); // when this turn began
    std::string m_turn_text; // the same as YYYYMMDD-
    int64_t m_turn_second = 0; // and its second of that day
    Party *m_current = nullptr; // whose message that is
    bool m_worded = false; // a Reject(3) has its text already
    uint64_t m_next_tick_ms = 0;
    std::vector<Party *> m_departed; // logged out in this turn
    std::vector<struct report> m_own_reports; // made while this thread submitted
    std::vector<struct report> m_spare; // room for the next ones
    std::vector<struct report> m_watched; // sent in this round, for Python to see
    std::set<uint64_t> m_resends; // connections with an unfinished resend
    uint64_t m_submitted_seq = 0;
    bool m_submitted = false; // in this turn

    std::mutex m_mutex; // guards the next three
    std::vector<std::function<void()>> m_tasks;
    std::vector<struct report> m_reports;
    std::atomic<bool> m_work{false}; // there are tasks or reports
    std::atomic<bool> m_asleep{false};
    bool m_looking = false;

    std::string m_body, m_message; // of the report in hand
    std::atomic<bool> m_running{false};
    bool m_turns_wanted = false, m_ticks_wanted = false;
    bool m_stopping = false;
    uint64_t m_stop_deadline_ms = 0;
};

} // namespace venue

#endif
