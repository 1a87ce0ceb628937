#include "store.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace venue {

namespace {

constexpr uint64_t MAGIC = 0x3145524f54535646ull; // "FVSTORE1"
constexpr uint64_t TAKEN_FROM = 4096;
constexpr uint64_t TAKEN_COUNT = 65536; // more than the engine lets wait unwritten
constexpr uint64_t HEAD_BYTES = TAKEN_FROM + TAKEN_COUNT * 16;
constexpr uint64_t BYTES_FIRST = 2u << 20;
constexpr uint64_t GROW_BYTES_MAX = 32u << 20;
constexpr uint64_t AHEAD_BYTES_MAX = 1u << 20; // a session has as much ready as it has sent, up to this
constexpr uint64_t AHEAD_PORTION = 64u << 10, PAGE_BYTES = 4096;

[[noreturn]] void fail(const std::string &path, const char *what) {
    throw FIX::IOException("session store " + path + ": " + what + ": " + strerror(errno));
}

uint32_t checksum(const char *data, size_t bytes) { // finds a torn record, no more
    uint64_t hash = 0x9e3779b97f4a7c15ull ^ bytes;
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        hash = (hash ^ word) * 0xff51afd7ed558ccdull;
        hash ^= hash >> 29;
    }
    return static_cast<uint32_t>(hash ^ hash >> 32);
}

// Not time(), which lags behind: a generation begun at a reset must not seem to be from before it.
uint64_t now_ns() {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec);
}

// A word that another run must find whole: written in one instruction, after everything before it.
void publish(uint64_t *word, uint64_t value) {
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

// Another one after each start of the system; zeros where the system has none.
void read_boot(uint64_t boot[2]) {
    char text[64] = {};
    boot[0] = boot[1] = 0;
    int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t count = ::read(fd, text, sizeof text - 1);
    ::close(fd);
    int digits = 0;
    for (ssize_t i = 0; i < count && digits < 32; i++) {
        if (!isxdigit(static_cast<unsigned char>(text[i])))
            continue;
        unsigned char c = static_cast<unsigned char>(tolower(text[i]));
        boot[digits / 16] = boot[digits / 16] << 4 | static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
        digits++;
    }
}

bool is_application(const std::string &message) {
    size_t at = message.find("\00135=");
    bool single = at != std::string::npos && at + 5 < message.size() && message[at + 5] == '\001';
    return at != std::string::npos && !(single && strchr("012345A", message[at + 4]) != nullptr);
}

} // namespace

struct Store::Head {
    uint64_t magic;
    uint64_t used; // end of the last record that counts
    uint64_t next_sender, next_target;
    uint64_t created_ns;
    uint64_t delivered; // sequence number up to which messages went to a live connection
    uint64_t forgotten_exec_id; // the last execution among the records that were dropped
    uint64_t reached_exec_id;
    uint64_t generation;
    uint64_t boot[2]; // of the system when it was opened last
    uint64_t closed;  // 1: the process ended in order; written into the page that has the numbers
    uint64_t kept_orders;
};

struct Store::Taken {
    uint64_t number, seq;
};

struct Store::Record {
    uint32_t bytes, check;
    uint64_t number, exec_id;
    uint32_t message_bytes, reserved;
    char message[];
};

Store::Store(const std::string &path, uint64_t bytes_max, Ahead *ahead)
    : m_path(path), m_bytes_max(bytes_max), m_ahead(ahead) {
    open(BYTES_FIRST);
    if (head()->magic == 0) {
        head()->used = HEAD_BYTES;
        head()->next_sender = head()->next_target = 1;
        head()->created_ns = now_ns();
        publish(&head()->magic, MAGIC);
    }
    if (head()->magic != MAGIC) {
        close();
        throw FIX::IOException("session store " + path +
                               ": is no store of this version; move the file away to begin anew");
    }
    if (head()->generation == 0)
        publish(&head()->generation, 1);
    scan();
    notice_power_loss();
}

Store::~Store() {
    if (m_map != nullptr)
        ended();
    close();
}

Store::Head *Store::head() const {
    return reinterpret_cast<Head *>(m_map);
}

Store::Taken *Store::taken(uint64_t number) const {
    return reinterpret_cast<Taken *>(m_map + TAKEN_FROM) + number % TAKEN_COUNT;
}

