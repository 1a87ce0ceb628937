// The gateway's thread: connections, what other threads ask of it, the engine's reports, time.
#include "config.h"

#include "gateway.h"

#include "decimal.h"
#include "reports.h"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <future>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdexcept>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace venue {

namespace {

constexpr uint64_t LISTEN_ID = 1, EVENT_ID = 2;
constexpr uint64_t TICK_MS = 200;
constexpr uint64_t LOOK_US_MAX = 100;
constexpr uint64_t CLOSING_MS_MAX = 3000;
constexpr size_t WAITING_CONNECTIONS_MAX = 256;
constexpr int EVENTS_MAX = 64;

[[noreturn]] void fail(const std::string &what) {
    throw std::runtime_error(what + ": " + strerror(errno));
}

std::string peer_of(const sockaddr_storage &address, socklen_t bytes) {
    char host[NI_MAXHOST], port[NI_MAXSERV];
    int flags = NI_NUMERICHOST | NI_NUMERICSERV;
    if (getnameinfo(reinterpret_cast<const sockaddr *>(&address), bytes, host, sizeof host, port, sizeof port, flags) !=
        0)
        return "unknown";
    return std::string(host) + ":" + port;
}

// The fields of a copy's header that say whose report it is.
std::string source_of(const std::string &message, const Frame &frame) {
    std::string source;
    for (const char *tag : {"\001115=", "\001116="}) {
        size_t at = message.find(tag);
        if (at < frame.body)
            source += message.substr(at + 1, message.find('\001', at + 1) - at);
    }
    return source;
}

} // namespace

Gateway::Gateway(Settings settings, Terms terms, const struct engine_api *engine, Callbacks callbacks)
    : m_settings(std::move(settings)), m_terms(std::move(terms)), m_engine(engine), m_quotes(this, m_terms, engine),
      m_callbacks(callbacks), m_by_number(65536, nullptr) {
}

Gateway::~Gateway() {
    stop("the venue is closing", 0);
    m_connections.clear();
    for (int fd : {m_listen_fd, m_epoll_fd, m_event_fd})
        if (fd >= 0)
            ::close(fd);
}

void Gateway::add_session(const Member &member, const Rules &rules, const std::string &store_path) {
    auto party = std::make_unique<Party>();
    party->member = member;
    party->rules = rules;
    party->messages_max = rules.messages_per_second == 0 ? UINT64_MAX : rules.messages_per_second;
    party->id = FIX::SessionID("FIX.4.4", m_settings.comp_id, member.comp_id);
    m_store_paths[member.comp_id] = store_path;
    m_by_number[member.session] = party.get();
    m_by_comp_id[member.comp_id] = party.get();
    m_parties.push_back(std::move(party));
}

void Gateway::open() {
    m_dictionary = std::make_unique<FIX::DataDictionary>(m_settings.dictionary_path);
    m_hot_lane = std::make_unique<HotLane>(*m_dictionary);
    m_stores = std::make_unique<StoreFactory>(m_store_paths);
    m_factory = std::make_unique<FIX::SessionFactory>(*this, *m_stores, nullptr);
    FIX::Dictionary settings;
    settings.setString("ConnectionType", "acceptor");
    settings.setString("DataDictionary", m_settings.dictionary_path);
    settings.setString("NonStopSession", "Y");
    settings.setString("ValidateLengthAndChecksum", "N"); // frames are checked before QuickFIX sees them
    settings.setString("TimestampPrecision", "6");
    for (auto &party : m_parties) {
        party->session.reset(m_factory->create(party->id, settings));
        party->store = m_stores->store(party->member.comp_id);
        party->store->keep_generations(m_settings.generations_max);
        party->state = dynamic_cast<FIX::SessionState *>(party->session->getLog()); // which is what getLog returns
        if (party->state == nullptr)
            throw std::runtime_error(
                "fix: this quickfix keeps a session's state elsewhere; install the release in use");
    }
    listen();
}

