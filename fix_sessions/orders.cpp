#include "orders.h"

#include "Exceptions.h"
#include "decimal.h"
#include "hot_lane.h"

#include <cstring>

namespace venue {

namespace {

// One request while it is read. The first reason found is the one that counts.
template <class Fields> class Request {
  public:
    Request(const Fields &fields, const Member &member, const Terms &terms, struct submission *submission)
        : m_fields(fields), m_member(member), m_terms(terms), m_submission(submission) {
        memset(submission, 0, sizeof *submission);
        name(11, submission->clordid);
    }

    void original() {
        name(41, m_submission->orig_clordid);
    }

    void account() {
        m_account = m_member.accounts[0];
        std::string_view text = field(1);
        if (text.data() == nullptr)
            return;
        uint64_t number = 0;
        bool good = parse_count(text, 0, 1, ACCOUNTS_MAX, &number) == Parsed::Good && text.size() <= 5 &&
                    text.find('.') == std::string::npos;
        if (good && m_member.permits(static_cast<uint32_t>(number)))
            m_account = static_cast<uint32_t>(number);
        else
            refuse(REJECT_SESSION_ACCOUNT_NOT_PERMITTED);
    }

    void symbol() {
        std::string_view text = field(55);
        auto found = text.data() == nullptr ? m_terms.symbols.end() : m_terms.symbols.find(text);
        if (found != m_terms.symbols.end())
            m_symbol = found->second;
        else
            refuse(REJECT_SESSION_UNKNOWN_SYMBOL);
    }

    void side() {
        m_side = static_cast<unsigned>(choice(54, "12", '0'));
    }

    void ord_type(const char *allowed) {
        m_ord_type = static_cast<unsigned>(choice(40, allowed, '0'));
    }

    void tif() {
        m_tif = static_cast<unsigned>(choice(59, "0134", '0'));
    }

    void instructions() { // ExecInst(18): post-only or nothing, once or more
        std::string_view text = field(18);
        if (text.data() == nullptr)
            return;
        bool good = !text.empty();
        for (size_t i = 0; i < text.size(); i++)
            good = good && text[i] == (i % 2 == 0 ? '6' : ' ');
        if (good && text.size() % 2 == 1)
            m_flags |= FLAG_POST_ONLY;
        else
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
    }

    uint64_t quantity(int tag, bool required) {
        std::string_view text = field(tag);
        if (text.data() == nullptr && required)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        if (text.data() == nullptr || m_symbol == SYMBOL_NONE)
            return 0;
        const Instrument &instrument = m_terms.instruments[m_symbol];
        uint64_t lots = 0;
        Parsed parsed = parse_count(text, instrument.qty_scale, instrument.lot_units, QTY_LOTS_MAX, &lots);
        number_refused(parsed, REJECT_SESSION_QTY_OFF_LOT, REJECT_SESSION_QTY_OVERFLOW);
        return lots;
    }

    uint64_t price() {
        std::string_view text = field(44);
        if (m_ord_type != ORD_LIMIT)
            return 0;
        if (text.data() == nullptr)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        if (text.data() == nullptr || m_symbol == SYMBOL_NONE)
            return 0;
        const Instrument &instrument = m_terms.instruments[m_symbol];
        uint64_t ticks = 0;
        Parsed parsed = parse_count(text, instrument.price_scale, instrument.tick_units, PRICE_TICKS_MAX, &ticks);
        number_refused(parsed, REJECT_SESSION_PRICE_OFF_TICK, REJECT_SESSION_PRICE_OVERFLOW);
        return ticks;
    }

    // What a cancel or replace may leave out, or must not change, is known from its order.
    void known(const struct engine_api *engine) {
        bool account_open = m_member.accounts.size() > 1 && !has(1);
        if (!account_open && !has(59) && !has(18))
            return;
        struct order_status order;
        if (!engine->find_order(engine->engine, m_member.session, m_submission->orig_clordid, &order))
            return;
        if (account_open && m_member.permits(order.account))
            m_account = order.account;
        bool same = (!has(59) || m_tif == order.tif) && (!has(18) || m_flags == order.order_flags);
        if (!same)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
    }

    void write(enum command_kind kind, uint64_t price_ticks, uint64_t qty_lots, uint64_t aux) {
        struct command *command = &m_submission->command;
        command->head = static_cast<uint64_t>(kind) | static_cast<uint64_t>(m_side) << 8 |
                        static_cast<uint64_t>(m_ord_type) << 16 | static_cast<uint64_t>(m_tif) << 24 |
                        static_cast<uint64_t>(m_flags) << 32 | static_cast<uint64_t>(m_reason) << 40 |
                        static_cast<uint64_t>(m_symbol) << 48;
        command->owner = m_account | static_cast<uint64_t>(m_member.session) << 32;
        command->price_ticks = price_ticks;
        command->qty_lots = qty_lots;
        command->aux = aux;
    }

    void plain() { // a cancel carries no terms of its own
        m_ord_type = m_tif = m_flags = 0;
    }

  private:
    std::string_view field(int tag) const {
        return m_fields.field(tag);
    }

    bool has(int tag) const {
        return field(tag).data() != nullptr;
    }

    void refuse(unsigned reason) {
        if (m_reason == 0)
            m_reason = reason;
    }

    void number_refused(Parsed parsed, unsigned inexact, unsigned overflow) {
        if (parsed == Parsed::Malformed)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        else if (parsed == Parsed::Inexact)
            refuse(inexact);
        else if (parsed == Parsed::Overflow)
            refuse(overflow);
    } // a negative number is zero to the core, which refuses it

    int choice(int tag, const char *allowed, char absent) {
        std::string_view text = field(tag);
        char value = text.data() == nullptr ? absent : text.size() == 1 ? text[0] : '\0';
        if (value != '\0' && (text.data() == nullptr || strchr(allowed, value) != nullptr))
            return value - '0';
        refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        return 0;
    }

    void name(int tag, char *target) {
        std::string_view text = field(tag);
        if (text.data() == nullptr)
            return;
        if (text.size() >= CLORDID_BYTES)
            throw FIX::IncorrectTagValue(tag);
        memcpy(target, text.data(), text.size());
    }

    const Fields &m_fields;
    const Member &m_member;
    const Terms &m_terms;
    struct submission *m_submission;
    uint32_t m_account = 0;
    unsigned m_symbol = SYMBOL_NONE, m_side = 0, m_ord_type = 0, m_tif = 0, m_flags = 0, m_reason = 0;
};

template <class Fields> void read_new(Request<Fields> *request) {
    request->account();
    request->symbol();
    request->side();
    request->ord_type("12");
    request->tif();
    request->instructions();
    uint64_t qty_lots = request->quantity(38, true);
    uint64_t min_lots = request->quantity(110, false);
    uint64_t price_ticks = request->price();
    request->write(COMMAND_NEW, price_ticks, qty_lots, min_lots);
}

template <class Fields> void read_cancel(Request<Fields> *request, const struct engine_api *engine) {
    request->original();
    request->account();
    request->symbol();
    request->side();
    request->known(engine);
    request->plain();
    request->write(COMMAND_CANCEL, 0, 0, 0);
}

template <class Fields> void read_replace(Request<Fields> *request, const struct engine_api *engine) {
    request->original();
    request->account();
    request->symbol();
    request->side();
    request->ord_type("2");
    request->tif();
    request->instructions();
    request->known(engine);
    uint64_t qty_lots = request->quantity(38, true);
    uint64_t price_ticks = request->price();
    request->write(COMMAND_REPLACE, price_ticks, qty_lots, 0);
}

} // namespace

template <class Fields>
void read_order(char type, const Fields &fields, const Member &member, const Terms &terms,
                const struct engine_api *engine, struct submission *submission) {
    Request<Fields> request(fields, member, terms, submission);
    if (type == 'D')
        read_new(&request);
    else if (type == 'F')
        read_cancel(&request, engine);
    else
        read_replace(&request, engine);
}

template void read_order(char, const MessageFields &, const Member &, const Terms &, const struct engine_api *,
                         struct submission *);
template void read_order(char, const HotOrder &, const Member &, const Terms &, const struct engine_api *,
                         struct submission *);

} // namespace venue