void Store::open(uint64_t bytes_min) {
    m_fd = ::open(m_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    struct stat status;
    if (m_fd < 0 || fstat(m_fd, &status) != 0)
        fail(m_path, "cannot be opened");
    grow(std::max(bytes_min, static_cast<uint64_t>(status.st_size)));
}

std::unique_lock<std::mutex> Store::lock() const {
    return m_ahead == nullptr ? std::unique_lock<std::mutex>() : std::unique_lock<std::mutex>(m_ahead->mutex());
}

void Store::unmap() {
    if (m_ahead != nullptr)
        m_ahead->forget(this);
    if (m_map != nullptr)
        munmap(m_map, m_mapped);
    m_map = nullptr;
    m_mapped = m_bytes = m_ready = 0;
    m_asked = false;
}

void Store::close() {
    unmap();
    if (m_fd >= 0)
        ::close(m_fd);
    m_fd = -1;
}

// Addresses for all that the file may ever have, so that it grows without moving.
void Store::map(uint64_t bytes_min) {
    uint64_t bytes = std::max(m_bytes_max, bytes_min) + GROW_BYTES_MAX;
    void *map = m_map == nullptr ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m_fd, 0)
                                 : mremap(m_map, m_mapped, bytes, MREMAP_MAYMOVE);
    if (map == MAP_FAILED)
        fail(m_path, "cannot be mapped");
    m_map = static_cast<char *>(map);
    m_mapped = bytes;
}

// Makes room on disk first: a full disk is an error here, never a fault at a later write.
void Store::grow(uint64_t bytes_min) {
    std::unique_lock<std::mutex> guard = lock();
    if (bytes_min <= m_bytes)
        return;
    int error = posix_fallocate(m_fd, 0, static_cast<off_t>(bytes_min));
    if (error != 0) {
        errno = error;
        fail(m_path, "cannot grow");
    }
    if (bytes_min > m_mapped)
        map(bytes_min);
    m_bytes = bytes_min;
    m_asked = false;
}

uint64_t Store::ahead(uint64_t used) const {
    return std::clamp(used - std::min(used, m_begun.load()), AHEAD_PORTION, AHEAD_BYTES_MAX);
}

bool Store::prepare() {
    uint64_t used = __atomic_load_n(&head()->used, __ATOMIC_RELAXED);
    uint64_t from = std::max(m_ready.load(), used) & ~(PAGE_BYTES - 1), end = from + AHEAD_PORTION;
    if (from >= used + ahead(used)) {
        m_asked = false;
        return false;
    }
    if (end > m_bytes) {
        uint64_t bytes = end + AHEAD_BYTES_MAX;
        if (bytes > m_mapped || posix_fallocate(m_fd, 0, static_cast<off_t>(bytes)) != 0)
            return false; // a full disk is told of when the room is needed; until the file has grown, nobody asks again
        m_bytes = bytes;
    }
#ifdef MADV_POPULATE_WRITE
    (void)madvise(m_map + from, AHEAD_PORTION, MADV_POPULATE_WRITE);
#endif
    m_ready = end;
    return true;
}

// Finds the records again. Whatever follows the last good one never counted.
void Store::scan() {
    m_places.clear();
    uint64_t at = HEAD_BYTES, used = std::min(head()->used, m_bytes.load());
    while (at + sizeof(Record) <= used) {
        const Record *record = reinterpret_cast<const Record *>(m_map + at);
        bool whole = record->bytes >= sizeof(Record) && record->bytes % 8 == 0 && at + record->bytes <= used &&
                     record->message_bytes <= record->bytes - sizeof(Record) &&
                     record->check == checksum(m_map + at + 8, record->bytes - 8);
        if (!whole)
            break;
        m_places.push_back({static_cast<FIX::SEQNUM>(record->number), at});
        at += record->bytes;
    }
    publish(&head()->used, at);
    m_begun = at;
    if (!m_places.empty() && m_places.back().number >= head()->next_sender)
        publish(&head()->next_sender, m_places.back().number + 1);
}

bool Store::set(FIX::SEQNUM number, const std::string &message) {
    uint64_t bytes = (sizeof(Record) + message.size() + 7) & ~uint64_t{7};
    if (head()->used + bytes > m_bytes_max && !m_places.empty())
        forget();
    uint64_t at = head()->used, room = m_bytes;
    if (at + bytes > room)
        grow(room + std::max(bytes, std::min(room, GROW_BYTES_MAX)));
    if (m_ahead != nullptr && at + ahead(at) / 2 > m_ready && !m_asked.exchange(true) && !m_ahead->ask(this))
        m_asked = false;
    Record *record = reinterpret_cast<Record *>(m_map + at);
    memset(m_map + at + bytes - 8, 0, 8);
    record->bytes = static_cast<uint32_t>(bytes);
    record->number = number;
    record->exec_id = m_exec_id;
    record->message_bytes = static_cast<uint32_t>(message.size());
    record->reserved = 0;
    memcpy(record->message, message.data(), message.size());
    record->check = checksum(m_map + at + 8, bytes - 8);
    publish(&head()->used, at + bytes);
    m_places.push_back({number, at});
    return true;
}