void Gateway::listen() {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    std::string place = m_settings.host + ":" + std::to_string(m_settings.port), port = std::to_string(m_settings.port);
    int error = getaddrinfo(m_settings.host.c_str(), port.c_str(), &hints, &found);
    if (error != 0)
        throw std::runtime_error("fix: cannot listen at " + place + ": " + gai_strerror(error));
    m_listen_fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(m_listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int bound = bind(m_listen_fd, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (bound != 0 || ::listen(m_listen_fd, 128) != 0)
        fail("fix: cannot listen at " + place);
    sockaddr_storage address{};
    socklen_t bytes = sizeof address;
    getsockname(m_listen_fd, reinterpret_cast<sockaddr *>(&address), &bytes);
    m_port = ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6 *>(&address)->sin6_port
                                                 : reinterpret_cast<sockaddr_in *>(&address)->sin_port);
    m_epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    m_event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m_epoll_fd < 0 || m_event_fd < 0)
        fail("fix: cannot wait for connections");
    for (auto [id, fd] : {std::pair{LISTEN_ID, m_listen_fd}, std::pair{EVENT_ID, m_event_fd}}) {
        epoll_event event{EPOLLIN, {.u64 = id}};
        epoll_ctl(m_epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

void Gateway::add_quote(uint16_t session, const std::string &clordid) {
    m_quotes.add(session, clordid);
}

void Gateway::start() {
    m_engine->set_sink(m_engine->engine, sink, this);
    m_running = true;
    m_thread = std::thread([this] { run(); });
    post([this] { // whoever was connected when the venue stopped is not any more
        for (auto &party : m_parties) {
            party->good_bye = party->store->kept_orders();
            cancel_orders(party.get());
        }
    });
}

void Gateway::stop(const std::string &text, uint64_t ms_max) {
    if (!m_thread.joinable())
        return;
    post([this, text, ms_max] {
        m_stop_deadline_ms = now_ms() + ms_max;
        stop_begin(text);
    });
    m_thread.join();
    m_engine->set_sink(m_engine->engine, nullptr, nullptr);
}

// ---- other threads -------------------------------------------------------------------------------------------------

void Gateway::wake() {
    uint64_t one = 1;
    ssize_t written = ::write(m_event_fd, &one, sizeof one);
    (void)written; // full means that it is awake already
}

void Gateway::post(std::function<void()> task) {
    std::lock_guard<std::mutex> guard(m_mutex);
    m_tasks.push_back(std::move(task));
    m_work.store(true, std::memory_order_release);
    wake();
}

void Gateway::sink(void *context, const struct report *reports, u64 count) {
    Gateway *gateway = static_cast<Gateway *>(context);
    if (std::this_thread::get_id() == gateway->m_thread_id.load(std::memory_order_relaxed)) {
        gateway->m_own_reports.insert(gateway->m_own_reports.end(), reports, reports + count);
        return;
    }
    std::lock_guard<std::mutex> guard(gateway->m_mutex);
    gateway->m_reports.insert(gateway->m_reports.end(), reports, reports + count);
    gateway->m_work.store(true, std::memory_order_release);
    if (gateway->m_asleep.exchange(false))
        gateway->wake();
}

void Gateway::answer_logon(uint64_t connection, const std::string &refusal, const std::string &status) {
    post([this, connection, refusal, status] {
        auto found = m_connections.find(connection);
        if (found == m_connections.end() || found->second->state != Connection::Authenticating)
            return;
        found->second->session_status = status;
        if (refusal.empty())
            let_in(found->second.get());
        else
            refuse(found->second.get(), refusal);
    });
}

void Gateway::log_out(uint16_t session, const std::string &text) {
    post([this, session, text] {
        Party *party = m_by_number[session];
        if (party != nullptr && party->connection != nullptr)
            show_out(party->connection, text);
    });
}

void Gateway::begin_generation(uint16_t session, const std::string &text) {
    if (!m_thread.joinable())
        return renew(m_by_number[session], text);
    post([this, session, text] { renew(m_by_number[session], text); });
}

// Reports that nobody was given go on in the new generation, marked PossResend: a reset loses none.
void Gateway::renew(Party *party, const std::string &text) {
    if (party->connection != nullptr)
        show_out(party->connection, text);
    std::vector<std::pair<std::string, uint64_t>> waiting = party->store->waiting();
    party->state->reset(FIX::UtcTimeStamp::now());
    party->early = 0;
    for (const auto &[message, exec_id] : waiting) {
        Frame frame;
        read_frame(message.data(), message.size(), &frame);
        if (frame.kind != Frame::Good)
            continue;
        m_body.assign(message, frame.body, frame.trailer - frame.body);
        send_body(party, frame.type, exec_id, true, source_of(message, frame));
    }
}

void Gateway::take_tasks() {
    std::vector<std::function<void()>> tasks;
    if (!m_work.load(std::memory_order_acquire))
        return;
    {
        std::lock_guard<std::mutex> guard(m_mutex);
        tasks.swap(m_tasks);
        m_work = !m_reports.empty();
    }
    for (auto &task : tasks)
        task();
}

// ---- reports ---------------------------------------------------------------------------------------------------------

// What the engine has reported on this thread and on others, in the order in which it did: the order of the executions.
void Gateway::take_reports() {
    std::vector<struct report> reports, own;
    own.swap(m_spare);
    own.swap(m_own_reports);
    bool work = m_work.load(std::memory_order_acquire);
    if (work) {
        std::lock_guard<std::mutex> guard(m_mutex);
        reports.swap(m_reports);
        m_work = !m_tasks.empty();
    }
    if (!reports.empty() && !own.empty()) {
        auto middle = static_cast<std::ptrdiff_t>(reports.size());
        reports.insert(reports.end(), own.begin(), own.end());
        std::inplace_merge(
            reports.begin(), reports.begin() + middle, reports.end(),
            [](const struct report &a, const struct report &b) { return a.event.exec_id < b.event.exec_id; });
        own.clear();
    }
    if (work)
        dispatch(reports.data(), reports.size());
    if (!own.empty())
        dispatch(own.data(), own.size());
    own.clear();
    m_spare.swap(own);
}

void Gateway::dispatch(const struct report *reports, uint64_t count) {
    if (!m_settings.native && count > 0) {
        m_callbacks.on_reports(m_callbacks.context, reports, count, 0, 0);
        return;
    }
    for (uint64_t i = 0; i < count; i++)
        report_one(reports[i], false);
    if (!m_watched.empty())
        show_watched(false);
    m_quotes.on_round();
}

void Gateway::report_one(const struct report &report, bool poss_resend) {
    Party *party = m_by_number[report.session];
    if (party == nullptr)
        return;
    bool told_here = m_settings.native && !is_of_child(report);
    if (told_here && is_quiet(report)) {
        m_quotes.on_report(report, poss_resend);
        if (party->watched)
            m_watched.push_back(report);
        return;
    }
    char type = told_here ? write_report(report, m_terms, &m_body) : '\0';
    if (type == 0) {
        if (!m_watched.empty()) // in order
            show_watched(poss_resend);
        m_quotes.on_round();
        m_callbacks.on_reports(m_callbacks.context, &report, 1, poss_resend ? 1 : 0, 0);
        return;
    }
    send_body(party, {&type, 1}, report.event.exec_id, poss_resend);
    if (Quotes::is_about_one(report))
        m_quotes.on_report(report, poss_resend);
    if (party->watched)
        m_watched.push_back(report);
}

void Gateway::show_watched(bool poss_resend) {
    std::vector<struct report> watched;
    watched.swap(m_watched);
    m_callbacks.on_reports(m_callbacks.context, watched.data(), watched.size(), poss_resend ? 1 : 0, 1);
}

// What Session::send does with a message, without building one: a number, the store, the connection.
void Gateway::send_body(Party *party, std::string_view type, uint64_t exec_id, bool poss_resend,
                        const std::string &source) {
    Store *store = party->store;
    uint64_t number = store->getNextSenderMsgSeqNum();
    write_message({type, number, m_settings.comp_id, party->member.comp_id, poss_resend, source}, m_body, &m_message);
    try {
        store->carries(exec_id);
        store->set(number, m_message);
        store->carries(0);
        store->incrNextSenderMsgSeqNum();
    } catch (const FIX::IOException &) { // the disk is full: what is not in the store is reported at the next start
        store->carries(0);
        return party->session->disconnect();
    }
    deliver(party);
}

// The message in hand, to whoever is there.
void Gateway::deliver(Party *party) {
    if (!party->logged_on || party->connection == nullptr)
        return;
    party->connection->send(m_message);
    party->state->lastSentTime(m_turn_time);
}

void Gateway::resend(const struct report *reports, uint64_t count) {
    for (uint64_t i = 0; i < count; i++)
        report_one(reports[i], true);
    if (!m_watched.empty())
        show_watched(true);
}

void Gateway::send(uint16_t session, const std::string &type, const std::vector<std::pair<int, std::string>> &fields,
                   uint64_t exec_id, bool poss_resend) {
    if (m_thread.joinable() && std::this_thread::get_id() != m_thread_id.load()) {
        post([=] { send(session, type, fields, exec_id, poss_resend); });
        return;
    }
    Party *party = m_by_number[session];
    if (party == nullptr)
        return;
    m_body.clear();
    for (const auto &[tag, value] : fields) {
        print_number(m_body, static_cast<uint64_t>(tag));
        m_body += '=';
        m_body += value;
        m_body += '\001';
    }
    send_body(party, type, exec_id, poss_resend);
}

enum submit_status Gateway::submit(const struct submission &submission, uint64_t *seq) {
    u64 number = 0;
    bool own = std::this_thread::get_id() == m_thread_id.load(std::memory_order_relaxed);
    struct submission marked = submission;
    marked.flags |= own ? SUBMIT_COMMIT_FOLLOWS : 0;
    enum submit_status status = m_engine->submit(m_engine->engine, &marked, &number);
    if (status == SUBMIT_OK && own) {
        m_submitted_seq = number;
        m_submitted = true;
        if (m_current != nullptr)
            m_current->store->submitted(number);
    }
    *seq = number;
    return status;
}

// ---- the thread ------------------------------------------------------------------------------------------------------

uint64_t Gateway::now_ms() const {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1000000;
}

uint64_t Gateway::now_us() const {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

void Gateway::read_clock() {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    m_turn_time = FIX::UtcTimeStamp(now.tv_sec, static_cast<int>(now.tv_nsec / 1000), 6);
    m_turn_second = now.tv_sec % 86400;
    m_turn_text.clear();
    print_time(m_turn_text, static_cast<uint64_t>(now.tv_sec) * 1000000000, 6);
    m_turn_text.resize(9);
}

void Gateway::run() {
    m_thread_id = std::this_thread::get_id();
    while (!stop_done())
        turn();
    for (auto &party : m_parties)
        if (party->connection != nullptr)
            party->session->disconnect();
    flush_all();
    depart_all();
    commit();
    for (auto &party : m_parties)
        party->store->ended();
    m_dirty.clear();
    m_connections.clear();
    m_running = false;
}

// Waits for something to do. A thread that has slept takes tens of microseconds to run again, so it looks for a moment
// before it sleeps, as long as that has paid: when the last messages came at once.
int Gateway::wait(epoll_event *events) {
    uint64_t now = now_ms();
    int timeout_ms = m_next_tick_ms > now ? static_cast<int>(m_next_tick_ms - now) : 0;
    timeout_ms = m_turns_wanted ? std::min(timeout_ms, 1) : timeout_ms; // what is waited for may come without a report
    uint64_t began = now_us(), waited = 0;
    while (timeout_ms > 0 && m_looking && waited < LOOK_US_MAX) {
        int count = epoll_wait(m_epoll_fd, events, EVENTS_MAX, 0);
        if (count != 0 || m_work.load(std::memory_order_acquire))
            return count;
        sched_yield();
        waited = now_us() - began;
    }
    {
        std::lock_guard<std::mutex> guard(m_mutex);
        bool work = m_work || m_submitted || !m_own_reports.empty() || !m_departed.empty();
        timeout_ms = work ? 0 : timeout_ms;
        m_asleep = !work;
    }
    int count = epoll_wait(m_epoll_fd, events, EVENTS_MAX, timeout_ms);
    m_asleep = false;
    m_looking = now_us() - began < 2 * LOOK_US_MAX;
    return count;
}

void Gateway::turn() {
    epoll_event events[EVENTS_MAX];
    int count = wait(events);
    read_clock();
    for (int i = 0; i < count; i++) {
        uint64_t id = events[i].data.u64, drained;
        if (id == LISTEN_ID)
            accept_all();
        else if (id == EVENT_ID)
            (void)!::read(m_event_fd, &drained, sizeof drained);
        auto found = m_connections.find(id);
        if (found == m_connections.end())
            continue;
        Connection *connection = found->second.get();
        if ((events[i].events & EPOLLOUT) != 0)
            mark(connection);
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
            on_readable(connection);
    }
    take_tasks();
    take_reports();
    if (m_turns_wanted)
        m_callbacks.on_turn(m_callbacks.context);
    for (uint64_t id : std::set<uint64_t>(m_resends))
        if (m_connections.count(id) != 0)
            resend_portion(m_connections[id].get());
    depart_all();
    commit();
    show_out_slow();
    tick();
    flush_all();
    for (uint64_t id : m_closed)
        m_connections.erase(id);
    m_closed.clear();
}

// What one turn submitted is synced together. Little of it is synced on this thread, so its reports leave in this turn.
void Gateway::commit() {
    if (m_submitted)
        m_engine->commit(m_engine->engine);
    m_submitted = false;
    if (m_own_reports.empty())
        return;
    take_reports();
    if (m_turns_wanted)
        m_callbacks.on_turn(m_callbacks.context);
}

void Gateway::tick() {
    uint64_t now = now_ms();
    if (now < m_next_tick_ms)
        return;
    m_next_tick_ms = now + TICK_MS;
    for (auto &party : m_parties)
        if (party->connection != nullptr)
            protect(party.get(), [&] { party->session->next(FIX::UtcTimeStamp::now()); });
    for (auto &[id, connection] : m_connections)
        if (connection->state != Connection::Open && now >= connection->deadline_ms)
            close(connection.get());
    if (m_ticks_wanted)
        m_callbacks.on_tick(m_callbacks.context);
}

void Gateway::accept_all() {
    // What the system keeps for a session is bounded like what the venue keeps.
    int send_bytes = static_cast<int>(std::clamp<uint64_t>(m_settings.queue_bytes_max / 2, 64u << 10, 4u << 20));
    for (;;) {
        sockaddr_storage address{};
        socklen_t bytes = sizeof address;
        int fd = accept4(m_listen_fd, reinterpret_cast<sockaddr *>(&address), &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (m_connections.size() >= m_parties.size() + WAITING_CONNECTIONS_MAX) {
            ::close(fd); // nobody unknown may take all descriptors
            continue;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
        uint64_t id = m_next_connection++;
        auto connection = std::make_unique<Connection>(this, id, fd, peer_of(address, bytes));
        connection->proxied = m_settings.proxy_protocol;
        connection->deadline_ms = now_ms() + m_settings.logon_ms_max;
        epoll_event event{EPOLLIN, {.u64 = id}};
        epoll_ctl(m_epoll_fd, EPOLL_CTL_ADD, fd, &event);
        m_connections[id] = std::move(connection);
        m_counters.connections++;
    }
}

void Gateway::watch(Connection *connection, bool writable) {
    connection->writable_wanted = writable;
    bool reading = connection->state != Connection::Authenticating && !connection->resend.active;
    epoll_event event{(reading ? uint32_t{EPOLLIN} : 0u) | (writable ? uint32_t{EPOLLOUT} : 0u),
                      {.u64 = connection->id}};
    epoll_ctl(m_epoll_fd, EPOLL_CTL_MOD, connection->fd, &event);
}

// The peer is gone, or everything for it is sent: the descriptor is closed at the end of the turn.
void Gateway::close(Connection *connection) {
    Party *party = connection->party;
    if (party != nullptr) {
        party->text = party->text.empty() ? "the connection was lost" : party->text;
        party->session->disconnect();
    }
    connection->state = Connection::Closing;
    epoll_ctl(m_epoll_fd, EPOLL_CTL_DEL, connection->fd, nullptr);
    m_resends.erase(connection->id);
    connection->resend.active = false;
    for (uint64_t id : m_closed)
        if (id == connection->id)
            return;
    m_closed.push_back(connection->id);
}

void Gateway::on_readable(Connection *connection) {
    if (!connection->read())
        return close(connection);
    if (connection->state == Connection::Closing)
        connection->take_all(); // said good-bye: only its end is waited for
    else
        handle(connection);
}

// ---- sending -----------------------------------------------------------------------------------------------------------

void Gateway::mark(Connection *connection) {
    if (!connection->dirty)
        m_dirty.push_back(connection->id);
    connection->dirty = true;
}

void Gateway::sent(Connection *connection) {
    m_counters.messages_out++;
    mark(connection);
    if (connection->party == nullptr)
        return;
    connection->party->store->delivered();
    if (connection->unsent() > m_settings.queue_bytes_max / 2) // a burst of one turn makes nobody slow
        (void)connection->flush(); // the peer's end is noticed elsewhere
    connection->party->unsent.store(connection->unsent(), std::memory_order_relaxed);
    if (connection->unsent() > m_settings.queue_bytes_max)
        m_slow.push_back(connection->id);
}

void Gateway::disconnected(Connection *connection) {
    connection->hold(false);
    if (connection->party != nullptr) {
        connection->party->connection = nullptr;
        connection->party->unsent = 0;
    }
    connection->party = nullptr;
    connection->state = Connection::Closing;
    connection->deadline_ms = now_ms() + CLOSING_MS_MAX;
    connection->resend.active = false;
    m_resends.erase(connection->id);
    mark(connection);
}

void Gateway::flush_all() {
    std::vector<uint64_t> dirty;
    dirty.swap(m_dirty);
    for (uint64_t id : dirty) {
        auto found = m_connections.find(id);
        if (found == m_connections.end())
            continue;
        Connection *connection = found->second.get();
        connection->dirty = false;
        if (!connection->flush()) {
            close(connection);
            continue;
        }
        if (connection->party != nullptr)
            connection->party->unsent.store(connection->unsent(), std::memory_order_relaxed);
        bool all = connection->unsent() == 0;
        if (all && connection->state == Connection::Closing)
            shutdown(connection->fd, SHUT_WR);
        if (connection->writable_wanted == all)
            watch(connection, !all);
    }
}

void Gateway::show_out_slow() {
    std::vector<uint64_t> slow;
    slow.swap(m_slow);
    for (uint64_t id : slow) {
        auto found = m_connections.find(id);
        Connection *connection = found == m_connections.end() ? nullptr : found->second.get();
        if (connection == nullptr || connection->party == nullptr)
            continue;
        (void)connection->flush();
        if (connection->unsent() <= m_settings.queue_bytes_max)
            continue;
        m_counters.slow_consumers++;
        std::string bytes = std::to_string(connection->unsent());
        connection->cut();
        show_out(connection, "slow consumer: " + bytes + " bytes were waiting unread; read faster, log on again and " +
                                 "request a resend: nothing is lost");
    }
}

// Logout(5) with a reason, then the end. What it was not sent lies in its store.
void Gateway::show_out(Connection *connection, const std::string &text) {
    Party *party = connection->party;
    FIX::Message logout;
    logout.getHeader().setField(FIX::FieldBase(35, "5"));
    logout.setField(FIX::FieldBase(58, text));
    party->session->send(logout);
    party->text = text;
    party->session->disconnect();
}

Status Gateway::status(uint16_t session) {
    auto answer = std::make_shared<std::promise<Status>>();
    auto found = answer->get_future();
    auto look = [this, session, answer] {
        const Party *party = m_by_number[session];
        Status status;
        status.logged_on = party->logged_on;
        status.sender = party->store->getNextSenderMsgSeqNum();
        status.target = party->store->getNextTargetMsgSeqNum();
        status.unsent = party->connection != nullptr ? party->connection->unsent() : 0;
        status.undelivered = party->store->undelivered();
        answer->set_value(status);
    };
    if (m_running)
        post(look);
    else
        look();
    while (found.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready)
        if (!m_running) // it ended before it came to this
            take_tasks();
    return found.get();
}

// ---- leaving -----------------------------------------------------------------------------------------------------------

void Gateway::add_book(uint16_t session, uint16_t symbol, uint32_t account) {
    if (m_by_number[session] != nullptr)
        m_by_number[session]->books.insert(static_cast<uint64_t>(symbol) << 32 | account);
}

void Gateway::cancel_orders(Party *party) {
    bool kept = party->good_bye && !party->rules.cancel_on_logout;
    party->store->keeps_orders(kept);
    if (!party->rules.cancel_on_disconnect || kept)
        return;
    if (party->rules.keep_good_till)
        return m_callbacks.on_cancel_orders(m_callbacks.context, party->member.session, party->text.c_str());
    std::string body =
        "verb=cancel_on_disconnect\001actor=" + party->member.comp_id + "\001ref=" + party->text + "\001";
    while (!party->books.empty()) {
        uint64_t book = *party->books.begin(), seq;
        struct submission submission;
        memset(&submission, 0, sizeof submission);
        submission.command.head = uint64_t{COMMAND_MASS_CANCEL} | uint64_t{FLAG_BY_SESSION} << 32 | (book >> 32) << 48;
        submission.command.owner = (book & 0xffffffff) | uint64_t{party->member.session} << 32;
        submission.body = reinterpret_cast<const uint8_t *>(body.data());
        submission.body_bytes = static_cast<uint32_t>(body.size());
        if (submit(submission, &seq) != SUBMIT_OK)
            return; // intake has stopped: the next start finds them still open
        party->books.erase(book);
    }
}

void Gateway::depart_all() {
    std::vector<Party *> departed;
    departed.swap(m_departed);
    for (Party *party : departed) {
        cancel_orders(party);
        if (party->text.empty())
            party->text =
                party->good_bye ? "its own Logout(5)" : "nothing was heard from it, not even at a TestRequest(1)";
        m_callbacks.on_session(m_callbacks.context, party->member.session, 0, party->text.c_str());
    }
}

void Gateway::stop_begin(const std::string &text) {
    m_stopping = true;
    epoll_ctl(m_epoll_fd, EPOLL_CTL_DEL, m_listen_fd, nullptr);
    ::close(m_listen_fd);
    m_listen_fd = -1;
    for (auto &party : m_parties) {
        party->session->logout(text);
        if (party->connection != nullptr)
            party->session->next(FIX::UtcTimeStamp::now());
    }
    for (auto &[id, connection] : m_connections) {
        m_frame.sender.clear(); // who waits has not said who it is
        if (connection->state == Connection::Waiting || connection->state == Connection::Authenticating)
            refuse(connection.get(), text);
    }
}

bool Gateway::stop_done() {
    if (!m_stopping)
        return false;
    if (now_ms() >= m_stop_deadline_ms)
        return true;
    std::lock_guard<std::mutex> guard(m_mutex);
    bool reported = m_reports.empty() && m_own_reports.empty() && m_departed.empty();
    return m_connections.empty() && reported && m_engine->durable_seq(m_engine->engine) >= m_submitted_seq;
}

} // namespace venue
