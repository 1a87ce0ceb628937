#include "reports.h"

#include "decimal.h"

namespace venue {

namespace {

constexpr char UNKNOWN_SYMBOL[] = "[N/A]";

unsigned event_kind(const struct report &report) {
    return report.event.head & 0xff;
}

unsigned event_reason(const struct report &report) {
    return report.event.head >> 8 & 0xff;
}

// Writes fields into one message; values are built in one reused string.
class Writer {
  public:
    Writer(FIX::Message *message, const struct report &report, const Terms &terms)
        : m_message(message), m_report(report), m_terms(terms),
          m_instrument(report.symbol < terms.instruments.size() ? &terms.instruments[report.symbol] : nullptr) {
    }

    void text(int tag, const char *value) {
        if (*value != 0)
            m_message->setField(FIX::FieldBase(tag, value));
    }

    void character(int tag, char value) {
        m_message->setField(FIX::FieldBase(tag, std::string(1, value)));
    }

    void number(int tag, uint64_t value) {
        m_value.clear();
        print_number(m_value, value);
        put(tag);
    }

    void price(int tag, uint64_t ticks) {
        m_value.clear();
        if (m_instrument != nullptr)
            print_count(m_value, ticks, m_instrument->tick_units, m_instrument->price_scale);
        else
            m_value = "0";
        put(tag);
    }

    void quantity(int tag, uint64_t lots) {
        m_value.clear();
        if (m_instrument != nullptr)
            print_count(m_value, lots, m_instrument->lot_units, m_instrument->qty_scale);
        else
            m_value = "0";
        put(tag);
    }

    void average(int tag) {
        m_value.clear();
        if (m_instrument != nullptr)
            print_average(m_value, m_report.value, m_report.cum_lots, m_instrument->tick_units,
                          m_instrument->price_scale);
        else
            m_value = "0";
        put(tag);
    }

    void exec_id(int tag, uint64_t exec_id) {
        m_value.clear();
        print_number(m_value, exec_id >> 24);
        m_value.push_back('-');
        print_number(m_value, exec_id & 0xffffff);
        put(tag);
    }

    void order_id(int tag, uint64_t order_id) {
        if (order_id == 0)
            text(tag, "NONE");
        else
            number(tag, order_id);
    }

    void time(int tag) {
        m_value.clear();
        print_time(m_value, m_report.time_ns);
        put(tag);
    }

    void symbol(int tag) {
        text(tag, m_instrument != nullptr ? m_instrument->symbol.c_str() : UNKNOWN_SYMBOL);
    }

    void reason(int tag) {
        text(tag, m_terms.text(m_report.symbol, event_reason(m_report)).c_str());
    }

  private:
    void put(int tag) {
        m_message->setField(FIX::FieldBase(tag, m_value));
    }

    FIX::Message *m_message;
    const struct report &m_report;
    const Terms &m_terms;
    const Instrument *m_instrument;
    std::string m_value;
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
    default:
        return 0;
    }
}

void write_execution(const struct report &report, const Terms &terms, char type, FIX::Message *message) {
    const struct event &event = report.event;
    unsigned kind = event_kind(report), reason = event_reason(report);
    bool fill = kind == EVENT_FILL, rejected = kind == EVENT_REJECTED;
    bool aggressor = (event.head >> 24 & FLAG_AGGRESSOR) != 0;
    Writer writer(message, report, terms);
    writer.number(1, report.account);
    writer.average(6);
    writer.text(11, report.clordid);
    writer.quantity(14, report.cum_lots);
    writer.exec_id(17, event.exec_id);
    if ((report.order_flags & FLAG_POST_ONLY) != 0)
        writer.character(18, '6');
    if (fill) {
        writer.price(31, event.price_ticks);
        writer.quantity(32, event.qty_lots);
    }
    writer.order_id(37, event.order_id);
    if (report.order_qty_lots != 0)
        writer.quantity(38, report.order_qty_lots);
    writer.character(39, static_cast<char>(report.status));
    if (report.ord_type != 0)
        writer.character(40, static_cast<char>('0' + report.ord_type));
    writer.text(41, report.orig_clordid);
    if (report.order_price_ticks != 0)
        writer.price(44, report.order_price_ticks);
    writer.character(54, report.side == 0 ? '7' : static_cast<char>('0' + report.side)); // 7: undisclosed
    writer.symbol(55);
    if (reason != 0)
        writer.reason(58);
    writer.character(59, static_cast<char>('0' + report.tif));
    writer.time(60);
    if (rejected)
        writer.number(103, static_cast<uint64_t>(terms.order_codes[reason]));
    writer.character(150, type);
    writer.quantity(151, event.leaves_lots);
    if (fill) {
        writer.exec_id(527, aggressor ? event.exec_id - 1 : event.exec_id);
        writer.character(851, aggressor ? '2' : '1');
    }
}

void write_cancel_reject(const struct report &report, const Terms &terms, FIX::Message *message) {
    unsigned reason = event_reason(report);
    Writer writer(message, report, terms);
    writer.number(1, report.account);
    writer.text(11, report.clordid);
    writer.order_id(37, report.event.order_id);
    writer.character(39, static_cast<char>(report.status));
    writer.text(41, report.orig_clordid);
    writer.reason(58);
    writer.time(60);
    writer.number(102, static_cast<uint64_t>(terms.cancel_codes[reason]));
    writer.character(434, report.command_kind == COMMAND_REPLACE ? '2' : '1');
}

} // namespace

bool write_report(const struct report &report, const Terms &terms, FIX::Message *message) {
    unsigned kind = event_kind(report);
    char type = exec_type(kind);
    if (type == 0 && kind != EVENT_CANCEL_REJECTED)
        return false;
    message->clear();
    message->getHeader().setField(FIX::FieldBase(35, type != 0 ? "8" : "9"));
    if (type != 0)
        write_execution(report, terms, type, message);
    else
        write_cancel_reject(report, terms, message);
    return true;
}

} // namespace venue
