// The native application: QuickFIX's callbacks. D, F and G go to the engine from here without Python; everything else,
// and those too when Python is to serve them, is handed on.
#include "config.h"

#include "gateway.h"
#include "orders.h"
#include "parties.h"

#include <cstring>

namespace venue {

namespace {

// FIX 4.4's application messages: known to the protocol, so that one which is not served here is a business matter.
bool is_fix_type(const std::string &type) {
    static const std::set<std::string> types = [] {
        std::set<std::string> all;
        for (char c : std::string("6789BCDEFGHJKLMNPQRSTVWXYZabcdefghijklmnopqrstuvwxyz"))
            all.insert(std::string(1, c));
        for (char c = 'A'; c <= 'Z'; c++)
            all.insert(std::string("A") + c);
        for (char c = 'A'; c <= 'H'; c++)
            all.insert(std::string("B") + c);
        return all;
    }();
    return types.count(type) != 0;
}

bool is_yes(const FIX::FieldMap &header, int tag) {
    return header.isSetField(tag) && header.getField(tag) == "Y";
}

std::string value_of(const FIX::FieldMap &map, int tag) {
    return map.isSetField(tag) ? map.getField(tag) : "";
}

// A pegged order's price is found in Python; once it is there, it is an order like any other. What an execution algorithm
// is given stays there, and what names such a parent later.
bool is_native(const FIX::Message &message, const Party *party) {
    for (int tag : ALGORITHM_TAGS)
        if (message.isSetField(tag))
            return false;
    return value_of(message, 40) != "P" &&
           (party->parents.empty() || !party->names_parent(value_of(message, 11), value_of(message, 41)));
}

// The first field of the body that has no value, 0 for none: QuickFIX does not look into repeating groups for them.
int tag_without_value(const std::string &body) {
    size_t at = body.find("=\001");
    if (at == std::string::npos)
        return 0;
    size_t start = body.rfind('\001', at);
    return atoi(body.c_str() + (start == std::string::npos ? 0 : start + 1));
}

} // namespace

void Gateway::onLogon(const FIX::SessionID &) {
    Party *party = m_current;
    party->connection->was_in = true;
    if (party->logged_on.exchange(true)) // it has begun its numbers anew, and goes on
        return;
    m_counters.logons++;
    m_callbacks.on_session(m_callbacks.context, party->member.session, 1, party->connection->peer.c_str());
}

void Gateway::onLogout(const FIX::SessionID &id) {
    Party *party = m_by_comp_id.at(id.getTargetCompID().getString());
    if (party->logged_on.exchange(false))
        m_departed.push_back(party);
}

void Gateway::fromApp(const FIX::Message &message, const FIX::SessionID &) {
    Party *party = m_current;
    const std::string &type = message.getHeader().getField(35);
    for (int tag : {115, 116}) // the venue's copies have them; from a member they would change who asks
        if (message.getHeader().isSetField(tag))
            throw FIX::TagNotDefinedForMessage(tag);
    std::string body = body_of(message);
    if (int tag = tag_without_value(body))
        throw FIX::NoTagValue(tag);
    if (m_settings.native && type.size() == 1 && (type[0] == 'D' || type[0] == 'F' || type[0] == 'G') &&
        is_native(message, party))
        return serve_order(message, party, type[0]);
    const FIX::Header &header = message.getHeader();
    uint64_t number = std::stoull(header.getField(34));
    int poss_dup = is_yes(header, 43) || is_yes(header, 97) ? 1 : 0;
    if (m_settings.native && (type == "i" || type == "Z"))
        return m_quotes.serve(party, body, header.getField(34), poss_dup != 0);
    int refused =
        m_callbacks.on_message(m_callbacks.context, party->member.session, number, body.data(), body.size(), poss_dup);
    if (refused > 0)
        throw FIX::IncorrectTagValue(refused);
}

void Gateway::serve_order(const FIX::Message &message, Party *party, char type) {
    struct submission submission;
    read_order(type, MessageFields(message), party->member, m_terms, m_engine, &submission);
    const FIX::Header &header = message.getHeader();
    submission.flags = is_yes(header, 43) || is_yes(header, 97) ? SUBMIT_POSS_DUP : 0;
    std::string body = body_of(message), fault = party_fault(body);
    if (!fault.empty())
        return reject_business(party, header.getField(34), value_of(message, 11), type, "0", fault);
    enum submit_status status = submit_order(&submission, party, body);
    refuse_order(party, status, header.getField(34), value_of(message, 11), type);
}

// What Session::next does with a message that it has nothing to say about, and fromApp after it. False: it might have.
bool Gateway::take_hot(Party *party) {
    FIX::SessionState &state = *party->state;
    bool expected = m_frame.plain && m_frame.number == party->store->getNextTargetMsgSeqNum();
    if (!expected || m_frame.number <= party->early || !m_settings.native || !m_settings.hot_lane)
        return false;
    bool in_order = state.receivedLogon() && state.sentLogon() && state.enabled() && !state.sentLogout() &&
                    !state.receivedReset() && !state.sentReset() && !state.resendRequested();
    bool named = m_frame.sender == party->member.comp_id && m_frame.target == m_settings.comp_id;
    std::string_view time(m_frame.data + m_frame.time, m_frame.time_bytes);
    if (!in_order || !named || !HotLane::is_near(time, m_turn_text, m_turn_second) ||
        !m_hot_lane->read(m_frame, &m_order))
        return false;
    if (!party->parents.empty() && party->names_parent(m_order.field(11), m_order.field(41)))
        return false;
    m_counters.messages_hot++;
    m_current = party;
    state.lastReceivedTime(m_turn_time);
    state.testRequest(0);
    struct submission submission;
    char type = m_frame.type[0];
    read_order(type, m_order, party->member, m_terms, m_engine, &submission);
    m_annex.assign("35=?\001");
    m_annex[3] = type;
    m_annex.append(m_frame.data + m_frame.body, m_frame.trailer - m_frame.body);
    enum submit_status status = submit_order(&submission, party, m_annex);
    if (status != SUBMIT_OK && status != SUBMIT_KNOWN)
        protect(party, [&] { refuse_order(party, status, std::to_string(m_frame.number), m_order.field(11), type); });
    party->store->incrNextTargetMsgSeqNum();
    m_current = nullptr;
    if (!m_own_reports.empty())
        take_reports();
    return true;
}

enum submit_status Gateway::submit_order(struct submission *submission, Party *party, const std::string &body) {
    submission->body = reinterpret_cast<const uint8_t *>(body.data());
    submission->body_bytes = static_cast<uint32_t>(body.size());
    uint64_t head = submission->command.head;
    if ((head & 0xff) == COMMAND_NEW && head >> 48 != SYMBOL_NONE)
        party->books.insert(head >> 48 << 32 | (submission->command.owner & 0xffffffff));
    uint64_t seq;
    return submit(*submission, &seq);
}

void Gateway::refuse_order(Party *party, enum submit_status status, const std::string &number, std::string_view clordid,
                           char type) {
    if (status == SUBMIT_OK || status == SUBMIT_KNOWN)
        return;
    bool stopped = status == SUBMIT_STOPPED;
    reject_business(party, number, clordid, type, stopped ? "4" : "0",
                    stopped ? "the venue takes no orders now; nothing was done"
                            : "the message's body is longer than 4080 bytes; nothing was done");
}

void Gateway::reject_business(Party *party, const std::string &number, std::string_view clordid, char type,
                              const std::string &code, const std::string &text) {
    std::vector<std::pair<int, std::string>> fields = {{45, number}, {58, text}, {372, std::string(1, type)}};
    if (!clordid.empty())
        fields.emplace_back(379, clordid);
    fields.emplace_back(380, code);
    send(party->member.session, "j", fields, 0, false);
}

// `35=` and the body's fields as they were received: from the bytes that are handled now, unless QuickFIX had kept the
// message until a gap was filled.
std::string Gateway::body_of(const FIX::Message &message) const {
    uint64_t number = std::stoull(message.getHeader().getField(34));
    Frame again;
    std::string text;
    const Frame *frame = &m_frame;
    if (number != m_frame.number || m_frame.type != message.getHeader().getField(35)) {
        text = message.toString();
        read_frame(text.data(), text.size(), &again);
        frame = &again;
    }
    std::string body = "35=" + frame->type + "\001";
    return body.append(frame->data + frame->body, frame->trailer - frame->body);
}

// ---- what QuickFIX says by itself --------------------------------------------------------------------------------------

void Gateway::toAdmin(FIX::Message &message, const FIX::SessionID &id) {
    const std::string &type = message.getHeader().getField(35);
    if (type == "A" && m_current != nullptr && m_current->connection != nullptr &&
        !m_current->connection->session_status.empty())
        message.setField(FIX::FieldBase(1409, m_current->connection->session_status));
    Party *party = m_by_comp_id.at(id.getTargetCompID().getString());
    if (type == "5") { // one that follows a Reject has its text
        if (message.isSetField(58))
            party->text = message.getField(58);
        else if (!party->text.empty())
            message.setField(FIX::FieldBase(58, party->text));
        return;
    }
    if (type != "3")
        return;
    m_counters.rejects++;
    std::string code = value_of(message, 373);
    if (code == "11" && is_fix_type(value_of(message, 372)))
        return refuse_type(message, value_of(message, 372));
    bool below = code == "5" && value_of(message, 372) == "4" && !message.isSetField(371);
    if (below)
        message.setField(FIX::FieldBase(371, "36"));
    if (below)
        message.setField(FIX::FieldBase(58, "NewSeqNo(36) is below the MsgSeqNum(34) that is expected, " +
                                                std::to_string(party->session->getExpectedTargetNum())));
    else if (!code.empty() && code != "99" && !m_worded)
        message.setField(FIX::FieldBase(58, reject_text(message, atoi(code.c_str()))));
    if (code == "9" || code == "10") // the session ends with it
        party->text = message.getField(58);
}

// A type that FIX knows and this venue does not serve is refused as FIX says, with a BusinessMessageReject.
void Gateway::refuse_type(FIX::Message &message, const std::string &type) {
    message.getHeader().setField(FIX::FieldBase(35, "j"));
    message.removeField(371);
    message.removeField(373);
    message.setField(FIX::FieldBase(58, "MsgType(35) " + type + " is not served here; " + m_settings.served + " are"));
    message.setField(FIX::FieldBase(380, "3"));
}

namespace {

// What a field takes, for the text of a Reject. The dictionary tells whether it has a value, not which it has.
std::string values_taken(const FIX::DataDictionary &dictionary, int tag) {
    if (tag == 11 || tag == 41)
        return "it has at most 39 characters and does not begin with ~";
    if (tag == 117)
        return "it has from 1 to 20 characters, and no ~";
    std::string found;
    for (int i = 0; i < 200; i++) {
        static const std::string plain = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        std::string value = i < 62 ? plain.substr(static_cast<size_t>(i), 1) : std::to_string(i - 52);
        if (dictionary.hasFieldValue(tag) && dictionary.isFieldValue(tag, value))
            found += " " + value;
    }
    return found.empty() ? "see the venue's dictionary" : "one of" + found;
}

std::string type_taken(const FIX::DataDictionary &dictionary, int tag) {
    FIX::TYPE::Type type = FIX::TYPE::Unknown;
    dictionary.getFieldType(tag, type);
    switch (type) {
    case FIX::TYPE::Price:
    case FIX::TYPE::Amt:
    case FIX::TYPE::Qty:
    case FIX::TYPE::Float:
    case FIX::TYPE::PriceOffset:
    case FIX::TYPE::Percentage:
        return "digits with at most one point, a minus before them if below zero, no exponent";
    case FIX::TYPE::Int:
    case FIX::TYPE::NumInGroup:
    case FIX::TYPE::SeqNum:
    case FIX::TYPE::Length:
        return "a whole number, digits alone";
    case FIX::TYPE::Char:
        return "one character";
    case FIX::TYPE::Boolean:
        return "Y or N";
    case FIX::TYPE::UtcTimeStamp:
        return "YYYYMMDD-HH:MM:SS in UTC, with at most nine decimals";
    case FIX::TYPE::UtcDateOnly:
    case FIX::TYPE::LocalMktDate:
        return "YYYYMMDD";
    default:
        return "see the venue's dictionary";
    }
}

} // namespace

std::string Gateway::reject_text(const FIX::Message &reject, int code) const {
    std::string name, type, tag = value_of(reject, 371), what;
    m_dictionary->getValueName(35, value_of(reject, 372), type);
    m_dictionary->getFieldName(atoi(tag.c_str()), name);
    what = tag.empty() ? "the message" : name + "(" + tag + ")";
    std::string where = type.empty() ? "" : " in " + type;
    switch (code) {
    case 0:
        return "tag " + tag + where + " is not in the venue's dictionary; leave it out";
    case 1:
        return what + where + " is required and missing; send it";
    case 2:
        return what + where + " is not taken by this venue; leave it out";
    case 4:
        return what + where + " has no value; give it one or leave it out";
    case 5:
        return "the value of " + what + where + " is not taken: " + values_taken(*m_dictionary, atoi(tag.c_str()));
    case 6:
        return "the value of " + what + where +
               " is not of the field's type: " + type_taken(*m_dictionary, atoi(tag.c_str()));
    case 9:
        return "SenderCompID(49) or TargetCompID(56) is not this session's";
    case 10:
        return "SendingTime(52) is more than 120 seconds from the venue's clock, or before OrigSendingTime(122)";
    case 11:
        return "MsgType(35) " + value_of(reject, 372) + " is unknown";
    case 13:
        return what + where + " appears more than once; send it once";
    case 14:
        return what + where + " is out of order: header, then body, then trailer";
    case 16:
        return what + where +
               " does not say how many entries follow, or one does not begin with the group's first field";
    default:
        return value_of(reject, 58);
    }
}

} // namespace venue
