#include "reports.h"

#include "decimal.h"

#include <cstring>
#include <ctime>

namespace venue {

namespace {

constexpr char SOH = 1;
constexpr char UNKNOWN_SYMBOL[] = "[N/A]";

unsigned event_kind(const struct report &report) {
    return report.event.head & 0xff;
}

unsigned event_reason(const struct report &report) {
    return report.event.head >> 8 & 0xff;
}

// The reason whose words Text(58) has: a value that is not taken is named where the record shows which one it was, and
// what the venue cancels without being asked has words, too.
unsigned told_reason(const struct report &report) {
    unsigned kind = event_kind(report), reason = event_reason(report);
    if (kind == EVENT_CANCELLED && reason == 0 && report.orig_clordid[0] == 0)
        return CANCEL_MASS;
    if (kind == EVENT_REJECTED && reason == REJECT_SESSION_UNSUPPORTED_VALUE && report.side == 0)
        return REJECT_BAD_SIDE;
    if (kind == EVENT_REJECTED && reason == REJECT_SESSION_UNSUPPORTED_VALUE && report.ord_type == 0)
        return REJECT_BAD_ORD_TYPE;
    return reason;
}

// Appends fields to a body.
class Writer {
  public:
    Writer(std::string *body, const struct report &report, const Terms &terms)
        : m_body(*body), m_report(report), m_terms(terms),
          m_instrument(report.symbol < terms.instruments.size() ? &terms.instruments[report.symbol] : nullptr) {
    }

    void text(const char *tag, std::string_view value) {
        if (value.empty())
            return;
        m_body += tag;
        m_body += value;
        m_body += SOH;
    }

    void character(const char *tag, char value) {
        m_body += tag;
        m_body += value;
        m_body += SOH;
    }

    void number(const char *tag, uint64_t value) {
        m_body += tag;
        print_number(m_body, value);
        m_body += SOH;
    }

    void price(const char *tag, uint64_t ticks) {
        m_body += tag;
        if (m_instrument != nullptr)
            print_count(m_body, ticks, m_instrument->tick_units, m_instrument->price_scale);
        else
            m_body += '0';
        m_body += SOH;
    }

    void quantity(const char *tag, uint64_t lots) {
        m_body += tag;
        if (m_instrument != nullptr)
            print_count(m_body, lots, m_instrument->lot_units, m_instrument->qty_scale);
        else
            m_body += '0';
        m_body += SOH;
    }

    void average(const char *tag) {
        m_body += tag;
        if (m_instrument != nullptr)
            print_average(m_body, m_report.value, m_report.cum_lots, m_instrument->tick_units,
                          m_instrument->price_scale);
        else
            m_body += '0';
        m_body += SOH;
    }

    void instructions(unsigned flags, unsigned peg) { // ExecInst(18)
        bool post_only = (flags & FLAG_POST_ONLY) != 0, all_or_none = (flags & FLAG_ALL_OR_NONE) != 0;
        if (peg > 1) {
            m_body += post_only ? "18=6 " : "18=";
            return character("", static_cast<char>(peg));
        }
        text("18=", post_only && all_or_none ? "6 G" : post_only ? "6" : all_or_none ? "G" : "");
    }

    void exec_id(const char *tag, uint64_t exec_id) {
        m_body += tag;
        print_number(m_body, exec_id >> 24);
        m_body += '-';
        print_number(m_body, exec_id & 0xffffff);
        m_body += SOH;
    }

    void order_id(const char *tag, uint64_t order_id) {
        if (order_id == 0)
            text(tag, "NONE");
        else
            number(tag, order_id);
    }

    void time(const char *tag, uint64_t time_ns) {
        m_body += tag;
        print_time(m_body, time_ns, 9);
        m_body += SOH;
    }

    void symbol(const char *tag) {
        text(tag, m_instrument != nullptr ? std::string_view(m_instrument->symbol) : UNKNOWN_SYMBOL);
    }

    void account(const char *tag) { // none when the request named one that is not the session's
        if (event_reason(m_report) != REJECT_SESSION_ACCOUNT_NOT_PERMITTED)
            number(tag, m_report.account);
    }

    void reason(const char *tag) {
        unsigned told = told_reason(m_report);
        if (told != 0)
            text(tag, m_terms.text(m_report.symbol, told));
    }

