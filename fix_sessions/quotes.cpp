#include "config.h"

#include "quotes.h"

#include "gateway.h"
#include "orders.h"
#include "reports.h"

#include <algorithm>
#include <cstring>

namespace venue {

namespace {

constexpr char SOH = 1;
constexpr size_t ENTRIES_MAX = 100, QUOTE_ID_BYTES_MAX = 20, ENTRY_ID_BYTES_MAX = 16;
constexpr int VALUE_TAGS[] = {55, 132, 133, 134, 135};
constexpr char SIDES[] = {'B', 'S'};
constexpr unsigned SEQ_BITS = 24;
constexpr int UNKNOWN_SYMBOL = 1, CLOSED = 2, EXCEEDS_LIMIT = 3, DUPLICATE = 6, NOT_AUTHORIZED = 9, OTHER = 99;
constexpr int CANCELLED_SYMBOLS = 1, CANCELLED_ALL = 4, REJECTED = 5, REMOVED = 6, NOT_FOUND = 9, CANCELLED = 17;
const std::string STOPPED_TEXT = "the venue takes no orders now; nothing was done";
const std::string KNOWN_TEXT = "QuoteID(117) was used before by this session, and this entry was refused then";

struct Name {
    char side = 0; // 0: it is no quote's
    std::string_view quote_id, entry_id;
};

Name parse_name(std::string_view clordid) {
    if (clordid.size() < 2 || clordid[0] != QUOTE_MARK || (clordid[1] != 'B' && clordid[1] != 'S'))
        return {};
    size_t mark = clordid.find(QUOTE_MARK, 2);
    if (mark == std::string_view::npos)
        return {};
    return {clordid[1], clordid.substr(2, mark - 2), clordid.substr(mark + 1)};
}

std::string compose_name(char side, std::string_view quote_id, std::string_view entry_id) {
    std::string name = {QUOTE_MARK, side};
    name += quote_id;
    name += QUOTE_MARK;
    return name += entry_id;
}

// Calls take(tag, value) for every field of a body.
template <class Take> void each_field(std::string_view body, Take take) {
    while (!body.empty()) {
        size_t stop = std::min(body.find(SOH), body.size()), equal = body.find('=');
        if (equal < stop) {
            int tag = 0;
            for (char c : body.substr(0, equal))
                tag = tag * 10 + (c - '0');
            take(tag, body.substr(equal + 1, stop - equal - 1));
        }
        body.remove_prefix(std::min(stop + 1, body.size()));
    }
}

void append(std::string *body, int tag, std::string_view value) {
    *body += std::to_string(tag);
    *body += '=';
    *body += value;
    *body += SOH;
}

void append_there(std::string *body, int tag, std::string_view value) {
    if (value.data() != nullptr)
        append(body, tag, value);
}

int value_place(int tag) {
    for (int i = 0; i < 5; i++)
        if (VALUE_TAGS[i] == tag)
            return i;
    return -1;
}

// The place of a side's price in the values; its size is two further on.
int price_place(char side) {
    return side == 'B' ? 1 : 2;
}

bool is_zero(std::string_view size) {
    bool digits = false;
    size_t points = 0;
    for (size_t i = size.substr(0, 1) == "-" ? 1 : 0; i < size.size(); i++) {
        if (size[i] != '0' && size[i] != '.')
            return false;
        digits = digits || size[i] == '0';
        points += size[i] == '.' ? 1 : 0;
    }
    return digits && points <= 1;
}

bool is_wanted(const QuoteEntry &entry, char side) {
    int place = price_place(side);
    return entry.values[place].data() != nullptr && entry.values[place + 2].data() != nullptr &&
           !is_zero(entry.values[place + 2]);
}

void refuse_entry(QuoteEntry *entry, int code, const std::string &text) { // the first refusal is the one that is told
    if (entry->text.empty()) {
        entry->code = code;
        entry->text = text;
    }
    entry->refused = true;
}

void read_entries(QuoteAnswer *answer) {
    std::string_view set_id("", 0);
    each_field(answer->body, [&](int tag, std::string_view value) {
        int place = value_place(tag);
        if (tag == 302) {
            set_id = value;
        } else if (tag == 299) {
            answer->entries.emplace_back();
            answer->entries.back().set_id = set_id;
            answer->entries.back().entry_id = value;
        } else if (place >= 0 && !answer->entries.empty() && answer->entries.back().values[place].data() == nullptr) {
            answer->entries.back().values[place] = value;
        }
    });
}

// The groups of b: entries that follow one another in one set stay together.
void append_groups(std::vector<std::pair<int, std::string>> *fields, const std::vector<const QuoteEntry *> &entries) {
    std::vector<size_t> starts;
    for (size_t i = 0; i < entries.size(); i++)
        if (i == 0 || entries[i]->set_id != entries[i - 1]->set_id)
            starts.push_back(i);
    if (starts.empty())
        return;
    fields->emplace_back(296, std::to_string(starts.size()));
    starts.push_back(entries.size());
    for (size_t run = 0; run + 1 < starts.size(); run++) {
        std::string count = std::to_string(starts[run + 1] - starts[run]);
        fields->emplace_back(302, entries[starts[run]]->set_id);
        fields->emplace_back(304, count);
        fields->emplace_back(295, count);
        for (size_t i = starts[run]; i < starts[run + 1]; i++) {
            const QuoteEntry &entry = *entries[i];
            fields->emplace_back(299, entry.entry_id);
            for (int place = 0; place < 5; place++)
                if (entry.values[place].data() != nullptr)
                    fields->emplace_back(VALUE_TAGS[place], entry.values[place]);
            if (entry.refused) {
                fields->emplace_back(368, std::to_string(entry.code));
                fields->emplace_back(58, entry.text);
            }
        }
    }
}

bool is_open(const struct order_status &order) {
    return order.status == '0' || order.status == '1';
}

// Whether a replace leads from an order to what is wanted now.
bool continues(const struct order_status &order, const struct command &command) {
    bool same = order.symbol == command.head >> 48 && order.account == (command.owner & 0xffffffff);
    return same && ((command.head >> 32 ^ order.order_flags) & FLAG_POST_ONLY) == 0;
}

} // namespace

// ---- the book --------------------------------------------------------------------------------------------------------

void Quotes::add(uint16_t session, const std::string &name) {
    take_up(session, name);
}

void Quotes::take_up(uint16_t session, const std::string &name) {
    Name parsed = parse_name(name);
    Book &book = m_books[session];
    Key key(std::string(parsed.entry_id), parsed.side);
    auto [at, is_new] = book.places.try_emplace(key, book.next);
    book.next += is_new ? 1 : 0;
    book.names[at->second] = {key, name};
    Live live;
    find(session, parsed.entry_id, parsed.side, &live); // which forgets it when it is not open
}

void Quotes::drop(uint16_t session, std::string_view name) {
    Name parsed = parse_name(name);
    Book &book = m_books[session];
    auto at = book.places.find({std::string(parsed.entry_id), parsed.side});
    if (parsed.side == 0 || at == book.places.end() || book.names[at->second].second != name)
        return;
    book.names.erase(at->second);
    book.places.erase(at);
}

bool Quotes::find(uint16_t session, std::string_view entry_id, char side, Live *live) {
    Book &book = m_books[session];
    auto at = book.places.find({std::string(entry_id), side});
    if (at == book.places.end())
        return false;
    live->name = book.names[at->second].second;
    bool found = m_engine.find_order(m_engine.engine, session, live->name.c_str(), &live->order) != 0;
    if (found && is_open(live->order) && live->name == live->order.clordid)
        return true;
    book.names.erase(at->second);
    book.places.erase(at);
    return false;
}

std::vector<std::pair<Quotes::Key, Quotes::Live>> Quotes::all(uint16_t session) {
    std::vector<std::pair<Key, Live>> found;
    std::vector<Key> keys;
    for (const auto &[place, named] : m_books[session].names)
        keys.push_back(named.first);
    for (const Key &key : keys) {
        Live live;
        if (find(session, key.first, key.second, &live))
            found.emplace_back(key, live);
    }
    return found;
}

// ---- messages ----------------------------------------------------------------------------------------------------------

void Quotes::serve(Party *party, const std::string &body, const std::string &number, bool poss_dup) {
    Message message{party, std::make_shared<QuoteAnswer>(), number, "", {}, {}, {}, poss_dup};
    QuoteAnswer &answer = *message.answer;
    answer.session = party->member.session;
    answer.body = body;
    std::string_view level, kind, request_id;
    bool reset = false;
    each_field(answer.body, [&](int tag, std::string_view value) {
        auto first = [&](std::string_view *target) {
            if (target->data() == nullptr)
                *target = value;
        };
        if (tag == 453 || tag == 448 || tag == 447 || tag == 452 || tag == 2376)
            append(&message.parties, tag, value);
        else if (tag == 1)
            first(&message.account);
        else if (tag == 18)
            first(&message.instructions);
        else if (tag == 117)
            first(&message.quote_id);
        else if (tag == 131)
            first(&request_id);
        else if (tag == 298)
            first(&kind);
        else if (tag == 301)
            first(&level);
        else if (tag == 9773)
            reset = value == "Y";
    });
    if (answer.body[3] == 'i' && message.account.data() != nullptr)
        answer.head.emplace_back(1, message.account);
    answer.head.emplace_back(117, message.quote_id);
    if (request_id.data() != nullptr)
        answer.head.emplace_back(131, request_id);
    if (level.data() != nullptr)
        answer.head.emplace_back(301, level);
    if (answer.body[3] == 'Z') {
        answer.level = level.empty() ? '2' : level[0];
        return quote_cancel(&message, kind, reset);
    }
    if (message.quote_id.size() > QUOTE_ID_BYTES_MAX || message.quote_id.empty() ||
        message.quote_id.find(QUOTE_MARK) != std::string_view::npos)
        throw FIX::IncorrectTagValue(117);
    answer.level = level.empty() ? '0' : level[0];
    read_entries(&answer);
    if (answer.entries.size() > ENTRIES_MAX)
        return refuse(message.answer, EXCEEDS_LIMIT,
                      "a MassQuote takes at most " + std::to_string(ENTRIES_MAX) + " entries; nothing was done");
    if (reset) {
        std::vector<std::string_view> symbols;
        for (const QuoteEntry &entry : answer.entries)
            symbols.push_back(entry.values[0]);
        this->reset(answer.session, &symbols);
    }
    mass_quote(&message);
}

void Quotes::mass_quote(Message *message) {
    QuoteAnswer &answer = *message->answer;
    for (size_t i = 0; i < answer.entries.size(); i++)
        entry(*message, static_cast<int>(i));
    if (answer.stopped)
        refuse_stopped(*message, 'i');
    if (answer.waiting == 0)
        tell(&answer);
}

void Quotes::refuse_stopped(const Message &message, char type) {
    m_gateway.send(message.answer->session, "j",
                   {{45, message.number},
                    {58, STOPPED_TEXT},
                    {372, std::string(1, type)},
                    {379, std::string(message.quote_id)},
                    {380, "4"}},
                   0, false);
}

// One entry: what is not wanted any more first, then its sides in the order in which they do not meet.
void Quotes::entry(const Message &message, int index) {
    const std::shared_ptr<QuoteAnswer> &answer = message.answer;
    QuoteEntry &entry = answer->entries[static_cast<size_t>(index)];
    if (entry.entry_id.empty() || entry.entry_id.size() > ENTRY_ID_BYTES_MAX)
        return refuse_entry(&entry, OTHER, "QuoteEntryID(299) must have 1 to 16 characters");
    auto symbol = m_terms.symbols.find(entry.values[0]);
    if (symbol != m_terms.symbols.end() && protection(answer->session, symbol->second).tripped())
        refuse_entry(&entry, NOT_AUTHORIZED, closed_text(answer->session, symbol->second));
    struct submission submissions[2];
    Live live[2];
    bool wanted[2], there[2];
    for (int i = 0; i < 2; i++) {
        int place = price_place(SIDES[i]);
        wanted[i] = !entry.refused && is_wanted(entry, SIDES[i]);
        if (wanted[i])
            read_quote_side({message.account, message.instructions, entry.values[0], i == 0 ? "1" : "2",
                             entry.values[place], entry.values[place + 2]},
                            message.party->member, m_terms, &submissions[i]);
    }
    for (int i = 0; i < 2; i++)
        there[i] = find(answer->session, entry.entry_id, SIDES[i], &live[i]);
    for (int i = 0; i < 2; i++) {
        if (!there[i] || (wanted[i] && continues(live[i].order, submissions[i].command)))
            continue;
        pull(answer, live[i], &entry);
        there[i] = false;
    }
    bool meets = wanted[0] && there[1] && submissions[0].command.price_ticks >= live[1].order.price_ticks;
    for (int step = 0; step < 2; step++) {
        int i = meets ? 1 - step : step;
        if (wanted[i] && !place(message, index, &submissions[i], there[i] ? &live[i] : nullptr))
            return pull_entry(answer, &entry);
    }
}

bool Quotes::submit(const struct submission &submission, uint64_t *seq, enum submit_status *status) {
    *status = m_gateway.submit(submission, seq);
    return *status == SUBMIT_OK;
}

// Enters or replaces one side; false when it was refused.
bool Quotes::place(const Message &message, int index, struct submission *submission, const Live *old) {
    const std::shared_ptr<QuoteAnswer> &answer = message.answer;
    QuoteEntry &entry = answer->entries[static_cast<size_t>(index)];
    struct command &command = submission->command;
    char side = (command.head >> 8 & 0xff) == SIDE_BUY ? 'B' : 'S';
    std::string name = compose_name(side, message.quote_id, entry.entry_id), body = "35=i\001";
    memcpy(submission->clordid, name.data(), name.size());
    append(&body, 11, name);
    if (old != nullptr) {
        command.head = (command.head & ~uint64_t{0xff}) | COMMAND_REPLACE;
        // A size is what is to be open; OrderQty has what is filled in it, and what of that was busted later.
        command.qty_lots += old->order.order_qty_lots - old->order.leaves_lots;
        memcpy(submission->orig_clordid, old->name.data(), old->name.size());
        append(&body, 41, old->name);
    } else if (command.head >> 48 != SYMBOL_NONE) {
        message.party->books.insert(command.head >> 48 << 32 | (command.owner & 0xffffffff));
    }
    int price = price_place(side);
    append_there(&body, 1, message.account);
    append_there(&body, 18, message.instructions);
    append(&body, 117, message.quote_id);
    append(&body, 302, entry.set_id);
    append(&body, 299, entry.entry_id);
    for (int value : {0, price, price + 2})
        append_there(&body, VALUE_TAGS[value], entry.values[value]);
    body += message.parties;
    submission->body = reinterpret_cast<const uint8_t *>(body.data());
    submission->body_bytes = static_cast<uint32_t>(body.size());
    submission->flags = message.poss_dup ? SUBMIT_POSS_DUP : 0;
    uint64_t seq = 0;
    enum submit_status status;
    if (submit(*submission, &seq, &status)) {
        answer->waiting++;
        m_awaited[seq] = {answer, index};
    } else if (status == SUBMIT_STOPPED) {
        answer->stopped = true;
        refuse_entry(&entry, CLOSED, STOPPED_TEXT);
        return false;
    }
    struct order_status order;
    bool found = m_engine.find_order(m_engine.engine, answer->session, name.c_str(), &order) != 0;
    bool done = status == SUBMIT_KNOWN || (found && order.last_exec_id >> SEQ_BITS >= seq);
    if (!found || order.status == '8' || !done) {
        if (status == SUBMIT_KNOWN)
            refuse_entry(&entry, DUPLICATE, KNOWN_TEXT);
        entry.refused = true; // why, its report says
        return false;
    }
    if (status == SUBMIT_OK)
        take_up(answer->session, name);
    return true;
}

void Quotes::pull_entry(const std::shared_ptr<QuoteAnswer> &answer, QuoteEntry *entry) {
    for (char side : SIDES) {
        Live live;
        if (find(answer->session, entry->entry_id, side, &live))
            pull(answer, live, entry);
    }
}

// Cancels the order of a quote; its cancel has no name of its own.
void Quotes::pull(const std::shared_ptr<QuoteAnswer> &answer, const Live &live, QuoteEntry *entry) {
    struct submission submission;
    memset(&submission, 0, sizeof submission);
    const struct order_status &order = live.order;
    submission.command.head =
        uint64_t{COMMAND_CANCEL} | uint64_t{order.side} << 8 | static_cast<uint64_t>(order.symbol) << 48;
    submission.command.owner = order.account | static_cast<uint64_t>(answer->session) << 32;
    memcpy(submission.orig_clordid, live.name.data(), live.name.size());
    std::string body = "35=i\001";
    append(&body, 41, live.name);
    append(&body, 299, parse_name(live.name).entry_id);
    for (const auto &[tag, value] : answer->head)
        if (tag == 117)
            append(&body, tag, value);
    submission.body = reinterpret_cast<const uint8_t *>(body.data());
    submission.body_bytes = static_cast<uint32_t>(body.size());
    uint64_t seq = 0;
    enum submit_status status;
    if (submit(submission, &seq, &status)) {
        answer->waiting++;
        answer->pulled++;
        m_awaited[seq] = {answer, -1};
        drop(answer->session, live.name);
    } else if (status == SUBMIT_STOPPED) {
        answer->stopped = true;
        if (entry != nullptr)
            refuse_entry(entry, CLOSED, STOPPED_TEXT);
    }
}

void Quotes::quote_cancel(Message *message, std::string_view kind, bool reset) {
    const std::shared_ptr<QuoteAnswer> &answer = message->answer;
    std::vector<std::string_view> symbols, entry_ids;
    each_field(answer->body, [&](int tag, std::string_view value) {
        if (tag == 55)
            symbols.push_back(value);
        else if (tag == 299 && !symbols.empty())
            entry_ids.push_back(value);
    });
    std::vector<std::string_view> sorted = symbols;
    std::sort(sorted.begin(), sorted.end());
    for (std::string_view symbol : sorted)
        if (m_terms.symbols.find(symbol) == m_terms.symbols.end())
            return refuse(answer, UNKNOWN_SYMBOL,
                          "Symbol(55) " + std::string(symbol) + " is not traded here; nothing was done");
    if (kind == "1" && symbols.empty())
        return refuse(answer, OTHER,
                      "QuoteCancelType(298) 1 needs the symbols in NoQuoteEntries(295); nothing was done");
    auto has = [](const std::vector<std::string_view> &values, std::string_view value) {
        return std::find(values.begin(), values.end(), value) != values.end();
    };
    for (const auto &[key, live] : all(answer->session)) {
        if (kind == "1" && !has(symbols, m_terms.instruments[live.order.symbol].symbol))
            continue;
        bool named =
            entry_ids.empty() ? parse_name(live.name).quote_id == message->quote_id : has(entry_ids, key.first);
        if (kind == "5" && !named)
            continue;
        pull(answer, live, nullptr);
    }
    if (reset)
        this->reset(answer->session, kind == "4" ? nullptr : &symbols);
    answer->status = kind == "1" ? CANCELLED_SYMBOLS : kind == "4" ? CANCELLED_ALL : CANCELLED;
    answer->text = std::to_string(answer->pulled) + " orders of quotes were pulled";
    if (kind == "5" && answer->pulled == 0) {
        answer->status = NOT_FOUND;
        answer->text = "no quote of that name is in the book";
    }
    if (answer->stopped)
        refuse_stopped(*message, 'Z');
    else if (answer->waiting == 0)
        tell(answer.get());
}

// ---- reports -----------------------------------------------------------------------------------------------------------

void Quotes::on_report(const struct report &report, bool poss_resend) {
    unsigned kind = report.event.head & 0xff, reason = report.event.head >> 8 & 0xff;
    auto awaited = m_awaited.find(report.event.exec_id >> SEQ_BITS);
    if (awaited != m_awaited.end()) { // the command's first event: what became of it
        auto [answer, index] = awaited->second;
        m_awaited.erase(awaited);
        if (index >= 0 && (kind == EVENT_REJECTED || kind == EVENT_CANCEL_REJECTED))
            refuse_entry(&answer->entries[static_cast<size_t>(index)], m_terms.quote_codes[reason],
                         m_terms.text(report.symbol, reason));
        if (--answer->waiting == 0)
            m_ready.push_back(answer);
    }
    bool is_own = report.clordid[0] == QUOTE_MARK;
    std::string_view name = is_own ? report.clordid : report.orig_clordid;
    Name parsed = parse_name(name);
    if (parsed.side == 0 || m_books.count(report.session) == 0)
        return;
    bool done = kind == EVENT_FILL || kind == EVENT_CANCELLED || kind == EVENT_EXPIRED;
    if ((done && report.event.leaves_lots == 0) || (kind == EVENT_REPLACED && !is_own))
        drop(report.session, name);
    if (kind == EVENT_FILL && !poss_resend)
        traded(report, parsed.side == 'B');
}

void Quotes::on_round() {
    std::vector<std::shared_ptr<QuoteAnswer>> ready;
    ready.swap(m_ready);
    for (const auto &answer : ready)
        tell(answer.get());
}

// ---- protection ----------------------------------------------------------------------------------------------------------

Protection &Quotes::protection(uint16_t session, uint16_t symbol) {
    auto found = m_protections.find({session, symbol});
    if (found != m_protections.end())
        return found->second;
    const std::vector<ProtectionLimits> &limits = m_gateway.party(session)->member.protections;
    ProtectionLimits own = symbol < limits.size() ? limits[symbol] : ProtectionLimits();
    return m_protections.emplace(std::pair{session, symbol}, Protection(own)).first->second;
}

void Quotes::traded(const struct report &report, bool buy) {
    uint16_t session = report.session, symbol = report.symbol;
    if (!protection(session, symbol).trade(report.time_ns, report.event.qty_lots, buy))
        return;
    auto answer = std::make_shared<QuoteAnswer>();
    answer->session = session;
    answer->head = {{9775, "F"}};
    answer->status = REMOVED;
    answer->text = closed_text(session, symbol);
    std::vector<std::pair<Key, Live>> quotes = all(session);
    std::vector<std::string> ids;
    for (const auto &[key, live] : quotes) {
        if (live.order.symbol != symbol)
            continue;
        if (std::find(ids.begin(), ids.end(), key.first) == ids.end())
            ids.push_back(key.first);
        pull(answer, live, nullptr);
    }
    for (const std::string &id : ids) // entries keep views: into the body, which does not move any more
        answer->body += id;
    size_t at = 0;
    for (const std::string &id : ids) {
        QuoteEntry entry;
        entry.set_id = "0";
        entry.entry_id = std::string_view(answer->body).substr(at, id.size());
        entry.values[0] = m_terms.instruments[symbol].symbol;
        at += id.size();
        answer->entries.push_back(entry);
    }
    if (answer->waiting == 0)
        m_ready.push_back(answer);
}

std::string Quotes::closed_text(uint16_t session, uint16_t symbol) {
    static const char *const names[] = {"quantity", "delta", "trades"};
    const Protection &what = protection(session, symbol);
    int limit = what.breach();
    std::string text = "market-maker protection";
    if (limit >= 0)
        text += std::string(": ") + names[limit] + " of " + m_gateway.party(session)->member.protection_texts[limit] +
                " reached";
    text += " in " + m_terms.instruments[symbol].symbol + " within " +
            std::to_string(what.limits().window_ns / 1000000) + " ms: all its quotes were pulled";
    return text + "; MMProtectionReset(9773)=Y takes it off";
}

// The maker's word that it goes on; null: in every instrument.
void Quotes::reset(uint16_t session, const std::vector<std::string_view> *symbols) {
    for (auto &[scope, protection] : m_protections) {
        const std::string &symbol = m_terms.instruments[scope.second].symbol;
        bool named = symbols == nullptr || std::find(symbols->begin(), symbols->end(), symbol) != symbols->end();
        if (scope.first == session && named)
            protection.reset();
    }
}

// ---- b ---------------------------------------------------------------------------------------------------------------------

void Quotes::refuse(const std::shared_ptr<QuoteAnswer> &answer, int code, const std::string &text) {
    answer->status = REJECTED;
    answer->text = text;
    answer->entries.clear();
    answer->head.emplace_back(300, std::to_string(code));
    tell(answer.get());
}

// The acknowledgement, as QuoteResponseLevel wants it: none, of what was refused, or of everything.
void Quotes::tell(QuoteAnswer *answer) {
    std::vector<const QuoteEntry *> refused, shown;
    for (const QuoteEntry &entry : answer->entries) {
        if (entry.refused)
            refused.push_back(&entry);
        if (entry.refused || answer->level != '1')
            shown.push_back(&entry);
    }
    bool wrong = !refused.empty() || answer->status == REJECTED;
    if (answer->level != '2' && (answer->level != '1' || !wrong))
        return;
    if (answer->status == 0 && !refused.empty() && refused.size() == answer->entries.size()) {
        answer->status = REJECTED;
        answer->head.emplace_back(300, std::to_string(refused[0]->code));
    }
    std::vector<std::pair<int, std::string>> fields = answer->head;
    fields.emplace_back(297, std::to_string(answer->status));
    if (!answer->text.empty())
        fields.emplace_back(58, answer->text);
    std::sort(fields.begin(), fields.end());
    append_groups(&fields, shown);
    m_gateway.send(answer->session, "b", fields, 0, false);
}

} // namespace venue
