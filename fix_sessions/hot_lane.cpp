#include "config.h"

#include "hot_lane.h"
#include "terms.h"

#include <cstdlib>
#include <cstring>

namespace venue {

namespace {

constexpr char SOH = 1;
constexpr char TYPES[] = "DFG";
constexpr size_t DECIMAL_BYTES_MAX = 30;
constexpr size_t NAME_BYTES_MAX = 39;      // of ClOrdID(11) and OrigClOrdID(41): what a record holds
constexpr int64_t TIME_SECONDS_MAX = 115;  // QuickFIX takes 120; the clock is read once a turn

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool all_digits(const char *at, size_t count) {
    bool good = true;
    for (size_t i = 0; i < count; i++)
        good = good && is_digit(at[i]);
    return good;
}

int pair_at(const char *at) {
    return (at[0] - '0') * 10 + (at[1] - '0');
}

bool is_text(std::string_view value) {
    bool good = true;
    for (char c : value)
        good = good && c >= ' ' && c <= '~';
    return good;
}

bool is_decimal(std::string_view value) {
    size_t at = 0;
    while (at < value.size() && is_digit(value[at]))
        at++;
    if (at == 0 || value.size() > DECIMAL_BYTES_MAX)
        return false;
    return at == value.size() ||
           (value[at] == '.' && at + 1 < value.size() && all_digits(value.data() + at + 1, value.size() - at - 1));
}

bool is_time(std::string_view value) {
    size_t bytes = value.size();
    const char *at = value.data();
    if (bytes != 17 && bytes != 21 && bytes != 24 && bytes != 27)
        return false;
    if (!all_digits(at, 8) || at[8] != '-' || !all_digits(at + 9, 2) || at[11] != ':' || !all_digits(at + 12, 2) ||
        at[14] != ':' || !all_digits(at + 15, 2))
        return false;
    if (bytes > 17 && (at[17] != '.' || !all_digits(at + 18, bytes - 18)))
        return false;
    int century = pair_at(at), month = pair_at(at + 4), day = pair_at(at + 6);
    return (century == 19 || century == 20) && month >= 1 && month <= 12 && day >= 1 && day <= 28 + 3 * (month != 2) &&
           pair_at(at + 9) <= 23 && pair_at(at + 12) <= 59 && pair_at(at + 15) <= 59;
}

bool is_good(const HotRule &rule, std::string_view value) {
    switch (rule.kind) {
    case HotRule::Text:
        return is_text(value);
    case HotRule::Character:
        return value.size() == 1 && rule.values[static_cast<unsigned char>(value[0])];
    case HotRule::Decimal:
        return is_decimal(value);
    case HotRule::Time:
        return is_time(value);
    }
    return false;
}

// False: fields of this tag are left to QuickFIX.
bool make_rule(const FIX::DataDictionary &dictionary, const std::string &type, int tag, HotRule *rule) {
    bool own = dictionary.isMsgField(type, tag) && !dictionary.isGroup(type, tag) && !dictionary.isHeaderField(tag) &&
               !dictionary.isTrailerField(tag) && dictionary.isField(tag);
    FIX::TYPE::Type kind;
    if (!own || !dictionary.getFieldType(tag, kind))
        return false;
    for (int other : ALGORITHM_TAGS)
        if (tag == other)
            return false;
    bool listed = dictionary.hasFieldValue(tag);
    for (unsigned c = ' '; c <= '~'; c++)
        rule->values[c] = !listed || dictionary.isFieldValue(tag, std::string(1, static_cast<char>(c)));
    if (tag == 40) // pegged orders are not served natively
        rule->values['P'] = false;
    switch (kind) {
    case FIX::TYPE::String:
        rule->kind = HotRule::Text;
        return !listed;
    case FIX::TYPE::Char:
        rule->kind = HotRule::Character;
        return true;
    case FIX::TYPE::MultipleValueString: // a single value; more of them are left to QuickFIX
        rule->kind = HotRule::Character;
        return listed;
    case FIX::TYPE::Price:
    case FIX::TYPE::Qty:
        rule->kind = HotRule::Decimal;
        return !listed;
    case FIX::TYPE::UtcTimeStamp:
        rule->kind = HotRule::Time;
        return !listed;
    default:
        return false;
    }
}

HotType make_type(const FIX::DataDictionary &dictionary, const std::string &type) {
    HotType made;
    made.taken = true;
    for (unsigned tag = 1; tag <= HOT_TAG_MAX; tag++) {
        bool required = dictionary.isRequiredField(type, static_cast<int>(tag));
        HotRule rule;
        bool good = made.rules.size() < HOT_FIELDS_MAX && make_rule(dictionary, type, static_cast<int>(tag), &rule);
        made.taken = made.taken && (good || !required);
        if (!good)
            continue;
        made.required |= required ? uint64_t{1} << made.rules.size() : 0;
        made.rules.push_back(rule);
        made.places[tag] = static_cast<uint8_t>(made.rules.size());
    }
    return made;
}

} // namespace

HotLane::HotLane(const FIX::DataDictionary &dictionary) {
    for (size_t i = 0; i < 3; i++)
        m_types[i] = make_type(dictionary, std::string(1, TYPES[i]));
}

bool HotLane::read(const Frame &frame, HotOrder *order) const {
    const char *which = frame.type.size() == 1 ? strchr(TYPES, frame.type[0]) : nullptr;
    if (frame.kind != Frame::Good || !frame.plain || which == nullptr || *which == 0)
        return false;
    const HotType &type = m_types[which - TYPES];
    order->m_type = &type;
    order->m_there = 0;
    const char *at = frame.data + frame.body, *end = frame.data + frame.trailer;
    while (at < end) {
        unsigned tag = 0;
        for (const char *first = at; is_digit(*at) && tag <= HOT_TAG_MAX; at++) {
            if (*first == '0')
                return false;
            tag = tag * 10 + static_cast<unsigned>(*at - '0');
        }
        if (*at != '=' || tag == 0 || tag > HOT_TAG_MAX)
            return false;
        const char *value = ++at, *stop = static_cast<const char *>(memchr(at, SOH, static_cast<size_t>(end - at)));
        unsigned place = type.places[tag];
        if (stop == nullptr || stop == value || place == 0 || (order->m_there >> (place - 1) & 1) != 0)
            return false;
        std::string_view text(value, static_cast<size_t>(stop - value));
        if (!is_good(type.rules[place - 1], text) || ((tag == 11 || tag == 41) && text.size() > NAME_BYTES_MAX) ||
            (tag == 11 && text[0] == QUOTE_MARK))
            return false;
        order->m_there |= uint64_t{1} << (place - 1);
        order->m_values[place - 1] = text;
        at = stop + 1;
    }
    return type.taken && (type.required & ~order->m_there) == 0;
}

bool HotLane::is_near(std::string_view time, std::string_view day_text, int64_t second) {
    if (!is_time(time) || time.substr(0, day_text.size()) != day_text)
        return false;
    const char *at = time.data();
    return std::abs(pair_at(at + 9) * 3600 + pair_at(at + 12) * 60 + pair_at(at + 15) - second) <= TIME_SECONDS_MAX;
}

} // namespace venue
