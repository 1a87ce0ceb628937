// The session store: every message sent on a session, and its two sequence numbers, in one memory-mapped file.
//
// Safe against the death of the process at any instruction: a record is written whole, then one word makes it count.
// The last execution that was put into a message is part of the same record, so what was reported and what was not is
// never in doubt. It is not synced: after a loss of power the journal, which is, says what must be reported again, and
// the number of the next message out leaps far ahead of what a broker can have seen, who takes it as a gap to be filled.
// A reset begins a new generation, a file of its own; the ended one stays beside it under its number, so many of them.
// It also remembers which journal entry each of the last messages in led to: when the process died before an entry was
// written, `rewind` takes the sequence number back, and the broker is asked for that message again.
//
//   file   = head (4096 bytes) taken (65536 x 16 bytes: seqnum u64 | journal seq u64) records...
//   record = bytes u32 (of the whole record) | check u32 | seqnum u64 | exec_id u64 | message | zeros up to 8
#ifndef FIX_VENUE_STORE_H
#define FIX_VENUE_STORE_H

#include "ahead.h"

#include "MessageStore.h"
#include "SessionID.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace venue {

constexpr uint64_t LEAP = uint64_t{1} << 24; // more than a session sends before the system writes a page back
constexpr uint64_t STORE_BYTES_MAX = 256u << 20; // then the older half is forgotten: resends of it become gap fills

class Store : public FIX::MessageStore {
  public:
    explicit Store(const std::string &path, uint64_t bytes_max = STORE_BYTES_MAX,
                   Ahead *ahead = nullptr); // FIX::IOException
    ~Store() override;
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;

    bool set(FIX::SEQNUM number, const std::string &message) override;
    void get(FIX::SEQNUM begin, FIX::SEQNUM end, std::vector<std::string> &messages) const override;
    FIX::SEQNUM getNextSenderMsgSeqNum() const override;
    FIX::SEQNUM getNextTargetMsgSeqNum() const override;
    void setNextSenderMsgSeqNum(FIX::SEQNUM number) override;
    void setNextTargetMsgSeqNum(FIX::SEQNUM number) override;
    void incrNextSenderMsgSeqNum() override;
    void incrNextTargetMsgSeqNum() override;
    FIX::UtcTimeStamp getCreationTime() const override;
    void reset(const FIX::UtcTimeStamp &now) override;
    void refresh() override;

    void submitted(uint64_t seq) { // the message in hand became this journal entry
        m_submitted_seq = seq;
    }
    uint64_t rewind(uint64_t last_seq); // forgets messages in whose entries are later than this; returns how many
    void carries(uint64_t exec_id) { // the messages that follow report this execution; 0: none
        m_exec_id = exec_id;
    }
    uint64_t last_exec_id() const;
    void reach(uint64_t exec_id); // nothing up to here is missing, reported or not: last_exec_id is at least this
    // Application messages that nobody was given, in order, with the executions that they report.
    std::vector<std::pair<std::string, uint64_t>> waiting() const;
    FIX::SEQNUM next_kept(FIX::SEQNUM from) const; // the first message from there on that is kept; 0: none
    FIX::SEQNUM last_kept(FIX::SEQNUM to) const; // the last one up to there; 0: none
    void keep_generations(uint64_t count) { // how many ended ones stay beside the file
        m_generations_max = count;
    }
    uint64_t generation() const;
    uint64_t created_ns() const;
    bool leapt() const { // the machine went down without notice: numbers were skipped, see the constructor
        return m_leapt;
    }
    void ended(); // nothing is written any more: the next start finds all there is
    void keeps_orders(bool kept); // the broker said good-bye, and its open orders were left alone
    bool kept_orders() const;
    void delivered(); // everything so far was handed to a live connection
    bool undelivered() const; // something was kept while nobody was connected
    bool check() const; // every record readable, numbers ascending, head consistent
    bool prepare(); // on Ahead's thread, with its lock: makes a portion of room ready; false: there is enough

  private:
    struct Head;
    struct Record;
    struct Taken;
    struct Place {
        FIX::SEQNUM number;
        uint64_t offset;
    };
    Head *head() const;
    Taken *taken(uint64_t number) const;
    void open(uint64_t bytes_min);
    void map(uint64_t bytes_min);
    void grow(uint64_t bytes_min);
    std::unique_lock<std::mutex> lock() const;
    uint64_t ahead(uint64_t used) const; // how much is to be ready
    void scan();
    void forget();
    void notice_power_loss();
    void begin_generation();
    std::string generation_path(uint64_t generation) const;
    void close();
    void unmap();

    std::string m_path;
    uint64_t m_bytes_max;
    uint64_t m_exec_id = 0;
    uint64_t m_submitted_seq = 0;
    uint64_t m_generations_max = 4;
    bool m_leapt = false;
    int m_fd = -1;
    char *m_map = nullptr;
    uint64_t m_mapped = 0; // addresses; the file may have fewer bytes
    std::atomic<uint64_t> m_bytes{0}; // of the file
    std::atomic<uint64_t> m_ready{0}; // up to here its pages can be written without delay
    std::atomic<bool> m_asked{false};
    std::atomic<uint64_t> m_begun{0}; // where the records ended when the file was opened
    Ahead *m_ahead;
    std::vector<Place> m_places;
};

class StoreFactory : public FIX::MessageStoreFactory {
  public:
    explicit StoreFactory(std::map<std::string, std::string> paths) : m_paths(std::move(paths)) { // by CompID
    }
    FIX::MessageStore *create(const FIX::UtcTimeStamp &, const FIX::SessionID &id) override;
    void destroy(FIX::MessageStore *store) override;
    Store *store(const std::string &comp_id) const;

  private:
    Ahead m_ahead; // outlives the stores: QuickFIX destroys them before their factory
    std::map<std::string, std::string> m_paths;
    std::map<std::string, Store *> m_stores;
};

} // namespace venue

#endif
