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

    void ord_type() {
        unsigned value = static_cast<unsigned>(choice(40, "1234K", '0'));
        m_ord_type = value == 'K' - '0' ? +ORD_MARKET_TO_LIMIT : value;
    }

    void tif() {
        m_tif = static_cast<unsigned>(choice(59, "0123467", '0'));
    }

    void instructions() { // ExecInst(18): 6 post-only, G all-or-none, each once or more
        std::string_view text = field(18);
        if (text.data() == nullptr)
            return;
        bool good = text.size() % 2 == 1;
        unsigned flags = 0;
        for (size_t i = 0; i < text.size(); i++) {
            good = good && (i % 2 == 0 ? text[i] == '6' || text[i] == 'G' : text[i] == ' ');
            flags |= text[i] == '6' ? FLAG_POST_ONLY : text[i] == 'G' ? FLAG_ALL_OR_NONE : 0;
        }
        if (good)
            m_flags |= flags;
        else
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
    }

    void slide() { // DisplayIndicator(9479), of a post-only order that would trade: S slides it, R refuses it
        std::string_view text = field(9479);
        if (text == "S")
            m_flags |= FLAG_SLIDE;
        else if (text.data() != nullptr && text != "R")
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
    }

    void self_match() { // SelfMatchPreventionID(2362) and -Instruction(2964)
        std::string_view group = field(2362), mode = field(2964);
        if (group.data() != nullptr && (m_member.smp_group == 0 || group != std::to_string(m_member.smp_group)))
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        if (mode.data() == nullptr)
            return;
        unsigned smp = SMP_NONE; // FIX has 1, 2 and 3, and leaves 100 and above to the venues
        if (mode.size() == 1 && mode[0] >= '1' && mode[0] <= '3')
            smp = static_cast<unsigned>(mode[0] - '0');
        else if (mode == "100")
            smp = SMP_DECREMENT;
        m_flags |= smp << FLAG_SMP_SHIFT;
        if (smp == SMP_NONE)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
    }

    void no_peg() { // PegOffsetValue(211) is of pegged orders, which are not read here
        if (has(211))
            refuse(REJECT_SESSION_BAD_COMBINATION);
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

    uint64_t minimum() {
        return not_negative(110);
    }

    uint64_t price(bool replaced) {
        bool optional = replaced && m_ord_type == ORD_MARKET_TO_LIMIT;
        if (m_ord_type == ORD_LIMIT || m_ord_type == ORD_STOP_LIMIT || optional)
            return ticks(44, !optional);
        // A type that has no price may say 0: any other price would be a limit that nobody keeps.
        if (m_ord_type != 0 && field(44).find_first_of("123456789") != std::string_view::npos)
            refuse(REJECT_SESSION_BAD_COMBINATION);
        return 0;
    }

    uint64_t stop(bool replaced) {
        bool present = has(99);
        if (!is_stop()) {
            if (present)
                refuse(REJECT_SESSION_BAD_COMBINATION);
            return 0;
        }
        uint64_t found = ticks(99, !replaced);
        if (replaced && present && found == 0) // 0 is "as it is" to the core
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        return found;
    }

    uint64_t display(uint64_t qty_lots) { // MaxFloor(111): 0 or all of it is no iceberg
        uint64_t lots = not_negative(111);
        if (lots == qty_lots)
            return 0;
        if (lots != 0 && is_stop())
            refuse(REJECT_SESSION_BAD_COMBINATION);
        return lots;
    }

    // ExpireTime(126) or ExpireDate(432), one of them, with TimeInForce(59) 6 and only then; a replace may leave them out.
    uint64_t expiry(bool replaced, uint64_t min_lots) {
        std::string_view time = field(126), day = field(432);
        bool none = time.data() == nullptr && day.data() == nullptr;
        bool both = time.data() != nullptr && day.data() != nullptr;
        bool wrong = is_gtd() ? none || min_lots != 0 : !none;
        if (both || (wrong && !replaced))
            refuse(REJECT_SESSION_BAD_COMBINATION);
        uint64_t time_ns = 0;
        bool good = time.data() == nullptr || parse_time(time, &time_ns);
        good = (day.data() == nullptr || parse_day_end(day, &time_ns)) && good;
        if (!good)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        return time_ns;
    }

    bool is_stop() const {
        return m_ord_type == ORD_STOP || m_ord_type == ORD_STOP_LIMIT;
    }

    bool is_gtd() const {
        return m_tif == TIF_GTD;
    }

    // What a cancel or replace may leave out, or must not change, is known from its order.
    void known(const struct engine_api *engine) {
        bool account_open = m_member.accounts.size() > 1 && !has(1), terms = false;
        for (int tag : {18, 59, 110, 111, 126, 432, 2964, 9479})
            terms = terms || has(tag);
        if (!account_open && !terms)
            return;
        struct order_status order;
        if (!engine->find_order(engine->engine, m_member.session, m_submission->orig_clordid, &order))
            return;
        if (account_open && m_member.permits(order.account))
            m_account = order.account;
        bool same = (!has(59) || m_tif == order.tif) && same_flags(18, order, FLAG_POST_ONLY | FLAG_ALL_OR_NONE) &&
                    same_flags(9479, order, FLAG_SLIDE) && same_flags(2964, order, 7u << FLAG_SMP_SHIFT);
        if (!same || !same_amounts(order))
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
    }

    void write(enum command_kind kind, uint64_t price_ticks, uint64_t qty_lots, uint64_t aux, uint64_t detail = 0) {
        struct command *command = &m_submission->command;
        command->head = static_cast<uint64_t>(kind) | static_cast<uint64_t>(m_side) << 8 |
                        static_cast<uint64_t>(m_ord_type) << 16 | static_cast<uint64_t>(m_tif) << 24 |
                        static_cast<uint64_t>(m_flags) << 32 | static_cast<uint64_t>(m_reason) << 40 |
                        static_cast<uint64_t>(m_symbol) << 48;
        command->owner = m_account | static_cast<uint64_t>(m_member.session) << 32;
        command->price_ticks = price_ticks;
        command->qty_lots = qty_lots;
        command->aux = aux;
        command->order_id = detail; // of a NEW; of the others the engine's to write
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

    uint64_t not_negative(int tag) {
        std::string_view text = field(tag);
        uint64_t lots = quantity(tag, false);
        if (!text.empty() && text[0] == '-' && text.find_first_of("123456789") != std::string_view::npos)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        return lots;
    }

    uint64_t ticks(int tag, bool required) {
        std::string_view text = field(tag);
        if (text.data() == nullptr && required)
            refuse(REJECT_SESSION_UNSUPPORTED_VALUE);
        if (text.data() == nullptr || m_symbol == SYMBOL_NONE)
            return 0;
        const Instrument &instrument = m_terms.instruments[m_symbol];
        uint64_t found = 0;
        Parsed parsed = parse_count(text, instrument.price_scale, instrument.tick_units, PRICE_TICKS_MAX, &found);
        number_refused(parsed, REJECT_SESSION_PRICE_OFF_TICK, REJECT_SESSION_PRICE_OVERFLOW);
        return found;
    }

    bool same_flags(int tag, const struct order_status &order, unsigned mask) const {
        return !has(tag) || ((m_flags ^ order.order_flags) & mask) == 0;
    }

    // A replace may repeat the displayed quantity, MinQty and expiry, but changes none of them.
    bool same_amounts(const struct order_status &order) {
        bool stops = order.ord_type == ORD_STOP || order.ord_type == ORD_STOP_LIMIT, dates = order.tif == TIF_GTD;
        uint64_t shown = not_negative(111), min_lots = minimum();
        bool same = !has(111) || shown == (stops ? 0 : order.order_detail);
        same = same || (order.order_detail == 0 && shown == quantity(38, false));
        same = same && (!has(110) || min_lots == (dates ? 0 : order.order_aux));
        bool dated = has(126) || has(432);
        return same && (!dated || (dates && expiry(true, 0) == order.order_aux));
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
        if (text.size() >= CLORDID_BYTES || (tag == 11 && text[0] == QUOTE_MARK))
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
    request->ord_type();
    request->tif();
    request->instructions();
    request->slide();
    request->self_match();
    request->no_peg();
    uint64_t qty_lots = request->quantity(38, true);
    uint64_t min_lots = request->minimum();
    uint64_t price_ticks = request->price(false);
    uint64_t stop_ticks = request->stop(false);
    uint64_t shown_lots = request->display(qty_lots);
    uint64_t expiry_ns = request->expiry(false, min_lots);
    request->write(COMMAND_NEW, price_ticks, qty_lots, request->is_gtd() ? expiry_ns : min_lots,
                   request->is_stop() ? stop_ticks : shown_lots);
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
    request->ord_type();
    request->tif();
    request->instructions();
    request->slide();
    request->self_match();
    request->known(engine);
    request->no_peg();
    uint64_t qty_lots = request->quantity(38, true);
    uint64_t price_ticks = request->price(true);
    uint64_t stop_ticks = request->stop(true);
    request->write(COMMAND_REPLACE, price_ticks, qty_lots, stop_ticks);
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

std::string_view QuoteSide::field(int tag) const {
    switch (tag) {
    case 1:
        return account;
    case 18:
        return instructions;
    case 38:
        return size;
    case 40:
        return "2";
    case 44:
        return price;
    case 54:
        return side;
    case 55:
        return symbol;
    default:
        return {};
    }
}

void read_quote_side(const QuoteSide &fields, const Member &member, const Terms &terms, struct submission *submission) {
    Request<QuoteSide> request(fields, member, terms, submission);
    request.account();
    request.symbol();
    request.side();
    request.ord_type();
    request.tif();
    request.instructions();
    uint64_t qty_lots = request.quantity(38, true);
    uint64_t price_ticks = request.price(false);
    request.write(COMMAND_NEW, price_ticks, qty_lots, 0);
}

template void read_order(char, const MessageFields &, const Member &, const Terms &, const struct engine_api *,
                         struct submission *);
template void read_order(char, const HotOrder &, const Member &, const Terms &, const struct engine_api *,
                         struct submission *);

} // namespace venue
