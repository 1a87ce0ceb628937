// Mass quotes, natively: MassQuote (i), QuoteCancel (Z), MassQuoteAcknowledgement (b) and market-maker protection.
//
// What is done and why is written in quotes.py, its readable twin, and in spec/quotes.md; one suite holds both to it. Each
// side of an entry is an ordinary order whose name says whose it is; the engine is asked what has become of it. Runs on the
// gateway's thread and must never block there.
#ifndef FIX_VENUE_QUOTES_H
#define FIX_VENUE_QUOTES_H

#include "protection.h"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace venue {

class Gateway;
struct Party;

struct QuoteEntry { // of a message whose body the answer keeps
    std::string_view set_id, entry_id;
    std::string_view values[5]; // Symbol, BidPx, OfferPx, BidSize, OfferSize; data() is null when it is not there
    bool refused = false;
    int code = 99; // QuoteEntryRejectReason(368)
    std::string text;
};

struct QuoteAnswer { // a MassQuoteAcknowledgement in the making
    uint16_t session = 0;
    std::string body;
    std::vector<std::pair<int, std::string>> head;
    int status = 0;
    char level = '2';
    std::vector<QuoteEntry> entries;
    std::string text;
    uint64_t waiting = 0; // commands without their first event yet
    uint64_t pulled = 0;
    bool stopped = false;
};

class Quotes {
  public:
    Quotes(Gateway *gateway, const Terms &terms, const struct engine_api *engine)
        : m_gateway(*gateway), m_terms(terms), m_engine(*engine) {
    }

    void add(uint16_t session, const std::string &name); // an order that rests already; before start
    // A message of type i or Z. Throws FIX::IncorrectTagValue for a QuoteID that no name can hold.
    void serve(Party *party, const std::string &body, const std::string &number, bool poss_dup);
    void on_report(const struct report &report, bool poss_resend); // of a quote's order, after its 8 was sent
    void on_round(); // what the reports of a round led to is told
    // Whether a report is about an order that is, or was until now, a quote.
    static bool is_about_one(const struct report &report) {
        return report.clordid[0] == QUOTE_MARK || report.orig_clordid[0] == QUOTE_MARK;
    }

  private:
    struct Live { // one side of an entry in the book
        std::string name;
        struct order_status order;
    };
    struct Message { // in hand
        Party *party;
        std::shared_ptr<QuoteAnswer> answer;
        std::string number, parties;
        std::string_view account, instructions, quote_id;
        bool poss_dup;
    };
    using Key = std::pair<std::string, char>; // QuoteEntryID, B or S
    struct Book {
        std::map<Key, uint64_t> places; // the order of arrival, so that pulls have one order too
        std::map<uint64_t, std::pair<Key, std::string>> names; // what to ask the engine for
        uint64_t next = 0;
    };
    struct Awaited {
        std::shared_ptr<QuoteAnswer> answer;
        int entry; // -1: a pull
    };

    void mass_quote(Message *message);
    void quote_cancel(Message *message, std::string_view kind, bool reset);
    void entry(const Message &message, int index);
    bool place(const Message &message, int index, struct submission *submission, const Live *old);
    void pull(const std::shared_ptr<QuoteAnswer> &answer, const Live &live, QuoteEntry *entry);
    void pull_entry(const std::shared_ptr<QuoteAnswer> &answer, QuoteEntry *entry);
    bool find(uint16_t session, std::string_view entry_id, char side, Live *live);
    std::vector<std::pair<Key, Live>> all(uint16_t session);
    void take_up(uint16_t session, const std::string &name);
    void drop(uint16_t session, std::string_view name);
    Protection &protection(uint16_t session, uint16_t symbol);
    void traded(const struct report &report, bool buy);
    std::string closed_text(uint16_t session, uint16_t symbol);
    void reset(uint16_t session, const std::vector<std::string_view> *symbols);
    void refuse(const std::shared_ptr<QuoteAnswer> &answer, int code, const std::string &text);
    void tell(QuoteAnswer *answer);
    void refuse_stopped(const Message &message, char type);
    bool submit(const struct submission &submission, uint64_t *seq, enum submit_status *status);

    Gateway &m_gateway;
    const Terms &m_terms;
    const struct engine_api &m_engine;
    std::unordered_map<uint16_t, Book> m_books;
    std::map<std::pair<uint16_t, uint16_t>, Protection> m_protections; // session, symbol
    std::unordered_map<uint64_t, Awaited> m_awaited; // by sequence number
    std::vector<std::shared_ptr<QuoteAnswer>> m_ready;
};

} // namespace venue

#endif