  private:
    std::string &m_body;
    const struct report &m_report;
    const Terms &m_terms;
    const Instrument *m_instrument;
};

char exec_type(unsigned kind) {
    switch (kind) {
    case EVENT_ACCEPTED:
        return '0';
    case EVENT_REJECTED:
        return '8';
    case EVENT_FILL:
        return 'F';
    case EVENT_CANCELLED:
        return '4';
    case EVENT_REPLACED:
        return '5';
    case EVENT_EXPIRED:
        return 'C';
    case EVENT_TRIGGERED:
        return 'L';
    case EVENT_REFRESHED:
    case EVENT_RESTATED:
        return 'D';
    default:
        return 0;
    }
}

char ord_type(const struct report &report) {
    if (report.peg != 0)
        return 'P';
    return report.ord_type == ORD_MARKET_TO_LIMIT ? 'K' : static_cast<char>('0' + report.ord_type);
}

// A pegged order whose price the venue has moved: nobody asked, so it is a restatement.
bool is_moved(const struct report &report) {
    return event_kind(report) == EVENT_REPLACED && report.peg != 0 && report.orig_clordid[0] == 0;
}

// ExecRestatementReason(378) of what was not asked for; null where FIX has none for it.
const char *restatement(unsigned kind, unsigned reason) {
    if (kind == EVENT_REFRESHED)
        return "8"; // market option
    if (kind == EVENT_REPLACED)
        return "3"; // repricing
    if (kind == EVENT_RESTATED)
        return reason == CANCEL_SELF_MATCH ? "5" : "3"; // partial decline of OrderQty, repricing
    return kind == EVENT_CANCELLED && reason == CANCEL_SELF_MATCH ? "17" : "";
}

// LastLiquidityInd(851): auction, removed, added.
char liquidity(unsigned flags) {
    return (flags & FLAG_AUCTION) != 0 ? '4' : (flags & FLAG_AGGRESSOR) != 0 ? '2' : '1';
}

struct Quote { // of its order's name, quote_names.py
    std::string_view quote_id, entry_id;
};

Quote read_quote(const char *clordid) {
    if (clordid[0] != QUOTE_MARK)
        return {};
    const char *mark = strchr(clordid + 1, QUOTE_MARK);
    if (mark == nullptr || (clordid[1] != 'B' && clordid[1] != 'S'))
        return {};
    return {{clordid + 2, static_cast<size_t>(mark - clordid - 2)}, mark + 1};
}

Quote quote_of(const struct report &report) {
    Quote quote = read_quote(report.clordid);
    return quote.quote_id.empty() ? read_quote(report.orig_clordid) : quote;
}

void write_execution(const struct report &report, const Terms &terms, char type, std::string *body) {
    const struct event &event = report.event;
    unsigned kind = event_kind(report), reason = event_reason(report);
    bool fill = kind == EVENT_FILL, rejected = kind == EVENT_REJECTED;
    unsigned flags = event.head >> 24 & 0xff;
    bool second = (flags & FLAG_AGGRESSOR) != 0 || ((flags & FLAG_AUCTION) != 0 && report.side == SIDE_SELL);
    bool is_stop = report.ord_type == ORD_STOP || report.ord_type == ORD_STOP_LIMIT, is_gtd = report.tif == TIF_GTD;
    Quote quote = quote_of(report);
    Writer writer(body, report, terms);
    writer.account("1=");
    writer.average("6=");
    writer.text("11=", report.clordid);
    writer.quantity("14=", report.cum_lots);
    writer.exec_id("17=", event.exec_id);
    writer.instructions(report.order_flags, report.peg);
    if (fill) {
        writer.price("31=", event.price_ticks);
        writer.quantity("32=", event.qty_lots);
    }
    writer.order_id("37=", event.order_id);
    if (report.order_qty_lots != 0)
        writer.quantity("38=", report.order_qty_lots);
    writer.character("39=", static_cast<char>(report.status));
    if (report.ord_type != 0)
        writer.character("40=", ord_type(report));
    writer.text("41=", report.orig_clordid);
    if (report.order_price_ticks != 0)
        writer.price("44=", report.order_price_ticks);
    writer.character("54=", report.side == 0 ? '7' : static_cast<char>('0' + report.side)); // 7: undisclosed
    writer.symbol("55=");
    writer.reason("58=");
    writer.character("59=", static_cast<char>('0' + report.tif));
    writer.time("60=", report.time_ns);
    if (is_stop && report.order_detail != 0)
        writer.price("99=", report.order_detail);
    if (rejected)
        writer.number("103=", static_cast<uint64_t>(terms.order_codes[reason]));
    if (!is_gtd && report.order_aux != 0)
        writer.quantity("110=", report.order_aux);
    if (!is_stop && report.order_detail != 0)
        writer.quantity("111=", report.order_detail);
    writer.text("117=", quote.quote_id);
    if (is_gtd && report.order_aux != 0)
        writer.time("126=", report.order_aux);
    writer.character("150=", type);
    writer.quantity("151=", kind == EVENT_TRIGGERED ? event.qty_lots : event.leaves_lots);
    writer.text("299=", quote.entry_id);
    if (kind != EVENT_REPLACED || type == 'D')
        writer.text("378=", restatement(kind, reason));
    if (fill) {
        writer.exec_id("527=", second ? event.exec_id - 1 : event.exec_id);
        writer.character("851=", liquidity(flags));
    }
    if (kind == EVENT_REFRESHED)
        writer.quantity("1138=", event.qty_lots);
}

void write_cancel_reject(const struct report &report, const Terms &terms, std::string *body) {
    unsigned reason = event_reason(report);
    Writer writer(body, report, terms);
    writer.account("1=");
    writer.text("11=", report.clordid);
    writer.order_id("37=", report.event.order_id);
    writer.character("39=", static_cast<char>(report.status));
    writer.text("41=", report.orig_clordid);
    writer.reason("58=");
    writer.time("60=", report.time_ns);
    writer.number("102=", static_cast<uint64_t>(terms.cancel_codes[reason]));
    writer.character("434=", report.command_kind == COMMAND_REPLACE ? '2' : '1');
}

} // namespace

bool is_quiet(const struct report &report) {
    unsigned kind = event_kind(report);
    bool of_quote = report.clordid[0] == QUOTE_MARK;
    if (!of_quote && (report.clordid[0] != 0 || report.orig_clordid[0] != QUOTE_MARK))
        return false;
    if (kind == EVENT_CANCEL_REJECTED)
        return true;
    return of_quote ? kind == EVENT_ACCEPTED || kind == EVENT_REJECTED || kind == EVENT_REPLACED
                    : kind == EVENT_CANCELLED;
}

bool is_copied(const struct report &report) {
    unsigned kind = event_kind(report);
    return (exec_type(kind) != 0 || kind == EVENT_CANCEL_REJECTED) && !is_quiet(report);
}

char write_report(const struct report &report, const Terms &terms, std::string *body) {
    unsigned kind = event_kind(report);
    char type = exec_type(kind);
    if (type == 0 && kind != EVENT_CANCEL_REJECTED)
        return 0;
    body->clear();
    if (is_moved(report))
        type = 'D';
    if (type != 0)
        write_execution(report, terms, type, body);
    else
        write_cancel_reject(report, terms, body);
    return type != 0 ? '8' : '9';
}

void write_message(const Envelope &envelope, const std::string &body, std::string *message) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    static thread_local std::string head; // keeps its room
    head.assign("35=");
    head += envelope.type;
    head += "\00134=";
    print_number(head, envelope.number);
    head += "\00149=";
    head += envelope.sender;
    head += "\00152=";
    print_time(head, static_cast<uint64_t>(now.tv_sec) * 1000000000 + static_cast<uint64_t>(now.tv_nsec), 6);
    head += "\00156=";
    head += envelope.target;
    head += SOH;
    if (envelope.poss_resend)
        head += "97=Y\001";
    head += envelope.header;
    message->assign("8=FIX.4.4\0019=");
    print_number(*message, head.size() + body.size());
    *message += SOH;
    *message += head;
    *message += body;
    unsigned sum = 0;
    for (unsigned char c : *message)
        sum += c;
    sum %= 256;
    char trailer[] = {'1', '0', '=', '0', '0', '0', SOH};
    trailer[3] = static_cast<char>('0' + sum / 100);
    trailer[4] = static_cast<char>('0' + sum / 10 % 10);
    trailer[5] = static_cast<char>('0' + sum % 10);
    message->append(trailer, sizeof trailer);
}

} // namespace venue