void Store::get(FIX::SEQNUM begin, FIX::SEQNUM end, std::vector<std::string> &messages) const {
    messages.clear();
    auto before = [](const Place &place, FIX::SEQNUM number) { return place.number < number; };
    auto place = std::lower_bound(m_places.begin(), m_places.end(), begin, before);
    for (; place != m_places.end() && place->number <= end; ++place) {
        const Record *record = reinterpret_cast<const Record *>(m_map + place->offset);
        messages.emplace_back(record->message, record->message_bytes);
    }
}

// Drops the older half, into a new file that takes the old one's place whole.
void Store::forget() {
    Place first = m_places[m_places.size() / 2];
    uint64_t dropped_exec_id = head()->forgotten_exec_id;
    for (const Place &place : m_places) {
        const Record *record = reinterpret_cast<const Record *>(m_map + place.offset);
        if (place.offset < first.offset && record->exec_id != 0)
            dropped_exec_id = record->exec_id;
    }
    std::string path = m_path + ".part";
    uint64_t kept = head()->used - first.offset;
    {
        unlink(path.c_str());
        Store next(path, m_bytes_max);
        next.grow(std::max(HEAD_BYTES + kept, BYTES_FIRST));
        memcpy(next.m_map, m_map, HEAD_BYTES);
        memcpy(next.m_map + HEAD_BYTES, m_map + first.offset, kept);
        next.head()->forgotten_exec_id = dropped_exec_id;
        next.head()->used = HEAD_BYTES + kept;
        if (rename(path.c_str(), m_path.c_str()) != 0)
            fail(m_path, "cannot be replaced");
    }
    close();
    open(BYTES_FIRST);
    publish(&head()->closed, 0);
    scan();
}

FIX::SEQNUM Store::getNextSenderMsgSeqNum() const {
    return static_cast<FIX::SEQNUM>(head()->next_sender);
}

FIX::SEQNUM Store::getNextTargetMsgSeqNum() const {
    return static_cast<FIX::SEQNUM>(head()->next_target);
}

void Store::setNextSenderMsgSeqNum(FIX::SEQNUM number) {
    publish(&head()->next_sender, number);
}

void Store::setNextTargetMsgSeqNum(FIX::SEQNUM number) {
    publish(&head()->next_target, number);
}

void Store::incrNextSenderMsgSeqNum() {
    publish(&head()->next_sender, head()->next_sender + 1);
}

void Store::incrNextTargetMsgSeqNum() {
    uint64_t number = head()->next_target;
    *taken(number) = {number, m_submitted_seq};
    m_submitted_seq = 0;
    publish(&head()->next_target, number + 1);
}

// Entries are numbered in the order of the messages, so everything from the first lost one on is asked for again.
uint64_t Store::rewind(uint64_t last_seq) {
    uint64_t before = head()->next_target, target = before;
    for (uint64_t number = before - 1; number > 0 && taken(number)->number == number; number--) {
        if (taken(number)->seq > last_seq)
            target = number;
        else if (taken(number)->seq != 0)
            break;
    }
    publish(&head()->next_target, target);
    return before - target;
}

FIX::UtcTimeStamp Store::getCreationTime() const {
    return FIX::UtcTimeStamp(static_cast<time_t>(head()->created_ns / 1000000000), 0);
}

// A page that was not written back before the power went is as it was a while ago, so a broker may have seen numbers
// that this file does not know were used. Numbers of messages out are then skipped: a number too high is only a gap.
void Store::notice_power_loss() {
    uint64_t boot[2];
    read_boot(boot);
    Head *at = head();
    bool known = (at->boot[0] | at->boot[1]) != 0 && (boot[0] | boot[1]) != 0;
    m_leapt = known && at->closed == 0 && (at->boot[0] != boot[0] || at->boot[1] != boot[1]);
    if (m_leapt)
        publish(&at->next_sender, at->next_sender + LEAP);
    publish(&at->closed, 0);
    at->boot[0] = boot[0];
    publish(&at->boot[1], boot[1]);
}

std::string Store::generation_path(uint64_t generation) const {
    return m_path + ".g" + std::to_string(generation);
}

// The ended generation gets a name of its own, then the new file takes its place whole.
void Store::begin_generation() {
    uint64_t reported = last_exec_id(), ended = head()->generation, used = head()->used;
    std::string path = m_path + ".part", kept = generation_path(ended);
    unlink(path.c_str());
    {
        Store next(path, m_bytes_max);
        next.head()->forgotten_exec_id = reported;
        next.head()->generation = ended + 1;
    }
    unlink(kept.c_str());
    if (m_generations_max > 0 && link(m_path.c_str(), kept.c_str()) != 0)
        fail(m_path, "cannot be kept");
    if (rename(path.c_str(), m_path.c_str()) != 0)
        fail(m_path, "cannot be replaced");
    publish(&head()->closed, 1);
    unmap();
    (void)!ftruncate(m_fd, static_cast<off_t>(used));
    close();
    if (ended > m_generations_max)
        unlink(generation_path(ended - m_generations_max).c_str());
    open(BYTES_FIRST);
    publish(&head()->closed, 0);
    scan();
}

// The executions stay reported: a session that begins anew is not told of them twice.
void Store::reset(const FIX::UtcTimeStamp &) {
    try {
        return begin_generation();
    } catch (const FIX::IOException &) { // the disk is full: the numbers begin anew all the same, in the same file
    }
    publish(&head()->generation, head()->generation + 1);
    publish(&head()->forgotten_exec_id, last_exec_id());
    publish(&head()->used, HEAD_BYTES);
    publish(&head()->next_sender, 1);
    publish(&head()->next_target, 1);
    memset(m_map + TAKEN_FROM, 0, HEAD_BYTES - TAKEN_FROM);
    publish(&head()->delivered, 0);
    publish(&head()->created_ns, now_ns());
    m_places.clear();
}

void Store::refresh() {
}

uint64_t Store::last_exec_id() const {
    for (auto place = m_places.rbegin(); place != m_places.rend(); ++place) {
        const Record *record = reinterpret_cast<const Record *>(m_map + place->offset);
        if (record->exec_id != 0)
            return std::max(record->exec_id, head()->reached_exec_id);
    }
    return std::max(head()->forgotten_exec_id, head()->reached_exec_id);
}

void Store::reach(uint64_t exec_id) {
    if (exec_id > head()->reached_exec_id)
        publish(&head()->reached_exec_id, exec_id);
}

uint64_t Store::generation() const {
    return head()->generation;
}

uint64_t Store::created_ns() const {
    return head()->created_ns;
}

void Store::ended() {
    publish(&head()->closed, 1);
}

void Store::keeps_orders(bool kept) {
    publish(&head()->kept_orders, kept ? 1 : 0);
}

bool Store::kept_orders() const {
    return head()->kept_orders != 0;
}

std::vector<std::pair<std::string, uint64_t>> Store::waiting() const {
    std::vector<std::pair<std::string, uint64_t>> found;
    for (const Place &place : m_places) {
        const Record *record = reinterpret_cast<const Record *>(m_map + place.offset);
        std::string message(record->message, record->message_bytes);
        if (place.number > head()->delivered && is_application(message))
            found.emplace_back(std::move(message), record->exec_id);
    }
    return found;
}

FIX::SEQNUM Store::next_kept(FIX::SEQNUM from) const {
    auto before = [](const Place &place, FIX::SEQNUM number) { return place.number < number; };
    auto place = std::lower_bound(m_places.begin(), m_places.end(), from, before);
    return place == m_places.end() ? 0 : place->number;
}

FIX::SEQNUM Store::last_kept(FIX::SEQNUM to) const {
    auto after = [](FIX::SEQNUM number, const Place &place) { return number < place.number; };
    auto place = std::upper_bound(m_places.begin(), m_places.end(), to, after);
    return place == m_places.begin() ? 0 : std::prev(place)->number;
}

void Store::delivered() {
    publish(&head()->delivered, head()->next_sender - 1);
}

bool Store::undelivered() const {
    return head()->delivered + 1 < head()->next_sender && !m_places.empty() &&
           m_places.back().number > head()->delivered;
}

bool Store::check() const {
    uint64_t end = HEAD_BYTES;
    FIX::SEQNUM last = 0;
    for (const Place &place : m_places) {
        const Record *record = reinterpret_cast<const Record *>(m_map + place.offset);
        bool good = place.offset == end && place.number > last && record->number == place.number &&
                    record->check == checksum(m_map + place.offset + 8, record->bytes - 8);
        if (!good)
            return false;
        end += record->bytes;
        last = place.number;
    }
    return end == head()->used && head()->next_sender > last && head()->used <= m_bytes;
}

FIX::MessageStore *StoreFactory::create(const FIX::UtcTimeStamp &, const FIX::SessionID &id) {
    const std::string &comp_id = id.getTargetCompID().getString();
    Store *store = new Store(m_paths.at(comp_id), STORE_BYTES_MAX, &m_ahead);
    m_stores[comp_id] = store;
    return store;
}

void StoreFactory::destroy(FIX::MessageStore *store) {
    delete store;
}

Store *StoreFactory::store(const std::string &comp_id) const {
    auto found = m_stores.find(comp_id);
    return found == m_stores.end() ? nullptr : found->second;
}

} // namespace venue
